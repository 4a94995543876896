// A clock that stands still until a test moves it. Between two timers everything that is ready runs, so an order of events is always the same.
import type { Clock } from '../../src/system/clock.ts'
import { TimerHeap } from './timer-heap.ts'

export interface VirtualClock extends Clock {
  /** Lets everything that is ready run, then fires the timers of the next `ms` one by one, each with what it sets off. */
  advance(ms: number): Promise<void>
  /** Lets everything that is ready run; no time passes. */
  settle(): Promise<void>
  /** Moves on until `met`, at most `mostMs`; throws when it never is. */
  until(met: () => boolean, mostMs?: number): Promise<void>
  /** The process sleeps: time passes, and no timer fires until it is awake again. */
  jump(ms: number): void
  /** Somebody sets the wall clock back; what is measured does not notice. */
  setBack(ms: number): void
  /** Timers that are set. */
  pending(): number
}

/** Turns of the event loop after which everything in memory has come to rest. */
const TURNS = 4

/** `busy`: work on a real disk is under way, which takes more turns than those in memory. */
export function createVirtualClock(startMs = Date.UTC(2026, 0, 1), busy: () => boolean = () => false): VirtualClock {
  const timers = new TimerHeap()
  let elapsed = 0
  let wall = startMs

  const settle = async () => {
    for (let turn = 0; turn < TURNS; turn = busy() ? 0 : turn + 1) {
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  async function fire(end: number): Promise<boolean> {
    const timer = timers.take(end)
    if (!timer) return false
    elapsed = Math.max(elapsed, timer.due)
    timer.run()
    await settle()
    return true
  }

  return {
    now: () => Math.floor(wall + elapsed),
    monotonic: () => elapsed,
    after(delayMs, run) {
      const timer = timers.add(elapsed + Math.max(0, delayMs), run)
      return () => timers.cancel(timer)
    },
    settle,
    async advance(ms) {
      const end = elapsed + ms
      await settle()
      while (await fire(end));
      elapsed = end
    },
    async until(met, mostMs = 24 * 60 * 60 * 1000) {
      const end = elapsed + mostMs
      await settle()
      while (!met()) if (!(await fire(end))) throw new Error(`not met within ${mostMs} ms: ${met}`)
    },
    jump(ms) {
      elapsed += ms
    },
    setBack(ms) {
      wall -= ms
    },
    pending: () => timers.size,
  }
}
