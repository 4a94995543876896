// Quotas at work: what each project uses, kept in memory, and the two places where that is in the way: a submit, and what is offered to polls. Counts of
// what waits and runs are kept of every project, so that a quota holds from the moment it is set; days only of projects with a budget.
import { Refusal } from '../../src/protocol/error.ts'
import type { ClaimId, ProjectId } from '../../src/protocol/id.ts'
import { isFinal } from '../../src/protocol/job.ts'
import { type Quota, type QuotaName, quotaTable } from '../../src/protocol/quota.ts'
import { undrawn } from '../../src/state/array.ts'
import type { Job } from '../../src/state/job.ts'
import {
  type Bucket,
  dayAfter,
  dayOf,
  hasBudget,
  judgeSubmit,
  levelOf,
  type Standing,
  spentOf,
  standings,
  type Used,
} from '../../src/state/quota.ts'
import type { ClaimRow, JobRow, UseRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { countKind, freshKinds, type Kinds } from './kind.ts'

/** What one project uses. */
interface Ledger {
  /** Jobs that wait, for a worker, for their time or for others. */
  waiting: number
  /** Jobs of submits under way. */
  coming: number
  readonly kinds: Kinds
  bucket?: Bucket
  /** The start of the day that is counted. */
  day: number
  cpuMs: number
  outputBytes: number
}

export class Quotas {
  readonly #ledgers = new Map<ProjectId, Ledger>()

  of(projectId: ProjectId): Ledger {
    const known = this.#ledgers.get(projectId)
    if (known) return known
    const made: Ledger = { waiting: 0, coming: 0, kinds: new Map(), day: 0, cpuMs: 0, outputBytes: 0 }
    this.#ledgers.set(projectId, made)
    return made
  }

  /** So many more jobs with these needs wait. */
  add({ projectId, needs }: Pick<JobRow, 'projectId' | 'needs'>, jobs: number): void {
    if (jobs === 0) return
    const ledger = this.of(projectId)
    ledger.waiting += jobs
    countKind(ledger.kinds, needs, jobs)
  }

  /** The ledger with the counts of today. */
  today(projectId: ProjectId, now: number): Ledger {
    const ledger = this.of(projectId)
    if (ledger.day < dayOf(now)) Object.assign(ledger, { day: dayOf(now), cpuMs: 0, outputBytes: 0 })
    return ledger
  }
}

/** Of a job that waits one, of an array what of it has not begun. */
export function waitingIn({ state, array }: Job): number {
  if (array) return isFinal(state) ? 0 : undrawn(array)
  return state === 'queued' || state === 'waiting' ? 1 : 0
}

const quotaOf = ({ projectRows }: Core, projectId: ProjectId): Quota | undefined => projectRows.get(projectId)?.quota

function usedOf({ quotas, clock }: Core, projectId: ProjectId): Used {
  const { waiting, coming, kinds: _, ...ledger } = quotas.today(projectId, clock.now())
  return { ...ledger, queued: waiting + coming }
}

const moment = ({ clock }: Core) => ({ now: clock.now(), monotonic: clock.monotonic() })

/** What can refuse a submit of the project, as it stands. */
export function standingsOf(core: Core, projectId: ProjectId): readonly Standing[] {
  const quota = quotaOf(core, projectId)
  return quota ? standings(quota, usedOf(core, projectId), moment(core)) : []
}

/** The highest priority that jobs of the project may ask for. */
export const priorityMostOf = (core: Core, projectId: ProjectId) => quotaOf(core, projectId)?.priority_most

interface Asked {
  readonly jobs: number
  readonly submits: number
  /** What its jobs need, with where that stands in the body. */
  readonly kinds: ReadonlyMap<string, string>
}

/** What a submit costs: taken inside its write, before other works of the same commit look, and given back if nothing is stored. */
export class Charge {
  readonly #core: Core
  readonly #projectId: ProjectId
  readonly #asked: Asked
  #ledger: Ledger | undefined
  #coming = 0
  #submits = 0
  #fresh: readonly string[] = []

  /** `jobs`: those that will wait, the elements of arrays each; `submits`: an array is one. */
  constructor(core: Core, projectId: ProjectId, asked: Asked) {
    this.#core = core
    this.#projectId = projectId
    this.#asked = asked
  }

  /** Refuses, or takes all of it. */
  take(): void {
    const core = this.#core
    const { jobs, submits, kinds } = this.#asked
    const ledger = core.quotas.of(this.#projectId)
    const fresh = freshKinds(ledger.kinds, kinds)
    const quota = quotaOf(core, this.#projectId)
    const at = moment(core)
    const refusal = quota && judgeSubmit(quota, usedOf(core, this.#projectId), { ...at, jobs, submits })
    if (refusal?.refused === 'never') throw tooMany(refusal.name, refusal.most)
    if (refusal) throw notNow(refusal)
    ledger.coming += jobs
    for (const needs of fresh) countKind(ledger.kinds, needs, 1)
    const rate = quota?.submits_per_minute
    if (rate !== undefined) {
      ledger.bucket = { level: levelOf(ledger.bucket, rate, at.monotonic) - submits, at: at.monotonic }
      this.#submits = submits
    }
    this.#ledger = ledger
    this.#coming = jobs
    this.#fresh = fresh
  }

  /** So many of them are claimed in the same commit, and wait no more. */
  claimed(jobs: number): void {
    if (!this.#ledger) return
    this.#ledger.coming -= jobs
    this.#coming -= jobs
  }

  /** They are stored: the mirrors of their rows count them. */
  settle(): void {
    if (!this.#ledger) return
    this.#ledger.coming -= this.#coming
    for (const needs of this.#fresh) countKind(this.#ledger.kinds, needs, -1)
    this.#ledger = undefined
  }

  /** What `work` throws gives everything back. */
  async cover<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.#giveBack()
      throw error
    }
  }

  #giveBack(): void {
    const bucket = this.#ledger?.bucket
    if (this.#ledger && bucket) this.#ledger.bucket = { ...bucket, level: bucket.level + this.#submits }
    this.settle()
  }
}

function tooMany(quota: QuotaName, most: number): Refusal {
  const says = `the project's quota ${quota} never takes more than ${most} jobs together`
  return new Refusal('invalid_field', says, { field: 'jobs', quota, most })
}

function notNow({ name: quota, most, used, retryAfterMs }: Extract<ReturnType<typeof judgeSubmit>, { used: number }>) {
  const says = `the project ${quotaTable[quota].says}: quota ${quota}, ${used} of ${most} used`
  return new Refusal('quota_exceeded', says, { quota, most, used, retry_after_ms: retryAfterMs })
}

/** How many more claims the project may have. `ended`: live ones that end in the write under way. */
export function roomToRun(core: Core, projectId: ProjectId, ended: ReadonlySet<ClaimId> = none): number {
  const quota = quotaOf(core, projectId)
  if (!quota) return Number.POSITIVE_INFINITY
  if (hasBudget(quota) && spentOf(quota, core.quotas.today(projectId, core.clock.now()))) return 0
  if (quota.running === undefined) return Number.POSITIVE_INFINITY
  let live = core.live.inProject(projectId)
  for (const id of ended) if (core.live.get(id)?.projectId === projectId) live--
  return Math.max(0, quota.running - live)
}

const none: ReadonlySet<ClaimId> = new Set()

/** Whether an end makes room for others of its project, on whatever machine. */
export const isNarrow = (core: Core, projectId: ProjectId) => quotaOf(core, projectId)?.running !== undefined

/** The final word of a claim was heard. */
export function countUse(core: Core, { projectId, usage, streams }: ClaimRow): void {
  const quota = quotaOf(core, projectId)
  if (!quota || !hasBudget(quota)) return
  const ledger = core.quotas.today(projectId, core.clock.now())
  const wasSpent = spentOf(quota, ledger) !== undefined
  ledger.cpuMs += usage?.cpu_ms ?? 0
  for (const report of Object.values(streams ?? {})) ledger.outputBytes += report?.bytes ?? 0
  if (!wasSpent) wakeAfterDay(core, projectId, quota)
}

/** What is stored of the project's day. */
export function setUse(core: Core, projectId: ProjectId, { cpuMs, outputBytes }: UseRow): void {
  Object.assign(core.quotas.today(projectId, core.clock.now()), { cpuMs, outputBytes })
  const quota = quotaOf(core, projectId)
  if (quota) wakeAfterDay(core, projectId, quota)
}

/** What waits for the end of the day is offered then. */
function wakeAfterDay(core: Core, projectId: ProjectId, quota: Quota): void {
  const now = core.clock.now()
  if (spentOf(quota, core.quotas.today(projectId, now))) core.pauses.add(dayAfter(now), projectId)
}

/** The quota for which nothing of the project is handed out now; undefined: none is in the way. */
export function heldBack(core: Core, projectId: ProjectId) {
  const quota = quotaOf(core, projectId)
  if (!quota || roomToRun(core, projectId) > 0) return undefined
  const all = standingsOf(core, projectId)
  const spent = spentOf(quota, core.quotas.today(projectId, core.clock.now()))
  const budget = all.find(({ name }) => name === spent)
  if (budget) {
    const { name, most, used } = budget
    return { name, most, used, until: dayAfter(core.clock.now()) }
  }
  return { name: 'running', most: quota.running ?? 0, used: core.live.inProject(projectId) } as const
}
