// The floor of stream-throughput: HTTP in, appended to one file, fdatasynced, then acknowledged. No offsets, no frames, no digest.
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { makeFolder, removeFolder } from './child.ts'
import { tell } from './worker-report.ts'

const folder = makeFolder()
const file = await open(join(folder, 'stream'), 'a')

async function append(request: IncomingMessage, reply: ServerResponse): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  await file.writev(parts)
  await file.datasync()
  reply.end('{}')
}

const server = createServer((request, reply) => void append(request, reply))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
tell({ type: 'ready', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
process.once('SIGTERM', () => void removeFolder(folder).then(() => process.exit(0)))
