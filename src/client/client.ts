// The one mouth that speaks HTTP to pond: builds calls from the route table and answers with values, never with exceptions.
import assert from 'node:assert/strict'
import { retryWait } from '../protocol/limit.ts'
import { type RouteName, routes } from '../protocol/route.ts'
import type { Route } from '../protocol/shape.ts'
import type { SignCall } from '../seal/request-signature.ts'
import { type Clock, sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { HttpReply, HttpRequest, Network } from '../system/network.ts'
import { jitter, type Random } from '../system/random.ts'
import { parseBaseUrl } from './base-url.ts'
import type { Answer, Call, CallError, Client, StreamAnswer } from './contract.ts'
import { decodeError, decodeReply, isForeign, optional, readAll } from './decode.ts'
import { DeadlineError, explain, lossOf } from './explain.ts'

export interface ClientParts {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Pond's base URL as parseBaseUrl takes it. */
  readonly baseUrl: string
  /** A function is asked before each try, so that a token can be replaced. */
  readonly token?: string | (() => string)
  /** Signs every try anew, with pond's time. */
  readonly sign?: SignCall
  /** Names the project of an admin token's call. */
  readonly project?: string
  /** Our own version, for pond's log. */
  readonly version: string
  /** Allow http:// beyond loopback. */
  readonly insecureHttp?: boolean
}

/** Total time for one try of a call that is not held. */
const DEADLINE_MS = 30_000
/** What a held call gets on top of its wait. */
const HELD_EXTRA_MS = 15_000
/** A line that says nothing for so long in the middle of a streamed reply is dead. */
const QUIET_MS = 60_000
const NONCE_BYTES = 16
/** From here on a machine that signs is told that its clock is wrong; its calls go by pond's all the same. */
export const SKEW_WARN_MS = 5000
/** A refusal that came so much later, by pond's clock, than the call was signed may be about its time and nothing else. */
const SIGNED_LONG_AGO_MS = 60_000
/** A Retry-After beyond this is a mistake that should not silence us for days. */
const RETRY_AFTER_MOST_MS = 60 * 60 * 1000

type AnyCall = Call<RouteName>
type Failed = { readonly ok: false; readonly error: CallError }
type Sent = { readonly ok: true; readonly reply: HttpReply } | Failed

export function createClient(parts: ClientParts): Client {
  const base = parseBaseUrl(parts.baseUrl, parts.insecureHttp)
  assert(base.ok, base.ok ? '' : base.why)
  const world: World = { ...parts, baseUrl: base.url, skew: { ms: 0, warned: false } }
  const call = (name: RouteName, given: AnyCall = {}) => callOnce(world, name, given)
  return {
    call: call as Client['call'],
    persist: ((name, given = {}, onRetry) =>
      persist(world, () => call(name, given), { signal: given.signal, onRetry })) as Client['persist'],
    open: ((name, given = {}) => open(world, name, given)) as Client['open'],
    skewMs: () => world.skew.ms,
  }
}

interface World extends ClientParts {
  readonly skew: { ms: number; warned: boolean }
}

/**
 * One try. A signature is only as good as its time, which nobody here knows before pond's first reply, and which passes while this machine sleeps with a
 * call in its hands: before such a call's 401 is believed, it is signed with the time that the 401 brought, and sent once more. So it is with a
 * token that was replaced while the call was on its way.
 */
async function callOnce(world: World, name: RouteName, call: AnyCall): Promise<Answer<RouteName>> {
  const signedMs = pondTime(world)
  const token = tokenOf(world)
  const answer = await tryOnce(world, name, call)
  if (answer.ok || !world.sign || answer.error.code !== 'unauthenticated') return answer
  const isLate = Math.abs(pondTime(world) - signedMs) > SIGNED_LONG_AGO_MS
  const isOld = tokenOf(world) !== token
  return (isLate || isOld) && !call.signal?.aborted ? await tryOnce(world, name, call) : answer
}

const tokenOf = ({ token }: World) => (typeof token === 'function' ? token() : token)

async function tryOnce(world: World, name: RouteName, call: AnyCall): Promise<Answer<RouteName>> {
  const route: Route = routes[name]
  const sent = await send(world, toRequest(world, route, call))
  if (!sent.ok) return sent
  const { reply } = sent
  const read = await readBody(world, reply)
  if (!read.ok) return read
  const decoded = isSuccess(reply) ? decodeReply(route, reply, read.bytes) : refused(world, reply, read.bytes)
  if (!decoded.ok) return decoded
  noteSkew(world, reply)
  return { ok: true, status: reply.status, reply: decoded.reply as never, headers: reply.headers }
}

async function open(world: World, name: RouteName, call: AnyCall): Promise<StreamAnswer | Failed> {
  const route: Route = routes[name]
  const { deadlineMs = DEADLINE_MS, ...request } = toRequest(world, route, call)
  const line = watchLine(world.clock, call.signal)
  const sent = await line.within(deadlineMs, () => send(world, { ...request, signal: line.signal }))
  if (sent.ok && isSuccess(sent.reply) && !isForeign(route, sent.reply)) {
    noteSkew(world, sent.reply)
    const { status, headers, body } = sent.reply
    return { ok: true, status, headers, body: line.carry(body) }
  }
  try {
    if (!sent.ok) return sent
    const { reply } = sent
    const read = await line.within(deadlineMs, () => readBody(world, reply))
    return read.ok ? refused(world, reply, read.bytes) : read
  } finally {
    line.release()
  }
}

/** The deadlines of a streamed reply: one for its head, and one from each piece of its body to the next, however long it all takes. */
function watchLine(clock: Clock, signal: AbortSignal | undefined) {
  const line = new AbortController()
  const follow = () => line.abort(signal?.reason)
  if (signal?.aborted) follow()
  signal?.addEventListener('abort', follow, { once: true })
  const release = () => signal?.removeEventListener('abort', follow)

  async function within<T>(ms: number, wait: () => Promise<T>): Promise<T> {
    const cancel = clock.after(ms, () => line.abort(new DeadlineError(`nothing came for ${ms} ms`)))
    try {
      return await wait()
    } finally {
      cancel()
    }
  }

  async function* carry(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const pieces = body[Symbol.asyncIterator]()
    try {
      for (;;) {
        // A reader that takes its time is no silence of pond.
        const piece = await within(QUIET_MS, () => pieces.next())
        if (piece.done) return
        yield piece.value
      }
    } finally {
      release()
      await pieces.return?.()
    }
  }

  return { signal: line.signal, within, carry, release }
}

function refused(world: World, reply: HttpReply, bytes: Buffer): Failed {
  const error = decodeError(reply, bytes)
  if (error.code !== 'undecodable') noteSkew(world, reply)
  return { ok: false, error: withRetryAfter(world, reply, error) }
}

interface Patience {
  readonly signal: AbortSignal | undefined
  readonly onRetry: ((error: CallError, waitMs: number) => void) | undefined
}

async function persist(
  world: World,
  once: () => Promise<Answer<RouteName>>,
  { signal, onRetry }: Patience,
): Promise<Answer<RouteName>> {
  for (let tries = 0; ; tries++) {
    const answer = await once()
    if (answer.ok || answer.error.retry !== 'later' || signal?.aborted) return answer
    // The jitter is added to Retry-After, so that a thousand clients told the same do not come back as one.
    const waitMs = (answer.error.retryAfterMs ?? 0) + jitter(world.random, tries, retryWait)
    onRetry?.(answer.error, waitMs)
    await sleep(world.clock, waitMs, signal)
    if (signal?.aborted) return answer
  }
}

function toRequest(world: World, route: Route, call: AnyCall): HttpRequest {
  const { method } = route
  const body = call.body === undefined ? undefined : encode(call.body)
  const token = tokenOf(world)
  const path = fill(route.path, call.params)
  const search = encodeQuery(call.query)
  const headers = {
    accept: 'application/json',
    'user-agent': `pond-swarm/${world.version}`,
    ...optional('content-type', body && (route.body === 'bytes' ? 'application/octet-stream' : 'application/json')),
    ...optional('authorization', token && `Bearer ${token}`),
    ...optional('pond-project', world.project),
    ...optional('x-claim-token', call.claimToken),
    ...optional('idempotency-key', call.idempotencyKey),
  }
  const own = world.sign?.(
    { method, path, search, headers, body },
    { createdMs: pondTime(world), nonce: world.random.bytes(NONCE_BYTES) },
    route.lasts,
  )
  return {
    method,
    url: world.baseUrl + path + search,
    headers: Object.assign(headers, own),
    ...optional('body', body),
    ...optional('signal', call.signal),
    deadlineMs: call.deadlineMs ?? defaultDeadline(call),
  }
}

function encode(body: unknown): Uint8Array {
  return body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body))
}

function fill(path: string, params: AnyCall['params']): string {
  const textOf = (key: string) => {
    const value = params?.[key]
    assert(value !== undefined && value !== '', `${path} needs ${key}`)
    return encodeURIComponent(value)
  }
  return path
    .replace(/\{(\w+)\.\.\.\}/g, (_, key: string) => textOf(key).replaceAll('%2F', '/'))
    .replace(/\{(\w+)\}/g, (_, key: string) => textOf(key))
}

function encodeQuery(query: AnyCall['query']): string {
  const pairs = Object.entries(query ?? {}).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, `${value}`] as const],
  )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(Object.fromEntries(pairs))}`
}

function defaultDeadline({ query, body }: { query?: AnyCall['query']; body?: unknown }): number {
  const inBody = typeof body === 'object' && body !== null && 'wait_ms' in body ? body.wait_ms : undefined
  const heldMs = Number(query?.wait_ms ?? inBody ?? 0)
  return heldMs > 0 ? heldMs + HELD_EXTRA_MS : DEADLINE_MS
}

async function send(world: World, request: HttpRequest): Promise<Sent> {
  try {
    return { ok: true, reply: await world.network(request) }
  } catch (error) {
    return { ok: false, error: unreachable(world, error) }
  }
}

async function readBody(world: World, reply: HttpReply): Promise<{ ok: true; bytes: Buffer } | Failed> {
  try {
    return { ok: true, bytes: await readAll(reply.body) }
  } catch (error) {
    return { ok: false, error: { ...unreachable(world, error), status: reply.status } }
  }
}

function unreachable(world: World, error: unknown): CallError {
  const why = explain(error)
  world.log.info('call.unreachable', { url: world.baseUrl, why })
  return {
    code: 'unreachable',
    message: `no whole reply from ${world.baseUrl}: ${why}`,
    details: {},
    help: 'Check that pond runs there and that this machine reaches it.',
    retry: 'later',
    loss: lossOf(error),
  }
}

function withRetryAfter(world: World, reply: HttpReply, error: CallError): CallError {
  const text = reply.headers['retry-after']
  if (text === undefined) return error
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - world.clock.now()
  return Number.isFinite(ms) ? { ...error, retryAfterMs: Math.min(Math.max(0, ms), RETRY_AFTER_MOST_MS) } : error
}

/** Only pond's own replies set the skew: a proxy's page has the proxy's clock. */
function noteSkew(world: World, reply: HttpReply): void {
  const date = Date.parse(reply.headers.date ?? '')
  if (!Number.isFinite(date)) return
  // Date is cut to whole seconds, so its middle is the best guess.
  world.skew.ms = date + 500 - world.clock.now()
  if (!world.sign || world.skew.warned || Math.abs(world.skew.ms) <= SKEW_WARN_MS) return
  world.skew.warned = true
  world.log.warn('clock_off', { skew_ms: Math.round(world.skew.ms) })
}

/** Our best guess at the wall clock of pond. */
const pondTime = ({ clock, skew }: World) => clock.now() + skew.ms

function isSuccess(reply: HttpReply): boolean {
  return reply.status >= 200 && reply.status < 300
}
