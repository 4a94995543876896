// Claiming: jobs that were taken out of the queue become claims, many in one write.
import type { BindingId, ClaimId } from '../../src/protocol/id.ts'
import type { ClaimRow, WorkerRow } from '../store/contract.ts'
import { changeJob, type Write } from './change.ts'
import type { Core } from './core.ts'
import type { Waiting } from './queue.ts'

/** A job, taken out of the queue, and the worker with room for it. */
export interface Opening {
  readonly job: Waiting
  readonly worker: WorkerRow
  readonly claimKey: string
}

/** Claims what the law allows, and answers which bindings have something to hear. A failed write puts the jobs back into the queue. */
export async function claimJobs(core: Core, openings: readonly Opening[]): Promise<ReadonlySet<BindingId>> {
  const bindings = new Set<BindingId>()
  try {
    await core.store.write(async (tx) => {
      for (const opening of openings) {
        if (await claimOne({ core, tx }, opening)) bindings.add(opening.worker.bindingId)
      }
    })
  } catch (error) {
    for (const { job } of openings) core.queue.add(job)
    core.log.warn('claim.failed', { error: String(error), jobs: openings.length })
  }
  return bindings
}

async function claimOne(write: Write, opening: Opening): Promise<boolean> {
  const { core, tx } = write
  const { worker } = opening
  const row = await tx.getJob(opening.job.id)
  if (!row) return false
  const id = `clm_${core.newId()}` as ClaimId
  const who = { by: `worker:${worker.id}`, claimId: id }
  const next = await changeJob(write, {
    row,
    event: { type: 'claim', claimId: id },
    who,
    patch: { workerId: worker.id },
  })
  if ('refused' in next) {
    const { notBefore } = row.law
    // The wall clock was set back since the job came due.
    if (next.refused === 'not_due' && notBefore !== undefined) core.later.add(notBefore, opening.job)
    return false
  }
  const claim: ClaimRow = {
    id,
    jobId: row.id,
    projectId: row.projectId,
    bindingId: worker.bindingId,
    workerId: worker.id,
    epoch: next.law.epoch,
    attempt: next.law.attempts + 1,
    claimKey: opening.claimKey,
    lease: { state: 'granted', holdMs: row.law.policy.onLost === 'hold' ? row.law.policy.holdMs : 0 },
    streamBytes: row.streamBytes,
    claimedAt: core.clock.now(),
    orphan: false,
  }
  await tx.insertClaim(claim)
  const spec = await tx.getSpec(row.id)
  tx.afterCommit(() => core.live.add(claim, core.listening.now(), spec))
  return true
}
