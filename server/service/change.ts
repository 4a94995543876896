// How a row changes: ask the law, save, append the transition, and bring the mirrors after the commit.
import { elementOf, type JobId } from '../../src/protocol/id.ts'
import { finalStates, isFinal } from '../../src/protocol/job.ts'
import { type ArrayEvent, stepArray, type Tally } from '../../src/state/array.ts'
import { type Job, type JobEvent, type JobRefusal, stepJob } from '../../src/state/job.ts'
import { isLive, type LeaseStep } from '../../src/state/lease.ts'
import type { Refused } from '../../src/state/table.ts'
import { stepWorker, type WorkerEvent } from '../../src/state/worker.ts'
import type { WriteTx } from '../store/contract.ts'
import type { ClaimRow, JobRow, TransitionRow, WorkerRow } from '../store/row.ts'
import { type Core, delay } from './core.ts'
import { causeOfDrop, viewTally } from './element.ts'
import { waitingOf } from './line.ts'
import { countUse, isNarrow, waitingIn } from './quota.ts'

/** Who caused a change, and what a person would want to know of it. */
export interface Who {
  /** `key:ID`, `admin:ID`, `worker:ID` or `pond`. */
  readonly by: string
  readonly note?: string
  readonly claimId?: ClaimRow['id']
}

/** The inside of one write. */
export interface Write {
  readonly core: Core
  readonly tx: WriteTx
}

interface Change {
  readonly row: JobRow
  readonly event: JobEvent | ArrayEvent
  readonly who: Who
  readonly patch?: Partial<JobRow>
}

type ChangeRefusal = JobRefusal | 'exhausted' | 'full'

/** An array goes by a law of its own; an event that it does not know is not possible for it. */
function stepOf({ law }: JobRow, event: Change['event'], now: number) {
  if (law.array) return stepArray({ ...law, array: law.array }, event as ArrayEvent, now)
  return stepJob(law, event as JobEvent, now)
}

/** Applies one event to a job inside a write. The answer is the new row, or why the law refused. */
export async function changeJob(write: Write, change: Change): Promise<JobRow | Refused<ChangeRefusal>> {
  const { core, tx } = write
  const { row, event, who } = change
  const step = stepOf(row, event, core.clock.now())
  if ('refused' in step) return step
  // Not by spreading: each key that a spread object gets besides costs a microsecond, this all of them a tenth of one.
  const next: JobRow = Object.assign({}, row, change.patch, { law: step.job, version: row.version + 1 })
  await tx.updateJob(next)
  // What an array counts is no change of its state.
  const isCount = event.type === 'draw' || event.type === 'gather'
  if (!isCount || step.job.state !== row.law.state) {
    const note =
      who.note ?? (event.type === 'cancel' && step.job.state === row.law.state ? 'cancel requested' : undefined)
    await tx.insertTransition(
      transition(next, core.clock.now(), {
        from: row.law.state,
        who,
        ...(step.cause ? { cause: step.cause } : {}),
        note,
      }),
    )
  }
  tx.afterCommit(() => mirrorJob(core, row.law, next))
  if (isFinal(next.law.state) && !isFinal(row.law.state)) await gather(write, next)
  return next
}

/** An element ended: its array counts it. */
async function gather(write: Write, { id, law: { state, end } }: JobRow): Promise<void> {
  const element = elementOf(id)
  const row = element && (await write.tx.getJob(element.array))
  if (!row || !end || !isFinal(state)) return
  const { cause, rc } = end
  const verdict = { cause, ...(rc === undefined ? {} : { rc }) }
  await changeJob(write, { row, event: { type: 'gather', state, verdict, index: element.index }, who: { by: 'pond' } })
}

/** A new row of the transition log. */
export function transition(
  row: JobRow,
  at: number,
  facts: {
    readonly from?: Job['state']
    readonly who: Who
    readonly cause?: TransitionRow['cause'] | undefined
    readonly note?: string | undefined
  },
): TransitionRow {
  return {
    jobId: row.id,
    version: row.version,
    at,
    ...(facts.from ? { from: facts.from } : {}),
    to: row.law.state,
    by: facts.who.by,
    ...(facts.cause ? { cause: facts.cause } : {}),
    ...(facts.note === undefined ? {} : { note: facts.note }),
    ...(facts.who.claimId ? { claimId: facts.who.claimId } : {}),
  }
}

/** Brings queue, timers and listeners in line with a job that was committed; `before` is absent for a new one. */
export function mirrorJob(core: Core, before: Job | undefined, row: JobRow): void {
  const jobs = row.law.array?.count ?? 1
  core.quotas.add(row, waitingIn(row.law) - (before ? waitingIn(before) : 0))
  if (!before && !elementOf(row.id)) core.meter?.submitted(jobs)
  if (row.law.state === 'waiting') core.stats.waiting += before ? 0 : jobs
  else if (before?.state === 'waiting') core.stats.waiting -= jobs
  if (row.law.array) mirrorArray(core, before, row)
  else mirrorPlace(core, before, row)
  if (isFinal(row.law.state) && core.awaited.has(row.id)) core.settle.send([row.id])
  core.hub.changed({
    jobId: row.id,
    projectId: row.projectId,
    version: row.version,
    state: row.law.state,
    labels: row.labels,
    ...(row.law.array ? { array: viewTally(row.law.array) } : {}),
  })
}

/** It stands in the queue until its last element was drawn, and with a cancel on record what was drawn is called back. */
function mirrorArray(core: Core, before: Job | undefined, row: JobRow): void {
  const { law, expiresAt } = row
  if (isFinal(law.state)) core.queue.remove(row)
  else if (law.state !== 'waiting') {
    core.queue.add(waitingOf(row, before ? core.clock.now() : row.createdAt))
    if (before?.state !== 'running') core.wake.send(row.projectId)
  }
  if (!before && expiresAt !== undefined) core.expiring.add(expiresAt, row.id)
  if (law.cancel && !before?.cancel && !isFinal(law.state)) core.recall.send(row.id)
  if (before?.array && law.array && law.array.dropped !== before.array.dropped) {
    countDropped(core, before.array, law.array)
    settleUndrawn(core, row.id)
  }
}

/** Those of one event ended alike, so however many they are they count at once. */
function countDropped({ stats, meter }: Core, before: Tally, after: Tally): void {
  const state = finalStates.find((one) => after.ended[one] > before.ended[one])
  if (!state) return
  const jobs = after.dropped - before.dropped
  stats.dropped(jobs, state)
  meter?.dropped(jobs, state, causeOfDrop(state))
}

/** Elements that will never be drawn have ended. */
function settleUndrawn({ awaited, settle }: Core, id: JobId): void {
  const ids = [...awaited].filter((other) => other.startsWith(`${id}.`))
  if (ids.length > 0) settle.send(ids)
}

function mirrorPlace(core: Core, before: Job | undefined, row: JobRow): void {
  if (before?.state === 'queued' && row.law.state !== 'queued') {
    core.queue.remove(row)
    core.delayed.delete(row.id)
  }
  if (row.law.state === 'queued') enqueue(core, before, row)
  if (row.law.state === 'waiting' && row.expiresAt !== undefined) core.expiring.add(row.expiresAt, row.id)
  if (before && isFinal(row.law.state) && !isFinal(before.state)) {
    const { startedAt, law } = row
    const endedAt = law.end?.at ?? core.clock.now()
    const ran = startedAt === undefined || law.attempts === 0 ? undefined : Math.max(0, endedAt - startedAt)
    core.stats.ended(row.law.state, ran)
    if (law.end) core.meter?.ended(row.law.state, law.end.cause, ran)
  }
  const live = row.law.claimId === undefined ? undefined : core.live.ofJob(row.id)
  if (live && row.law.cancel && live.cancelBy === undefined) {
    live.cancelBy = row.law.cancel.by
    core.tell.send(live.bindingId)
  }
}

function enqueue(core: Core, before: Job | undefined, row: JobRow): void {
  const waiting = waitingOf(row, before ? core.clock.now() : row.createdAt)
  // Also when it comes back from a claim: while it was claimed its time may have passed unheard.
  if (row.expiresAt !== undefined) core.expiring.add(row.expiresAt, row.id)
  const { notBefore } = row.law
  if (notBefore !== undefined && notBefore > core.clock.now()) {
    delay(core, notBefore, waiting)
    return
  }
  // Who passes it over now may take it later, and no event would say so.
  const array = elementOf(row.id)?.array
  for (const [worker, until] of Object.entries(row.law.passedOver)) {
    if (before?.passedOver[worker] === until) continue
    core.pauses.add(until, row.projectId)
    if (array) core.queue.passOver(array, worker as WorkerRow['id'], until)
  }
  core.queue.add(waiting)
  core.wake.send(row.projectId)
}

/** Saves what the lease's law said about a claim. */
export async function changeClaim(
  { core, tx }: Write,
  row: ClaimRow,
  change: { readonly step: LeaseStep; readonly patch?: Partial<ClaimRow> },
): Promise<ClaimRow> {
  const next: ClaimRow = Object.assign({}, row, change.patch, { lease: change.step.lease })
  await tx.updateClaim(next)
  tx.afterCommit(() => {
    if (next.lease.finalDigest !== undefined && row.lease.finalDigest === undefined) countUse(core, next)
    mirrorClaim(core, next)
  })
  return next
}

function mirrorClaim(core: Core, row: ClaimRow): void {
  const live = core.live.get(row.id)
  if (!live) return
  if (isLive(row.lease.state)) {
    live.lease = row.lease.state
    if (row.lease.heldUntil === undefined) delete live.heldUntil
    else live.heldUntil = row.lease.heldUntil
    if (row.lease.state !== 'granted') delete live.job
    return
  }
  const lingers = row.lease.state === 'lost' || row.lease.state === 'returned' || row.lease.state === 'revoked'
  core.live.remove(row.id, lingers)
  core.shares.settle(live, core.listening.now() - live.grantedAt)
  core.hub.claim.tell(row.id, undefined)
  core.ready.send(row.bindingId)
  if (isNarrow(core, row.projectId)) core.wake.send(row.projectId)
}

/** Applies one event to a worker; a step that changes nothing writes nothing. */
export async function changeWorker(write: Write, row: WorkerRow, event: WorkerEvent): Promise<void> {
  const law = stepWorker(row.law, event, write.core.clock.now())
  if ('refused' in law) return
  const same = law.state === row.law.state && law.mishaps === row.law.mishaps && law.pausedUntil === row.law.pausedUntil
  if (!same) await saveWorker(write, { ...row, law })
}

/** Saves a worker's row, new law or new report, and its mirror. */
export async function saveWorker({ core, tx }: Write, row: WorkerRow): Promise<void> {
  await tx.updateWorker(row)
  tx.afterCommit(() => {
    core.fleet.set(row)
    if (row.law.pausedUntil > core.clock.now()) core.workerPauses.add(row.law.pausedUntil, row.bindingId)
  })
}
