// Waking: a clock that notices first of all that the machine slept, was stopped, or had its wall clock set. Says so; what follows is for others to decide.
import type { Cancel, Clock } from './clock.ts'

/*
 * A stopped process finds both clocks ahead. In a real suspend what is measured stands still and only the wall clock goes on; a person who sets that clock
 * looks the same. None of them can be told apart for sure, so each counts as a sleep: whoever listens asks again what it knew, which does no harm.
 *
 * The timers of this clock look before they run, for at waking the one that was due first runs first, and knows only the world of yesterday.
 */

export interface Woken {
  /** At most so long; 0 where the wall clock was set back. */
  readonly sleptMs: number
}

export interface Wake {
  /** To be used instead of the one that it was made of. */
  readonly clock: Clock
  /** Looks now. Call it before anything that came from outside is used. */
  readonly look: () => void
  /** Looks, and tells how many sleeps were noticed: what was asked before another count is history. */
  readonly count: () => number
  /** From now on, until cancelled. */
  start(woke: (woken: Woken) => void): Cancel
}

const TICK_MS = 1000
/** A busy machine is late by less. */
const LATE_MS = 5000

export function createWake(clock: Clock): Wake {
  let woke: ((woken: Woken) => void) | undefined
  let count = 0
  let measured = 0
  let wall = 0
  let cancel: Cancel = () => {}

  function look(): void {
    const measuredMs = clock.monotonic() - measured
    const wallMs = clock.now() - wall
    measured += measuredMs
    wall += wallMs
    const sleptMs = Math.max(measuredMs, wallMs)
    if (!woke || (sleptMs <= TICK_MS + LATE_MS && measuredMs - wallMs <= LATE_MS)) return
    count++
    woke({ sleptMs: wallMs < 0 ? 0 : sleptMs })
  }

  function tick(): void {
    cancel = clock.after(TICK_MS, () => {
      look()
      if (woke) tick()
    })
  }

  return {
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (delayMs, run) =>
        clock.after(delayMs, () => {
          look()
          run()
        }),
    },
    look,
    count() {
      look()
      return count
    },
    start(listener) {
      measured = clock.monotonic()
      wall = clock.now()
      woke = listener
      tick()
      return () => {
        woke = undefined
        cancel()
      }
    },
  }
}
