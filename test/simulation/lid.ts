// The time of a machine whose lid may be closed: what is measured stands still meanwhile, and timers with it; the wall clock goes on.
import type { Cancel, Clock } from '../../src/system/clock.ts'

/** A shorter wait would be lost to rounding, and who waits again for what is left would stop the world. */
const TICK_MS = 0.001

export interface Lid {
  /** What the machine and all that runs on it go by. */
  readonly clock: Clock
  isClosed(): boolean
  /** Asleep for so long; a lid that is closed already is opened then. */
  close(forMs: number): void
}

export function createLid(world: Clock): Lid {
  let closedAt = 0
  let opensAt = 0
  let sleptMs = 0

  /** Of the sleep that is going on, or was last. */
  const asleepMs = () => Math.max(0, Math.min(world.monotonic(), opensAt) - closedAt)
  const monotonic = () => world.monotonic() - sleptMs - asleepMs()

  function after(delayMs: number, run: () => void): Cancel {
    const due = monotonic() + Math.max(0, delayMs)
    let cancel: Cancel = () => {}
    const wait = (ms: number) => {
      cancel = world.after(ms > 0 ? Math.max(ms, TICK_MS) : 0, fire)
    }
    function fire(): void {
      const closedMs = opensAt - world.monotonic()
      const leftMs = due - monotonic()
      if (closedMs > 0) wait(closedMs)
      else if (leftMs > 0) wait(leftMs)
      else run()
    }
    wait(delayMs)
    return () => cancel()
  }

  return {
    clock: { now: () => world.now(), monotonic, after },
    isClosed: () => world.monotonic() < opensAt,
    close(forMs) {
      const now = world.monotonic()
      if (now >= opensAt) {
        sleptMs += asleepMs()
        closedAt = now
      }
      opensAt = now + forMs
    },
  }
}
