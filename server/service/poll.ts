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
import { hearDrains } from './drain.ts'
import { intentsFor, retell } from './intent.ts'
import { recallDead, renewClaims } from './lease.ts'
import { Offers } from './offer.ts'
import { levelOf, Parking } from './parking.ts'
import { type Told, takerOf, tell } from './room.ts'
import {
  hasHeard,
  hasLeft,
  heardOf,
  hearPoll,
  holdMsOf,
  isOnline,
  noteAnswer,
  type Parked,
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
  readonly offers: Offers

  constructor(core: Core) {
    this.#core = core
    this.#life = `life_${core.random.bytes(8).toString('base64url')}`
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

  /** Answers a poll: at once if there is something to say, else when there is, when a newer one comes, or after its hold. */
  async poll(caller: Poller, body: PollBody, signal: AbortSignal): Promise<PollReply> {
    if (body.protocol < OLDEST_PROTOCOL || body.protocol > PROTOCOL) {
      throw new Refusal('upgrade_required', `protocol ${body.protocol} is not spoken here`, {
        protocol: PROTOCOL,
        oldest: OLDEST_PROTOCOL,
      })
    }
    this.#checkWorkers(caller, body)
    const session = await this.#enter(caller, body)
    if (body.seq < session.seq) return this.#pass(session, body)
    session.seq = body.seq
    const heard = heardOf(this.#life, body)
    hearPoll(this.#core, session, { seq: body.seq, heard })
    this.#release(session, [], [])
    const told = tell(this.#core, body)
    // Meanwhile a newer poll, another session or the end of the binding may have taken its place.
    const isOver = () => this.#sessions.get(caller.bindingId) !== session || body.seq !== session.seq
    await renewClaims(this.#core, caller.bindingId, body.have)
    if (isOver()) return this.#pass(session, body)
    for (const { worker_id } of body.workers) this.#core.live.reconcile(worker_id, told.have)
    retell(this.#core, caller.bindingId, told)
    await recallDead(this.#core, caller.bindingId, body.have)
    const keyFor = (worker_id: WorkerId) => keyOf({ type: 'drain', worker_id })
    const isHeard = (workerId: WorkerId) => hasHeard(session, body, { key: keyFor(workerId), workerId, heard })
    await hearDrains(this.#core, caller.bindingId, { body, heard: isHeard })
    if (isOver() || signal.aborted) return this.#pass(session, body)
    return this.#park({ caller, told, session, signal })
  }

  /** Answers every parked poll; pond is stopping. Each is told a time of its own to come back, or all would come at once. */
  close(): void {
    const returnMs = this.#returnMs()
    for (const session of this.#sessions.values()) {
      const wait_ms = Math.round(this.#core.random.number() * returnMs)
      this.#release(session, [], [{ type: 'slow_down', wait_ms, note: 'pond is stopping' }])
    }
  }

  /** Such a directive says another thing now: whoever heard the former has not heard it. */
  tellAnew(bindingId: BindingId, directive: Pick<Directive, 'type' | 'worker_id'>): void {
    this.#sessions.get(bindingId)?.told.delete(keyOf(directive))
    this.#settle(bindingId)
  }

  /** A binding was revoked: its poll is answered, its session forgotten. */
  forget(bindingId: BindingId): void {
    const session = this.#sessions.get(bindingId)
    if (session) this.#release(session, [], [])
    this.#sessions.delete(bindingId)
  }

  async #enter(caller: PollCaller, body: PollBody): Promise<Session> {
    const now = this.#core.clock.monotonic()
    const known = this.#sessions.get(caller.bindingId)
    if (known && known.session !== body.session && known.parked) {
      await this.#core.store.write((tx) =>
        recordAudit(this.#core, tx, {
          by: `binding:${caller.bindingId}`,
          action: 'poll.session_conflict',
          target: caller.bindingId,
        }),
      )
      throw new Refusal('session_conflict', 'another session of this binding has a poll open', {})
    }
    if (known && known.session === body.session) {
      known.contactAt = now
      return known
    }
    const former = known?.lastPollAt === undefined ? {} : { lastPollAt: known.lastPollAt }
    const fresh: Session = {
      session: body.session,
      seq: 0,
      contactAt: now,
      answered: new Map(),
      told: new Map(),
      ...former,
    }
    this.#sessions.set(caller.bindingId, fresh)
    return fresh
  }

  /** A poll that names a worker of another binding is refused before anything of it is heard. */
  #checkWorkers(caller: PollCaller, body: PollBody): void {
    for (const [index, { worker_id }] of body.workers.entries()) {
      if (this.#core.fleet.get(worker_id)?.bindingId === caller.bindingId) continue
      throw new Refusal('invalid_field', 'this binding has no such worker', { field: `workers.${index}.worker_id` })
    }
  }

  #park(poll: { caller: Poller; told: Told; session: Session; signal: AbortSignal }): Promise<PollReply> {
    const { caller, told, session, signal } = poll
    const { promise, resolve } = deferred<PollReply>()
    const over = () => {
      if (session.parked === parked) this.#release(session, [], [])
    }
    const gone = () => {
      const { contactAt } = session
      over()
      // Its caller was gone before it ended.
      session.contactAt = contactAt
    }
    const parked: Parked = {
      ...told,
      caller,
      cancelTimer: this.#core.clock.after(holdMsOf(this.#core, session, told.body), over),
      answer: (reply) => {
        parked.cancelTimer()
        signal.removeEventListener('abort', gone)
        resolve(reply)
      },
    }
    signal.addEventListener('abort', gone, { once: true })
    // The same poll once more, when the first was still being heard: only one can be answered with what comes.
    this.#release(session, [], [])
    session.parked = parked
    session.latest = parked
    const ladder = this.#core.ladders.of(caller)
    const slots = told.body.workers.reduce((sum, { free }) => sum + free.slots, 0)
    const claims = this.#core.live.ofBinding(caller.bindingId).size
    this.#parking.add(session, { ladder, level: levelOf(claims, claims + slots) })
    this.#settle(caller.bindingId)
    if (session.parked === parked && this.#core.choice.hasAny(ladder)) this.offers.wake(session)
    return promise
  }

  /** Answers the binding's poll if there are intents for it or directives that it has not just been told. */
  #settle(bindingId: BindingId): void {
    const session = this.#sessions.get(bindingId)
    const parked = session?.parked
    if (!session || !parked) return
    const intents = intentsFor(this.#core, parked.caller.bindingId, parked)
    const directives = directivesFor(this.#core, bindingId, parked)
    const now = this.#core.clock.now()
    const due = directives.map((it) => (session.told.get(keyOf(it))?.at ?? Number.NEGATIVE_INFINITY) + REPEAT_MS)
    const rotates = isRotationDue(this.#core, parked.caller.token)
    const rotationAt = rotates
      ? (session.rotationTold ?? Number.NEGATIVE_INFINITY) + ROTATE_REPEAT_MS
      : Number.POSITIVE_INFINITY
    if (intents.length > 0 || rotationAt <= now || due.some((at) => at <= now)) {
      if (rotates) session.rotationTold = now
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
    } else if (session.told.size > 0) session.told.clear()
  }

  #release(session: Session, intents: readonly Intent[], directives: readonly Directive[]): void {
    const parked = session.parked
    if (!parked) return
    delete session.parked
    session.contactAt = this.#core.clock.monotonic()
    noteAnswer(this.#core, session, parked.body.seq)
    this.#parking.delete(session)
    parked.answer(this.#reply(parked.body.seq, intents, directives))
  }

  /** Another poll is the session's now: this one is told nothing. */
  #pass(session: Session, { seq }: PollBody): PollReply {
    noteAnswer(this.#core, session, seq)
    return this.#reply(seq, [], [])
  }

  #reply(seq: number, intents: readonly Intent[], directives: readonly Directive[]): PollReply {
    const limits = { ...limitsOf(this.#core.settings.pollHoldMs), return_ms: this.#returnMs() }
    const receipt = receiptOf(this.#life, seq)
    return { protocol: PROTOCOL, intents: [...intents], directives: [...directives], limits, receipt }
  }
}

export function limitsOf(pollHoldMs: number): Limits {
  return { chunk_bytes: limit.chunkBytes, poll_hold_ms: pollHoldMs, words_per_call: limit.wordsPerCall }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
