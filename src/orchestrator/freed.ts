// Slots that are free here before pond knows it. A job's last word tells, and pond fills the slot in its reply to the poll that it holds;
// a poll that tells the same would cost both sides a call for each job. Only when the word takes its time, one is sent.
import type { Cancel, Clock } from '../system/clock.ts'

/** A slot that stands empty this long costs more than a poll. */
const UNHEARD_MS = 25

export interface Freed {
  /** A slot is free, and the last word of its job follows. */
  slot(): void
  /** Pond has judged the last word of a job. */
  heard(): void
}

export function createFreed({ clock, tell }: { readonly clock: Clock; readonly tell: () => void }): Freed {
  let unheard: Cancel[] = []
  return {
    slot() {
      const cancel = clock.after(UNHEARD_MS, () => {
        unheard = unheard.filter((one) => one !== cancel)
        tell()
      })
      unheard.push(cancel)
    },
    // Words are heard about in the order of their slots; where they are not, a poll too many tells what pond knows.
    heard: () => unheard.shift()?.(),
  }
}
