// The network of a simulated world: it loses requests and replies, delays, repeats and reorders them, breaks them off, answers in pond's place, and cuts
// machines off.

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

/** Which way nothing passes: from the machine to pond, back, or both. */
export type Way = 'both' | 'up' | 'down'

/** Sees all that passes, and takes no part in it. */
export interface Wiretap {
  /** A request reached pond's machine. */
  asked(host: string, request: PondRequest): void
  /** A reply left pond; it may never arrive. */
  replied(host: string, request: PondRequest, reply: WholeReply): void
  /** Somebody's reply arrived: whole, and pond's own. */
  arrived(host: string, request: HttpRequest): void
  /** A request goes to a host that is not pond's. */
  strayed(host: string, request: HttpRequest): void
}

export interface NetworkParts {
  readonly clock: Clock
  readonly random: Random
  readonly weather: () => Weather
  /** Undefined when nobody listens, or when who listens dies over it. */
  readonly answer: (request: PondRequest) => Promise<PondReply | undefined>
  readonly tap: Wiretap
  readonly note: (event: string, facts: Readonly<Record<string, unknown>>) => void
}

export interface SimulatedNetwork {
  /** The network as one host sees it. */
  connect(host: string): Network
  /** Nothing passes between this host and pond, on this way, until the time is over. */
  cut(host: string, forMs: number, way: Way): void
  heal(): void
}

const POND = 'http://127.0.0.1:7460/'

export function createSimulatedNetwork(parts: NetworkParts): SimulatedNetwork {
  const { clock, note, tap } = parts
  const cuts = new Map<string, { readonly until: number; readonly way: Way }>()
  const isCut = (host: string, way: Way) => {
    const cut = cuts.get(host)
    return cut !== undefined && cut.until > clock.monotonic() && (cut.way === 'both' || cut.way === way)
  }
  return {
    connect: (host) => async (request) => {
      if (!request.url.startsWith(POND)) {
        tap.strayed(host, request)
        throw new Error('there is no such host')
      }
      return await send(parts, request, { host, isCut: (way) => isCut(host, way) })
    },
    cut(host, forMs, way) {
      note('cut', { host, way, for_ms: Math.round(forMs) })
      cuts.set(host, { until: clock.monotonic() + forMs, way })
    },
    heal: () => cuts.clear(),
  }
}

interface Line {
  readonly host: string
  readonly isCut: (way: 'up' | 'down') => boolean
}

function send(parts: NetworkParts, asked: HttpRequest, line: Line): Promise<HttpReply> {
  const { clock, random, weather } = parts
  // What is on the line is out of its sender's hands, who may use that memory again.
  const request = { ...asked, ...(asked.body && { body: Buffer.from(asked.body) }) }
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
      if (random.number() < 0.5) clock.after(delay(parts), () => settle(() => reject(new Error('reset'))))
    }
    const carry = async () => {
      const { dropRequest, dropReply, halfOpen } = weather()
      if (line.isCut('up') || random.number() < dropRequest) return lose()
      // From here on the connection stands, and nothing more comes on it: before pond heard, or after.
      const mute = random.number() < halfOpen
      if (mute && random.number() < 0.5) return
      const stranger = interfere(parts)
      if (stranger && random.number() < 0.5) return arrive(stranger)
      const reply = await passOn(parts, request, { host: line.host, signal: left.signal })
      if (mute) return
      if (!reply || random.number() < dropReply) return lose()
      if (stranger) return arrive(stranger)
      clock.after(delay(parts), () =>
        line.isCut('down') ? lose() : settle(() => resolve(arriving(parts, reply, tell))),
      )
    }
    const tell = () => parts.tap.arrived(line.host, request)
    const arrive = (reply: HttpReply) =>
      clock.after(delay(parts), () => (line.isCut('down') ? lose() : settle(() => resolve(reply))))
    clock.after(delay(parts), () => void carry())
    if (random.number() < weather().duplicate) clock.after(delay(parts), () => void carry())
  })
}

/** Statuses with which proxies, portals and firewalls put a page of their own in the place of pond's reply. */
const strangers = [200, 502, 503, 413, 403, 404] as const

/** Who stands between answers in pond's place, or sends the caller on to another host. */
function interfere({ random, weather }: NetworkParts): HttpReply | undefined {
  const { foreign, redirect } = weather()
  const dice = random.number()
  if (dice >= foreign + redirect) return undefined
  const page = pieces(Buffer.from('<h1>Please log in</h1>'), { breaks: false })
  const headers = { 'content-type': 'text/html' }
  if (dice < redirect)
    return { status: 307, headers: { ...headers, location: 'https://portal.example/orch/poll' }, body: page }
  return { status: strangers[Math.floor(random.number() * strangers.length)] ?? 502, headers, body: page }
}

interface Passing {
  readonly host: string
  readonly signal: AbortSignal
}

/** Undefined when there is no reply. */
async function passOn(
  parts: NetworkParts,
  request: HttpRequest,
  { host, signal }: Passing,
): Promise<WholeReply | undefined> {
  const url = new URL(request.url)
  const asked: PondRequest = {
    method: request.method,
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    search: url.search,
    headers: request.headers,
    ...(request.body && { body: request.body }),
    signal: () => signal,
  }
  parts.tap.asked(host, asked)
  const reply = await parts.answer(asked)
  if (!reply) return undefined
  const { status, headers, body } = reply
  const whole = { status, headers, body: await collect(body) }
  parts.tap.replied(host, asked, whole)
  return whole
}

async function collect(body: PondReply['body']): Promise<Buffer> {
  if (typeof body === 'string' || body instanceof Uint8Array) return Buffer.from(body as string)
  const parts: Buffer[] = []
  for await (const part of body) parts.push(Buffer.from(part as string))
  return Buffer.concat(parts)
}

/** The body as the caller reads it; now and then the line breaks in its middle, or it just ends there as if that were all. */
function arriving(parts: NetworkParts, { status, headers, body }: WholeReply, whole: () => void): HttpReply {
  const { clock, random, weather } = parts
  const { cutReply, truncate } = weather()
  const dice = random.number()
  const date = new Date(clock.now()).toUTCString()
  const head = { status, headers: { ...headers, date } }
  if (dice >= cutReply + truncate || body.length === 0) return { ...head, body: pieces(body, { breaks: false, whole }) }
  const part = body.subarray(0, Math.floor(random.number() * body.length))
  return { ...head, body: pieces(part, { breaks: dice < cutReply }) }
}

interface Ending {
  readonly breaks: boolean
  readonly whole?: () => void
}

async function* pieces(bytes: Buffer, { breaks, whole }: Ending): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
  if (breaks) throw new Error('reset in the middle')
  whole?.()
}

/** Mostly some milliseconds, sometimes much longer, so that messages overtake each other. */
function delay({ random, weather }: NetworkParts): number {
  const { slow, slowMs } = weather()
  return random.number() < slow ? random.number() * slowMs : 1 + random.number() * 10
}
