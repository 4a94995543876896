// The poll loop: the one way in which pond reaches this machine, and the heartbeat that keeps its claims alive.
import type { Answer, CallError, Client } from '../client/contract.ts'
import { limit, retryWait } from '../protocol/limit.ts'
import type { PollBody, PollReply } from '../protocol/orch.ts'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { jitter, type Random } from '../system/random.ts'
import { createBell } from './bell.ts'
import type { Have } from './claim.ts'
import type { Dialect } from './dialect.ts'
import { adaptHold, type HoldEnd, wholeHold } from './hold.ts'

/*
 * A poll is never aborted, except when swarm ends. When local facts change, a newer one is sent beside it, and pond answers the older one empty. At most
 * two are under way, so changes gather while pond is busy: the faster jobs come and go, the more of them one poll tells.
 */
const POLLS_MOST = 2

/** After so many holds without any reply it is the connections that are dead, or the address behind pond's name another. */
const MISSED_BEFORE_RENEW = 3

/** From this step on a poll says which replies arrived. */
const HEARD_STEP = 3

/** A directive that takes its time is repeated at once in every reply; without a pause each would call for the next poll. */
const EARLY_MS = 500

/** Of a lease: a pond that is back listens for one lease, and who holds claims must be heard in it. The rest is for the way. */
const LEASE_SHARE = 2 / 3
/** The same while pond may be there and only the way to it broken: then the lease runs on, and a minute without a line must cost no job. */
const FRESH_SHARE = 1 / 10

/** Nothing is polled between a sleep and the look at the rules that follows it; should that look never end, polls go on. */
const WAKING_MS = 2000

/** What was given is started first: to poll at once would take the time of this swarm, and of a pond beside it, that the start of a process takes. */
const STARTING_MOST_MS = 10

/** A pond that asks for less would be polled without a pause. */
const POND_HOLD_LEAST_MS = 1000

export interface PollFacts {
  /** What is free, by worker. */
  readonly workers: PollBody['workers']
  readonly have: readonly Have[]
  /** False: pond answers at once. */
  readonly hold: boolean
  /** Slots that come free may be filled without another poll. */
  readonly refill: boolean
}

export type PollEnd = { readonly reason: 'unauthenticated' | 'upgrade_required'; readonly message: string } | undefined

export interface Poll {
  /** Polls until `signal` aborts (then the end is undefined) or pond refuses this swarm. */
  run(signal: AbortSignal): Promise<PollEnd>
  /** Local facts changed: tell pond. */
  changed(): void
  /** `seq` of the latest poll. */
  latestSeq(): number
  /** No poll below this `seq` is under way. */
  oldestSeq(): number
  /** Tells pond the facts of now; resolves when it has heard them, or could not be reached. */
  tell(): Promise<void>
  pulse(): Pulse
  /** The machine slept: what is under way is history, and its answers are not used. The same claim key brings the same intents again. */
  forget(): void
  /** Polls at once, whatever there was to wait for. */
  readonly woke: () => void
}

/** How the loop fares: what health, watchdog and status go by. Times are monotonic. */
export interface Pulse {
  /** Of the latest answer. */
  readonly answeredAt?: number
  /** Until then each poll that is under way is over, answered or not, and each wait. A loop that has not begun waits for its token, for as long as it takes. */
  readonly turnsBy: number
  /** Holds in a row that ended without any reply. */
  readonly missed: number
  /** The longest that pond may hold a poll, as it last said. */
  readonly pondHoldMs: number
  /** The longest that it is asked to: less where something between cuts or forgets earlier. */
  readonly holdMs: number
}

export interface PollParts {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly dialect: Dialect
  readonly session: string
  readonly facts: () => PollFacts
  /** Resolves once what was given has begun, or will not. */
  readonly take: (reply: PollReply) => Promise<unknown>
  /** Leaves all connections and makes new ones. */
  readonly renew: () => void
}

export function createPoll(parts: PollParts): Poll {
  return new PollLoop(parts)
}

class PollLoop implements Poll {
  readonly #parts: PollParts
  readonly #bell = createBell()
  readonly #underWay = new Set<number>()
  #seq = 0
  /** What the latest reply gave has not begun. */
  #starting = false
  #claimKey: string
  #dirty = true
  #failures = 0
  #notBefore = 0
  /** Until then only a change of facts makes a poll. */
  #restUntil = 0
  #answeredAt: number | undefined
  #turnsBy = Number.POSITIVE_INFINITY
  #pondHoldMs: number = limit.pollHoldMs
  #hold = wholeHold
  #missed = 0
  /** Of the newest poll whose reply arrived. */
  #heard: { readonly seq: number; readonly receipt: string | undefined } = { seq: 0, receipt: undefined }
  /** Over how long pond wants its swarms to come back. */
  #returnMs = 0
  #leaseMs: number = limit.leaseMs
  #end: PollEnd
  #tellers: { readonly seq: number; readonly resolve: () => void }[] = []

  constructor(parts: PollParts) {
    this.#parts = parts
    this.#claimKey = newKey(parts.random)
  }

  async run(signal: AbortSignal): Promise<PollEnd> {
    const { clock } = this.#parts
    this.#turnsBy = clock.monotonic()
    signal.addEventListener('abort', this.#bell.ring, { once: true })
    while (!signal.aborted && !this.#end) {
      const waitMs = Math.max(this.#notBefore, this.#dirty ? 0 : this.#restUntil) - clock.monotonic()
      const wanted = this.#underWay.size === 0 || (this.#dirty && this.#underWay.size < POLLS_MOST)
      if (!wanted || this.#starting) await this.#bell.wait()
      else if (waitMs > 0) await this.#bell.waitAtMost(clock, waitMs)
      else void this.#send(signal)
    }
    signal.removeEventListener('abort', this.#bell.ring)
    return this.#end
  }

  changed(): void {
    this.#dirty = true
    this.#bell.ring()
  }

  latestSeq(): number {
    return this.#seq
  }

  oldestSeq(): number {
    return Math.min(this.#seq + 1, ...this.#underWay)
  }

  tell(): Promise<void> {
    const seq = this.#seq + 1
    this.changed()
    return new Promise((resolve) => this.#tellers.push({ seq, resolve }))
  }

  pulse(): Pulse {
    return {
      turnsBy: this.#turnsBy,
      missed: this.#missed,
      pondHoldMs: this.#pondHoldMs,
      holdMs: Math.min(this.#pondHoldMs, this.#hold.mostMs),
      ...(this.#answeredAt !== undefined && { answeredAt: this.#answeredAt }),
    }
  }

  forget(): void {
    this.#underWay.clear()
    this.#notBefore = Math.max(this.#notBefore, this.#parts.clock.monotonic() + WAKING_MS)
  }

  readonly woke = (): void => {
    this.#starting = false
    this.#notBefore = 0
    this.#restUntil = 0
    this.#failures = 0
    this.#missed = 0
    this.changed()
  }

  async #send(signal: AbortSignal): Promise<void> {
    const { client, clock, dialect, facts, session } = this.#parts
    const seq = ++this.#seq
    const claim_key = this.#claimKey
    this.#dirty = false
    this.#underWay.add(seq)
    const { workers, have, hold, refill } = facts()
    const { receipt } = this.#heard
    const mostMs = Math.min(
      this.#pondHoldMs,
      this.#hold.mostMs,
      have.length > 0 ? limit.pollHoldBusyMs : limit.pollHoldMs,
    )
    const wait_ms = hold ? mostMs : 0
    const deadlineMs = wait_ms + limit.pollGraceMs
    const sentAt = clock.monotonic()
    this.#turnsBy = Math.max(this.#turnsBy, sentAt + deadlineMs)
    const answer = await client.call('poll', {
      deadlineMs,
      signal,
      body: {
        protocol: dialect.protocol(),
        session,
        seq,
        claim_key,
        wait_ms,
        workers,
        have: have.slice(0, limit.havePerPoll),
        ...(dialect.speaks(HEARD_STEP) && receipt !== undefined && { heard: receipt }),
        ...(refill && { refill }),
      },
    })
    if (!this.#underWay.has(seq)) return
    const ageMs = clock.monotonic() - sentAt
    if (!signal.aborted) this.#adapt(answer, { seq, waitMs: wait_ms, ageMs })
    if (answer.ok) {
      if (seq > this.#heard.seq) this.#heard = { seq, receipt: answer.reply.receipt }
      this.#settle(answer.reply, claim_key)
      if (seq === this.#seq && ageMs < EARLY_MS) this.#restUntil = sentAt + EARLY_MS
    } else this.#settleError(answer.error)
    this.#underWay.delete(seq)
    for (const teller of this.#tellers) if (teller.seq <= seq) teller.resolve()
    this.#tellers = this.#tellers.filter((teller) => teller.seq > seq)
    this.#bell.ring()
  }

  /** What a poll's end tells of the line. An older one beside a newer tells the same twice, so only the newest counts. */
  #adapt(answer: Answer<'poll'>, { seq, waitMs, ageMs }: Sent): void {
    const { log, renew } = this.#parts
    const end = endOf(answer, { waitMs, ageMs })
    if (answer.ok || answer.error.status !== undefined) this.#missed = 0
    if (!end || (end.type === 'silent' && seq !== this.#seq)) return
    const beforeMs = this.#hold.mostMs
    this.#hold = adaptHold(this.#hold, end)
    if (this.#hold.mostMs !== beforeMs) log.info('hold_adapted', { hold_ms: this.#hold.mostMs, by: end.type })
    if (end.type !== 'silent' || ++this.#missed % MISSED_BEFORE_RENEW !== 0) return
    log.warn('client_rebuilt', { missed_holds: this.#missed })
    renew()
  }

  #settle(reply: PollReply, claimKey: string): void {
    const { clock, dialect, facts, random, take } = this.#parts
    this.#failures = 0
    dialect.learned(reply.protocol)
    this.#answeredAt = clock.monotonic()
    this.#pondHoldMs = Math.min(limit.pollHoldMs, Math.max(POND_HOLD_LEAST_MS, reply.limits.poll_hold_ms))
    this.#returnMs = Math.min(limit.pollHoldMs, Math.max(0, reply.limits.return_ms ?? 0))
    for (const { lease_ms } of reply.intents) this.#leaseMs = lease_ms
    if (reply.intents.length > 0) {
      // The old key would bring the same intents again; the reply to another poll may have retired it already.
      if (claimKey === this.#claimKey) this.#claimKey = newKey(random)
    }
    const begun = take(reply)
    if (reply.intents.length > 0) void this.#letBegin(begun)
    // Where no slot is free and none may be filled later, the next poll may wait until that changes, or until the rest is over.
    if (reply.intents.length > 0 && mayGetMore(facts())) this.#dirty = true
    for (const { type, wait_ms = retryWait.baseMs } of reply.directives)
      if (type === 'slow_down') this.#waitAtLeast(wait_ms)
  }

  async #letBegin(begun: Promise<unknown>): Promise<void> {
    const { clock } = this.#parts
    this.#starting = true
    this.#turnsBy = Math.max(this.#turnsBy, clock.monotonic() + STARTING_MOST_MS)
    await new Promise<void>((resolve) => {
      const cancel = clock.after(STARTING_MOST_MS, resolve)
      void begun.then(cancel).then(resolve)
    })
    this.#starting = false
    this.#bell.ring()
  }

  #settleError({ code, message, details, retry, retryAfterMs = 0 }: CallError): void {
    const { dialect, log, random } = this.#parts
    if (dialect.stepDown({ code, details })) {
      log.warn('stepped_down', { protocol: dialect.protocol(), message })
      this.#dirty = true
      return
    }
    if (code === 'unauthenticated' || code === 'upgrade_required') {
      this.#end ??= { reason: code, message }
      return
    }
    // A refusal that will not mend by itself must not turn into a storm either.
    const wait = { ...retryWait, leastMs: this.#returnMs, mostMs: this.#mostWaitMs() }
    const waitMs = retryAfterMs + jitter(random, this.#failures++, wait)
    this.#waitAtLeast(waitMs)
    log.warn('poll_failed', { code, message, retry, wait_ms: Math.round(waitMs) })
  }

  #mostWaitMs(): number {
    const { clock, facts } = this.#parts
    if (facts().have.length === 0) return retryWait.mostMs
    const isFresh = this.#answeredAt !== undefined && clock.monotonic() - this.#answeredAt < this.#leaseMs
    return Math.min(retryWait.mostMs, this.#leaseMs * (isFresh ? FRESH_SHARE : LEASE_SHARE))
  }

  #waitAtLeast(waitMs: number): void {
    this.#notBefore = Math.max(this.#notBefore, this.#parts.clock.monotonic() + waitMs)
    this.#turnsBy = Math.max(this.#turnsBy, this.#notBefore)
  }
}

interface Sent {
  readonly seq: number
  readonly waitMs: number
  readonly ageMs: number
}

/** Gateways say so when what they held for too long did not come. */
const CUT_STATUS: readonly (number | undefined)[] = [502, 504]

/** Pond counts from its former reply, so a whole hold ends sooner by what the next poll took to come: the way, and the rest before it. */
const WHOLE_PART = 0.98

/** Undefined where the line tells nothing of how long it may be quiet: there was none, or pond refused. */
function endOf(answer: Answer<'poll'>, { waitMs, ageMs }: Omit<Sent, 'seq'>): HoldEnd | undefined {
  if (answer.ok) return waitMs > 0 && ageMs >= WHOLE_PART * waitMs ? { type: 'whole', waitMs } : { type: 'early' }
  const { code, loss, status } = answer.error
  if (loss === 'silent') return { type: 'silent', waitMs }
  const isCut = loss === 'cut' || code === 'undecodable' || CUT_STATUS.includes(status)
  return isCut && ageMs < waitMs ? { type: 'cut', ageMs } : undefined
}

const mayGetMore = ({ workers, refill }: PollFacts) => refill || workers.some(({ free }) => free.slots > 0)

const newKey = (random: Random) => random.bytes(16).toString('base64url')
