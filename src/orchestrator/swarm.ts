// createSwarm: the whole orchestrator without a socket, a signal handler or a clock of its own. Everything of the world is a part.
import { join } from 'node:path'
import PQueue from 'p-queue'
import { unpack } from '../bundle/unpack.ts'
import type { Client } from '../client/contract.ts'
import type { Executor } from '../executor/contract.ts'
import { limit } from '../protocol/limit.ts'
import type { Intent, PollReply, SnapshotBody } from '../protocol/orch.ts'
import { createSigner } from '../seal/signature.ts'
import { type Clock, sleep } from '../system/clock.ts'
import type { Disk } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import type { Random } from '../system/random.ts'
import { refuse, type Unwilling } from './admission.ts'
import { createAttempt } from './attempt.ts'
import { createBell } from './bell.ts'
import { openBundleCache } from './bundle-cache.ts'
import type { ClaimParts, HeldClaim } from './claim.ts'
import { createDrain, type Drain, type DrainOptions, type DrainReason } from './drain.ts'
import { createFreed, type Freed } from './freed.ts'
import type { Binding, Home } from './home.ts'
import { type Journal, openJournal } from './journal.ts'
import type { LastWordEnd } from './last-word.ts'
import { Over } from './over.ts'
import { createPoll, POLL_GRACE_MS, type Poll, type PollFacts } from './poll.ts'
import { createRecovered, type Recovered, sweep } from './recover.ts'
import { createSnapshot, type Snapshot } from './snapshot.ts'
import { attestWords } from './statement.ts'
import type { SwarmState, SwarmStatus } from './status.ts'
import { fetchSupply, type SupplyOrder } from './supply.ts'
import { createWords } from './words.ts'

export { serveControl } from './control.ts'
export { type Binding, type Home, type KeyPair, type KeySet, openHome } from './home.ts'
export { type MakeKeyPair, systemKeyPair } from './key.ts'
export { PairError, type PairParts, type PairRequest, pair } from './pair.ts'

export interface Host {
  readonly os: string
  readonly arch: string
  /** Of this program. */
  readonly version: string
  /** One-minute load average. */
  load(): number
}

export interface SwarmOptions extends DrainOptions {
  /** Jobs at a time. */
  readonly slots: number
  /** Take confidential jobs even where nothing keeps other jobs from them. */
  readonly allowUnsandboxed?: boolean
}

export interface SwarmParts {
  /** Bound to pond's URL and the binding's token. */
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly disk: Disk
  readonly executor: Executor
  /** Locked by the caller. */
  readonly home: Home
  readonly binding: Binding
  readonly host: Host
  readonly options: SwarmOptions
}

/** Why `run` ended. `unauthenticated`: revoked or unpaired. */
export interface RunEnd {
  readonly reason: DrainReason | 'killed' | 'unauthenticated' | 'upgrade_required'
  readonly message?: string
}

export interface Swarm {
  /** Sweeps what a former life left, then polls until drained or refused. Call it once. */
  run(): Promise<RunEnd>
  /** No new jobs; running ones go on until done or the deadline, then they are terminated with cause `drained`. */
  drain(options?: { readonly deadlineMs?: number }): void
  /** Drains, and terminates all jobs now: SIGTERM, then SIGKILL. */
  cancelAll(): void
  /** Drains, and kills all jobs at once. What pond does not hear in a few seconds, the next run tells it. */
  killAll(): void
  pause(): void
  resume(): void
  status(): SwarmStatus
  /** A poll was answered within hold and grace. */
  healthy(): boolean
}

export function createSwarm(parts: SwarmParts): Swarm {
  return new OneSwarm(parts)
}

/** What pond does not hear in this time after a kill, the next run tells it. */
const KILLED_MS = 5000
/** The longest that an end waits for pond to hear of it. */
const FAREWELL_MS = 5000
/** With less room on the disk jobs are declined: they could not even say that it is full. */
const ROOM_BYTES_LEAST = 4 * 1024 * 1024

class OneSwarm implements Swarm {
  readonly #parts: SwarmParts
  readonly #session: string
  readonly #ending = new AbortController()
  readonly #bell = createBell()
  readonly #slots: PQueue
  readonly #claims = new Map<string, HeldClaim>()
  readonly #runs = new Set<Promise<void>>()
  readonly #over = new Over()
  readonly #freed: Freed
  readonly #drain: Drain
  readonly #poll: Poll
  readonly #snapshot: Snapshot
  readonly #unknownDirectives = new Set<string>()
  /** Resolves when pond had its time to hear of a kill. */
  readonly #killed: Promise<undefined>
  #giveUp: () => void = () => {}
  #kill = false
  #claimParts: ClaimParts | undefined
  #state: 'starting' | 'ready' | 'ended' = 'starting'
  #paused = false
  #lowOnRoom = false

  constructor(parts: SwarmParts) {
    const { client, clock, random, log, binding, options } = parts
    this.#parts = parts
    this.#session = random.bytes(16).toString('base64url')
    this.#killed = new Promise((resolve) => {
      this.#giveUp = () => resolve(undefined)
    })
    this.#slots = new PQueue({ concurrency: options.slots })
    const changed = () => this.#changed()
    this.#freed = createFreed({ clock, tell: changed })
    this.#slots.on('next', () => (this.#mayRefill() ? this.#freed.slot() : changed()))
    this.#drain = createDrain({ clock, log, options, changed, stopAll: () => this.#stopAll() })
    this.#snapshot = createSnapshot({ client, clock, log, session: this.#session, look: () => this.#look() })
    this.#poll = createPoll({
      client,
      clock,
      random,
      log,
      workerId: binding.worker_id,
      session: this.#session,
      facts: () => this.#facts(),
      take: (reply) => this.#take(reply),
    })
  }

  async run(): Promise<RunEnd> {
    const { clock, executor, log, home, binding, options } = this.#parts
    const { signal } = this.#ending
    const { journal, held } = await this.#recover()
    for (const claim of held) this.#hold(claim, claim.run())
    this.#state = 'ready'
    this.#drain.start()
    this.#drain.holding(this.#claims.size)
    log.info('ready', { pond: binding.pond, slots: options.slots, home: home.path, sandbox: executor.sandbox })
    const snapshots = this.#snapshot.run(signal)
    const polls = this.#poll.run(signal)
    const refusal = await Promise.race([polls, this.#drained(), this.#killed])
    if (refusal) for (const claim of this.#claims.values()) claim.kill('drained')
    this.#drain.close()
    this.#ending.abort()
    for (const claim of this.#claims.values()) claim.abandon()
    await Promise.all([...this.#runs, snapshots, polls])
    await Promise.all([journal.close(), executor.close()])
    this.#state = 'ended'
    const end = refusal ?? { reason: this.#kill ? 'killed' : (this.#drain.reason() ?? 'drained') }
    log.info('ended', { reason: end.reason, unsaid: this.#claims.size, at: clock.now() })
    return end
  }

  async #recover(): Promise<{ journal: Journal; held: readonly Recovered[] }> {
    const { client, clock, log, disk, executor, home, random, binding, host, options } = this.#parts
    const keys = await home.readKeys()
    if (!keys)
      throw new Error(`${home.path} has a binding and no keys; pair this machine anew (swarm unpair, then swarm pair)`)
    const signer = createSigner(keys.signing)
    const identityOf = () => identity
    const identity = { workerId: binding.worker_id, signer, sealing: [keys.sealing] }
    const journal = await openJournal({ disk, clock, log, path: home.journalPath })
    const words = createWords({
      client,
      signal: this.#ending.signal,
      // Before its first poll a life of swarm would be brought what the former one had room for.
      refill: () => this.#mayRefill() && this.#poll.answeredAt() !== undefined,
      missed: () => this.#poll.changed(),
      take: (intents) => this.#acceptAll(intents),
      attest: (words) => attestWords(words, { identityOf, version: host.version }),
    })
    const jobsPath = home.jobsPath
    const world = { client, clock, log, disk, executor, journal, words, jobsPath, random }
    const { allowUnsandboxed = false } = options
    const bundles = await openBundleCache({ clock, disk, log, folder: join(home.path, 'bundles') })
    const given = {
      client,
      log,
      bundles,
      unpack,
      project: binding.project,
      signers: [],
      pondKey: () => binding.pond_key,
    }
    const supply = { ...given, pairsOf: () => identity.sealing }
    const parts = {
      ...world,
      identityOf,
      fetchSupply: (order: SupplyOrder) => fetchSupply(supply, order),
      allowUnsandboxed,
    }
    await sweep(parts)
    this.#claimParts = parts
    return { journal, held: journal.left.map((left) => createRecovered(parts, left)) }
  }

  /** Resolves when no job is taken any more, nothing is owed, and pond was told or cannot be. */
  async #drained(): Promise<undefined> {
    const { clock } = this.#parts
    while (!this.#ending.signal.aborted) {
      if (this.#drain.reason() && this.#claims.size === 0) {
        await Promise.race([this.#poll.tell(), sleep(clock, FAREWELL_MS, this.#ending.signal)])
        if (this.#claims.size === 0) return
      }
      await this.#bell.wait()
    }
  }

  #hold(claim: HeldClaim, run: Promise<LastWordEnd>): void {
    this.#claims.set(claim.claimId, claim)
    const settled = run
      .catch((error: unknown) =>
        this.#parts.log.error('claim_failed', { claim_id: claim.claimId, error: String(error) }),
      )
      .then((end) => {
        this.#runs.delete(settled)
        this.#claims.delete(claim.claimId)
        const words = this.#claimParts?.words.latestCall() ?? 0
        const many = this.#over.add(claim.claimId, { poll: this.#poll.latestSeq(), words })
        this.#freed.heard()
        if (many || end !== 'accepted') this.#poll.changed()
        this.#noticed()
      })
    this.#runs.add(settled)
  }

  #facts(): PollFacts {
    const have = [...this.#claims.values()].map((claim) => claim.have())
    const hold = !(this.#drain.reason() && have.length === 0)
    return { freeSlots: this.#freeSlots(), have, hold, refill: this.#mayRefill() }
  }

  #takesJobs(): boolean {
    return this.#state === 'ready' && !this.#paused && !this.#drain.reason()
  }

  #mayRefill(): boolean {
    return this.#takesJobs() && !this.#parts.options.once && !this.#lowOnRoom
  }

  #freeSlots(): number {
    if (!this.#takesJobs()) return 0
    const { slots, once } = this.#parts.options
    const free = Math.max(0, slots - this.#slots.pending - this.#slots.size)
    return Math.min(free, once ? 1 : free, limit.havePerPoll - this.#claims.size)
  }

  #take(reply: PollReply): void {
    this.#over.forget({ poll: this.#poll.oldestSeq(), words: this.#claimParts?.words.oldestCall() ?? 1 })
    this.#acceptAll(reply.intents)
    for (const directive of reply.directives) this.#obey(directive)
  }

  #acceptAll(intents: readonly Intent[]): void {
    for (const intent of intents) this.#accept(intent)
  }

  #accept(intent: Intent): void {
    if (!this.#claimParts || this.#claims.has(intent.claim_id) || this.#over.has(intent.claim_id)) return
    const attempt = createAttempt(this.#claimParts, intent, this.#refusal())
    const run = new Promise<LastWordEnd>((resolve, reject) => {
      void this.#slots.add(
        () => new Promise<void>((freeSlot) => attempt.run(freeSlot).finally(freeSlot).then(resolve, reject)),
      )
    })
    this.#hold(attempt, run)
    this.#drain.holding(this.#claims.size)
    this.#drain.took()
    this.#snapshot.changed()
  }

  #refusal(): Unwilling | undefined {
    if (this.#drain.reason()) return refuse('this swarm is draining', 'drained')
    if (this.#paused) return refuse('this swarm is paused', 'drained')
    return this.#lowOnRoom ? refuse("this swarm's disk is full") : undefined
  }

  #obey({ type, claim_id, worker_id, note }: PollReply['directives'][number]): void {
    const { log, binding } = this.#parts
    const claim = claim_id && this.#claims.get(claim_id)
    switch (type) {
      case 'cancel':
        if (claim) claim.stop('cancelled')
        return
      case 'drop':
        if (claim) claim.drop()
        return
      case 'drain':
        if (!this.#drain.reason() && (worker_id ?? binding.worker_id) === binding.worker_id)
          this.#drain.begin('drained')
        return
      case 'slow_down':
        // The poll loop waits.
        return
      default:
        if (!this.#unknownDirectives.has(type)) log.warn('directive_ignored', { type, note })
        this.#unknownDirectives.add(type)
    }
  }

  async #look(): Promise<SnapshotBody['workers'][number]> {
    const { binding, disk, executor, home, host, options } = this.#parts
    const room = await disk.freeBytes(home.path).catch(() => Number.POSITIVE_INFINITY)
    const wasLow = this.#lowOnRoom
    this.#lowOnRoom = room < ROOM_BYTES_LEAST
    if (wasLow && !this.#lowOnRoom) this.#poll.changed()
    const state = this.#stateNow()
    return {
      worker_id: binding.worker_id,
      keys: { sealing_key: binding.keys.sealing_key, signing_key: binding.keys.signing_key },
      labels: binding.labels,
      resources: { ...binding.resources, slots: options.slots },
      inflight: this.#claims.size,
      load: Math.max(0, host.load()),
      version: host.version,
      os: host.os,
      arch: host.arch,
      executor: `${executor.name} ${executor.rung}`,
      sandbox: executor.sandbox,
      allow_unsandboxed: options.allowUnsandboxed ?? false,
      state: state === 'paused' || state === 'draining' ? state : 'ready',
    }
  }

  #changed(): void {
    this.#poll.changed()
    this.#noticed()
  }

  /** What pond hears of without a poll. */
  #noticed(): void {
    this.#drain.holding(this.#claims.size)
    this.#snapshot.changed()
    this.#bell.ring()
  }

  #stopAll(): void {
    for (const claim of this.#claims.values()) claim.stop('drained')
  }

  #stateNow(): SwarmState {
    if (this.#state !== 'ready') return this.#state
    if (this.#drain.reason()) return 'draining'
    return this.#paused ? 'paused' : 'ready'
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
    for (const claim of this.#claims.values()) claim.kill('drained')
  }

  pause(): void {
    this.#paused = true
    this.#changed()
  }

  resume(): void {
    this.#paused = false
    this.#changed()
  }

  status(): SwarmStatus {
    const { binding, client, clock, executor, host, options } = this.#parts
    const answeredAt = this.#poll.answeredAt()
    return {
      state: this.#stateNow(),
      pond: binding.pond,
      project: binding.project,
      name: binding.name,
      binding_id: binding.binding_id,
      worker_id: binding.worker_id,
      version: host.version,
      executor: executor.name,
      rung: executor.rung,
      sandbox: executor.sandbox,
      allow_unsandboxed: options.allowUnsandboxed ?? false,
      slots: options.slots,
      free: this.#freeSlots(),
      healthy: this.healthy(),
      ...(answeredAt !== undefined && { since_poll_ms: Math.round(clock.monotonic() - answeredAt) }),
      skew_ms: client.skewMs(),
      claims: [...this.#claims.values()].map((claim) => ({ ...claim.have(), job_id: claim.jobId })),
    }
  }

  healthy(): boolean {
    const answeredAt = this.#poll.answeredAt()
    if (answeredAt === undefined || this.#state === 'ended') return false
    return this.#parts.clock.monotonic() - answeredAt <= this.#poll.holdMs() + POLL_GRACE_MS
  }
}
