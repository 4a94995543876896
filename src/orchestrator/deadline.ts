// A deadline that only comes nearer: who asks for less time gets it, who asks for more does not.
import type { Cancel, Clock } from '../system/clock.ts'

export interface Deadline {
  bring(inMs: number): void
  close(): void
}

export function createDeadline(clock: Clock, over: () => void): Deadline {
  let at = Number.POSITIVE_INFINITY
  let cancel: Cancel = () => {}
  return {
    bring(inMs) {
      const sooner = clock.monotonic() + inMs
      if (sooner >= at) return
      at = sooner
      cancel()
      cancel = clock.after(inMs, over)
    },
    close: () => cancel(),
  }
}
