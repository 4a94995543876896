// Who gets what: a worker with room chooses among the heads of the lines that suit it. Whose turn it is: its owner's ladder first, then priority, then the
// project that had least of these machines for its weight, then who came first. One that waits for long gets a turn all the same.
import type { BindingId, ClaimId, JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { Means } from '../../src/state/match.ts'
import { fill, type Held, hold, type Room, setAside, shortOf } from '../../src/state/room.ts'
import { isShared, type Ladder, rungOf } from './ladder.ts'
import {
  behind,
  eldestFor,
  elementsNow,
  firstFor,
  isFor,
  type Looker,
  type Place,
  suits,
  type Waiting,
} from './line.ts'
import { type Before, countBefore, first, type Head, type Rival } from './precedence.ts'
import type { Queue } from './queue.ts'
import type { Shares, Turns } from './share.ts'

/** Who asks, and whose jobs it takes. */
export interface Asker extends Looker {
  readonly bindingId: BindingId
  readonly ladder: Ladder
  readonly means: Means
}

/** With how much room. */
export interface Taker extends Asker {
  readonly room: Room
  /** Claims that end in the write under way. */
  readonly ended: ReadonlySet<ClaimId>
}

/** A job, and what it holds of its taker. Of an array it is one element, which gets its index when it is drawn. */
export interface Taken {
  readonly job: Waiting
  readonly held: Held
  /** Where it stood; absent of one that never did. */
  readonly number?: number
}

/** A job that others overtook for so long, because it needs more than is ever free at once, gets a worker that keeps what comes free for it. */
const KEEP_AFTER_MS = 30_000
/** Then another worker may try. */
const KEEP_MOST_MS = 600_000

/** One of so many that are handed out is the one that waits longest, whatever its priority, if that is longer than this: so what is never urgent ends too. */
const AGED_EVERY = 10
const AGED_AFTER_MS = 600_000

/** What a worker keeps room for. */
type Kept = Omit<Head, 'rung'>

interface ChoiceParts {
  readonly queue: Queue
  readonly shares: Shares
  /** How many more jobs of a project may be handed out now. `ended`: claims that end in the write under way. */
  readonly mayStart: (projectId: ProjectId, ended: ReadonlySet<ClaimId>) => number
}

export class Choice {
  readonly mayStart: ChoiceParts['mayStart']
  readonly #queue: Queue
  readonly #shares: Shares
  /** One job each. */
  readonly #kept = new Map<WorkerId, Kept>()
  #sinceAged = 0

  constructor({ queue, shares, mayStart }: ChoiceParts) {
    this.#queue = queue
    this.#shares = shares
    this.mayStart = mayStart
  }

  /** Takes what a worker has room for, in the order of turns; jobs that it lately declined are left standing. */
  take(taker: Taker): Taken[] {
    return this.#choose(taker, (place) => this.#queue.take(place))
  }

  /** What it would take now; nothing is changed by it. */
  peek(taker: Taker): Taken[] {
    return this.#choose(taker, undefined)
  }

  /** Whether there is something that a worker has room for now. */
  hasFor(taker: Taker): boolean {
    const kept = this.#keptBy(taker)
    if (kept && this.mayStart(kept.projectId, taker.ended) > 0 && !shortOf(kept.of.needs, taker.room)) return true
    const room = this.spare(taker)
    for (const projectId of this.#servedBy(taker.ladder)) {
      if (this.mayStart(projectId, taker.ended) < 1) continue
      for (const of of this.#queue.classesOf(projectId)) {
        const place = suits(of, taker.means) ? firstFor(of, taker) : undefined
        if (!place) continue
        if (!shortOf(of.needs, room)) return true
        this.#noteShort({ of, place, projectId }, taker)
      }
    }
    return false
  }

  /** What a worker may give to others than the job for which it keeps room. */
  spare(taker: Taker): Room {
    const kept = this.#keptBy(taker)
    return kept ? setAside(taker.room, kept.of.needs) : taker.room
  }

  /** The job for which a worker keeps room, and until when. */
  keptAt(taker: Taker): { readonly id: JobId; readonly until: number } | undefined {
    const place = this.#keptBy(taker)?.place
    return place && { id: place.job.id, until: place.kept?.until ?? taker.now }
  }

  /** Whether anything waits of those whose jobs it takes. */
  hasAny(ladder: Ladder): boolean {
    for (const projectId of this.#servedBy(ladder)) if (this.#queue.size(projectId) > 0) return true
    return false
  }

  /** Whether jobs of a project wait that may be handed out. */
  isOpen(projectId: ProjectId): boolean {
    return this.#queue.size(projectId) > 0 && this.mayStart(projectId, none) > 0
  }

  /** With `onTake` for good: what is taken leaves the queue, and who finds too little room is remembered. */
  #choose(taker: Taker, onTake: ((place: Place) => void) | undefined): Taken[] {
    const taken: Taken[] = []
    let { room } = taker
    let heads = this.#heads(taker)
    if (heads.length === 0) return taken
    const turns = this.#turns(taker, heads, onTake ? 'look' : 'peek')
    const left = new Map<ProjectId, number>()
    const leftOf = (projectId: ProjectId) => left.get(projectId) ?? this.mayStart(projectId, taker.ended)
    const give = ({ of, place, projectId }: Kept) => {
      const held = hold(of.needs, room)
      if (!held) return
      taken.push({ job: place.job, held, number: place.number })
      room = fill(room, held)
      turns?.give(projectId, held)
      left.set(projectId, leftOf(projectId) - 1)
      onTake?.(place)
      const again = place.job.array && elementsNow(place.job.array) > (onTake ? 0 : countOf(taken, place))
      const next = again ? place : behind(of, place, taker)
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
      const place = eldestFor(head.of, taker)
      if (place && place.job.since < aged.place.job.since) aged = { ...head, place }
    }
    this.#sinceAged = 0
    return taker.now - aged.place.job.since >= AGED_AFTER_MS ? aged : next
  }

  /** What comes before a place at a worker, whatever room that has. */
  before(asker: Asker, place: Place): readonly Before[] {
    const { projectId } = place.job
    const own = { projectId, place, rung: rungOf(asker.ladder, projectId) ?? 0 }
    const turns = this.#turns(asker, [...this.#heads(asker), own], 'peek')
    return countBefore(this.#rivals(asker, projectId), own, { turns, looker: asker })
  }

  /** The same at any worker that could take it, where none is known: of what requires the same. */
  beforeAmongEquals(place: Place, now: number): readonly Before[] {
    const { projectId } = place.job
    const lines = this.#queue.classOf(place.job)?.lines ?? []
    const rivals = lines.map((line) => ({ projectId, rung: 0, line }))
    return countBefore(rivals, { projectId, place, rung: 0 }, { turns: undefined, looker: { workerId: nobody, now } })
  }

  /** The lines from which a worker chooses now, and those of the one project also while nothing of it may be handed out. */
  *#rivals({ ladder, means }: Asker, own: ProjectId): Generator<Rival> {
    for (const projectId of this.#servedBy(ladder)) {
      if (projectId !== own && this.mayStart(projectId, none) < 1) continue
      const rung = rungOf(ladder, projectId) ?? 0
      for (const of of this.#queue.classesOf(projectId)) {
        if (suits(of, means)) for (const line of of.lines) if (line.size > 0) yield { projectId, rung, line }
      }
    }
  }

  #turns(
    { bindingId, ladder }: Asker,
    among: readonly { readonly projectId: ProjectId }[],
    how: 'look' | 'peek',
  ): Turns | undefined {
    if (!isShared(ladder)) return undefined
    return this.#shares[how](bindingId, new Set(among.map(({ projectId }) => projectId)))
  }

  /** Where each class that suits the taker begins. */
  #heads(taker: Asker): Head[] {
    const heads: Head[] = []
    for (const projectId of this.#servedBy(taker.ladder)) {
      const rung = rungOf(taker.ladder, projectId) ?? 0
      for (const of of this.#queue.classesOf(projectId)) {
        const place = suits(of, taker.means) ? firstFor(of, taker) : undefined
        if (place) heads.push({ of, place, projectId, rung })
      }
    }
    return heads
  }

  /** Those of its projects that may have something. */
  #servedBy({ own, friends, isPublic }: Ladder): Iterable<ProjectId> {
    if (isPublic) return this.#queue.projects()
    return friends.size > 0 ? [own, ...friends] : [own]
  }

  #keptBy(taker: Taker): Kept | undefined {
    const kept = this.#kept.get(taker.workerId)
    if (!kept) return undefined
    const { place, of, projectId } = kept
    const isThere = this.#queue.stands(place) && (place.kept?.until ?? 0) > taker.now
    const holds = isThere && suits(of, taker.means) && isFor(place, taker)
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
}

const countOf = (taken: readonly Taken[], { job }: Place) => taken.filter((one) => one.job.id === job.id).length

const none: ReadonlySet<ClaimId> = new Set()
const nobody = '' as WorkerId
