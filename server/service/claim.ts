// Claiming: jobs for which a parked poll has room become claims, in a write of their own or in the one that made that possible.
import type { ClaimId } from '../../src/protocol/id.ts'
import type { ClaimRow, JobRow, WorkerRow } from '../store/row.ts'
import { drawElement } from './array.ts'
import { changeJob, type Write } from './change.ts'
import type { Taken } from './choice.ts'
import { type Core, delay } from './core.ts'
import { jobPart } from './live.ts'

/** A job that the same write inserts. */
export interface FreshJob {
  readonly row: JobRow
  readonly bytes: Buffer
}

/** A job, taken out of the queue or fresh, and the worker with room for it. From here on that room counts as filled. */
export interface Opening extends Taken {
  readonly fresh?: FreshJob
  readonly worker: WorkerRow
  readonly claimKey: string
}

/** Claims the openings, as far as the law allows, and answers the claims. */
export type Claim = (openings: readonly Opening[]) => Promise<readonly ClaimId[]>

/**
 * Who is answered first once a claim is durable: the poll that gets the job, so that it starts at once; or whoever asked for the write, where that is the
 * binding itself, whose own reply brings the job.
 */
export type First = 'poll' | 'caller'

/**
 * A write that also claims. Openings are looked for inside it, so that no other write comes between that look and the commit, after which the bindings hear
 * of their claims at once: a poll that is offered a job is the one that is answered with it.
 */
export async function writeClaims<T>(
  core: Core,
  first: First,
  work: (write: Write, claim: Claim) => Promise<T>,
): Promise<T> {
  const openings: Opening[] = []
  try {
    return await core.store.write(async (tx) => {
      const write = { core, tx }
      const answer = await work(write, async (found) => {
        openings.push(...found)
        const made: ClaimId[] = []
        for (const opening of found) {
          const id = await claimOne(write, opening)
          if (id) made.push(id)
          // Its room is for the next one, and no other event would say so.
          else tx.afterCommit(() => core.ready.send(opening.worker.bindingId))
        }
        return made
      })
      tx.afterCommit(() => {
        release(core, openings)
        tell(core, first, openings)
      })
      return answer
    })
  } catch (error) {
    release(core, openings)
    for (const { job, number } of openings) if (number !== undefined) core.queue.putBack({ job, number })
    // Others may have found neither room nor job meanwhile. A look at once would be one without end while the store fails.
    const again = core.clock.now() + core.settings.sweepMs
    for (const projectId of new Set(openings.map(({ job }) => job.projectId))) core.pauses.add(again, projectId)
    throw error
  }
}

/** The room of what is claimed is counted by its rows, the room of what is not is free again. */
function release(core: Core, openings: readonly Opening[]): void {
  for (const opening of openings) {
    core.live.arrived(opening.worker.id, opening)
    if (opening.job.array) core.queue.drawn(opening.job.id)
  }
}

/** Both in this turn of the loop, and behind all that the commit changed in memory. */
function tell(core: Core, first: First, openings: readonly Opening[]): void {
  if (openings.length === 0) return
  const run = () => {
    for (const bindingId of new Set(openings.map(({ worker }) => worker.bindingId))) core.tell.send(bindingId)
  }
  if (first === 'poll') queueMicrotask(run)
  else process.nextTick(run)
}

async function claimOne(write: Write, opening: Opening): Promise<ClaimId | undefined> {
  const { core, tx } = write
  const { job, fresh, worker } = opening
  const row = fresh?.row ?? (job.array ? await drawElement(write, job.id) : await tx.getJob(job.id))
  if (!row) return undefined
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
    if (next.refused === 'not_due' && notBefore !== undefined) delay(core, notBefore, job)
    return undefined
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
    artifactBytes: row.artifactBytes,
    held: opening.held,
    claimedAt: core.clock.now(),
    orphan: false,
  }
  await tx.insertClaim(claim)
  const spec = fresh?.bytes ?? (await tx.getSpec(row.id))
  tx.afterCommit(() => {
    const waitMs = Math.max(0, claim.claimedAt - job.since)
    core.stats.claimed(waitMs)
    core.meter?.claimed(waitMs)
  })
  tx.afterCommit(() => core.live.add(claim, core.listening.now(), spec && jobPart(row, spec)))
  return id
}
