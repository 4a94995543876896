// A bell: "something changed, look again". Rings are not counted, and one rung before the wait is not lost.
import type { Cancel, Clock } from '../system/clock.ts'

export interface Bell {
  ring(): void
  /** Resolves at the next ring, or at once when it rang since the last wait. One waiter at a time. */
  wait(): Promise<void>
  /** The same, but not longer than `mostMs`. */
  waitAtMost(clock: Clock, mostMs: number): Promise<void>
}

export function createBell(): Bell {
  let rung = false
  let wake: (() => void) | undefined
  const wait = (arm?: (ring: () => void) => Cancel) =>
    new Promise<void>((resolve) => {
      let cancel: Cancel | undefined
      wake = () => {
        rung = false
        wake = undefined
        cancel?.()
        resolve()
      }
      if (rung) wake()
      else cancel = arm?.(wake)
    })
  return {
    ring() {
      rung = true
      wake?.()
    },
    wait: () => wait(),
    waitAtMost: (clock, mostMs) => wait((ring) => clock.after(mostMs, ring)),
  }
}
