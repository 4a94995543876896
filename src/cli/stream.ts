// Reads one stream of one attempt from an offset to its end, by held calls that are resumed by offset after any cut.
import type { CallError, Client } from '../client/contract.ts'
import { limit, retryWait } from '../protocol/limit.ts'
import { type Clock, sleep } from '../system/clock.ts'
import { jitter, type Random } from '../system/random.ts'
import { callFailure } from './failure.ts'
import { type Outage, QUIET_TURN_MS } from './watch.ts'

export interface StreamParts {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly id: string
  /** Ends reading at once. */
  readonly signal: AbortSignal
  readonly outage: Outage
}

export interface StreamWish {
  readonly name: string
  readonly attempt: number
  readonly from: number
  /** When it aborts, nothing more will come: what is there is read, and no call is held any more. */
  readonly over: AbortSignal
  /** Takes bytes and the offset of the first; a returned promise is back-pressure. */
  readonly sink: (bytes: Uint8Array, offset: number) => Promise<void>
}

export interface StreamRead {
  /** Behind the last byte read. */
  readonly offset: number
  /** `complete`, `capped` or `lost`; `open` when the attempt was over without a word about it. */
  readonly end: string
}

/** A held call is answered within its wait; its head gets this on top. */
const HEAD_EXTRA_MS = 15_000

/**
 * Held calls (`wait_ms`) and not `follow=1`: each reply ends, so it passes a proxy that gathers bodies, carries what the stream's end is,
 * and a dead line is noticed within one hold.
 */
export async function readStream(parts: StreamParts, wish: StreamWish): Promise<StreamRead> {
  const { clock, random, signal, outage } = parts
  let offset = wish.from
  for (let tries = 0; !signal.aborted; ) {
    const began = clock.monotonic()
    const draining = wish.over.aborted
    const piece = await readPiece(parts, wish, offset)
    offset += piece.bytes
    if (piece.error) {
      if (signal.aborted || (wish.over.aborted && !draining)) continue
      if (piece.error.retry !== 'later') throw callFailure(`read ${wish.name} of ${parts.id}`, piece.error)
      outage.failed(piece.error)
      tries = piece.bytes > 0 ? 0 : tries + 1
      await sleep(clock, (piece.error.retryAfterMs ?? 0) + jitter(random, tries, retryWait), signal)
      continue
    }
    tries = 0
    outage.worked()
    // The end counts only on a reply without bytes, so nothing behind it is ever missed.
    if (piece.bytes === 0 && (piece.end !== 'open' || draining)) return { offset, end: piece.end }
    if (piece.bytes === 0 && clock.monotonic() - began < QUIET_TURN_MS) await sleep(clock, QUIET_TURN_MS, wish.over)
  }
  return { offset, end: 'open' }
}

interface Piece {
  readonly bytes: number
  readonly end: string
  readonly error?: CallError
}

async function readPiece(parts: StreamParts, wish: StreamWish, offset: number): Promise<Piece> {
  const { client, id } = parts
  const waitMs = wish.over.aborted ? 0 : limit.waitMs
  const stop = joinSignals(waitMs > 0 ? [parts.signal, wish.over] : [parts.signal])
  let bytes = 0
  try {
    const answer = await client.open('readStream', {
      params: { id, name: wish.name },
      query: { attempt: wish.attempt, offset, wait_ms: waitMs },
      deadlineMs: waitMs + HEAD_EXTRA_MS,
      signal: stop.signal,
    })
    if (!answer.ok)
      return isTooEarly(answer.error) ? { bytes, end: 'open' } : { bytes, end: 'open', error: answer.error }
    for await (const part of answer.body) {
      await deliver(wish, part, offset + bytes)
      bytes += part.length
    }
    const next = Number(answer.headers['pond-next-offset'] ?? offset + bytes)
    if (next > offset + bytes) return { bytes, end: 'open', error: cut('the reply ended early') }
    return { bytes, end: answer.headers['pond-end'] ?? 'open' }
  } catch (error) {
    if (error instanceof SinkError) throw error.cause
    return { bytes, end: 'open', error: cut(error instanceof Error ? error.message : String(error)) }
  } finally {
    stop.release()
  }
}

/** Our own reader failed us (a closed pipe, a full disk): that is not pond's fault, and nothing to try again. */
class SinkError extends Error {}

async function deliver(wish: StreamWish, part: Uint8Array, offset: number): Promise<void> {
  try {
    await wish.sink(part, offset)
  } catch (cause) {
    throw new SinkError('the reader failed', { cause })
  }
}

function isTooEarly(error: CallError): boolean {
  return error.code === 'not_found' && error.details.reason === 'no_attempt'
}

function cut(why: string): CallError {
  return { code: 'unreachable', message: `the line broke: ${why}`, details: {}, help: '', retry: 'later' }
}

/** AbortSignal.any keeps its sources alive on some versions of Node; this one lets go. */
function joinSignals(sources: readonly AbortSignal[]) {
  const controller = new AbortController()
  const abort = () => controller.abort()
  for (const source of sources) {
    if (source.aborted) abort()
    source.addEventListener('abort', abort, { once: true })
  }
  const release = () => {
    for (const source of sources) source.removeEventListener('abort', abort)
  }
  return { signal: controller.signal, release }
}
