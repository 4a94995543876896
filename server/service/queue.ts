// The queue in memory: ids of jobs that could be claimed now. Jobs with equal needs are of one requirement class, and each class has a line for each priority
// of its project, first come first served. So a worker looks at the heads of the classes that suit it and never past what does not, however much waits. It
// mirrors committed rows; the row decides.
import type { JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import { anything, isPassedOver, lackOf, type Means, type Needs } from '../../src/state/match.ts'
import { fill, type Held, hold, type Room, setAside, shortOf } from '../../src/state/room.ts'
import type { JobRow, QueuedRow } from '../store/row.ts'

const PRIORITIES = 10
/** Counted one by one, in less than a millisecond. */
const AHEAD_MOST = 10_000

export interface Waiting {
  readonly id: JobId
  readonly projectId: ProjectId
  readonly priority: number
  /** Its needs in canonical form: the name of its requirement class. */
  readonly needs: string
  readonly passedOver: Readonly<Record<string, number>>
  /** When it came into the queue, as far as this process knows. */
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
export const waitingAgain = ({ id, projectId, priority, needs, passedOver }: QueuedRow, since: number): Waiting => ({
  ...{ id, projectId, priority, needs, passedOver, since },
})

export const readNeeds = (text: string): Needs => (text === '{}' ? anything : (JSON.parse(text) as Needs))

interface Place {
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

interface RequirementClass {
  readonly needs: Needs
  /** By priority. */
  readonly lines: readonly Line[]
  /** Whether it suits a worker; asked for hundreds of classes at each look. */
  readonly suits: WeakMap<Means, boolean>
  size: number
}

/** Who asks, and with how much room. */
export interface Taker {
  readonly workerId: WorkerId
  readonly means: Means
  readonly room: Room
  readonly now: number
}

/** A job, and what it holds of its taker. */
export interface Taken {
  readonly job: Waiting
  readonly held: Held
  /** Where it stood; absent of one that never did. */
  readonly number?: number
}

interface Counted {
  readonly projectId: ProjectId
  readonly needs: Needs
  readonly queued: number
  readonly priorities: Record<string, number>
}

/** A job that others overtook for so long, because it needs more than is ever free at once, gets a worker that keeps what comes free for it. */
const KEEP_AFTER_MS = 30_000
/** Then another worker may try. */
const KEEP_MOST_MS = 600_000

export class Queue {
  readonly #projects = new Map<ProjectId, Map<string, RequirementClass>>()
  readonly #sizes = new Map<ProjectId, number>()
  /** What a worker keeps room for; one job each. */
  readonly #kept = new Map<WorkerId, Head>()
  #last = 0

  /** Puts a job at the end of its line; one that stands there already keeps its place. */
  add(job: Waiting): void {
    const of = this.#classOf(job)
    const line = of.lines[job.priority]
    if (!line) throw new Error(`a priority is 0 to ${PRIORITIES - 1}, not ${job.priority}`)
    const known = line.get(job.id)
    this.#last += 1
    line.set(job.id, { ...known, job, number: known?.number ?? this.#last })
    if (!known) this.#count(job.projectId, of, 1)
  }

  /** As if they had not been taken. */
  putBack(taken: readonly Taken[]): void {
    for (const { job, number } of taken) {
      if (number === undefined) continue
      const of = this.#classOf(job)
      const line = of.lines[job.priority]
      if (!line || line.has(job.id)) continue
      const places = [...line.values(), { job, number }].sort((one, other) => one.number - other.number)
      line.clear()
      for (const place of places) line.set(place.job.id, place)
      this.#count(job.projectId, of, 1)
    }
  }

  remove({ id, projectId, priority, needs }: Omit<Waiting, 'passedOver' | 'since'>): void {
    const classes = this.#projects.get(projectId)
    const of = classes?.get(needs)
    const line = of?.lines[priority]
    const place = line?.get(id)
    if (!of || !line || !place) return
    line.delete(id)
    if (place.kept && this.#kept.get(place.kept.by)?.place.job.id === id) this.#kept.delete(place.kept.by)
    this.#count(projectId, of, -1)
    if (of.size === 0) classes?.delete(needs)
  }

  /** Takes what a worker has room for, highest priority first; jobs that it lately declined are left standing. */
  take(projectId: ProjectId, taker: Taker): Taken[] {
    const taken: Taken[] = []
    let { room } = taker
    const give = ({ of, place }: Head) => {
      const held = hold(of.needs, room)
      if (!held) return
      taken.push({ job: place.job, held, number: place.number })
      room = fill(room, held)
      this.remove(place.job)
    }
    const kept = this.#keptBy(projectId, taker)
    if (kept) give(kept)
    room = this.spare(projectId, { ...taker, room })
    let heads = this.#heads(projectId, taker)
    while (room.slots > 0) {
      heads = heads.filter((head) => {
        const isShort = shortOf(head.of.needs, room) !== undefined
        if (isShort && this.#noteShort(head, taker)) room = setAside(room, head.of.needs)
        return !isShort
      })
      const [any] = heads
      if (!any) break
      const first = heads.reduce((best, head) => (isBefore(head, best) ? head : best), any)
      const next = behind(first, taker)
      give(first)
      if (next) first.place = next
      else heads.splice(heads.indexOf(first), 1)
    }
    return taken
  }

  /** Whether there is something that a worker has room for now. */
  hasFor(projectId: ProjectId, taker: Taker): boolean {
    const kept = this.#keptBy(projectId, taker)
    if (kept && !shortOf(kept.of.needs, taker.room)) return true
    const room = this.spare(projectId, taker)
    for (const of of this.#classes(projectId)) {
      const place = suits(of, taker.means) ? firstFor(of.lines, taker) : undefined
      if (!place) continue
      if (!shortOf(of.needs, room)) return true
      this.#noteShort({ of, place }, taker)
    }
    return false
  }

  /** Whether anything waits that could ever be for such a worker. */
  hasSuiting(projectId: ProjectId, means: Means): boolean {
    for (const of of this.#classes(projectId)) if (suits(of, means)) return true
    return false
  }

  /** What a worker may give to others than the job for which it keeps room. */
  spare(projectId: ProjectId, taker: Taker): Room {
    const kept = this.#keptBy(projectId, taker)
    return kept ? setAside(taker.room, kept.of.needs) : taker.room
  }

  size(projectId: ProjectId): number {
    return this.#sizes.get(projectId) ?? 0
  }

  /** Everything that stands here, by class. */
  census(): { readonly total: number; readonly classes: Counted[] } {
    const classes = [...this.#projects].flatMap(([projectId, all]) =>
      [...all.values()].map(({ needs, lines, size }) => {
        const counts = lines.map((line, priority) => [priority, line.size] as const).filter(([, count]) => count > 0)
        return { projectId, needs, queued: size, priorities: Object.fromEntries(counts) }
      }),
    )
    return { total: classes.reduce((sum, { queued }) => sum + queued, 0), classes }
  }

  /** Whether a job of these needs would be one of so many kinds that each look would take long. */
  isCrowded(projectId: ProjectId, needs: string): boolean {
    const classes = this.#projects.get(projectId)
    return classes !== undefined && classes.size >= limit.requirementClasses && !classes.has(needs)
  }

  /** How many of its project are offered before it; undefined: it does not stand here. Counted up to a limit, for a long line takes long. */
  ahead(job: Waiting): { readonly count: number; readonly isLeast: boolean } | undefined {
    const classes = this.#projects.get(job.projectId)
    const place = classes?.get(job.needs)?.lines[job.priority]?.get(job.id)
    if (!classes || !place) return undefined
    let count = 0
    for (const { lines } of classes.values()) {
      for (const line of lines.slice(job.priority + 1)) count += line.size
      for (const { number } of lines[job.priority]?.values() ?? []) {
        if (number >= place.number) break
        if (count >= AHEAD_MOST) return { count: AHEAD_MOST, isLeast: true }
        count++
      }
    }
    return { count, isLeast: false }
  }

  /** Where each class that suits the taker begins. */
  #heads(projectId: ProjectId, taker: Taker): Head[] {
    const heads: Head[] = []
    for (const of of this.#classes(projectId)) {
      const place = suits(of, taker.means) ? firstFor(of.lines, taker) : undefined
      if (place) heads.push({ of, place })
    }
    return heads
  }

  #keptBy(projectId: ProjectId, taker: Taker): Head | undefined {
    const kept = this.#kept.get(taker.workerId)
    if (kept?.place.job.projectId !== projectId) return undefined
    const holds = (kept.place.kept?.until ?? 0) > taker.now && suits(kept.of, taker.means) && isFor(kept.place, taker)
    if (holds) return kept
    this.#kept.delete(taker.workerId)
    return undefined
  }

  /** True when the worker keeps room for it from now on. */
  #noteShort({ of, place }: Head, { workerId, now }: Taker): boolean {
    place.shortSince ??= now
    const isLong = now - place.shortSince >= KEEP_AFTER_MS
    if (!isLong || (place.kept?.until ?? 0) > now || this.#kept.has(workerId)) return false
    place.kept = { by: workerId, until: now + KEEP_MOST_MS }
    this.#kept.set(workerId, { of, place })
    return true
  }

  #classes(projectId: ProjectId): Iterable<RequirementClass> {
    return this.#projects.get(projectId)?.values() ?? []
  }

  #classOf({ projectId, needs }: Waiting): RequirementClass {
    const classes = this.#projects.get(projectId) ?? new Map<string, RequirementClass>()
    this.#projects.set(projectId, classes)
    const known = classes.get(needs)
    if (known) return known
    const lines = Array.from({ length: PRIORITIES }, () => new Map<JobId, Place>())
    const made = { needs: readNeeds(needs), lines, suits: new WeakMap<Means, boolean>(), size: 0 }
    classes.set(needs, made)
    return made
  }

  #count(projectId: ProjectId, of: RequirementClass, more: 1 | -1): void {
    of.size += more
    this.#sizes.set(projectId, this.size(projectId) + more)
  }
}

function suits({ needs, suits: known }: RequirementClass, means: Means): boolean {
  const before = known.get(means)
  if (before !== undefined) return before
  const does = lackOf(needs, means) === undefined
  known.set(means, does)
  return does
}

interface Head {
  readonly of: RequirementClass
  place: Place
}

/** The next of its class that is for the taker. */
function behind({ of: { lines }, place }: Head, taker: Taker): Place | undefined {
  for (let { priority } = place.job; priority >= 0; priority--) {
    for (const one of lines[priority]?.values() ?? []) {
      if (one.number > place.number || one.job.priority < place.job.priority) {
        if (isFor(one, taker)) return one
      }
    }
  }
  return undefined
}

/** Without a generator: it is asked for hundreds of classes at each look. */
function firstFor(lines: readonly Line[], taker: Taker): Place | undefined {
  for (let priority = PRIORITIES - 1; priority >= 0; priority--) {
    const line = lines[priority]
    if (!line || line.size === 0) continue
    for (const place of line.values()) if (isFor(place, taker)) return place
  }
  return undefined
}

const isFor = ({ job }: Place, { workerId, now }: Taker) => !isPassedOver(job.passedOver, workerId, now)

function isBefore({ place: one }: Head, { place: other }: Head): boolean {
  if (one.job.priority !== other.job.priority) return one.job.priority > other.job.priority
  return one.number < other.number
}
