// The queue in memory: ids of jobs that could be claimed now. Jobs with equal needs are of one requirement class, and each class has a line for each priority
// of its project. So a worker looks at the heads of the classes that suit it and never past what does not, however much waits. Whose turn it is: the owner's
// ladder first, then priority, then the project that had least of these machines for its weight, then who came first. It mirrors committed rows; the row decides.
import type { BindingId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Means, Needs } from '../../src/state/match.ts'
import { fill, type Held, hold, type Room, setAside, shortOf } from '../../src/state/room.ts'
import { isShared, type Ladder, rungOf } from './ladder.ts'
import {
  behind,
  eldestFor,
  firstFor,
  isFor,
  type Looker,
  openClass,
  type Place,
  PRIORITIES,
  type RequirementClass,
  suits,
  type Waiting,
} from './line.ts'
import type { Shares, Turns } from './share.ts'

/** Counted one by one, in less than a millisecond. */
const AHEAD_MOST = 10_000

/** Who asks, with how much room, and whose jobs it takes. */
export interface Taker extends Looker {
  readonly bindingId: BindingId
  readonly ladder: Ladder
  readonly means: Means
  readonly room: Room
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

/** One of so many that are handed out is the one that waits longest, whatever its priority, if that is longer than this: so what is never urgent ends too. */
const AGED_EVERY = 10
const AGED_AFTER_MS = 600_000

/** Where a class that suits the taker begins. */
interface Head {
  readonly of: RequirementClass
  readonly projectId: ProjectId
  /** Of the taker's ladder. */
  readonly rung: number
  place: Place
}

/** What a worker keeps room for. */
type Kept = Omit<Head, 'rung'>

export class Queue {
  /** How many more jobs of a project may be handed out now. */
  readonly mayStart: (projectId: ProjectId) => number
  readonly #shares: Shares
  readonly #projects = new Map<ProjectId, Map<string, RequirementClass>>()
  readonly #sizes = new Map<ProjectId, number>()
  /** One job each. */
  readonly #kept = new Map<WorkerId, Kept>()
  #last = 0
  #sinceAged = 0

  constructor({ shares, mayStart }: { readonly shares: Shares; readonly mayStart: (projectId: ProjectId) => number }) {
    this.#shares = shares
    this.mayStart = mayStart
  }

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

  /** Takes what a worker has room for, in the order of turns; jobs that it lately declined are left standing. */
  take(taker: Taker): Taken[] {
    return this.#choose(taker, (job) => this.remove(job))
  }

  /** What it would take now. */
  peek(taker: Taker): Taken[] {
    return this.#choose(taker, undefined)
  }

  /** Whether there is something that a worker has room for now. */
  hasFor(taker: Taker): boolean {
    const kept = this.#keptBy(taker)
    if (kept && this.mayStart(kept.projectId) > 0 && !shortOf(kept.of.needs, taker.room)) return true
    const room = this.spare(taker)
    for (const projectId of this.#servedBy(taker.ladder)) {
      if (this.mayStart(projectId) < 1) continue
      for (const of of this.#classes(projectId)) {
        const place = suits(of, taker.means) ? firstFor(of.lines, taker) : undefined
        if (!place) continue
        if (!shortOf(of.needs, room)) return true
        this.#noteShort({ of, place, projectId }, taker)
      }
    }
    return false
  }

  /** Whether anything waits that could ever be for such a worker. */
  hasSuiting(ladder: Ladder, means: Means): boolean {
    for (const projectId of this.#servedBy(ladder)) {
      for (const of of this.#classes(projectId)) if (suits(of, means)) return true
    }
    return false
  }

  /** What a worker may give to others than the job for which it keeps room. */
  spare(taker: Taker): Room {
    const kept = this.#keptBy(taker)
    return kept ? setAside(taker.room, kept.of.needs) : taker.room
  }

  /** Whether anything waits of those whose jobs it takes. */
  hasAny(ladder: Ladder): boolean {
    for (const projectId of this.#servedBy(ladder)) if (this.size(projectId) > 0) return true
    return false
  }

  /** Whether jobs of a project wait that may be handed out. */
  isOpen(projectId: ProjectId): boolean {
    return this.size(projectId) > 0 && this.mayStart(projectId) > 0
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

  /** With `onTake` for good: what is taken leaves the queue, and who finds too little room is remembered. */
  #choose(taker: Taker, onTake: ((job: Waiting) => void) | undefined): Taken[] {
    const taken: Taken[] = []
    let { room } = taker
    let heads = this.#heads(taker)
    if (heads.length === 0) return taken
    const turns = isShared(taker.ladder) ? this.#turns(taker, heads) : undefined
    const left = new Map<ProjectId, number>()
    const leftOf = (projectId: ProjectId) => left.get(projectId) ?? this.mayStart(projectId)
    const give = ({ of, place, projectId }: Kept) => {
      const held = hold(of.needs, room)
      if (!held) return
      taken.push({ job: place.job, held, number: place.number })
      room = fill(room, held)
      turns?.give(projectId, held)
      left.set(projectId, leftOf(projectId) - 1)
      const next = behind(of, place, taker)
      onTake?.(place.job)
      const own = heads.find((one) => one.of === of)
      if (own?.place !== place) return
      if (next) own.place = next
      else heads.splice(heads.indexOf(own), 1)
    }
    const kept = this.#keptBy(taker)
    if (kept && leftOf(kept.projectId) > 0) give(kept)
    room = this.spare({ ...taker, room })
    while (room.slots > 0) {
      heads = heads.filter((head) => {
        if (leftOf(head.projectId) < 1) return false
        const isShort = shortOf(head.of.needs, room) !== undefined
        if (isShort && onTake && this.#noteShort(head, taker)) room = setAside(room, head.of.needs)
        return !isShort
      })
      const head = first(heads, turns)
      if (!head) break
      give(onTake ? this.#agedOr(head, heads, taker) : head)
    }
    return taken
  }

  /** Instead of the next one, from time to time, one of the same rung that waits for long. */
  #agedOr(next: Head, heads: readonly Head[], taker: Taker): Head {
    this.#sinceAged += 1
    if (this.#sinceAged < AGED_EVERY) return next
    let aged = next
    for (const head of heads) {
      if (head.rung !== next.rung) continue
      const place = eldestFor(head.of.lines, taker)
      if (place && place.job.since < aged.place.job.since) aged = { ...head, place }
    }
    this.#sinceAged = 0
    return taker.now - aged.place.job.since >= AGED_AFTER_MS ? aged : next
  }

  #turns({ bindingId }: Taker, heads: readonly Head[]): Turns {
    return this.#shares.look(bindingId, new Set(heads.map(({ projectId }) => projectId)))
  }

  /** Where each class that suits the taker begins. */
  #heads(taker: Taker): Head[] {
    const heads: Head[] = []
    for (const projectId of this.#servedBy(taker.ladder)) {
      const rung = rungOf(taker.ladder, projectId) ?? 0
      for (const of of this.#classes(projectId)) {
        const place = suits(of, taker.means) ? firstFor(of.lines, taker) : undefined
        if (place) heads.push({ of, place, projectId, rung })
      }
    }
    return heads
  }

  /** Those of its projects that may have something. */
  #servedBy({ own, friends, isPublic }: Ladder): Iterable<ProjectId> {
    if (isPublic) return this.#projects.keys()
    return friends.size > 0 ? [own, ...friends] : [own]
  }

  #keptBy(taker: Taker): Kept | undefined {
    const kept = this.#kept.get(taker.workerId)
    if (!kept) return undefined
    const { place, of, projectId } = kept
    const holds = (place.kept?.until ?? 0) > taker.now && suits(of, taker.means) && isFor(place, taker)
    if (holds && rungOf(taker.ladder, projectId) !== undefined) return kept
    this.#kept.delete(taker.workerId)
    return undefined
  }

  /** True when the worker keeps room for it from now on. */
  #noteShort({ of, place, projectId }: Kept, { workerId, now }: Taker): boolean {
    place.shortSince ??= now
    const isLong = now - place.shortSince >= KEEP_AFTER_MS
    if (!isLong || (place.kept?.until ?? 0) > now || this.#kept.has(workerId)) return false
    place.kept = { by: workerId, until: now + KEEP_MOST_MS }
    this.#kept.set(workerId, { of, place, projectId })
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
    const made = openClass(needs)
    classes.set(needs, made)
    return made
  }

  #count(projectId: ProjectId, of: RequirementClass, more: 1 | -1): void {
    of.size += more
    this.#sizes.set(projectId, this.size(projectId) + more)
  }
}

/** Whose turn it is. */
function first(heads: readonly Head[], turns: Turns | undefined): Head | undefined {
  const [any] = heads
  return any && heads.reduce((best, head) => (isBefore(head, best, turns) ? head : best), any)
}

function isBefore(one: Head, other: Head, turns: Turns | undefined): boolean {
  if (one.rung !== other.rung) return one.rung < other.rung
  const priority = one.place.job.priority - other.place.job.priority
  if (priority !== 0) return priority > 0
  if (turns && one.projectId !== other.projectId) {
    const standing = turns.standing(one.projectId) - turns.standing(other.projectId)
    if (standing !== 0) return standing < 0
    const last = turns.last(one.projectId) - turns.last(other.projectId)
    if (last !== 0) return last < 0
  }
  return one.place.number < other.place.number
}
