// control.sock: how a running swarm is asked and told things by its own user. The only file here that touches a socket.
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { z } from 'zod'
import { describeFaults, judgeText } from '../protocol/fault.ts'
import type { Swarm } from './swarm.ts'

export interface Control {
  close(): Promise<void>
}

type Controlled = Pick<Swarm, 'status' | 'health' | 'drain' | 'pause' | 'resume' | 'lookAtRules' | 'rotateKeys'>

/** Serves on a unix socket (0600); one left by a swarm that was killed is replaced, so hold the home's lock before. */
export async function serveControl(path: string, swarm: Controlled): Promise<Control> {
  await rm(path, { force: true })
  const server = createServer((request, response) => {
    answer(swarm, request).then(
      ({ status, body }) => send(response, status, body),
      (error: unknown) => send(response, 400, refusal('malformed', error)),
    )
  })
  await listen(server, path)
  await chmod(path, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

interface Reply {
  readonly status: number
  readonly body: unknown
}

const drainBody = z.strictObject({ deadline_ms: z.int().min(0).optional() })

async function answer(swarm: Controlled, request: IncomingMessage): Promise<Reply> {
  switch (`${request.method} ${request.url}`) {
    case 'GET /status':
      return { status: 200, body: swarm.status() }
    case 'GET /healthz': {
      const health = swarm.health()
      return { status: health.ok ? 200 : 503, body: health }
    }
    case 'POST /drain': {
      const judged = judgeText(drainBody, (await readAll(request)) || '{}')
      if (!judged.ok) throw new Error(describeFaults(judged.faults))
      const { deadline_ms: deadlineMs } = judged.value
      swarm.drain(deadlineMs === undefined ? {} : { deadlineMs })
      return { status: 202, body: swarm.status() }
    }
    case 'POST /pause':
      return await held(swarm, swarm.pause())
    case 'POST /resume':
      return await held(swarm, swarm.resume())
    case 'POST /rules':
      await swarm.lookAtRules()
      return { status: 200, body: swarm.status() }
    case 'POST /rotate': {
      const rotated = await swarm.rotateKeys()
      return { status: 200, body: { ...swarm.status(), rotated } }
    }
    default:
      return { status: 404, body: { error: { code: 'not_found', message: 'no such call on control.sock' } } }
  }
}

/** What was ordered holds in any case, and only perhaps for the next run. */
async function held(swarm: Controlled, kept: Promise<void>): Promise<Reply> {
  try {
    await kept
    return { status: 200, body: swarm.status() }
  } catch (error) {
    return { status: 507, body: { ...refusal('not_kept', error), status: swarm.status() } }
  }
}

const refusal = (code: string, error: unknown) => ({
  error: { code, message: error instanceof Error ? error.message : String(error) },
})

/** More than any call here needs. */
const BODY_BYTES_MOST = 4096

async function readAll(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of request.setEncoding('utf8')) {
    text += String(piece)
    if (text.length > BODY_BYTES_MOST) throw new Error('the body is too long')
  }
  return text
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
