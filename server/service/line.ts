// Lines of jobs that could be claimed now: those of one requirement class, one line for each priority, first come first served.
import type { JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { drawable, type Tally, undrawn } from '../../src/state/array.ts'
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
  /** Of an array: what is taken is one of its elements. */
  readonly array?: Cursor
}

/** What of an array is left. */
export interface Cursor {
  /** As its row says. */
  tally: Tally
  /** Elements that writes under way draw. */
  inFlight: number
}

/** How many of its elements may be taken now. */
export const elementsNow = ({ tally, inFlight }: Cursor) => drawable({ ...tally, next: tally.next + inFlight })

/** How many jobs stand there. */
export const jobsIn = ({ array }: Waiting) => (array ? undrawn(array.tally) : 1)

export const waitingOf = (
  { id, projectId, priority, needs, law: { passedOver, array }, createdAt }: JobRow,
  since: number = createdAt,
): Waiting => {
  const waiting = { id, projectId, priority, needs, passedOver, since }
  return array ? { ...waiting, array: { tally: array, inFlight: 0 } } : waiting
}

/** The same of a row as the start reads it. */
export function waitingAgain(row: QueuedRow): Waiting {
  const { id, projectId, priority, needs, passedOver, array, createdAt, notBefore = 0 } = row
  const waiting = { id, projectId, priority, needs, passedOver, since: Math.max(createdAt, notBefore) }
  return array ? { ...waiting, array: { tally: array, inFlight: 0 } } : waiting
}

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

/** Who looks at a line. */
export interface Looker {
  readonly workerId: WorkerId
  readonly now: number
}

export const isFor = ({ job }: Place, { workerId, now }: Looker) => !isPassedOver(job.passedOver, workerId, now)

export class Line {
  /** A Map keeps the order of insertion and forgets an id at once, wherever it stands. */
  readonly #places = new Map<JobId, Place>()
  /** Those that stood outside meanwhile, by number; they are few. */
  readonly #back: Place[] = []

  get size(): number {
    return this.#places.size + this.#back.length
  }

  get(id: JobId): Place | undefined {
    return this.#places.get(id) ?? this.#back.find(({ job }) => job.id === id)
  }

  /** At the end. */
  append(place: Place): void {
    this.#places.set(place.job.id, place)
  }

  /** Where its number says. */
  restore(place: Place): void {
    const at = this.#back.findIndex(({ number }) => number > place.number)
    if (at < 0) this.#back.push(place)
    else this.#back.splice(at, 0, place)
  }

  /** In the place of the one with its id. */
  replace(place: Place): void {
    const at = this.#back.findIndex(({ job }) => job.id === place.job.id)
    if (at < 0) this.#places.set(place.job.id, place)
    else this.#back[at] = place
  }

  delete(id: JobId): void {
    if (this.#places.delete(id)) return
    const at = this.#back.findIndex(({ job }) => job.id === id)
    if (at >= 0) this.#back.splice(at, 1)
  }

  /** The first for whoever looks, behind a number. Without a generator: it is asked for hundreds of classes at each look. */
  first(looker: Looker, behind = 0): Place | undefined {
    const fits = (place: Place) => place.number > behind && isFor(place, looker)
    const back = this.#back.length > 0 ? this.#back.find(fits) : undefined
    for (const place of this.#places.values()) {
      if (back && back.number < place.number) return back
      if (fits(place)) return place
    }
    return back
  }

  /** How many jobs whoever looks may have, elements of arrays each, before a number where one is given; `most`: places that are looked at. */
  countFor(
    looker: Looker,
    { before = Number.POSITIVE_INFINITY, most }: { readonly before?: number | undefined; readonly most: number },
  ): { readonly jobs: number; readonly places: number; readonly isLeast: boolean } {
    let [jobs, places] = [0, 0]
    for (const standing of [this.#back, this.#places.values()]) {
      for (const place of standing) {
        if (place.number >= before) break
        if (places === most) return { jobs, places, isLeast: true }
        places += 1
        if (isFor(place, looker)) jobs += place.job.array ? elementsNow(place.job.array) : 1
      }
    }
    return { jobs, places, isLeast: false }
  }
}

export interface RequirementClass {
  /** Its needs in canonical form. */
  readonly name: string
  readonly needs: Needs
  /** By priority. */
  readonly lines: readonly Line[]
  /** Whether it suits a worker; asked for hundreds of classes at each look. */
  readonly suits: WeakMap<Means, boolean>
  size: number
}

export function openClass(needs: string): RequirementClass {
  const lines = Array.from({ length: PRIORITIES }, () => new Line())
  return { name: needs, needs: readNeeds(needs), lines, suits: new WeakMap<Means, boolean>(), size: 0 }
}

export function suits({ needs, suits: known }: RequirementClass, means: Means): boolean {
  const before = known.get(means)
  if (before !== undefined) return before
  const does = lackOf(needs, means) === undefined
  known.set(means, does)
  return does
}

/** The first of a class for whoever looks. */
export function firstFor({ lines }: RequirementClass, looker: Looker): Place | undefined {
  for (let priority = PRIORITIES - 1; priority >= 0; priority--) {
    const line = lines[priority]
    const place = line && line.size > 0 ? line.first(looker) : undefined
    if (place) return place
  }
  return undefined
}

/** The one of a class that waits longest, whatever its priority. */
export function eldestFor({ lines }: RequirementClass, looker: Looker): Place | undefined {
  let eldest: Place | undefined
  for (const line of lines) {
    const place = line.size > 0 ? line.first(looker) : undefined
    if (place && (!eldest || place.job.since < eldest.job.since)) eldest = place
  }
  return eldest
}

/** The next of its class behind a place. */
export function behind({ lines }: RequirementClass, { number, job }: Place, looker: Looker): Place | undefined {
  for (let { priority } = job; priority >= 0; priority--) {
    const place = lines[priority]?.first(looker, priority === job.priority ? number : 0)
    if (place) return place
  }
  return undefined
}
