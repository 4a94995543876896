// What pond remembers of a binding's polls, all of which may be forgotten at a restart, and what it makes of them: who is online, who is deaf.
import type { BindingId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { PollBody, PollReply } from '../../src/protocol/orch.ts'
import { type Hearing, hear, isDeaf, isHearing } from '../../src/state/hearing.ts'
import type { BindingToken } from '../store/row.ts'
import type { World } from './parts.ts'
import type { Told } from './room.ts'

export interface PollCaller {
  readonly bindingId: BindingId
  readonly projectId: ProjectId
}

/** A binding and the token that it polls with. */
export interface Poller extends PollCaller {
  readonly token: BindingToken
}

/** A poll and who asked it. */
export interface Asked extends Told {
  readonly caller: Poller
}

/** A poll that waits. There may be ten thousand of them, so each holds little. */
export class Parked implements Asked {
  readonly caller: Poller
  readonly body: PollBody
  readonly have: Told['have']
  readonly filling: Told['filling']
  /** When its hold is over, by the monotonic clock. */
  readonly until: number
  #reply: PollReply | undefined
  #send: ((reply: PollReply) => void) | undefined

  constructor({ caller, body, have, filling }: Asked, until: number) {
    this.caller = caller
    this.body = body
    this.have = have
    this.filling = filling
    this.until = until
  }

  answer(reply: PollReply): void {
    if (this.#send) this.#send(reply)
    else this.#reply = reply
    this.#send = undefined
  }

  /** Calls back once, at once if it was answered meanwhile. */
  listen(send: (reply: PollReply) => void): void {
    if (this.#reply) send(this.#reply)
    else this.#send = send
  }
}

export interface Session {
  readonly session: string
  seq: number
  parked?: Parked
  /** Its latest poll. */
  latest?: Asked
  /** When a poll last came or ended. */
  contactAt: number
  hearing?: Hearing
  /** When each of its latest polls was answered. */
  answered: readonly Answer[]
  /** When a poll of the binding was last heard to be completed, by the wall clock. */
  lastPollAt?: number
  /** When each directive was last told, and in the reply to which poll, by its type and claim or worker. */
  told?: Map<string, { readonly at: number; readonly seq: number }>
  /** When it was last asked to rotate. */
  rotationTold?: number
}

interface Answer {
  readonly seq: number
  readonly at: number
}

/** From here on a poll says what its swarm heard. */
const HEARING_STEP = 3
/** A session that is not known to hear gets a reply so soon, for only that can show it. A job that waits is in it all the same. */
const UNHEARD_HOLD_MS = 500
/** Replies that may be on their way to one session, and those it never got. */
const ANSWERS_MOST = 16
/** How much later the next swarm comes back, where all of them do at once. */
const RETURN_EACH_MS = 30
/** Of the hold: a return that takes longer is one that consumers notice. */
const RETURN_PART_MOST = 0.6

const withinMs = ({ settings }: World) => settings.pollHoldMs + limit.pollGraceMs

/** A reply to the session goes out. Of the same poll the first counts: nobody knows which of them arrived. */
export function noteAnswer({ clock }: World, session: Session, seq: number): void {
  if (session.answered.some((answer) => answer.seq === seq)) return
  session.answered = [...session.answered.slice(1 - ANSWERS_MOST), { seq, at: clock.monotonic() }]
}

/** What a reply is told by in the next poll. A former life of pond may have answered the same `seq`, and what the line brings twice this one answers too. */
export const receiptOf = (life: string, seq: number) => `${life}.${seq}`

/** The `seq` of the newest poll whose reply, by this life of pond, arrived. Undefined: its swarm cannot say. */
export function heardOf(life: string, { protocol, heard = '' }: PollBody): number | undefined {
  if (protocol < HEARING_STEP) return undefined
  const seq = Number(heard.slice(life.length + 1))
  return Number.isSafeInteger(seq) && heard === receiptOf(life, seq) ? seq : 0
}

interface Heard {
  readonly seq: number
  readonly heard: number | undefined
}

/** A poll of the session came that is not older than one before. */
export function hearPoll({ clock }: World, session: Session, { seq, heard }: Heard): void {
  const said = { seq, heard, answeredAt: session.answered.find((answer) => answer.seq === heard)?.at }
  const now = clock.monotonic()
  session.hearing = hear(session.hearing, said, now)
  if (session.hearing.toldAt === now) session.lastPollAt = clock.now()
  session.answered = session.answered.filter((answer) => answer.seq >= (heard ?? seq))
}

/** Whether the reply that told this worker its directive arrived. A swarm of a step that cannot say is believed once the worker offers nothing. */
export function hasHeard(
  { told }: Session,
  { workers }: PollBody,
  { key, workerId, heard }: { readonly key: string; readonly workerId: WorkerId; readonly heard: number | undefined },
): boolean {
  const { seq } = told?.get(key) ?? {}
  if (seq === undefined) return false
  if (heard !== undefined) return heard >= seq
  return workers.some(({ worker_id, free }) => worker_id === workerId && free.slots === 0)
}

/** Its latest poll waited for nothing, held nothing and offered nothing: it went in order, and comes back as another session. */
export function hasLeft({ latest }: Session): boolean {
  if (!latest) return false
  const { wait_ms, have, workers } = latest.body
  return wait_ms === 0 && have.length === 0 && workers.every(({ free }) => free.slots === 0)
}

/** Online: a poll was completed within hold and grace, and the next one is here or can still be on its way. */
export function isOnline(world: World, session: Session, returnMs: number): boolean {
  const { clock } = world
  if (hasLeft(session)) return false
  if (!session.hearing || !isHearing(session.hearing, clock.monotonic(), withinMs(world))) return false
  return session.parked !== undefined || clock.monotonic() - session.contactAt < limit.pollGraceMs + returnMs
}

/** What it is given now would not arrive, and come back to the queue unconfirmed. */
export function mayGrant(world: World, { hearing }: Session): boolean {
  return hearing === undefined || !isDeaf(hearing, world.clock.monotonic(), withinMs(world))
}

/**
 * How long to hold: what the swarm asks for, less while it holds claims, and never so long after the last completed poll that a swarm which hears would seem
 * to be gone.
 */
export function holdMsOf({ clock, settings }: World, { hearing }: Session, { wait_ms, have }: PollBody): number {
  const { pollHoldMs, pollHoldBusyMs } = settings
  const askedMs = Math.min(wait_ms, have.length > 0 ? pollHoldBusyMs : pollHoldMs)
  const leftMs = (hearing?.completedAt ?? Number.NEGATIVE_INFINITY) + pollHoldMs - clock.monotonic()
  return Math.min(askedMs, Math.max(UNHEARD_HOLD_MS, leftMs))
}

/**
 * Over how long so many swarms should spread their return; each then comes with two polls, the second of which shows that it hears. Who holds claims has time
 * to be back within its lease.
 */
export function returnMsOf({ settings }: Pick<World, 'settings'>, swarms: number): number {
  const { leaseMs, pollHoldMs } = settings
  return Math.floor(Math.min(swarms * RETURN_EACH_MS, pollHoldMs * RETURN_PART_MOST, leaseMs / 2))
}
