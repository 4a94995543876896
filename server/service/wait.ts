// Waiting for a fact: listen first, then look, so that nothing between the two is missed.
import type { Core } from './core.ts'

export interface Waiting<T> {
  readonly listen: (nudge: () => void) => () => void
  readonly look: () => Promise<T>
  readonly done: (fact: T) => boolean
  readonly waitMs: number
  /** Of a caller who may leave. */
  readonly signal?: AbortSignal
}

/** The first fact that is done, or the latest one when the time is over or the caller left. */
export async function waitFor<T>(core: Core, waiting: Waiting<T>): Promise<T> {
  let over = waiting.waitMs <= 0 || waiting.signal?.aborted === true
  let nudged = false
  let ring: () => void = () => {}
  const nudge = () => {
    nudged = true
    ring()
  }
  const stop = () => {
    over = true
    ring()
  }
  const unlisten = waiting.listen(nudge)
  const cancelTimer = core.clock.after(waiting.waitMs, stop)
  waiting.signal?.addEventListener('abort', stop, { once: true })
  try {
    for (;;) {
      nudged = false
      const fact = await waiting.look()
      if (over || waiting.done(fact)) return fact
      if (nudged) continue
      await new Promise<void>((resolve) => {
        ring = resolve
      })
    }
  } finally {
    unlisten()
    cancelTimer()
    waiting.signal?.removeEventListener('abort', stop)
  }
}
