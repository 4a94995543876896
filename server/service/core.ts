// The memory that all services share: mirrors of committed rows, and the two nudges between them.
import type { BindingId, JobId, ProjectId } from '../../src/protocol/id.ts'
import { isFinal } from '../../src/protocol/job.ts'
import { undrawn } from '../../src/state/array.ts'
import { dayOf, hasBudget } from '../../src/state/quota.ts'
import type { ReadTx } from '../store/contract.ts'
import {
  type ClaimRow,
  type ProjectRow,
  type QueuedFilter,
  type QueuedRow,
  queuedKinds,
  type UseRow,
} from '../store/row.ts'
import { BundleSites } from './bundle-site.ts'
import { Choice } from './choice.ts'
import { DueList } from './due.ts'
import { findAny } from './element.ts'
import { Fleet } from './fleet.ts'
import { Hub } from './hub.ts'
import { Ladders } from './ladder.ts'
import { type Waiting, waitingAgain } from './line.ts'
import { Listening } from './listening.ts'
import { type JobPart, jobPart, LiveClaims } from './live.ts'
import { createWorld, type Parts, type PondKeys, type World } from './parts.ts'
import { Queue } from './queue.ts'
import { Quotas, roomToRun, setUse } from './quota.ts'
import { Refusals } from './refusal.ts'
import { Shares } from './share.ts'
import { Stats } from './stats.ts'
import { Stops } from './stop.ts'

export interface Core extends World {
  /** Of now: a rotation replaces them. */
  keys: PondKeys
  readonly queue: Queue
  readonly choice: Choice
  readonly live: LiveClaims
  readonly fleet: Fleet
  readonly ladders: Ladders
  readonly shares: Shares
  readonly bundleSites: BundleSites
  readonly refusals: Refusals
  /** Cordons and pauses. */
  readonly stops: Stops
  /** Names of projects by id. */
  readonly projects: Map<ProjectId, string>
  /** What operators set about them. */
  readonly projectRows: Map<ProjectId, ProjectRow>
  readonly quotas: Quotas
  readonly listening: Listening
  readonly hub: Hub
  /** Queued jobs whose time has not come; of each the latest counts. */
  readonly later: DueList<Waiting>
  readonly delayed: Map<JobId, Waiting>
  /** Jobs with a time to live. */
  readonly expiring: DueList<Waiting['id']>
  /** Projects in which a worker is passed over for a job until then, or a claim that failed is tried again. */
  readonly pauses: DueList<ProjectId>
  /** Bindings with a worker whose own pause is over then. */
  readonly workerPauses: DueList<BindingId>
  /** Jobs of the project may be claimed now. */
  readonly wake: Signal<ProjectId>
  /** A binding may have more room than before. */
  readonly ready: Signal<BindingId>
  /** Facts changed that a binding's next reply tells. */
  readonly tell: Signal<BindingId>
  /** Times to live are over. */
  readonly expired: Signal<readonly Waiting['id'][]>
  readonly stats: Stats
  /** Jobs that others wait for. */
  readonly awaited: Set<JobId>
  /** Of these, some ended. */
  readonly settle: Signal<readonly JobId[]>
  /** Arrays whose elements are to be cancelled. */
  readonly recall: Signal<JobId>
  /** Those of which that failed, and is tried again then. */
  readonly recalling: DueList<JobId>
  /** Those that could not be settled, and are tried again then. */
  readonly settling: DueList<JobId>
}

/** One listener that is set once, so that services need not know each other. */
export class Signal<T> {
  #listener: (value: T) => void = () => {}

  listen(listener: (value: T) => void): void {
    this.#listener = listener
  }

  send(value: T): void {
    this.#listener(value)
  }
}

export function createCore(parts: Parts): Core {
  const world = createWorld(parts)
  const live = new LiveClaims()
  const fleet = new Fleet()
  const shares = new Shares((id) => live.unitsOf(id, fleet.idsOf(id)))
  const queue = new Queue()
  const stops = new Stops(world.clock)
  const choice = new Choice({
    ...{ queue, shares },
    mayStart: (projectId, ended) => (stops.holds(projectId) ? 0 : roomToRun(core, projectId, ended)),
  })
  const wake = new Signal<ProjectId>()
  const ready = new Signal<BindingId>()
  const expired = new Signal<readonly Waiting['id'][]>()
  const recall = new Signal<JobId>()
  const settle = new Signal<readonly JobId[]>()
  const delayed = new Map<JobId, Waiting>()
  const later = new DueList<Waiting>(world.clock, (due) => {
    // It may have ended meanwhile, or been delayed anew.
    const jobs = due.filter((job) => delayed.get(job.id) === job)
    for (const job of jobs) {
      delayed.delete(job.id)
      queue.add(job)
    }
    for (const projectId of new Set(jobs.map((job) => job.projectId))) wake.send(projectId)
  })
  const core: Core = {
    ...world,
    queue,
    choice,
    live,
    fleet,
    ladders: new Ladders(),
    bundleSites: new BundleSites(),
    shares,
    refusals: new Refusals(),
    stops,
    projects: new Map(),
    projectRows: new Map(),
    quotas: new Quotas(),
    listening: new Listening(world.clock),
    hub: new Hub(),
    later,
    delayed,
    pauses: new DueList(world.clock, (ids) => {
      for (const projectId of new Set(ids)) wake.send(projectId)
    }),
    workerPauses: new DueList(world.clock, (ids) => {
      for (const bindingId of new Set(ids)) ready.send(bindingId)
    }),
    expiring: new DueList(world.clock, (ids) => expired.send(ids)),
    wake,
    ready,
    tell: new Signal<BindingId>(),
    expired,
    stats: new Stats(world.clock),
    awaited: new Set(),
    settling: new DueList(world.clock, (ids) => settle.send(ids)),
    settle,
    recall,
    recalling: new DueList(world.clock, (ids) => {
      for (const id of ids) recall.send(id)
    }),
  }
  return core
}

/** Brings the mirrors in line with a project that was committed. */
export function mirrorProject({ projects, projectRows, shares }: Core, row: ProjectRow): void {
  projects.set(row.id, row.name)
  projectRows.set(row.id, row)
  shares.setWeight(row.id, row.weight)
}

/** It stands in no line until then. */
export function delay({ later, delayed }: Core, at: number, job: Waiting): void {
  delayed.set(job.id, job)
  later.add(at, job)
}

/** Fills the mirrors from the store: what is queued waits again, what is live gets a whole new lease, for nobody listened until now. */
export async function loadCore(core: Core): Promise<void> {
  const { claims, workers, projects, bindings, stops, awaited, uses } = await core.store.read(async (tx) => ({
    claims: await liveFacts(tx),
    workers: await tx.listWorkers({}),
    projects: await tx.listProjects(),
    bindings: await tx.listBindings(),
    stops: await tx.listStops(),
    awaited: await awaitedFacts(tx),
    uses: await useFacts(tx, core.clock.now()),
  }))
  for (const row of workers) core.fleet.set(row)
  for (const row of bindings) {
    if (row.ephemeral && row.state === 'revoked') core.fleet.leave(row.id)
    core.ladders.set(row)
  }
  for (const row of projects) mirrorProject(core, row)
  for (const row of stops) core.stops.set(row)
  for (const [id, use] of uses) setUse(core, id, use)
  await core.store.read(async (tx) => {
    for (const { id } of projects) for (const kind of queuedKinds) await loadQueue(core, tx, { projectId: id, kind })
  })
  for (const { id } of awaited) core.awaited.add(id)
  for (const { row, cancelBy, part } of claims) {
    core.live.add(row, core.listening.now(), part)
    const live = core.live.get(row.id)
    if (live && cancelBy !== undefined) live.cancelBy = cancelBy
  }
  core.settle.send(awaited.filter(({ isOver }) => isOver).map(({ id }) => id))
}

/** What the projects with a budget used today. */
async function useFacts(tx: ReadTx, now: number): Promise<readonly (readonly [ProjectId, UseRow])[]> {
  const facts: (readonly [ProjectId, UseRow])[] = []
  for (const { id, quota } of await tx.listProjects()) {
    if (quota && hasBudget(quota)) facts.push([id, await tx.sumUse(id, dayOf(now))])
  }
  return facts
}

/** Some at a time: all the rows of a million jobs together would take several times the room of the queue. */
const LOADED_AT_ONCE = 10_000

async function loadQueue(core: Core, tx: ReadTx, of: Pick<QueuedFilter, 'projectId' | 'kind'>): Promise<void> {
  const now = core.clock.now()
  const limit = LOADED_AT_ONCE
  for (let after: JobId | undefined, more = true; more; ) {
    const rows = await tx.listQueued({ ...of, limit, ...(after === undefined ? {} : { after }) })
    for (const row of rows) loadQueued(core, row, now)
    after = rows.at(-1)?.id
    more = rows.length === limit
  }
}

function loadQueued(core: Core, row: QueuedRow, now: number): void {
  if (row.expiresAt !== undefined) core.expiring.add(row.expiresAt, row.id)
  core.quotas.add(row, row.array ? undrawn(row.array) : 1)
  if (row.state === 'waiting') {
    core.stats.waiting += row.array?.count ?? 1
    return
  }
  const waiting = waitingAgain(row)
  if (row.notBefore !== undefined && row.notBefore > now) delay(core, row.notBefore, waiting)
  else core.queue.add(waiting)
  if (row.array) core.recall.send(row.id)
}

/** An end that pond died over is settled now. */
async function awaitedFacts(tx: ReadTx): Promise<readonly { readonly id: JobId; readonly isOver: boolean }[]> {
  const facts: { id: JobId; isOver: boolean }[] = []
  for (const id of await tx.listAwaited()) {
    const job = await findAny(tx, id)
    facts.push({ id, isOver: !job || isFinal(job.law.state) })
  }
  return facts
}

interface LiveFacts {
  readonly row: ClaimRow
  readonly cancelBy?: string
  /** Only where the intent may have to be said again. */
  readonly part?: JobPart
}

async function liveFacts(tx: ReadTx): Promise<readonly LiveFacts[]> {
  const facts: LiveFacts[] = []
  for (const row of await tx.listLiveClaims()) {
    const job = await tx.getJob(row.jobId)
    const cancelBy = job?.law.cancel?.by
    const spec = row.lease.state === 'granted' ? await tx.getSpec(row.jobId) : undefined
    facts.push({
      row,
      ...(cancelBy === undefined ? {} : { cancelBy }),
      ...(job && spec ? { part: jobPart(job, spec) } : {}),
    })
  }
  return facts
}
