// When a job gets another attempt, as the manual says it and not as the product computes it.
import type { ClaimRow } from '../../server/store/row.ts'
import type { Cause, JobSpec } from '../../src/protocol/job.ts'

/** `used`: attempts so far. */
export function mayTryAgain(spec: JobSpec, claim: ClaimRow, used: number): boolean {
  // A word that came too late is kept beside the job; what counted was the loss.
  const cause = claim.lease.state === 'lost' ? 'worker_lost' : claim.cause
  if (cause === undefined || used >= (spec.retry?.attempts ?? 3)) return false
  const listed: readonly Cause[] =
    spec.retry?.on ?? (spec.idempotent === true ? ['drained', 'worker_lost'] : ['drained'])
  return listed.includes(cause) || (cause === 'worker_lost' && spec.on_lost === 'rerun')
}
