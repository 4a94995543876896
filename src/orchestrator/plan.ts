// A claim's job as its executor runs it.
import type { Plan } from '../executor/contract.ts'
import type { JobSpec } from '../protocol/job.ts'
import type { Intent } from '../protocol/orch.ts'
import type { Supply } from './supply.ts'

interface Planned {
  readonly intent: Intent
  readonly job: JobSpec
  /** What it is given, where it is given anything. */
  readonly supply: Supply | undefined
  readonly confirm: () => Promise<void>
}

/** The job's own variables win over those that it is given. */
export function planOf({ intent, job, supply, confirm }: Planned): Plan {
  const { claim_id, job_id, attempt, array_index, gpus } = intent
  return {
    claimId: claim_id,
    jobId: job_id,
    attempt,
    confirm,
    command: job.command,
    env: { ...supply?.env, ...job.env },
    ...(array_index !== undefined && { arrayIndex: array_index }),
    ...(supply && { files: supply.files }),
    ...(supply?.prepare && { prepare: supply.prepare }),
    ...(gpus && { gpus }),
    ...(job.input !== undefined && { input: Buffer.from(job.input) }),
    ...(job.sandbox?.network === 'none' && { network: 'none' }),
  }
}
