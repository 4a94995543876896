// Which step of the protocol a swarm speaks with its pond: its own, or an older one where pond knows no more. Requests are strict, so a field must never be ahead of pond.
import type { ErrorDetails } from '../protocol/error.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../protocol/version.ts'

export interface Dialect {
  /** What pair and poll say of themselves. */
  protocol(): number
  /** Whether a request may hold what came with this step. False until pond has said that it knows it. */
  speaks(step: number): boolean
  /** Pond told its own step, in the reply to a poll. */
  learned(protocol: number): void
  /** Pond refused a call for the step it spoke, or for a field. True: in an older step it may be made again. */
  stepDown(refused: Refused): boolean
}

export interface Refused {
  readonly code: string
  readonly details: ErrorDetails
}

export function createDialect(): Dialect {
  let protocol = PROTOCOL
  let isKnown = false

  function settle(step: number): boolean {
    const isLower = step < protocol
    protocol = Math.min(PROTOCOL, step)
    isKnown = true
    return isLower
  }

  return {
    protocol: () => protocol,
    speaks: (step) => isKnown && protocol >= step,
    learned(step) {
      if (step >= OLDEST_PROTOCOL) settle(step)
    },
    stepDown({ code, details }) {
      // A pond that was replaced by an older one trips over a field before it looks at the step.
      const told = code === 'unknown_field' ? protocol - 1 : details.protocol
      const isAsked = code === 'upgrade_required' || code === 'unknown_field'
      return isAsked && typeof told === 'number' && told >= OLDEST_PROTOCOL && settle(told)
    },
  }
}
