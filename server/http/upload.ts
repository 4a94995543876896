// Bodies that are too large to be held, handed on piece by piece; and the time that any other body has to come in whole.
import type { IncomingMessage } from 'node:http'
import { Refusal } from '../../src/protocol/error.ts'
import { type Cancel, type Clock, systemClock } from '../../src/system/clock.ts'

/** How many times as long as any other request an upload may take: 6 hours of 60 s, in which 16 GiB pass at 6 Mbit/s. */
export const UPLOAD_FACTOR = 360

export interface Slow {
  /** The most between two pieces, in milliseconds. */
  readonly pieceMs: number
  readonly clock?: Clock
}

/** What comes, as it comes. Who leaves early leaves the request whole, so that it can still be answered. */
export async function* piecesOf(
  payload: IncomingMessage,
  { pieceMs, clock = systemClock }: Slow,
): AsyncGenerator<Uint8Array> {
  const pieces = payload.iterator({ destroyOnReturn: false })
  try {
    for (;;) {
      const { done, value } = await within(pieces.next(), clock, pieceMs)
      if (done) return
      yield value as Uint8Array
    }
  } finally {
    // Not awaited: behind a piece that never comes it would wait for that.
    pieces.return?.().catch(() => {})
  }
}

async function within<T>(piece: Promise<T>, clock: Clock, pieceMs: number): Promise<T> {
  let cancel: Cancel = () => {}
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(pieceMs, () => reject(new Refusal('body_timeout', 'the body came too slowly')))
  })
  try {
    return await Promise.race([piece, late])
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal('malformed', 'the upload broke off')
  } finally {
    cancel()
  }
}

/** Calls back for a request that is not whole after so long. Its timer hangs on the request alone: a list of all that run would keep each alive for long. */
export class Deadlines {
  readonly #ms: number
  readonly #clock: Clock

  constructor(ms: number, clock: Clock = systemClock) {
    this.#ms = ms
    this.#clock = clock
  }

  start(request: IncomingMessage, late: (request: IncomingMessage) => void): void {
    const cancel = this.#clock.after(this.#ms, () => {
      if (!request.complete && !request.destroyed) late(request)
    })
    // Once its body was taken, or it was answered, or its caller left.
    request.once('close', cancel)
  }
}
