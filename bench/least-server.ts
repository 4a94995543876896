// The least HTTP server of pond's shape: node:http and the same SQLite, each acknowledgement after its own commit. No checks, no leases, no streams.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from '@photostructure/sqlite'
import { makeFolder, removeFolder } from './child.ts'
import { tell } from './worker-report.ts'

const folder = makeFolder()
const db = new DatabaseSync(join(folder, 'least.db'))
db.exec('pragma journal_mode = wal; pragma synchronous = full')
db.exec('create table jobs (id integer primary key, command text not null, state text not null, rc integer)')
const insert = db.prepare("insert into jobs (command, state) values (?, 'queued')")
const claim = db.prepare("update jobs set state = 'claimed' where id = ?")
const finish = db.prepare("update jobs set state = 'ended', rc = ? where id = ?")

interface Job {
  readonly id: string
  readonly command: readonly string[]
}
let queue: Job[] = []
/** In the order in which they came, with the timers of those that are not held forever. */
const parked = new Map<ServerResponse, NodeJS.Timeout | undefined>()

const routes: Readonly<Record<string, (body: never, reply: ServerResponse) => void>> = {
  '/submit'({ jobs }: { jobs: readonly (readonly string[])[] }, reply) {
    db.exec('begin immediate')
    const made = jobs.map((command) => ({ id: String(insert.run(JSON.stringify(command)).lastInsertRowid), command }))
    db.exec('commit')
    answer(
      reply,
      made.map(({ id }) => id),
    )
    queue = queue.concat(made)
    // The reply above goes out first.
    setImmediate(handOut)
  },
  '/poll'({ hold_ms }: { hold_ms?: number }, reply) {
    parked.set(
      reply,
      hold_ms === undefined ? undefined : setTimeout(() => parked.delete(reply) && answer(reply, {}), hold_ms),
    )
    handOut()
  },
  '/hear': (_body: object, reply) => answer(reply, {}),
  '/finish'({ id, rc }: { id: string; rc: number }, reply) {
    finish.run(rc, id)
    answer(reply, {})
  },
}

function handOut(): void {
  const count = Math.min(queue.length, parked.size)
  if (count === 0) return
  const jobs = queue.splice(0, count)
  db.exec('begin immediate')
  for (const job of jobs) claim.run(job.id)
  db.exec('commit')
  for (const job of jobs) {
    const [oldest] = parked
    if (!oldest) break
    const [reply, timer] = oldest
    parked.delete(reply)
    clearTimeout(timer)
    answer(reply, job)
  }
}

function answer(reply: ServerResponse, value: unknown): void {
  reply.setHeader('content-type', 'application/json')
  reply.end(JSON.stringify(value))
}

async function serve(request: IncomingMessage, reply: ServerResponse): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  routes[request.url ?? '']?.(JSON.parse(Buffer.concat(parts).toString()) as never, reply)
}

const server = createServer((request, reply) => void serve(request, reply))
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
await once(server, 'listening')
tell({ type: 'ready', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
process.once('SIGTERM', () => void removeFolder(folder).then(() => process.exit(0)))
