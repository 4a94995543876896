// One work on a store: the scope that its statements run in, and the rule that it awaits only its tx. No SQL.
import { onNextTurn } from './turn.ts'

export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown }

/** What the tx of one work runs its statements through. Once closed it refuses all: a late statement would land in a neighbour's changes. */
export class Scope {
  readonly effects: (() => void)[] = []
  readonly #stands: () => boolean
  #closed = false
  #dropped: unknown

  /** `stands` tells whether the transaction is still there; it is asked after each statement that failed. */
  constructor(stands: () => boolean) {
    this.#stands = stands
  }

  /** Runs one synchronous statement and answers with a settled promise. */
  run<T>(statement: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the tx was used after its work had ended'))
    if (this.#dropped !== undefined) return Promise.reject(this.#dropped)
    try {
      return Promise.resolve(statement())
    } catch (error) {
      // Without its transaction the next statement would commit by itself.
      if (!this.#stands()) this.#dropped = error
      return Promise.reject(error)
    }
  }

  /** The error of the statement that cost the transaction. */
  get dropped(): unknown {
    return this.#dropped
  }

  close(): void {
    this.#closed = true
  }
}

/**
 * Runs `work` to its end. The promises of a tx are settled when they are handed out, so a work that awaits nothing else ends before the loop turns.
 * One that is still pending then is a programmer's error: it would hold up all others, so it is given up.
 */
export function drive<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  return new Promise((resolve) => {
    const giveUp = () => resolve({ ok: false, error: new Error('a work awaited something other than its tx') })
    const cancel = onNextTurn(giveUp)
    const settle = (outcome: Outcome<T>) => {
      cancel()
      resolve(outcome)
    }
    start(work).then(
      (value) => settle({ ok: true, value }),
      (error: unknown) => settle({ ok: false, error }),
    )
  })
}

function start<T>(work: () => Promise<T>): Promise<T> {
  try {
    return Promise.resolve(work())
  } catch (error) {
    return Promise.reject(error)
  }
}
