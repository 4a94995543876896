// The queue in memory: ids of jobs that could be claimed now. Jobs with equal needs are of one requirement class, and each class has a line for each priority
// of its project, first come first served. So a worker looks at the heads of the classes that suit it and never past what does not, however much waits. It
// mirrors committed rows; the row decides.
import type { JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { isPassedOver, lackOf, type Means, type Needs } from '../../src/state/match.ts'
import { fill, type Held, hold, type Room } from '../../src/state/room.ts'
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
}

export const waitingOf = ({ id, projectId, priority, needs, law }: JobRow): Waiting => ({
  ...{ id, projectId, priority, needs },
  passedOver: law.passedOver,
})

/** The same of a row as the start reads it. */
export const waitingAgain = ({ id, projectId, priority, needs, passedOver }: QueuedRow): Waiting => ({
  ...{ id, projectId, priority, needs, passedOver },
})

const anything: Needs = {}

export const readNeeds = (text: string): Needs => (text === '{}' ? anything : (JSON.parse(text) as Needs))

interface Place {
  readonly job: Waiting
  /** Rises along all lines. */
  readonly number: number
}

/** A Map keeps the order of insertion and forgets an id at once, wherever it stands. */
type Line = Map<JobId, Place>

interface RequirementClass {
  readonly needs: Needs
  /** By priority. */
  readonly lines: readonly Line[]
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
}

export class Queue {
  readonly #projects = new Map<ProjectId, Map<string, RequirementClass>>()
  readonly #sizes = new Map<ProjectId, number>()
  #last = 0

  /** Puts a job at the end of its line; one that stands there already keeps its place. */
  add(job: Waiting): void {
    const of = this.#classOf(job)
    const line = of.lines[job.priority]
    if (!line) throw new Error(`a priority is 0 to ${PRIORITIES - 1}, not ${job.priority}`)
    const known = line.get(job.id)
    this.#last += 1
    line.set(job.id, { job, number: known?.number ?? this.#last })
    if (!known) this.#count(job.projectId, of, 1)
  }

  remove({ id, projectId, priority, needs }: Omit<Waiting, 'passedOver'>): void {
    const classes = this.#projects.get(projectId)
    const of = classes?.get(needs)
    if (!of?.lines[priority]?.delete(id)) return
    this.#count(projectId, of, -1)
    if (of.size === 0) classes?.delete(needs)
  }

  /** Takes what a worker has room for, highest priority first; jobs that it lately declined are left standing. */
  take(projectId: ProjectId, taker: Taker): Taken[] {
    const taken: Taken[] = []
    let { room } = taker
    const heads = this.#heads(projectId, taker)
    while (room.slots > 0 && heads.length > 0) {
      const first = heads.reduce((best, head) => (isBefore(head, best) ? head : best))
      const held = hold(first.needs, room)
      if (held) {
        taken.push({ job: first.place.job, held })
        room = fill(room, held)
      }
      // What does not fit now does not fit later in this look either, and its whole class is as large.
      if (!held || !advance(first, taker)) heads.splice(heads.indexOf(first), 1)
    }
    for (const { job } of taken) this.remove(job)
    return taken
  }

  /** Whether there is something that a worker has room for now. */
  hasFor(projectId: ProjectId, taker: Taker): boolean {
    return this.size(projectId) > 0 && this.#heads(projectId, taker).some(({ needs }) => hold(needs, taker.room))
  }

  size(projectId: ProjectId): number {
    return this.#sizes.get(projectId) ?? 0
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
    for (const { needs, lines } of this.#projects.get(projectId)?.values() ?? []) {
      if (lackOf(needs, taker.means)) continue
      const places = inOrder(lines)
      const place = nextFor(places, taker)
      if (place) heads.push({ needs, places, place })
    }
    return heads
  }

  #classOf({ projectId, needs }: Waiting): RequirementClass {
    const classes = this.#projects.get(projectId) ?? new Map<string, RequirementClass>()
    this.#projects.set(projectId, classes)
    const known = classes.get(needs)
    if (known) return known
    const lines = Array.from({ length: PRIORITIES }, () => new Map<JobId, Place>())
    const made = { needs: readNeeds(needs), lines, size: 0 }
    classes.set(needs, made)
    return made
  }

  #count(projectId: ProjectId, of: RequirementClass, more: 1 | -1): void {
    of.size += more
    this.#sizes.set(projectId, this.size(projectId) + more)
  }
}

interface Head {
  readonly needs: Needs
  readonly places: Iterator<Place>
  place: Place
}

/** False where its class has no more for the taker. */
function advance(head: Head, taker: Taker): boolean {
  const next = nextFor(head.places, taker)
  if (next) head.place = next
  return next !== undefined
}

function nextFor(places: Iterator<Place>, { workerId, now }: Taker): Place | undefined {
  for (;;) {
    const { done, value } = places.next()
    if (done) return undefined
    if (!isPassedOver(value.job.passedOver, workerId, now)) return value
  }
}

function* inOrder(lines: readonly Line[]): Generator<Place, undefined> {
  for (const line of lines.toReversed()) yield* line.values()
}

function isBefore({ place: one }: Head, { place: other }: Head): boolean {
  if (one.job.priority !== other.job.priority) return one.job.priority > other.job.priority
  return one.number < other.number
}
