// createSwarm: the whole orchestrator without a socket, a signal handler or a clock of its own. Everything of the world is a part.
import type { WorkerId } from '../protocol/id.ts'
import { limit } from '../protocol/limit.ts'
import type { Intent, PollReply, SnapshotBody } from '../protocol/orch.ts'
import { sleep } from '../system/clock.ts'
import { createWake, type Wake } from '../system/wake.ts'
import { refuse, type Unwilling } from './admission.ts'
import { type Attempt, createAttempt } from './attempt.ts'
import { createBell } from './bell.ts'
import { findWorker } from './binding.ts'
import type { ClaimParts, HeldClaim } from './claim.ts'
import type { RunEnd, Swarm, SwarmParts } from './contract.ts'
import { createDialect } from './dialect.ts'
import { createDiskOffer, type DiskOffer } from './disk-offer.ts'
import { createDrain, type Drain } from './drain.ts'
import { createFreed, type Freed } from './freed.ts'
import { createGate, type Gate } from './gate.ts'
import { healthOf, type SwarmHealth } from './health.ts'
import { Holding } from './holding.ts'
import { type Journal, openJournal } from './journal.ts'
import { systemKeyPair } from './key.ts'
import type { LastWordEnd } from './last-word.ts'
import { Over } from './over.ts'
import { createPoll, type Poll, type PollFacts } from './poll.ts'
import { createRecovered, type Recovered, sweep } from './recover.ts'
import { createRenewal, type Renewal } from './renewal.ts'
import type { Rotated } from './rotation.ts'
import { createSlotGroups, natureOf, resourcesOf, type SlotGroups } from './slot-group.ts'
import { createSnapshot, type Snapshot } from './snapshot.ts'
import { attestWords } from './statement.ts'
import type { SwarmState, SwarmStatus } from './status.ts'
import { createSupplier, type Supplier } from './supplier.ts'
import { lookingFirst, watchSleep } from './waking.ts'
import { createWords } from './words.ts'

export type { Host, RunEnd, Swarm, SwarmOptions, SwarmParts } from './contract.ts'
export { serveControl } from './control.ts'
export { type Binding, type BoundWorker, type Home, type KeyPair, type KeySet, openHome } from './home.ts'
export { type MakeKeyPair, systemKeyPair } from './key.ts'
export { createLiveBinding, type LiveBinding, openLiveBinding } from './live-binding.ts'
export { PairError, type PairParts, type PairRequest, pair } from './pair.ts'

export function createSwarm(parts: SwarmParts): Swarm {
  const wake = createWake(parts.clock)
  return new OneSwarm(lookingFirst(parts, wake), wake)
}

/** What pond does not hear in this time after a kill, the next run tells it. */
const KILLED_MS = 5000
/** The longest that an end waits for pond to hear of it. */
const FAREWELL_MS = 5000

class OneSwarm implements Swarm {
  readonly #parts: SwarmParts
  readonly #wake: Wake
  readonly #session: string
  readonly #ending = new AbortController()
  readonly #bell = createBell()
  readonly #dialect = createDialect()
  readonly #groups: SlotGroups
  readonly #holding: Holding
  readonly #runs = new Set<Promise<void>>()
  readonly #over = new Over()
  readonly #freed: Freed
  readonly #gate: Gate
  readonly #drain: Drain
  readonly #diskOffer: DiskOffer
  readonly #poll: Poll
  readonly #snapshot: Snapshot
  readonly #renewal: Renewal
  readonly #supplier: Supplier
  readonly #unknownDirectives = new Set<string>()
  /** Resolves when pond had its time to hear of a kill. */
  readonly #killed: Promise<undefined>
  #giveUp: () => void = () => {}
  #kill = false
  #claimParts: ClaimParts | undefined
  #spoken = 0
  #state: 'starting' | 'ready' | 'ended' = 'starting'

  constructor(parts: SwarmParts, wake: Wake) {
    const { clock, random, log, binding: live, options, makeKeyPair = systemKeyPair, renew = () => {} } = parts
    const { signal } = this.#ending
    this.#renewal = createRenewal({ client: parts.client, clock, random, log, live, makeKeyPair, signal })
    const { client } = this.#renewal
    this.#parts = { ...parts, client }
    this.#wake = wake
    this.#session = random.bytes(16).toString('base64url')
    this.#killed = new Promise((resolve) => {
      this.#giveUp = () => resolve(undefined)
    })
    const changed = () => this.#changed()
    this.#freed = createFreed({ clock, tell: changed })
    const moved = () => (this.#mayRefill() ? this.#freed.slot() : changed())
    this.#holding = new Holding(() => live.now().workers[0].worker_id)
    const stop = (worker: WorkerId) => this.#holding.stop('drained', worker)
    this.#groups = createSlotGroups({ binding: live.now, first: resourcesOf(parts), moved, clock, stop })
    this.#drain = createDrain({ clock, log, options, changed, stopAll: () => this.#holding.stop('drained') })
    const look = () => this.#look()
    this.#snapshot = createSnapshot({ client, clock, log, session: this.#session, look, alone: live.alone })
    this.#supplier = createSupplier(this.#parts)
    this.#gate = createGate(parts, { shrink: () => this.#supplier.shrink(), changed })
    this.#diskOffer = createDiskOffer({ most: parts.host.diskBytes, gate: this.#gate, holding: this.#holding })
    this.#poll = createPoll({
      client,
      clock,
      random,
      log,
      dialect: this.#dialect,
      session: this.#session,
      facts: () => this.#facts(),
      take: (reply) => this.#take(reply),
      renew,
    })
  }

  async run(): Promise<RunEnd> {
    const { clock, executor, log, home, binding, renew = () => {} } = this.#parts
    const { signal } = this.#ending
    const { journal, held } = await this.#recover()
    await this.#gate.open().catch(async (error: unknown) => {
      await Promise.all([journal.close(), executor.close()])
      throw error
    })
    for (const claim of held) this.#hold(claim, claim.run())
    this.#state = 'ready'
    const unwatch = watchSleep({ wake: this.#wake, log, gate: this.#gate, poll: this.#poll, renew })
    this.#drain.start()
    this.#drain.holding(this.#holding.size)
    log.info('ready', {
      pond: binding.now().pond,
      slots: this.status().slots,
      home: home.path,
      sandbox: executor.sandbox,
    })
    const prepared = this.#renewal.prepare()
    const snapshots = prepared.then(() => Promise.all([this.#snapshot.run(signal), this.#renewal.run()]))
    const polls = prepared.then(() => this.#poll.run(signal))
    const refusal = await Promise.race([polls, this.#drained(), this.#killed])
    if (refusal) this.#holding.kill('drained')
    this.#drain.close()
    this.#groups.close()
    this.#gate.close()
    unwatch()
    this.#ending.abort()
    this.#holding.abandon()
    await Promise.all([...this.#runs, snapshots, polls])
    await Promise.all([journal.close(), executor.close()])
    this.#state = 'ended'
    const end = refusal ?? { reason: this.#kill ? 'killed' : (this.#drain.reason() ?? 'drained') }
    const owed = journal.owed()
    log.info('ended', { reason: end.reason, unsaid: owed, at: clock.now() })
    return owed > 0 ? { ...end, owed } : end
  }

  async #recover(): Promise<{ journal: Journal; held: readonly Recovered[] }> {
    const { client, clock, log, disk, executor, home, random, binding, host, options } = this.#parts
    const { signerOf } = binding
    const journal = await openJournal({ disk, clock, log, path: home.journalPath })
    const words = createWords({
      client,
      signal: this.#ending.signal,
      // Before its first poll a life of swarm would be brought what the former one had room for.
      refill: () => this.#mayRefill() && this.#poll.pulse().answeredAt !== undefined,
      missed: () => this.#poll.changed(),
      wakes: this.#wake.count,
      take: (intents) => this.#acceptAll(intents),
      attest: (words) => attestWords(words, { signerOf, version: host.version }),
    })
    const parts: ClaimParts = {
      ...{ client, clock, log, disk, executor, journal, words, random, jobsPath: home.jobsPath },
      signerOf,
      fetchSupply: this.#supplier.fetchSupply,
      allowUnsandboxed: options.allowUnsandboxed ?? false,
      wakes: this.#wake.count,
      gate: this.#gate,
    }
    await sweep(parts)
    this.#claimParts = parts
    return { journal, held: journal.left.map((left) => createRecovered(parts, left)) }
  }

  /** Resolves when no job is taken any more, nothing is owed, and pond was told or cannot be. */
  async #drained(): Promise<undefined> {
    const { clock } = this.#parts
    while (!this.#ending.signal.aborted) {
      if (this.#drain.reason() && this.#holding.size === 0) {
        await Promise.race([this.#poll.tell(), sleep(clock, FAREWELL_MS, this.#ending.signal)])
        if (this.#holding.size === 0) return
      }
      await this.#bell.wait()
    }
  }

  #hold(claim: HeldClaim, run: Promise<LastWordEnd>, owner?: WorkerId): void {
    this.#holding.add(claim, owner)
    const settled = run
      .catch((error: unknown) =>
        this.#parts.log.error('claim_failed', { claim_id: claim.claimId, error: String(error) }),
      )
      .then((end) => {
        this.#runs.delete(settled)
        // A job of a former life of swarm was not taken by this one.
        if (owner && (end === 'accepted' || claim.have().started_at !== undefined)) this.#drain.ran()
        this.#holding.remove(claim.claimId, end || undefined)
        const words = this.#claimParts?.words.latestCall() ?? 0
        const many = this.#over.add(claim.claimId, { poll: this.#poll.latestSeq(), words })
        this.#freed.heard()
        if (many || end !== 'accepted') this.#poll.changed()
        this.#noticed()
      })
    this.#runs.add(settled)
  }

  #facts(): PollFacts {
    const have = this.#holding.have()
    const hold = !(this.#drain.reason() && have.length === 0)
    return { workers: this.#groups.free(this.#mostFree()), have, hold, refill: this.#mayRefill() }
  }

  #takesJobs(): boolean {
    return this.#state === 'ready' && this.#gate.closed() === undefined && !this.#drain.reason()
  }

  #mayRefill(): boolean {
    return this.#takesJobs() && !this.#parts.options.once
  }

  /** Slots that may be offered in all. */
  #mostFree(): number {
    if (!this.#takesJobs()) return 0
    return Math.min(this.#drain.room(this.#holding.size), limit.havePerPoll - this.#holding.size)
  }

  #take(reply: PollReply): Promise<unknown> {
    // What is said only in newer steps waits until pond has told its own.
    const spoken = [3, 4].filter((step) => this.#dialect.speaks(step)).length
    if (spoken > this.#spoken) this.#snapshot.changed()
    this.#spoken = spoken
    if (this.#dialect.speaks(4)) this.#renewal.heard()
    this.#over.forget({ poll: this.#poll.oldestSeq(), words: this.#claimParts?.words.oldestCall() ?? 1 })
    const begun = this.#acceptAll(reply.intents)
    for (const directive of reply.directives) this.#obey(directive)
    return begun
  }

  readonly #acceptAll = (intents: readonly Intent[]) => Promise.all(intents.map((one) => this.#accept(one)?.begun))

  #accept(intent: Intent): Attempt | undefined {
    if (!this.#claimParts || this.#holding.get(intent.claim_id) || this.#over.has(intent.claim_id)) return undefined
    const { worker_id } = intent
    const attempt = createAttempt(this.#claimParts, intent, this.#refusal(worker_id))
    const add = (id: WorkerId) => this.#groups.add(id, attempt.run)
    const run = add(worker_id) ?? attempt.run(() => {})
    this.#hold(attempt, run, worker_id)
    this.#noticed()
    return attempt
  }

  #refusal(worker: WorkerId): Unwilling | undefined {
    if (!findWorker(this.#parts.binding.now(), worker)) return refuse('this swarm has no such worker')
    const isFull = this.#drain.room(this.#holding.size) === 0
    if (isFull || this.#groups.isDraining(worker)) return refuse('this swarm takes no more jobs', 'drained')
    const closed = this.#gate.closed()
    return closed === undefined ? undefined : refuse(closed, 'drained')
  }

  #obey(directive: PollReply['directives'][number]): void {
    const { type, claim_id, note } = directive
    const claim = claim_id && this.#holding.get(claim_id)
    switch (type) {
      case 'cancel':
        if (claim) claim.stop('cancelled')
        return
      case 'drop':
        if (claim) claim.drop()
        return
      case 'drain':
        this.#obeyDrain(directive)
        return
      case 'rotate':
        this.#renewal.asked()
        return
      case 'slow_down':
        // The poll loop waits.
        return
      default:
        if (!this.#unknownDirectives.has(type)) this.#parts.log.warn('directive_ignored', { type, note })
        this.#unknownDirectives.add(type)
    }
  }

  /** Without a worker, or with the last of them, the whole swarm; each worker has a deadline of its own. */
  #obeyDrain({ worker_id, wait_ms, note }: PollReply['directives'][number]): void {
    if (!worker_id) this.#drain.begin('drained', wait_ms)
    if (!worker_id || !findWorker(this.#parts.binding.now(), worker_id)) return
    const isNews = !this.#groups.isDraining(worker_id)
    const isLast = this.#groups.drain(worker_id, wait_ms)
    if (isNews) this.#parts.log.info('worker_drain', { worker_id, deadline_ms: wait_ms, note })
    if (isLast) this.#drain.begin('drained')
    else if (isNews) this.#changed()
  }

  async #look(): Promise<SnapshotBody['workers']> {
    const state = this.#stateNow()
    return this.#groups.snapshot({
      inflight: (worker) => this.#holding.countOf(worker),
      load: Math.max(0, this.#parts.host.load()),
      ...natureOf(this.#parts),
      state: state === 'paused' || state === 'draining' ? state : 'ready',
      diskBytes: this.#dialect.speaks(4) ? this.#diskOffer() : undefined,
      ...(this.#dialect.speaks(3) && this.#standing()),
    })
  }

  #changed(): void {
    this.#poll.changed()
    this.#noticed()
  }

  /** What pond hears of without a poll. */
  #noticed(): void {
    this.#drain.holding(this.#holding.size)
    this.#snapshot.changed()
    this.#bell.ring()
  }

  #stateNow(): SwarmState {
    if (this.#state !== 'ready') return this.#state
    if (this.#drain.reason()) return 'draining'
    return this.#gate.closed() === undefined ? 'ready' : 'paused'
  }

  /** Of which class it is, and why it takes no jobs. */
  #standing(): Pick<SwarmStatus, 'class' | 'note'> {
    const note = this.#stateNow() === 'paused' ? this.#gate.closed() : undefined
    return { class: this.#parts.options.class ?? 'server', ...(note !== undefined && { note }) }
  }

  drain({ deadlineMs }: { readonly deadlineMs?: number } = {}): void {
    this.#drain.begin('drained', deadlineMs)
  }

  cancelAll(): void {
    this.#drain.begin('drained', 0)
  }

  killAll(): void {
    this.#drain.begin('drained')
    this.#kill = true
    sleep(this.#parts.clock, KILLED_MS, this.#ending.signal).then(this.#giveUp)
    this.#holding.kill('drained')
  }

  pause(): Promise<void> {
    return this.#gate.pause(true)
  }

  resume(): Promise<void> {
    return this.#gate.pause(false)
  }

  lookAtRules(): Promise<void> {
    return this.#gate.look()
  }

  rotateKeys(): Promise<Rotated> {
    return this.#renewal.rotateKeys()
  }

  status(): SwarmStatus {
    const { client, executor } = this.#parts
    const { pond, project, name, binding_id, workers: bound } = this.#parts.binding.now()
    const { ok: healthy, turning: _, ...health } = this.health()
    const workers = this.#groups.status(this.#mostFree(), this.#diskOffer())
    const sum = (of: 'slots' | 'free') => workers.reduce((all, worker) => all + worker[of], 0)
    return {
      ...{ state: this.#stateNow(), ...this.#standing() },
      ...{ pond, project, name, binding_id, worker_id: bound[0].worker_id },
      fingerprint: workers[0]?.fingerprint ?? '',
      ...natureOf(this.#parts),
      ...{ executor: executor.name, rung: executor.rung },
      slots: sum('slots'),
      free: sum('free'),
      workers,
      healthy,
      ...health,
      hold_ms: this.#poll.pulse().holdMs,
      skew_ms: client.skewMs(),
      claims: this.#holding.describe(),
      orphans: this.#holding.orphans(),
    }
  }

  health(): SwarmHealth {
    const health = healthOf(this.#poll.pulse(), this.#parts.clock.monotonic())
    return { ...health, ok: health.ok && this.#state !== 'ended' }
  }
}
