// HTTP without sockets: a Network whose every request goes straight to a pond, and whose line a test can cut.
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { type Clock, sleep } from '../../src/system/clock.ts'
import type { HttpReply, HttpRequest, Network } from '../../src/system/network.ts'

/** `unsent`: pond never hears of it. `unanswered`: pond does it, and the reply is lost. `cut`: the reply breaks off in its body. */
export type LineFault = 'unsent' | 'unanswered' | 'cut' | undefined

export interface Line {
  readonly network: Network
  /** Asked before each request. */
  fault: (request: HttpRequest) => LineFault
  /** Sees each reply that arrives. */
  watch: (reply: { readonly status: number }) => void
  /** How long a reply is on its way, in milliseconds. */
  late: (reply: PondReply) => number
}

export const LINE_URL = 'http://pond.localhost:7460'

/** `answer` is looked up at each request, so that a pond that was restarted is found behind the same URL. */
export function createLine(clock: Clock, answer: (request: PondRequest) => Promise<PondReply>): Line {
  const line: Line = { network: send, fault: () => undefined, watch() {}, late: () => 0 }

  async function send(request: HttpRequest): Promise<HttpReply> {
    const fault = line.fault(request)
    if (fault === 'unsent') throw new Error('the line is dead')
    const given = limitOf(clock, request)
    const { pathname, search, searchParams } = new URL(request.url)
    const asked = answer({
      method: request.method,
      path: pathname,
      query: Object.fromEntries(searchParams),
      search,
      headers: request.headers,
      ...(request.body ? { body: Uint8Array.from(request.body) } : {}),
      signal: () => given.signal,
    })
    try {
      const reply = await Promise.race([asked, given.over])
      if (fault === 'unanswered') throw new Error('the reply was lost')
      const lateMs = line.late(reply)
      if (lateMs > 0) await Promise.race([sleep(clock, lateMs), given.over])
      line.watch(reply)
      const headers = { ...reply.headers, date: new Date(clock.now()).toUTCString() }
      return { status: reply.status, headers, body: carry(reply.body, fault === 'cut', given) }
    } catch (error) {
      given.release()
      throw error
    }
  }

  return line
}

interface Limit {
  readonly signal: AbortSignal
  /** Rejects when the caller gave up, or its deadline is over. */
  readonly over: Promise<never>
  release(): void
}

function limitOf(clock: Clock, { signal, deadlineMs }: HttpRequest): Limit {
  const ending = new AbortController()
  const stop = () => ending.abort()
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop, { once: true })
  const cancel = deadlineMs === undefined ? () => {} : clock.after(deadlineMs, stop)
  const over = new Promise<never>((_, reject) => {
    const fail = () => reject(new Error('the caller hung up'))
    if (ending.signal.aborted) fail()
    ending.signal.addEventListener('abort', fail, { once: true })
  })
  over.catch(() => {})
  return {
    signal: ending.signal,
    over,
    release() {
      cancel()
      signal?.removeEventListener('abort', stop)
    },
  }
}

async function* carry(body: PondReply['body'], cut: boolean, limit: Limit): AsyncGenerator<Uint8Array> {
  try {
    const whole = typeof body === 'string' || body instanceof Uint8Array
    for await (const part of whole ? [body] : body) {
      const bytes = Buffer.from(part as string)
      yield cut ? bytes.subarray(0, Math.ceil(bytes.length / 2)) : bytes
      if (cut) throw new Error('the line broke in the middle of the reply')
      if (limit.signal.aborted) throw new Error('the caller hung up')
    }
  } finally {
    limit.release()
  }
}
