// Lines of jobs that could be claimed now: those of one requirement class, one line for each priority, first come first served.
import type { JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { anything, isPassedOver, lackOf, type Means, type Needs } from '../../src/state/match.ts'
import type { JobRow, QueuedRow } from '../store/row.ts'

export const PRIORITIES = 10

export interface Waiting {
  readonly id: JobId
  readonly projectId: ProjectId
  readonly priority: number
  /** Its needs in canonical form: the name of its requirement class. */
  readonly needs: string
  readonly passedOver: Readonly<Record<string, number>>
  /** When it came into the queue. */
  readonly since: number
}

export const waitingOf = (
  { id, projectId, priority, needs, law, createdAt }: JobRow,
  since: number = createdAt,
): Waiting => ({
  ...{ id, projectId, priority, needs, since },
  passedOver: law.passedOver,
})

/** The same of a row as the start reads it. */
export const waitingAgain = ({ id, projectId, priority, needs, passedOver, ...row }: QueuedRow): Waiting => ({
  ...{ id, projectId, priority, needs, passedOver },
  since: Math.max(row.createdAt, row.notBefore ?? 0),
})

export const readNeeds = (text: string): Needs => (text === '{}' ? anything : (JSON.parse(text) as Needs))

export interface Place {
  readonly job: Waiting
  /** Rises along all lines. */
  readonly number: number
  /** Since when it was seen to suit a worker that had too little room. */
  shortSince?: number
  /** The worker that keeps room for it, and until when. */
  kept?: { readonly by: WorkerId; readonly until: number }
}

/** A Map keeps the order of insertion and forgets an id at once, wherever it stands. */
type Line = Map<JobId, Place>

export interface RequirementClass {
  readonly needs: Needs
  /** By priority. */
  readonly lines: readonly Line[]
  /** Whether it suits a worker; asked for hundreds of classes at each look. */
  readonly suits: WeakMap<Means, boolean>
  size: number
}

export function openClass(needs: string): RequirementClass {
  const lines = Array.from({ length: PRIORITIES }, () => new Map<JobId, Place>())
  return { needs: readNeeds(needs), lines, suits: new WeakMap<Means, boolean>(), size: 0 }
}

export function suits({ needs, suits: known }: RequirementClass, means: Means): boolean {
  const before = known.get(means)
  if (before !== undefined) return before
  const does = lackOf(needs, means) === undefined
  known.set(means, does)
  return does
}

/** Who looks at a line. */
export interface Looker {
  readonly workerId: WorkerId
  readonly now: number
}

export const isFor = ({ job }: Place, { workerId, now }: Looker) => !isPassedOver(job.passedOver, workerId, now)

/** The first of a class for whoever looks. Without a generator: it is asked for hundreds of classes at each look. */
export function firstFor(lines: readonly Line[], looker: Looker): Place | undefined {
  for (let priority = PRIORITIES - 1; priority >= 0; priority--) {
    const place = headFor(lines[priority], looker)
    if (place) return place
  }
  return undefined
}

/** The one of a class that waits longest, whatever its priority. */
export function eldestFor(lines: readonly Line[], looker: Looker): Place | undefined {
  let eldest: Place | undefined
  for (const line of lines) {
    const place = headFor(line, looker)
    if (place && (!eldest || place.job.since < eldest.job.since)) eldest = place
  }
  return eldest
}

function headFor(line: Line | undefined, looker: Looker): Place | undefined {
  if (!line || line.size === 0) return undefined
  for (const place of line.values()) if (isFor(place, looker)) return place
  return undefined
}

/** The next of its class behind a place. */
export function behind({ lines }: RequirementClass, { number, job }: Place, looker: Looker): Place | undefined {
  for (let { priority } = job; priority >= 0; priority--) {
    for (const one of lines[priority]?.values() ?? []) {
      if ((one.number > number || one.job.priority < job.priority) && isFor(one, looker)) return one
    }
  }
  return undefined
}
