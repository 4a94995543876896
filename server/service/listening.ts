// Listening time: it runs only while pond is up, sweeps on time and its store takes writes. Leases are measured in it, so an absent pond loses no job.
import type { Clock } from '../../src/system/clock.ts'

/** A gap between two sweeps longer than this is absence (sleep, a stopped process, a stalled disk), not listening. */
const ABSENCE_MS = 5000

export class Listening {
  readonly #clock: Clock
  #listenedMs = 0
  #lastSweep: number
  #storeFails = false
  /** Listening time when pond was last away. */
  #backAt = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#lastSweep = clock.monotonic()
  }

  /** Listening milliseconds since the start. What passed since the last sweep is counted as if that sweep had come. */
  now(): number {
    return this.#listenedMs + Math.min(this.#clock.monotonic() - this.#lastSweep, ABSENCE_MS)
  }

  /** Listening milliseconds since pond was last away: down, asleep, or without a store that writes. */
  sinceAway(): number {
    return this.now() - this.#backAt
  }

  storeFailed(): void {
    this.#storeFails = true
  }

  /** Moves the time on; returns false when the gap behind us counts for nothing. */
  sweep(): boolean {
    const now = this.#clock.monotonic()
    const gapMs = now - this.#lastSweep
    this.#lastSweep = now
    const heard = gapMs <= ABSENCE_MS && !this.#storeFails
    this.#storeFails = false
    if (heard) this.#listenedMs += gapMs
    else this.#backAt = this.#listenedMs
    return heard
  }
}
