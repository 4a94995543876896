// Where polls are parked: by the projects whose jobs they would take, the least loaded first, and among equals who came first.
import type { ProjectId } from '../../src/protocol/id.ts'
import type { Ladder } from './ladder.ts'
import type { Session } from './session.ts'

/** An idle one, then by quarters of what it could run. */
const LEVELS = 5

type Lot = readonly Set<Session>[]

const openLot = (): Lot => Array.from({ length: LEVELS }, () => new Set<Session>())

interface Place {
  readonly ladder: Ladder
  readonly level: number
}

/** How loaded it is: 0 for one that holds nothing. */
export function levelOf(claims: number, slots: number): number {
  if (claims === 0) return 0
  return Math.min(LEVELS - 1, 1 + Math.floor(((LEVELS - 1) * claims) / (slots + 1)))
}

export class Parking {
  readonly #byProject = new Map<ProjectId, Lot>()
  /** Of those that take everybody's jobs. */
  readonly #public = openLot()
  readonly #places = new Map<Session, Place>()

  get size(): number {
    return this.#places.size
  }

  add(session: Session, place: Place): void {
    this.#places.set(session, place)
    for (const lot of this.#lotsOf(place.ladder)) lot[place.level]?.add(session)
  }

  delete(session: Session): void {
    const place = this.#places.get(session)
    if (!place) return
    this.#places.delete(session)
    for (const lot of this.#lotsOf(place.ladder)) lot[place.level]?.delete(session)
  }

  /** Those that would take a job of the project; among equals the preferred ones first. */
  *of(projectId: ProjectId, preferred: ReadonlySet<Session> = none): Generator<Session> {
    const own = this.#byProject.get(projectId)
    for (let level = 0; level < LEVELS; level++) {
      const lots = [own?.[level], this.#public[level]]
      for (const session of preferred) if (lots.some((lot) => lot?.has(session))) yield session
      for (const lot of lots) for (const session of lot ?? none) if (!preferred.has(session)) yield session
    }
  }

  #lotsOf({ own, friends, isPublic }: Ladder): readonly Lot[] {
    return isPublic ? [this.#public] : [own, ...friends].map((projectId) => this.#lotOf(projectId))
  }

  #lotOf(projectId: ProjectId): Lot {
    const lot = this.#byProject.get(projectId) ?? openLot()
    this.#byProject.set(projectId, lot)
    return lot
  }
}

const none: ReadonlySet<Session> = new Set()
