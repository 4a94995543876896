// Offers: what waits meets who has room. Which polls are looked at, in which order, and what each of them gets, in a write of its own or in the one that made
// room or brought the job.
import type { BindingId, ClaimId, ProjectId } from '../../src/protocol/id.ts'
import { lackOf } from '../../src/state/match.ts'
import { fill, hold } from '../../src/state/room.ts'
import type { Taken, Taker } from './choice.ts'
import { type FreshJob, type Opening, writeClaims } from './claim.ts'
import type { Core } from './core.ts'
import { keyForWords } from './intent.ts'
import { readNeeds, waitingOf } from './line.ts'
import type { Parking } from './parking.ts'
import { takerOf } from './room.ts'
import { type Asked, mayGrant, type Session } from './session.ts'

interface OfferParts {
  readonly core: Core
  readonly parking: Parking
  readonly sessions: ReadonlyMap<BindingId, Session>
}

export class Offers {
  readonly #core: Core
  readonly #parking: Parking
  readonly #sessions: ReadonlyMap<BindingId, Session>
  /** Projects whose jobs may be claimed now, and bindings that may have room. */
  readonly #dirty = { projects: new Set<ProjectId>(), sessions: new Set<Session>() }
  #claiming = false

  constructor({ core, parking, sessions }: OfferParts) {
    this.#core = core
    this.#parking = parking
    this.#sessions = sessions
    core.wake.listen((projectId) => this.#wake(this.#dirty.projects, projectId))
    core.ready.listen((bindingId) => {
      const session = sessions.get(bindingId)
      if (session?.parked) this.wake(session)
    })
  }

  /** It has just parked: what waits may be for it. */
  wake(session: Session): void {
    this.#wake(this.#dirty.sessions, session)
  }

  /** Gathers wakes of one turn, so that many submits lead to one write of claims. */
  #wake<T>(dirty: Set<T>, one: T): void {
    dirty.add(one)
    if (this.#claiming) return
    this.#claiming = true
    void this.#claimAll()
  }

  async #claimAll(): Promise<void> {
    // The turn's other commits and polls come in before the first look.
    await Promise.resolve()
    const { projects, sessions } = this.#dirty
    while (projects.size > 0 || sessions.size > 0) {
      const woken: Woken = { projects: [...projects], sessions: [...sessions] }
      projects.clear()
      sessions.clear()
      await this.#claimFor(woken)
    }
    this.#claiming = false
  }

  async #claimFor(woken: Woken): Promise<void> {
    try {
      // A job that runs now would find no room for its output; the next poll looks again.
      if ((await this.#core.blobs.roomBytes()) <= 0) return
      if (!this.#canGive(woken)) return
      await writeClaims(this.#core, 'poll', (_, claim) => {
        const openings: Opening[] = []
        for (const { parked } of this.#wokenBy(woken)) if (parked) openings.push(...this.#openings(parked, {}))
        return claim(openings)
      })
    } catch (error) {
      this.#core.log.warn('claim.failed', { error: String(error) })
    }
  }

  *#wokenBy({ projects, sessions }: Woken): Generator<Session> {
    for (const session of sessions) if (session.parked && mayGrant(this.#core, session)) yield session
    for (const projectId of projects) {
      for (const session of this.#parking.of(projectId)) {
        if (!this.#core.choice.isOpen(projectId)) break
        if (mayGrant(this.#core, session)) yield session
      }
    }
  }

  /** False when there is nothing to write. */
  #canGive(woken: Woken): boolean {
    const { choice } = this.#core
    for (const { parked } of this.#wokenBy(woken)) {
      const found = parked?.body.workers.some(({ worker_id: workerId }) => {
        const taker = takerOf(this.#core, parked, { workerId, ended: none })
        return taker && choice.hasFor(taker)
      })
      if (found) return true
    }
    return false
  }

  /** Inside a write that ends claims of a binding: what their slots may have next, in the reply to it and in its parked poll. */
  freed({ bindingId, ended, refill }: Freed): Opening[] {
    const session = this.#sessions.get(bindingId)
    if (!session || !mayGrant(this.#core, session)) return []
    const asked = refill && session.latest
    const first = asked ? this.#openings(asked, { ended, claimKey: keyForWords(asked.body.session) }) : []
    return session.parked ? [...first, ...this.#openings(session.parked, { ended })] : first
  }

  /** Inside a write that inserts jobs: those that may be handed out at once, for nobody in the queue stands before them. */
  fresh(projectId: ProjectId, fresh: readonly FreshJob[]): Opening[] {
    const line = [...fresh].sort((one, other) => other.row.priority - one.row.priority)
    const openings: Opening[] = []
    for (const session of this.#parking.of(projectId, this.#near(line))) {
      if (line.length === 0) break
      if (session.parked && mayGrant(this.#core, session)) openings.push(...this.#openings(session.parked, { line }))
    }
    return openings
  }

  /** Bindings with a worker that has the bundle of the first job. */
  #near([first]: readonly FreshJob[]): ReadonlySet<Session> | undefined {
    const digest = first?.row.bundle?.digest
    if (digest === undefined) return undefined
    const { bundleSites, fleet } = this.#core
    const workers = [...bundleSites.of(digest)].flatMap((id) => fleet.get(id) ?? [])
    return new Set(workers.flatMap(({ bindingId }) => this.#sessions.get(bindingId) ?? []))
  }

  /** Takes jobs for each worker of the poll that has room. */
  #openings(asked: Asked, { ended = none, line, claimKey = asked.body.claim_key }: Taking): Opening[] {
    const { choice, fleet, ladders, live } = this.#core
    return asked.body.workers.flatMap(({ worker_id: workerId }) => {
      const worker = fleet.get(workerId)
      // Of a write that ends claims what they leave is counted anew, and mostly nothing waits.
      if (!worker || (ended.size > 0 && !choice.hasAny(ladders.of(worker)))) return []
      const taker = takerOf(this.#core, asked, { workerId, ended })
      if (!taker) return []
      // Whoever stands in the queue for this worker was there before.
      const isNext = !line || !choice.hasFor(taker)
      const taken = line ? (isNext ? this.#takeFresh(line, taker) : []) : choice.take(taker)
      for (const one of taken) live.expect(workerId, one)
      return taken.map((one) => ({ worker, claimKey, ...one }))
    })
  }

  /** Out of `line`, those that are for this worker, as far as it has room for them. */
  #takeFresh(line: FreshJob[], taker: Taker): (Taken & { readonly fresh: FreshJob })[] {
    const { choice } = this.#core
    let room = choice.spare(taker)
    let left = line[0] ? choice.mayStart(line[0].row.projectId, taker.ended) : 0
    const taken = line.flatMap((fresh) => {
      if (room.slots < 1 || left < 1) return []
      const needs = readNeeds(fresh.row.needs)
      const held = lackOf(needs, taker.means) ? undefined : hold(needs, room)
      if (!held) return []
      room = fill(room, held)
      left -= 1
      return [{ job: waitingOf(fresh.row), held, fresh }]
    })
    for (const { fresh } of taken) line.splice(line.indexOf(fresh), 1)
    return taken
  }
}

/** Who may get jobs now. */
interface Woken {
  /** All that would take theirs. */
  readonly projects: readonly ProjectId[]
  readonly sessions: readonly Session[]
}

interface Taking {
  /** Claims that the write under way ends: their slots are free already. */
  readonly ended?: ReadonlySet<ClaimId>
  /** Instead of the queue. */
  readonly line?: FreshJob[]
  readonly claimKey?: string
}

/** Claims that a write ends. */
interface Freed {
  readonly bindingId: BindingId
  readonly ended: ReadonlySet<ClaimId>
  /** Their slots may be filled in the reply to what it writes. */
  readonly refill: boolean
}

const none: ReadonlySet<ClaimId> = new Set()
