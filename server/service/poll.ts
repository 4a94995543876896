// Polls: parked until there is something to say, answered from facts, one per binding. What is said is computed anew for each reply, so a lost one loses nothing.

import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, WorkerId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Directive, Intent, Limits, PollBody, PollReply } from '../../src/protocol/orch.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import type { WorkerRow } from '../store/row.ts'
import { isRotationDue } from './access.ts'
import { recordAudit } from './audit.ts'
import type { Taker } from './choice.ts'
import type { Core } from './core.ts'
import { directivesFor, keyOf, rotation } from './directive.ts'
import { hearDrains, isAnyDrained } from './drain.ts'
import { Holds } from './hold.ts'
import { intentsFor, retell } from './intent.ts'
import { recallDead, renewClaims } from './lease.ts'
import { Offers } from './offer.ts'
import { levelOf, Parking } from './parking.ts'
import { takerOf, tell } from './room.ts'
import {
  type Asked,
  hasHeard,
  hasLeft,
  heardOf,
  hearPoll,
  holdMsOf,
  isOnline,
  noteAnswer,
  Parked,
  type PollCaller,
  type Poller,
  receiptOf,
  returnMsOf,
  type Session,
} from './session.ts'

/** A directive that was told is repeated only after this, so that a worker busy obeying it does not spin. */
const REPEAT_MS = 5000

/** One that asks for a rotation is repeated only after this: a worker that knows none would be answered by nothing else. */
const ROTATE_REPEAT_MS = 600_000

export class Polls {
  readonly #core: Core
  /** Tells its receipts from those of a former life. */
  readonly #life: string
  readonly #sessions = new Map<BindingId, Session>()
  readonly #parking = new Parking()
  readonly #holds: Holds<Parked>
  readonly offers: Offers
  #closing = false

  constructor(core: Core) {
    this.#core = core
    this.#life = `life_${core.random.bytes(8).toString('base64url')}`
    this.#holds = new Holds(core.clock, (parked) => this.#over(parked))
    this.offers = new Offers({ core, parking: this.#parking, sessions: this.#sessions })
    core.tell.listen((bindingId) => this.#settle(bindingId))
  }

  /** How many polls are parked now. */
  get size(): number {
    return this.#parking.size
  }

  /** When a poll was last completed, as far as its swarm said. */
  lastPollAt(bindingId: BindingId): number | undefined {
    return this.#sessions.get(bindingId)?.lastPollAt
  }

  isOnline(bindingId: BindingId): boolean {
    const session = this.#sessions.get(bindingId)
    return session !== undefined && isOnline(this.#core, session, this.#returnMs())
  }

  /** It said that it leaves. */
  hasLeft(bindingId: BindingId): boolean {
    const session = this.#sessions.get(bindingId)
    return session !== undefined && hasLeft(session)
  }

  /** A worker with what it has free by its latest poll; undefined: nothing. */
  takerNow({ id: workerId, bindingId }: WorkerRow): Taker | undefined {
    const latest = this.#sessions.get(bindingId)?.latest
    return latest && takerOf(this.#core, latest, { workerId, ended: new Set() })
  }

  /** The ladder of a binding is another now: its parked poll stands in the wrong place, and comes back. */
  replace(bindingId: BindingId): void {
    const session = this.#sessions.get(bindingId)
    if (session) this.#release(session, [], [])
  }

  #returnMs(): number {
    return returnMsOf(this.#core, this.#sessions.size)
  }

  /** Answers a poll at once if another took its place, else parks it until there is something to say, a newer one comes, or its hold is over. */
  async poll(caller: Poller, body: PollBody): Promise<PollReply | Parked> {
    if (body.protocol < OLDEST_PROTOCOL || body.protocol > PROTOCOL) {
      throw new Refusal('upgrade_required', `protocol ${body.protocol} is not spoken here`, {
        protocol: PROTOCOL,
        oldest: OLDEST_PROTOCOL,
      })
    }
    this.#checkWorkers(caller, body)
    const session = this.#enter(caller, body) ?? (await this.#refuseConflict(caller))
    if (body.seq < session.seq) return this.#pass(session, body)
    session.seq = body.seq
    const heard = heardOf(this.#life, body)
    hearPoll(this.#core, session, { seq: body.seq, heard })
    this.#release(session, [], [])
    const told = tell(this.#core, body)
    // What most polls are spared, for they hold nothing and nobody drains their workers.
    const isLong = body.have.length > 0 || isAnyDrained(this.#core, body)
    if (isLong && !(await this.#hear(caller, session, { body, heard }))) return this.#pass(session, body)
    for (const { worker_id } of body.workers) this.#core.live.reconcile(worker_id, told.have)
    retell(this.#core, caller.bindingId, told)
    return this.#park({ caller, ...told }, session)
  }

  /** Brings what is stored in line with what a poll says. False: meanwhile a newer poll, another session or the end of the binding took its place. */
  async #hear(
    { bindingId }: PollCaller,
    session: Session,
    { body, heard }: { readonly body: PollBody; readonly heard: number | undefined },
  ): Promise<boolean> {
    const isOver = () => this.#sessions.get(bindingId) !== session || body.seq !== session.seq
    await renewClaims(this.#core, bindingId, body.have)
    if (isOver()) return false
    await recallDead(this.#core, bindingId, body.have)
    const keyFor = (worker_id: WorkerId) => keyOf({ type: 'drain', worker_id })
    const isHeard = (workerId: WorkerId) => hasHeard(session, body, { key: keyFor(workerId), workerId, heard })
    await hearDrains(this.#core, bindingId, { body, heard: isHeard })
    return !isOver()
  }

  /** Answers every parked poll; pond is stopping. Each is told a time of its own to come back, or all would come at once. */
  close(): void {
    this.#closing = true
    for (const session of this.#sessions.values()) this.#dismiss(session)
  }

  #dismiss(session: Session): void {
    const wait_ms = Math.round(this.#core.random.number() * this.#returnMs())
    this.#release(session, [], [{ type: 'slow_down', wait_ms, note: 'pond is stopping' }])
  }

  /** Such a directive says another thing now: whoever heard the former has not heard it. */
  tellAnew(bindingId: BindingId, directive: Pick<Directive, 'type' | 'worker_id'>): void {
    this.#sessions.get(bindingId)?.told?.delete(keyOf(directive))
    this.#settle(bindingId)
  }

  /** A binding was revoked: its poll is answered, its session forgotten. */
  forget(bindingId: BindingId): void {
    const session = this.#sessions.get(bindingId)
    if (session) this.#release(session, [], [])
    this.#sessions.delete(bindingId)
  }

  /** Undefined: another session has a poll open. */
  #enter({ bindingId }: PollCaller, { session }: PollBody): Session | undefined {
    const now = this.#core.clock.monotonic()
    const known = this.#sessions.get(bindingId)
    if (known && known.session !== session && known.parked) return undefined
    if (known && known.session === session) {
      known.contactAt = now
      return known
    }
    const former = known?.lastPollAt === undefined ? {} : { lastPollAt: known.lastPollAt }
    const fresh: Session = { session, seq: 0, contactAt: now, answered: [], ...former }
    this.#sessions.set(bindingId, fresh)
    return fresh
  }

  async #refuseConflict({ bindingId }: PollCaller): Promise<never> {
    const facts = { by: `binding:${bindingId}`, action: 'poll.session_conflict', target: bindingId } as const
    await this.#core.store.write((tx) => recordAudit(this.#core, tx, facts))
    throw new Refusal('session_conflict', 'another session of this binding has a poll open', {})
  }

  /** A poll that names a worker of another binding is refused before anything of it is heard. */
  #checkWorkers(caller: PollCaller, body: PollBody): void {
    const { fleet } = this.#core
    const index = body.workers.findIndex(({ worker_id }) => fleet.get(worker_id)?.bindingId !== caller.bindingId)
    if (index < 0) return
    throw new Refusal('invalid_field', 'this binding has no such worker', { field: `workers.${index}.worker_id` })
  }

  #park(asked: Asked, session: Session): Parked {
    const { caller, body } = asked
    const holdMs = holdMsOf(this.#core, session, body)
    const parked = new Parked(asked, this.#holds.endOf(holdMs, this.#core.random))
    // The same poll once more, when the first was still being heard: only one can be answered with what comes.
    this.#release(session, [], [])
    session.parked = parked
    session.latest = parked
    this.#holds.add(parked)
    const ladder = this.#core.ladders.of(caller)
    const slots = body.workers.reduce((sum, { free }) => sum + free.slots, 0)
    const claims = this.#core.live.ofBinding(caller.bindingId).size
    this.#parking.add(session, { ladder, level: levelOf(claims, claims + slots) })
    this.#settle(caller.bindingId)
    if (this.#closing) this.#dismiss(session)
    if (session.parked === parked && this.#core.choice.hasAny(ladder)) this.offers.wake(session)
    return parked
  }

  /** Its hold is over. */
  #over(parked: Parked): void {
    const session = this.#sessions.get(parked.caller.bindingId)
    if (session?.parked === parked) this.#release(session, [], [])
  }

  /** Its caller was gone before it ended. */
  leave(parked: Parked): void {
    const session = this.#sessions.get(parked.caller.bindingId)
    if (session?.parked !== parked) return
    const { contactAt } = session
    this.#release(session, [], [])
    session.contactAt = contactAt
  }

  /** Answers the binding's poll if there are intents for it or directives that it has not just been told. */
  #settle(bindingId: BindingId): void {
    const session = this.#sessions.get(bindingId)
    const parked = session?.parked
    if (!session || !parked) return
    const intents = intentsFor(this.#core, parked.caller.bindingId, parked)
    const directives = directivesFor(this.#core, bindingId, parked)
    const now = this.#core.clock.now()
    const due = directives.map((it) => (session.told?.get(keyOf(it))?.at ?? Number.NEGATIVE_INFINITY) + REPEAT_MS)
    const rotates = isRotationDue(this.#core, parked.caller.token)
    const rotationAt = rotates
      ? (session.rotationTold ?? Number.NEGATIVE_INFINITY) + ROTATE_REPEAT_MS
      : Number.POSITIVE_INFINITY
    if (intents.length > 0 || rotationAt <= now || due.some((at) => at <= now)) {
      if (rotates) session.rotationTold = now
      session.told ??= new Map()
      for (const it of directives) {
        // The worker may not know of a claim that it has neither named nor confirmed; its next poll is told at once.
        const claim = it.claim_id
        if (!claim || parked.have.has(claim) || this.#core.live.get(claim)?.lease !== 'granted')
          session.told.set(keyOf(it), { at: now, seq: parked.body.seq })
      }
      this.#release(session, intents, rotates ? [...directives, rotation] : directives)
    } else if (directives.length > 0) {
      this.#core.clock.after(Math.min(...due) - now, () => {
        if (session.parked === parked) this.#settle(bindingId)
      })
    } else delete session.told
  }

  #release(session: Session, intents: readonly Intent[], directives: readonly Directive[]): void {
    const parked = session.parked
    if (!parked) return
    delete session.parked
    session.contactAt = this.#core.clock.monotonic()
    noteAnswer(this.#core, session, parked.body.seq)
    this.#parking.delete(session)
    this.#holds.delete(parked)
    parked.answer(this.#reply(parked.body.seq, intents, directives))
  }

  /** Another poll is the session's now: this one is told nothing. */
  #pass(session: Session, { seq }: PollBody): PollReply {
    noteAnswer(this.#core, session, seq)
    return this.#reply(seq, [], [])
  }

  #reply(seq: number, intents: readonly Intent[], directives: readonly Directive[]): PollReply {
    const limits = { return_ms: this.#returnMs(), ...limitsOf(this.#core.settings.pollHoldMs) }
    const receipt = receiptOf(this.#life, seq)
    return { protocol: PROTOCOL, intents: [...intents], directives: [...directives], limits, receipt }
  }
}

export function limitsOf(pollHoldMs: number): Limits {
  return { chunk_bytes: limit.chunkBytes, poll_hold_ms: pollHoldMs, words_per_call: limit.wordsPerCall }
}
