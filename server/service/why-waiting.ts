// Why a job in the queue waits: what holds back all of its project, its place in the order, and what stands between it and each worker.
import type { ClaimId, JobId } from '../../src/protocol/id.ts'
import { causeTable } from '../../src/protocol/job.ts'
import { quotaTable } from '../../src/protocol/quota.ts'
import type { WhyView } from '../../src/protocol/why.ts'
import { drawable, nextIndex, underWay } from '../../src/state/array.ts'
import type { ReadTx } from '../store/contract.ts'
import type { JobRow, TransitionRow, WorkerRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { workersFor } from './ladder.ts'
import { elementsNow, type Place, readNeeds, waitingOf } from './line.ts'
import type { Polls } from './poll.ts'
import { aheadOf, type Before } from './precedence.ts'
import { heldBack } from './quota.ts'
import { askerOf } from './room.ts'
import { viewStopOf } from './stop.ts'
import { turn } from './usage.ts'
import { type Case, groupUp, nearest, viewBefore } from './why-group.ts'
import { type Decline, hindranceOf, type Subject, type Told } from './why-worker.ts'

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

export type Waits = NonNullable<WhyView['waiting']>

/** A job that waits, and what stands in the queue for it. */
export interface Waiter {
  readonly row: JobRow
  readonly steps: readonly TransitionRow[]
  /** Of an element that was not drawn, which goes by its array's place. */
  readonly of?: { readonly array: JobRow; readonly index: number }
}

export async function waitOf(parts: Parts, waiter: Waiter): Promise<Waits> {
  const { core } = parts
  const { row, of } = waiter
  const stands = of?.array ?? row
  const place = core.queue.placeOf(waitingOf(stands))
  const { notBefore } = row.law
  const isLater = notBefore !== undefined && notBefore > core.clock.now()
  const isFull = (await core.blobs.roomBytes()) <= 0
  const paused = viewStopOf(core, row.projectId)
  const quota = quotaOf(core, row)
  const bound = boundOf(stands, place)
  // Until its time has come, and while nothing of the project or of its array is offered, nobody is in its way.
  const isHeld = isLater || paused !== undefined || bound !== undefined
  const elementsBefore = of ? Math.max(0, of.index - nextOf(of.array, place)) : 0
  const tried = await triedOf(core, waiter)
  const passedOver = place?.job.passedOver ?? row.law.passedOver
  const declines = isHeld ? new Map() : await declinesOf(core, stands, passedOver)
  const subject = {
    ...{ needs: readNeeds(row.needs), id: stands.id, elementsBefore, passedOver, declines },
    looks: { left: LOOKS_MOST },
    ...(quota && { quotaChange: quota.change }),
  }
  const cases = await casesOf(parts, { subject, place, workers: workersFor(core, row.projectId) })
  return {
    since: waiter.steps.findLast(({ to }) => to === 'queued')?.at ?? stands.createdAt,
    ...(place && placeOf(core, { place, cases, elementsBefore })),
    ...(bound && { max_parallel: bound }),
    ...(isLater && { not_before: notBefore }),
    ...(tried && { tried }),
    ...(isFull && { pond_full: true }),
    ...(paused && { paused }),
    ...(quota && { quota }),
    ...(isHeld ? { workers: [] } : groupUp(cases)),
  }
}

function quotaOf(core: Core, { projectId }: JobRow): Waits['quota'] {
  const quota = heldBack(core, projectId)
  if (!quota) return undefined
  const { says, change } = quotaTable[quota.name]
  const told = `the project ${says}: ${quota.used} of ${quota.most}`
  return { ...quota, says: told, change: `${change}, or an operator allows more` }
}

/** Of an array of which no further element may begin now, though there are some. */
function boundOf({ law: { array } }: JobRow, place: Place | undefined): Waits['max_parallel'] {
  const cursor = place?.job.array
  if (!array || (cursor ? elementsNow(cursor) : drawable(array)) > 0) return undefined
  return { most: array.maxParallel ?? array.count, under_way: underWay(array) }
}

/** The index of the element that is taken next: those that writes under way draw are taken. */
function nextOf({ law: { array } }: JobRow, place: Place | undefined): number {
  const cursor = place?.job.array
  const tally = cursor?.tally ?? array
  return tally ? nextIndex(tally) + (cursor?.inFlight ?? 0) : 0
}

async function triedOf(core: Core, { steps, row }: Waiter): Promise<Waits['tried']> {
  const step = steps.findLast(({ from, to }) => to === 'queued' && (from === 'running' || from === 'claimed'))
  if (!step?.cause || row.law.attempts === 0) return undefined
  const { cause, at, by, note, claimId } = step
  const claim = claimId && (await core.store.read((tx) => tx.getClaim(claimId)))
  return {
    ...{ cause, means: causeTable[cause], at, by, note, attempt: row.law.attempts },
    ...(claim && { rc: claim.rc, worker: nameOf(core, claim.workerId) }),
  }
}

export function nameOf({ fleet }: Core, id: WorkerRow['id']) {
  return { id, name: fleet.get(id)?.name ?? id }
}

/** Elements whose steps, and claims whose words are read for how they were declined. */
const ELEMENTS_READ_MOST = 20
const CLAIMS_READ_MOST = 100

/** What workers said that are passed over: of an array with the elements that they gave back. */
function declinesOf(core: Core, row: JobRow, passedOver: Subject['passedOver']): Promise<ReadonlyMap<string, Decline>> {
  const declines = new Map<string, Decline>()
  if (Object.keys(passedOver).length === 0) return Promise.resolve(declines)
  return core.store.read(async (tx) => {
    const ids = row.law.array ? await queuedOf(tx, row.id, ELEMENTS_READ_MOST) : [row.id]
    let left = CLAIMS_READ_MOST
    for (const id of ids) {
      for (const { from, to, by, note, claimId } of [...(await tx.listTransitions(id))].reverse()) {
        const workerId = by.startsWith('worker:') ? by.slice('worker:'.length) : ''
        const isDecline = from === 'claimed' && to === 'queued' && passedOver[workerId] !== undefined
        if (!isDecline || declines.has(workerId)) continue
        const isRefused = claimId !== undefined && left-- > 0 && (await isRefusal(tx, claimId))
        declines.set(workerId, { note, isRefused })
      }
    }
    return declines
  })
}

const isRefusal = async (tx: ReadTx, id: ClaimId) => (await tx.getClaim(id))?.cause === 'refused'

/** Elements of an array that were drawn and wait for another attempt. */
export async function queuedOf(tx: ReadTx, array: JobId, limit: number): Promise<JobId[]> {
  return (await tx.listJobs({ array, state: 'queued', limit })).map(({ id }) => id)
}

/** Workers between which others get their turn, a few milliseconds. */
const SLICE = 100
const LOOKS_MOST = 50
/** Workers of which it is looked at what comes first there: others that are alike have the same. */
const ORDERS_MOST = 8

/** For each worker what stands between. Of a large fleet it is not all of one instant. */
async function casesOf(
  parts: Parts,
  {
    subject,
    place,
    workers,
  }: { readonly subject: Subject; readonly place: Place | undefined; readonly workers: readonly WorkerRow[] },
): Promise<readonly Case[]> {
  const cases: Case[] = []
  const { looks } = subject
  const orders = new Map<string, readonly Before[]>()
  const isLong = waitingIn(parts.core) > LONG_QUEUE
  for (const [index, worker] of workers.entries()) {
    if (index > 0 && index % SLICE === 0) await turn(parts.core)
    const known = orders.size - looks.left
    const told = hindranceOf(parts, worker, subject)
    const before = place && couldTake(told) ? orderAt(parts.core, { worker, place, subject, orders }) : undefined
    cases.push({ worker, told, ...(before && { before }) })
    if (isLong && orders.size - looks.left > known) await turn(parts.core)
  }
  return cases
}

/** From so many on others get their turn also between two looks at the order. */
const LONG_QUEUE = 1000

function waitingIn({ queue }: Core): number {
  let count = 0
  for (const id of queue.projects()) count += queue.size(id)
  return count
}

const couldTake = ({ reason }: Told) => reason !== 'lacks' && reason !== 'shut_out'

interface Order {
  readonly worker: WorkerRow
  readonly place: Place
  readonly subject: Subject
  readonly orders: Map<string, readonly Before[]>
}

/** Undefined where too many are different. */
function orderAt(core: Core, { worker, place, subject, orders }: Order): readonly Before[] | undefined {
  const asker = askerOf(core, worker)
  const { ladder, means, bindingId } = asker
  // A pool that serves its own project alone has no turns of its own.
  const pool = ladder.isPublic || ladder.friends.size > 0 ? bindingId : ladder.own
  const key = JSON.stringify([pool, means.labels, means.resources, means.os, means.arch, means.sandbox])
  const known = orders.get(key)
  if (known || orders.size >= ORDERS_MOST) return known
  const before = withElements(core.choice.before(asker, place), subject.elementsBefore)
  orders.set(key, before)
  return before
}

function withElements(before: readonly Before[], jobs: number): readonly Before[] {
  return jobs > 0 ? [...before, { by: 'array', jobs, isLeast: false, projects: 1, first: 1 }] : before
}

/** Told at the worker where the fewest come before it, of those that are there if there are any. */
function placeOf(
  core: Core,
  {
    place,
    cases,
    elementsBefore,
  }: { readonly place: Place; readonly cases: readonly Case[]; readonly elementsBefore: number },
): Pick<Waits, 'ahead' | 'ahead_is_least' | 'before' | 'at'> {
  const isThere = ({ told: { reason } }: Case) => reason !== 'offline' && reason !== 'away'
  const best = nearest(cases.filter(isThere)) ?? nearest(cases)
  const before = best?.before ?? withElements(core.choice.beforeAmongEquals(place, core.clock.now()), elementsBefore)
  const { count, isLeast } = aheadOf(before)
  return {
    ahead: count,
    ...(isLeast && { ahead_is_least: true }),
    ...(before.length > 0 && { before: before.map(viewBefore) }),
    ...(best && { at: { id: best.worker.id, name: best.worker.name } }),
  }
}

/** All of it in one sentence, and what would change it. */
export function sayWait(waits: Waits): { readonly says: string; readonly change: string } {
  const { workers, not_before, pond_full, paused, quota, max_parallel: bound } = waits
  if (pond_full) {
    const says = 'pond has no room for output, so it hands nothing out'
    return { says, change: "its operator makes room on pond's disk" }
  }
  if (paused) return sayPause(paused)
  if (not_before !== undefined) return sayRetry(waits, not_before)
  if (bound) {
    const says = `max_parallel of its array is reached: ${bound.under_way} of ${bound.most} under way`
    return { says, change: 'an element of the array that is under way ends' }
  }
  if (quota) return { says: quota.says, change: quota.change }
  const [first] = workers
  if (!first) return { says: 'the project has no worker', change: 'one is paired: pond pairing create' }
  return { says: sayNearest(waits, first), change: first.change }
}

function sayPause({ note, until }: NonNullable<Waits['paused']>) {
  const end = until === undefined ? '' : ` until ${new Date(until).toISOString()}`
  const says = `the project is paused by an operator${end}${note === undefined ? '' : `: ${note}`}`
  return {
    says,
    change: `${until === undefined ? '' : 'that time comes, or '}an operator resumes it: pond project resume`,
  }
}

function sayRetry({ tried }: Waits, at: number) {
  const says = tried
    ? `attempt ${tried.attempt} ended (${tried.means}), and it waits for its next attempt`
    : 'it was tried and waits for its next attempt'
  return { says, change: `its time comes: ${new Date(at).toISOString()}` }
}

function sayNearest(
  { workers, rest = 0 }: Waits,
  { count, says, before = [], workers: named }: Waits['workers'][number],
) {
  const who = count === 1 ? (named[0]?.name ?? 'one worker') : `${count} workers`
  const order = before.map((one) => `${one.is_least ? 'more than ' : ''}${one.jobs} ${one.says}`).join(' and ')
  const others = workers.slice(1).reduce((sum, group) => sum + group.count, rest)
  const more = others === 1 ? '; another one for another reason' : `; ${others} others for other reasons`
  return `${who} ${says}${order && `, and ${order}`}${others > 0 ? more : ''}`
}
