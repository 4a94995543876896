// The network of a simulated world: it loses requests and replies, delays, repeats and reorders them, breaks replies off, and cuts machines off.

import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { DeadlineError } from '../../src/client/explain.ts'
import type { Clock } from '../../src/system/clock.ts'
import type { HttpReply, HttpRequest, Network } from '../../src/system/network.ts'
import type { Random } from '../../src/system/random.ts'
import type { Weather } from './weather.ts'

/** A reply with its whole body, as it left pond. */
export interface WholeReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface NetworkParts {
  readonly clock: Clock
  readonly random: Random
  readonly weather: () => Weather
  /** Undefined when nobody listens, or when who listens dies over it. */
  readonly answer: (request: PondRequest) => Promise<PondReply | undefined>
  /** A reply left pond; it may never arrive. */
  readonly replied: (request: PondRequest, reply: WholeReply) => void
  readonly note: (event: string, facts: Readonly<Record<string, unknown>>) => void
}

export interface SimulatedNetwork {
  /** The network as one host sees it. */
  connect(host: string): Network
  /** Nothing passes between this host and pond until the time is over. */
  cut(host: string, forMs: number): void
  heal(): void
}

export function createSimulatedNetwork(parts: NetworkParts): SimulatedNetwork {
  const cutUntil = new Map<string, number>()
  const isCut = (host: string) => (cutUntil.get(host) ?? 0) > parts.clock.monotonic()
  return {
    connect: (host) => (request) => send(parts, request, () => isCut(host)),
    cut(host, forMs) {
      parts.note('cut', { host, for_ms: Math.round(forMs) })
      cutUntil.set(host, parts.clock.monotonic() + forMs)
    },
    heal: () => cutUntil.clear(),
  }
}

function send(parts: NetworkParts, request: HttpRequest, isCut: () => boolean): Promise<HttpReply> {
  const { clock, random, weather } = parts
  return new Promise((resolve, reject) => {
    const left = new AbortController()
    let over = false
    const settle = (run: () => void) => {
      if (over) return
      over = true
      cancelDeadline()
      request.signal?.removeEventListener('abort', abort)
      run()
    }
    const leave = (error: Error) => {
      settle(() => reject(error))
      // Pond learns of it later, or never: a half-open connection.
      if (random.number() < 0.8) clock.after(delay(parts), () => left.abort())
    }
    const abort = () => leave(new Error('aborted'))
    const { deadlineMs } = request
    const cancelDeadline =
      deadlineMs === undefined
        ? () => {}
        : clock.after(deadlineMs, () => leave(new DeadlineError(`no complete reply within ${deadlineMs} ms`)))
    if (request.signal?.aborted) return abort()
    request.signal?.addEventListener('abort', abort, { once: true })
    /** What is lost shows as a reset, or as silence until the deadline. */
    const lose = () => {
      if (deadlineMs === undefined || random.number() < 0.5) {
        clock.after(delay(parts), () => settle(() => reject(new Error('reset'))))
      }
    }
    const carry = async () => {
      if (isCut() || random.number() < weather().dropRequest) return lose()
      const reply = await passOn(parts, request, left.signal)
      if (!reply || random.number() < weather().dropReply) return lose()
      clock.after(delay(parts), () => (isCut() ? lose() : settle(() => resolve(arriving(parts, reply)))))
    }
    clock.after(delay(parts), () => void carry())
    if (random.number() < weather().duplicate) clock.after(delay(parts), () => void carry())
  })
}

/** Undefined when there is no reply. */
async function passOn(parts: NetworkParts, request: HttpRequest, signal: AbortSignal): Promise<WholeReply | undefined> {
  const url = new URL(request.url)
  const asked: PondRequest = {
    method: request.method,
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    search: url.search,
    headers: request.headers,
    ...(request.body && { body: request.body }),
    signal,
  }
  const reply = await parts.answer(asked)
  if (!reply) return undefined
  const { status, headers, body } = reply
  const whole = { status, headers, body: await collect(body) }
  parts.replied(asked, whole)
  return whole
}

async function collect(body: PondReply['body']): Promise<Buffer> {
  if (typeof body === 'string' || body instanceof Uint8Array) return Buffer.from(body as string)
  const parts: Buffer[] = []
  for await (const part of body) parts.push(Buffer.from(part as string))
  return Buffer.concat(parts)
}

/** The body as the caller reads it; now and then the line breaks in its middle, or a proxy puts its own page in its place. */
function arriving({ clock, random, weather }: NetworkParts, { status, headers, body }: WholeReply): HttpReply {
  if (random.number() < weather().foreign) {
    const page = { headers: { 'content-type': 'text/html' }, body: pieces(Buffer.from('<h1>Bad gateway</h1>'), false) }
    return { status: random.number() < 0.5 ? 200 : 502, ...page }
  }
  const broken = random.number() < weather().cutReply
  const length = broken ? Math.floor(random.number() * body.length) : body.length
  const date = new Date(clock.now()).toUTCString()
  return { status, headers: { ...headers, date }, body: pieces(body.subarray(0, length), broken) }
}

async function* pieces(bytes: Buffer, broken: boolean): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
  if (broken) throw new Error('reset in the middle')
}

/** Mostly some milliseconds, sometimes much longer, so that messages overtake each other. */
function delay({ random, weather }: NetworkParts): number {
  const { slow, slowMs } = weather()
  return random.number() < slow ? random.number() * slowMs : 1 + random.number() * 10
}
