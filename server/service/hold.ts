// The ends of holds: until when each poll is parked. One timer for all that end in the same moment, and none of their own: of ten thousand these would be the most there is.
import type { Cancel, Clock } from '../../src/system/clock.ts'
import type { Random } from '../../src/system/random.ts'

export interface Held {
  /** When its hold is over, by the monotonic clock. */
  readonly until: number
}

interface Moment<T> {
  readonly held: Set<T>
  /** When its timer rings. */
  at: number
  cancel: Cancel
}

const MOMENT_MS = 100
/** From so many on, and twice as many as there would be if all were spread evenly, a moment is crowded. */
const CROWD_LEAST = 32
/** Of a hold that would end in such a moment: so much of it may be cut. */
const CUT_PART = 0.25
/** Timers of the system may come so much too early. */
const EARLY_MS = 1

export class Holds<T extends Held> {
  readonly #clock: Clock
  readonly #onOver: (held: T) => void
  readonly #moments = new Map<number, Moment<T>>()
  #size = 0

  constructor(clock: Clock, onOver: (held: T) => void) {
    this.#clock = clock
    this.#onOver = onOver
  }

  add(held: T): void {
    this.#size++
    const key = keyOf(held)
    const moment = this.#moments.get(key)
    if (!moment) this.#moments.set(key, this.#armed(key, { held: new Set([held]), at: held.until, cancel: () => {} }))
    else {
      moment.held.add(held)
      if (held.until < moment.at) this.#armed(key, Object.assign(moment, { at: held.until }))
    }
  }

  delete(held: T): void {
    const key = keyOf(held)
    const moment = this.#moments.get(key)
    if (!moment?.held.delete(held)) return
    this.#size--
    if (moment.held.size > 0) return
    moment.cancel()
    this.#moments.delete(key)
  }

  /**
   * When a hold that begins now ends. Of thousands that began at once, as behind a restart, some end earlier: otherwise all of them come back at once, again and again.
   */
  endOf(holdMs: number, random: Random): number {
    const until = this.#clock.monotonic() + holdMs
    const crowd = this.#moments.get(keyOf({ until }))?.held.size ?? 0
    const isCrowded = crowd >= Math.max(CROWD_LEAST, (2 * this.#size * MOMENT_MS) / holdMs)
    return isCrowded ? until - random.number() * holdMs * CUT_PART : until
  }

  #armed(key: number, moment: Moment<T>): Moment<T> {
    moment.cancel()
    moment.cancel = this.#clock.after(Math.max(0, moment.at - this.#clock.monotonic()), () => this.#ring(key, moment))
    return moment
  }

  #ring(key: number, moment: Moment<T>): void {
    const now = this.#clock.monotonic() + EARLY_MS
    const over: T[] = []
    moment.at = Number.POSITIVE_INFINITY
    for (const held of moment.held) {
      if (held.until <= now) over.push(held)
      else if (held.until < moment.at) moment.at = held.until
    }
    for (const held of over) moment.held.delete(held)
    this.#size -= over.length
    if (moment.held.size > 0) this.#armed(key, moment)
    else this.#moments.delete(key)
    for (const held of over) this.#onOver(held)
  }
}

const keyOf = ({ until }: Held) => Math.floor(until / MOMENT_MS)
