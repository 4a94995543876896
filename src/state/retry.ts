// Whether an attempt that ended badly is tried again, and when. Pure.
import type { Cause } from '../protocol/job.ts'
import { limit } from '../protocol/limit.ts'

/** What a job's own words and the defaults say about its attempts. Durations in milliseconds. */
export interface Policy {
  readonly idempotent: boolean
  readonly onLost: 'fail' | 'rerun' | 'hold'
  readonly holdMs: number
  readonly retryOn: readonly Cause[]
  /** How many attempts there may be in all. */
  readonly attempts: number
  readonly backoffMs: number
}

export interface PolicyWords {
  readonly idempotent?: boolean | undefined
  readonly on_lost?: 'fail' | 'rerun' | 'hold' | undefined
  readonly hold_ms?: number | undefined
  readonly retry?:
    | {
        readonly on?: readonly Cause[] | undefined
        readonly attempts?: number | undefined
        readonly backoff_ms?: number | undefined
      }
    | undefined
}

const DEFAULT_ATTEMPTS = 3
const DEFAULT_BACKOFF_MS = 1000

/** Fills in the defaults: drained attempts are tried again, lost ones only where running twice does no harm. */
export function policyOf(words: PolicyWords): Policy {
  const idempotent = words.idempotent ?? false
  return {
    idempotent,
    onLost: words.on_lost ?? 'fail',
    holdMs: words.hold_ms ?? 0,
    retryOn: words.retry?.on ?? (idempotent ? ['drained', 'worker_lost'] : ['drained']),
    attempts: words.retry?.attempts ?? DEFAULT_ATTEMPTS,
    backoffMs: words.retry?.backoff_ms ?? DEFAULT_BACKOFF_MS,
  }
}

/** An attempt that ended: why, when, and the count of attempts made so far, this one included. */
export interface Ended {
  readonly cause: Cause
  readonly used: number
  readonly now: number
}

/** When the next attempt may start, or undefined when there is none. */
export function retryAt(policy: Policy, { cause, used, now }: Ended): number | undefined {
  if (used >= policy.attempts) return undefined
  const lost = cause === 'worker_lost' || cause === 'revoked'
  const wanted = policy.retryOn.includes(cause) || (lost && policy.retryOn.includes('worker_lost'))
  const rerun = lost && policy.onLost === 'rerun'
  if (!wanted && !rerun) return undefined
  return now + Math.min(policy.backoffMs * 2 ** Math.min(used - 1, 20), limit.backoffMostMs)
}
