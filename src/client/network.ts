// The real Network: undici's request() on kept-alive connections. No redirects, no decompression, no retries: those are decisions of the client.
import { Agent, request } from 'undici'
import type { Clock } from '../system/clock.ts'
import type { HttpReply, HttpRequest, Network } from '../system/network.ts'

export interface NetworkParts {
  readonly clock: Clock
  /** Speak over this unix socket instead of TCP; the URL then only names the host. */
  readonly socketPath?: string
}

export interface HttpNetwork {
  readonly request: Network
  /** Drops idle connections and breaks the others. */
  close(): Promise<void>
}

/** A swarm holds one poll and sends many streams at once; more than this would only queue inside pond. */
const CONNECTIONS_MOST = 64
/** Below the idle time of common proxies, so that a connection is rarely closed under a request. */
const KEEP_ALIVE_MS = 30_000
/** A dead route must not eat the whole deadline of a call that could be tried again. */
const CONNECT_MS = 10_000

export function createNetwork({ clock, socketPath }: NetworkParts): HttpNetwork {
  const agent = new Agent({
    connections: CONNECTIONS_MOST,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Deadlines cover the whole call and come from the clock; undici's own would cut a long poll or a quiet stream.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: CONNECT_MS, ...(socketPath === undefined ? {} : { socketPath }) },
  })
  return {
    request: (call) => send(agent, clock, call),
    close: () => agent.destroy(),
  }
}

/** The total time for a call ran out, its body included. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
  readonly code = 'DEADLINE'

  constructor(deadlineMs: number) {
    super(`no complete reply within ${deadlineMs} ms`)
  }
}

async function send(agent: Agent, clock: Clock, call: HttpRequest): Promise<HttpReply> {
  const limit = startLimit(clock, call)
  try {
    const reply = await request(call.url, {
      dispatcher: agent,
      method: call.method as 'GET',
      headers: call.headers,
      body: call.body ?? null,
      signal: limit.signal,
    })
    return { status: reply.statusCode, headers: flatten(reply.headers), body: limited(reply.body, limit.release) }
  } catch (error) {
    limit.release()
    throw error
  }
}

/** One signal for the deadline and the caller's own; released as soon as the body is over, so that neither leaks. */
function startLimit(clock: Clock, { deadlineMs, signal }: HttpRequest) {
  const controller = new AbortController()
  const follow = () => controller.abort(signal?.reason)
  const cancel =
    deadlineMs === undefined ? () => {} : clock.after(deadlineMs, () => controller.abort(new DeadlineError(deadlineMs)))
  if (signal?.aborted) follow()
  signal?.addEventListener('abort', follow, { once: true })
  const release = () => {
    cancel()
    signal?.removeEventListener('abort', follow)
  }
  return { signal: controller.signal, release }
}

async function* limited(body: AsyncIterable<Uint8Array>, release: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } finally {
    release()
  }
}

function flatten(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}
