// The real Network: undici's agents on kept-alive connections. No redirects, no decompression, no retries: those are decisions of the client.
import { EventEmitter } from 'node:events'
import { Agent, type Dispatcher, Pool, ProxyAgent } from 'undici'
import type { Clock } from '../system/clock.ts'
import type { HttpReply, HttpRequest, Network } from '../system/network.ts'
import { DeadlineError, explain, lossOf } from './explain.ts'
import { type HttpProxy, type ProxySettings, proxyFor } from './proxy.ts'

export interface NetworkParts {
  readonly clock: Clock
  /** Speak over this unix socket instead of TCP; the URL then only names the host. */
  readonly socketPath?: string
  /** Of the environment; a unix socket is never reached through one. */
  readonly proxies?: ProxySettings
}

export interface HttpNetwork {
  readonly request: Network
  /** Starts over: what is in flight breaks, and the next request resolves the name anew and makes a new connection. */
  renew(): void
  /** Drops idle connections and breaks the others. */
  close(): Promise<void>
}

/** A swarm holds one poll and sends many streams at once; more than this would only queue inside pond. */
const CONNECTIONS_MOST = 64
/**
 * Below the idle time of common proxies, so that a connection is rarely closed under a request; and below the deadline of every call, so that
 * none of those which a NAT forgot beside a silent call is left for the next one.
 */
const KEEP_ALIVE_MS = 10_000
/** A dead route must not eat the whole deadline of a call that could be tried again. */
const CONNECT_MS = 10_000

const connect = { timeout: CONNECT_MS }
const settings = {
  connections: CONNECTIONS_MOST,
  keepAliveTimeout: KEEP_ALIVE_MS,
  // Whoever answers may offer longer, and would be taken at his word.
  keepAliveMaxTimeout: KEEP_ALIVE_MS,
  // Deadlines cover the whole call and come from the clock; undici's own would cut a long poll or a quiet stream.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const

export function createNetwork({ clock, socketPath, proxies = {} }: NetworkParts): HttpNetwork {
  let routes = createRoutes(socketPath)
  const isDirect = socketPath !== undefined || !(proxies.http || proxies.https)
  return {
    request: (call) => {
      const proxy = isDirect ? undefined : proxyFor(call.url, proxies)
      return send(routes.through(proxy), clock, call).catch((error: unknown) => {
        throw proxy ? throughProxy(proxy, error) : error
      })
    },
    renew() {
      // Calls are idempotent, so one that breaks is tried again; on a line that was silent for so long none would have ended well.
      void routes.destroy(new Error('the connection was given up'))
      routes = createRoutes(socketPath)
    },
    close: () => routes.destroy(null),
  }
}

interface Routes {
  through(proxy: HttpProxy | undefined): Dispatcher
  destroy(why: Error | null): Promise<void>
}

/** One agent for each way out, made when it is first used. */
function createRoutes(socketPath: string | undefined): Routes {
  const made = new Map<string, Dispatcher>()
  return {
    through(proxy) {
      const key = `${proxy?.origin} ${proxy?.authorization}`
      const known = made.get(key)
      if (known) return known
      const agent = proxy
        ? proxyAgent(proxy)
        : new Agent({ ...settings, connect: { ...connect, ...(socketPath === undefined ? {} : { socketPath }) } })
      made.set(key, agent)
      return agent
    },
    destroy: async (why) => {
      await Promise.all([...made.values()].map((agent) => agent.destroy(why)))
    },
  }
}

/** https goes through a tunnel, which the proxy cannot look into. A plain URL is asked of the proxy, for most of them dig no tunnel to such a port. */
function proxyAgent({ origin, authorization }: HttpProxy): Dispatcher {
  return new ProxyAgent({
    ...settings,
    uri: origin,
    ...(authorization === undefined ? {} : { token: authorization }),
    proxyTunnel: false,
    proxyTls: connect,
    requestTls: connect,
    // A proxy that takes the connection and digs no tunnel is as dead as one that takes none.
    clientFactory: (to, options) => new Pool(to, { ...options, ...settings, headersTimeout: CONNECT_MS }),
    factory: (to, options) => new Pool(to, { ...options, ...settings }),
  })
}

/** Says that there is a proxy, for whoever looks for the fault at pond. What the proxy was told to let us in never stands here. */
function throughProxy({ origin }: HttpProxy, error: unknown): Error {
  const why = explain(error)
  const isRefused = /\b407\b/.test(why)
  const text = isRefused ? 'it wants a name and a password, or others than those in the variable' : why
  return lossOf(error) === 'silent'
    ? new DeadlineError(`through the proxy ${origin}: ${text}`)
    : Object.assign(new Error(`through the proxy ${origin}: ${text}`), { code: codeOf(error) })
}

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : undefined)

async function send(agent: Dispatcher, clock: Clock, call: HttpRequest): Promise<HttpReply> {
  const { limit, over, release } = startLimit(clock, call)
  try {
    const asked = agent.request({
      method: call.method as 'GET',
      ...placeOf(call.url),
      headers: call.headers,
      body: call.body ?? null,
      signal: limit,
    })
    // undici looks at the signal when it has a connection, so while a proxy digs no tunnel it would not see that the time is over.
    const reply = await Promise.race([asked, over])
    return { status: reply.statusCode, headers: flatten(reply.headers), body: limited(reply.body, release) }
  } catch (error) {
    release()
    throw error
  }
}

/** As nearly every URL here is written, so that it is not read anew for each call. */
const plainUrl = /^(https?:\/\/[^/?#@]+)(\/[^#]*)$/

function placeOf(text: string): { readonly origin: string; readonly path: string } {
  const [, origin, path] = plainUrl.exec(text) ?? []
  if (origin !== undefined && path !== undefined) return { origin, path }
  const url = new URL(text)
  return { origin: url.origin, path: url.pathname + url.search }
}

/** As much of an AbortSignal as undici asks for: V8 makes three hidden classes for each of Node's own. */
class Limit extends EventEmitter {
  aborted = false
  reason: unknown

  abort(reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    this.emit('abort')
  }
}

/** One signal for the deadline and the caller's own; released as soon as the body is over, so that neither leaks. */
function startLimit(clock: Clock, { deadlineMs, signal }: HttpRequest) {
  const limit = new Limit()
  const over = new Promise<never>((_, reject) => limit.once('abort', () => reject(limit.reason)))
  over.catch(() => {})
  const follow = () => limit.abort(signal?.reason)
  const late = () => limit.abort(new DeadlineError(`no complete reply within ${deadlineMs} ms`))
  const cancel = deadlineMs === undefined ? () => {} : clock.after(deadlineMs, late)
  if (signal?.aborted) follow()
  signal?.addEventListener('abort', follow, { once: true })
  const release = () => {
    cancel()
    signal?.removeEventListener('abort', follow)
  }
  return { limit, over, release }
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
