// Why a job waits and why it ended, from what pond knows at this moment: the same facts and the same law by which it hands jobs out.
import type { JobId } from '../../src/protocol/id.ts'
import { causeTable, isFinal } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { quotaTable } from '../../src/protocol/quota.ts'
import { type Hindrance, hindranceTable, type WhyView } from '../../src/protocol/why.ts'
import { drawable, type Tally, underWay, undrawn } from '../../src/state/array.ts'
import { isPassedOver, lackOf, type Needs } from '../../src/state/match.ts'
import { shortOf } from '../../src/state/room.ts'
import type { ClaimRow, JobRow, TransitionRow, WorkerRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { viewTally } from './element.ts'
import { readJob, type Scope } from './job.ts'
import { workersFor } from './ladder.ts'
import { leaseMsOf } from './lease.ts'
import { readNeeds, waitingOf } from './line.ts'
import type { Polls } from './poll.ts'
import { heldBack } from './quota.ts'
import { meansOf } from './room.ts'
import { cordonOf, viewStopOf } from './stop.ts'
import { standing } from './view.ts'

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

type Waits = NonNullable<WhyView['waiting']>
type Told = Omit<Waits['workers'][number], 'says' | 'change' | 'count' | 'workers' | 'reason'> & {
  readonly reason: Hindrance
}

export async function explainJob(parts: Parts, asked: { readonly scope: Scope; readonly id: JobId }): Promise<WhyView> {
  const { core } = parts
  const row = await readJob(core, asked.scope, asked.id)
  const { id, law } = row
  const about = { id, state: law.state }
  const steps = await core.store.read((tx) => tx.listTransitions(id))
  if (isFinal(law.state)) {
    const ended = await endOf(core, row, steps)
    return { ...about, says: ended ? `it ended: ${ended.means}` : 'it has ended', ...(ended && { ended }) }
  }
  if (law.state === 'waiting') {
    const after = await afterOf(core, id)
    const says = after.length > 0 ? `it waits for ${after.length} other jobs` : 'what it waited for has ended'
    return { ...about, says, after }
  }
  const since = steps.at(-1)?.at ?? row.createdAt
  if (law.array && drawable(law.array) < 1) return { ...about, says: sayDrawn(law.array), array: viewTally(law.array) }
  const held = core.live.ofJob(id)
  if (held) {
    const worker = nameOf(core, held.workerId)
    const silent_ms = Math.round(core.listening.now() - held.heardAt)
    const lease_ms = leaseMsOf(core, held.workerId)
    return { ...about, says: `${worker.name} has it`, held: { worker, since, silent_ms, lease_ms } }
  }
  const waiting = await waitOf(parts, row, since)
  return { ...about, says: sayWait(waiting), waiting, ...(law.array && { array: viewTally(law.array) }) }
}

/** From the step that ended it and the claim that this step is about: what an earlier attempt said is no evidence of the end. */
async function endOf(core: Core, row: JobRow, steps: readonly TransitionRow[]): Promise<WhyView['ended']> {
  const { law } = row
  const last = steps.find(({ to }) => isFinal(to))
  if (!law.end || !last) return undefined
  const { cause, rc, at } = law.end
  const { claimId } = last
  const claim = claimId && (await core.store.read((tx) => tx.getClaim(claimId)))
  return {
    ...{ cause, means: causeTable[cause], at, by: last.by, note: last.note, rc, attempts: law.attempts },
    ...((cause === 'signal' || cause === 'oom') && rc !== undefined && rc > 128 ? { signal: rc - 128 } : {}),
    cancelled_by: law.cancel?.by,
    cancel_requested_at: law.cancel?.at,
    ...(claim ? { worker: nameOf(core, claim.workerId), started_at: claim.startedAt } : {}),
    max_rss_bytes: claim ? claim.usage?.max_rss_bytes : undefined,
    attested: claim ? claim.attestationId !== undefined : false,
  }
}

/** Of an array no further element of which may begin now. */
function sayDrawn(tally: Tally): string {
  const now = `${underWay(tally)} of its elements are under way`
  return undrawn(tally) > 0 ? `${now}, and max_parallel is ${tally.maxParallel}` : `all have begun; ${now}`
}

function afterOf(core: Core, id: JobId): Promise<NonNullable<WhyView['after']>> {
  return core.store.read(async (tx) => {
    const after: NonNullable<WhyView['after']> = []
    for (const { otherId, on } of await tx.listDependencies(id, limit.listMost)) {
      const other = await tx.getJob(otherId)
      if (other) after.push({ job: otherId, on, state: other.law.state })
    }
    return after
  })
}

function nameOf({ fleet }: Core, id: ClaimRow['workerId']) {
  return { id, name: fleet.get(id)?.name ?? id }
}

async function waitOf(parts: Parts, row: JobRow, since: number): Promise<Waits> {
  const { core } = parts
  const { notBefore } = row.law
  const isLater = notBefore !== undefined && notBefore > core.clock.now()
  const place = core.queue.ahead(waitingOf(row))
  const isFull = (await core.blobs.roomBytes()) <= 0
  const paused = viewStopOf(core, row.projectId)
  const quota = heldBack(core, row.projectId)
  // Until its time has come, and while nothing of the project is offered, nobody is in its way.
  const workers = isLater || paused ? [] : workersFor(core, row.projectId)
  return {
    since,
    ...(place ? { ahead: place.count, ...(place.isLeast && { ahead_is_least: true }) } : {}),
    ...(isLater && { not_before: notBefore }),
    ...(isFull && { pond_full: true }),
    ...(paused && { paused }),
    ...(quota && { quota: { ...quota, ...sayQuota(quota) } }),
    workers: groupUp(workers.map((worker) => ({ worker, told: hindranceOf(parts, row, { worker, quota }) }))),
  }
}

function sayQuota({ name, most, used }: NonNullable<ReturnType<typeof heldBack>>) {
  const { says, change } = quotaTable[name]
  return { says: `the project ${says}: ${used} of ${most}`, change: `${change}, or an operator allows more` }
}

/** The first thing that stands between a job and a worker. */
function hindranceOf(
  { core, polls }: Parts,
  row: JobRow,
  { worker, quota }: { readonly worker: WorkerRow; readonly quota: ReturnType<typeof heldBack> },
): Told {
  const now = core.clock.now()
  const { state, note } = standing(core, polls, worker)
  switch (state) {
    case 'revoked':
    case 'quarantined':
      return { reason: 'shut_out' }
    case 'offline':
    case 'away':
      return { reason: state }
    case 'cordoned': {
      const { of, until } = cordonOf(core, worker) ?? {}
      return { reason: state, of, until, note }
    }
    case 'paused':
    case 'draining':
      return { reason: state, ...(note === undefined ? {} : { note }) }
  }
  const needs: Needs = readNeeds(row.needs)
  const lack = lackOf(needs, meansOf(worker))
  if (lack) return { reason: 'lacks', ...lack }
  if (isPassedOver(row.law.passedOver, worker.id, now)) {
    return { reason: 'passed_over', until: row.law.passedOver[worker.id] }
  }
  if (worker.law.state === 'probation' && worker.law.pausedUntil > now) {
    return { reason: 'probation', until: worker.law.pausedUntil }
  }
  if (core.refusals.room(worker.id, now) === 0) return { reason: 'slowed' }
  const taker = polls.takerNow(worker)
  const short = taker && shortOf(needs, taker.room)
  if (!taker || short) return { reason: 'busy', ...(short ?? { requirement: 'slots', wants: 1, has: 0 }) }
  if (quota) return { reason: 'quota' }
  return { reason: core.choice.peek(taker).some(({ job }) => job.id === row.id) ? 'next' : 'behind' }
}

const NAMED_MOST = 20

/** Equals are told once, those with most workers first. */
function groupUp(all: readonly { readonly worker: WorkerRow; readonly told: Told }[]): Waits['workers'] {
  const groups = new Map<string, (typeof all)[number][]>()
  for (const one of all) {
    const key = JSON.stringify(one.told)
    groups.set(key, [...(groups.get(key) ?? []), one])
  }
  return [...groups.values()]
    .flatMap((group) => {
      const [first] = group
      if (!first) return []
      const [says, change] = hindranceTable[first.told.reason]
      const workers = group.map(({ worker: { id, name } }) => ({ id, name }))
      workers.sort((one, other) => one.name.localeCompare(other.name))
      return [{ ...first.told, says, change, count: workers.length, workers: workers.slice(0, NAMED_MOST) }]
    })
    .sort((one, other) => other.count - one.count)
}

function sayWait({ workers, not_before, pond_full, paused, quota }: Waits): string {
  if (pond_full) return 'pond has no room for output, so it hands nothing out'
  if (paused) return sayPause(paused)
  if (not_before !== undefined) return 'it was tried and waits for its next attempt'
  if (quota) return quota.says
  const [first, ...others] = workers
  if (!first) return 'the project has no worker: pond pairing create'
  const who = first.count === 1 ? (first.workers[0]?.name ?? 'one worker') : `${first.count} workers`
  const rest = others.reduce((sum, { count }) => sum + count, 0)
  return `${who}: ${first.says}${rest > 0 ? `; ${rest} more for other reasons` : ''}`
}

function sayPause({ note, until }: NonNullable<Waits['paused']>): string {
  const end = until === undefined ? '' : ` until ${new Date(until).toISOString()}`
  return `the project is paused by an operator${end}${note === undefined ? '' : `: ${note}`}`
}
