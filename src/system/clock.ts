// The clock as an interface: every wait and every timestamp of both sides comes through here, so a test can drive it by hand.

/** Cancels what was set; calling it twice is harmless. */
export type Cancel = () => void

export interface Clock {
  /** Wall time in milliseconds since the Unix epoch. It may jump. For records and display. */
  now(): number
  /** Milliseconds that never run backwards, from an arbitrary origin. For measuring and deadlines. */
  monotonic(): number
  /** Calls `run` once after `delayMs`; what it throws is a programmer's error. */
  after(delayMs: number, run: () => void): Cancel
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    let timer: NodeJS.Timeout
    const arm = (leftMs: number) => {
      if (leftMs <= LONGEST_TIMER_MS) timer = setTimeout(run, leftMs)
      else timer = setTimeout(() => arm(leftMs - LONGEST_TIMER_MS), LONGEST_TIMER_MS)
    }
    arm(delayMs)
    return () => clearTimeout(timer)
  },
}

/** Node fires longer timers at once (a signed 32-bit count of milliseconds). */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Waits `delayMs`; resolves early, without an error, when `signal` aborts. The caller looks at the signal. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(delayMs, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}

/** Calls `run` every `periodMs` until cancelled; a run that is still going lets its turn pass. */
export function every(clock: Clock, periodMs: number, run: () => void | Promise<void>): Cancel {
  let stopped = false
  let cancel: Cancel = () => {}
  const turn = async () => {
    await run()
    if (!stopped) cancel = clock.after(periodMs, () => void turn())
  }
  cancel = clock.after(periodMs, () => void turn())
  return () => {
    stopped = true
    cancel()
  }
}
