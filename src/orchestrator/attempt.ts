// One claim's life in this swarm, from intent to last word.
import { join } from 'node:path'
import type { Execution } from '../executor/contract.ts'
import type { ClaimId, JobId } from '../protocol/id.ts'
import type { JobSpec } from '../protocol/job.ts'
import { limit } from '../protocol/limit.ts'
import type { Intent } from '../protocol/orch.ts'
import type { ArtifactReport, BatchWord } from '../protocol/word.ts'
import { nothing } from '../state/room.ts'
import type { Cancel } from '../system/clock.ts'
import { isNoRoom } from '../system/disk.ts'
import { type Admitted, admit, refuse, type Unwilling } from './admission.ts'
import { heldBy, type TakeRoom } from './allotment.ts'
import { collectArtifacts } from './artifact.ts'
import type { ClaimParts, Have, HeldClaim, StopCause } from './claim.ts'
import { endOf, endWithout, NO_CODE } from './ending.ts'
import { equip } from './equip.ts'
import type { ClaimFacts, Ending } from './journal-entry.ts'
import { type LastWordEnd, sayLastWord } from './last-word.ts'
import { createOutput, type Output } from './output.ts'
import { planOf } from './plan.ts'
import type { Privacy } from './privacy.ts'
import type { Supply } from './supply.ts'
import { createTelemetry, type Telemetry } from './telemetry.ts'
import type { Said } from './words.ts'

/*
 * accepted   In hand, nothing started. An idempotent job goes on at once; its word `running` follows, unless it ends before:
 *            then its final word says as much. Any other waits until pond has accepted that word and the journal is on the
 *            disk: pond may have given the job to somebody else meanwhile, and after a power cut nobody else would know that
 *            it ran here.
 * running    There is a process tree. It ends by itself, or by the first of: cancel, timeout, drain, a full disk.
 * ended      The tree is gone, and its slot is free once what it left is gathered. The output goes to pond, then the final word.
 *
 * From accepted: declined, when this swarm cannot or must not run it; nothing was started and no attempt is burned.
 * From accepted and running: dropped, when pond says that the claim is void; then nothing is said and nothing is kept.
 */
type State =
  | { readonly at: 'accepted' }
  | { readonly at: 'running'; readonly startedAt: number; readonly execution: Execution }
  | { readonly at: 'ended'; readonly startedAt: number | undefined }

export interface Attempt extends HeldClaim {
  /** Resolves when nothing is owed any more, or swarm ends. `freeSlot` is called as soon as nothing of it runs. */
  readonly run: (freeSlot: () => void, takeRoom?: TakeRoom) => Promise<LastWordEnd>
  /** Resolves once its process is there, or will not be. */
  readonly begun: Promise<void>
}

/** `refusal`: why it is declined unseen. */
export function createAttempt(parts: ClaimParts, intent: Intent, refusal?: Unwilling): Attempt {
  return new ClaimAttempt(parts, intent, refusal)
}

class ClaimAttempt implements Attempt {
  readonly claimId: ClaimId
  readonly jobId: JobId
  readonly #parts: ClaimParts
  readonly #intent: Intent
  readonly #refusal: Unwilling | undefined
  readonly #folder: string
  readonly #abort = new AbortController()
  /** What it would be given is not wanted any more; its output still is. */
  readonly #unwanted = new AbortController()
  #state: State = { at: 'accepted' }
  /** Its tree is gone, and what it left is still gathered. */
  #holdsSlot = false
  #admitted: Admitted | undefined
  #supply: Supply | undefined
  #privacy: Privacy | undefined
  #stopped: StopCause | undefined
  /** Between which sleeps pond was last asked whether the claim still holds. */
  #askedIn = 0
  #giveBack = () => {}
  #begin = () => {}
  #killed = false
  #dropped = false
  #abandoned = false
  #execution: Execution | undefined
  #output: Output | undefined
  #telemetry: Telemetry | undefined
  #madeFolder: Promise<void> | undefined
  #released: Promise<void> | undefined
  #cancelConfirm: Cancel | undefined
  #cancelKill: Cancel | undefined

  readonly begun = new Promise<void>((resolve) => {
    this.#begin = resolve
  })

  constructor(parts: ClaimParts, intent: Intent, refusal: Unwilling | undefined) {
    this.claimId = intent.claim_id
    this.jobId = intent.job_id
    this.#parts = parts
    this.#intent = intent
    this.#refusal = refusal
    this.#folder = join(parts.jobsPath, intent.claim_id)
  }

  /** What is known of the claim once its job was read. */
  get #claim(): ClaimFacts {
    const { claim_id, job_id, claim_token, worker_id, attempt, epoch, limits } = this.#intent
    const { job, digest = '', recipients } = this.#admitted ?? {}
    return {
      ...{ claim_id, job_id, claim_token, worker_id, attempt, epoch, ...limits, job_digest: digest },
      ...(job?.bundle !== undefined && { bundle: job.bundle }),
      ...(recipients && { recipients }),
    }
  }

  get diskBytes(): number {
    return this.#admitted?.job.requires?.disk_bytes ?? 0
  }

  have(): Have {
    const state = this.#state
    if (state.at === 'accepted') return { claim_id: this.claimId, state: 'accepted' }
    const started = state.startedAt === undefined ? {} : { started_at: state.startedAt }
    // Who says that it ended says that its slot is free, and pond does not free it a second time with the last word.
    return { claim_id: this.claimId, state: this.#holdsSlot ? 'running' : state.at, ...started }
  }

  readonly run = async (freeSlot: () => void, takeRoom?: TakeRoom): Promise<LastWordEnd> => {
    const ending = await this.#live(takeRoom).finally(this.#begin)
    this.#cancelConfirm?.()
    this.#state = { at: 'ended', startedAt: ending?.started_at }
    this.#holdsSlot = false
    this.#giveBack()
    freeSlot()
    this.#released = this.#release()
    // With the last word pond may give its part of the disk to another.
    if (this.diskBytes > 0) await this.#released
    const said = ending && (await this.#privacy?.ending(ending))
    const end = ending && !this.#dropped ? await this.#conclude(said ?? ending) : 'refused'
    if (!this.#abandoned || this.#dropped) await this.#forget()
    return end
  }

  /** What to say at the end; `undefined` when there is nothing more to say. */
  async #live(takeRoom?: TakeRoom): Promise<Ending | undefined> {
    const { clock, executor, journal, allowUnsandboxed, gate } = this.#parts
    const { sandbox, gpus } = executor
    const admission = this.#refusal ?? admit(this.#intent, { allowUnsandboxed, gate, sandbox, gpus })
    if (!admission.ok) return this.#decline(admission)
    this.#admitted = admission
    const { job } = admission
    const held = heldBy(job, this.#intent)
    if (held !== nothing && takeRoom) {
      this.#giveBack = await takeRoom(held, this.#unwanted.signal)
      if (this.#dropped || this.#abandoned) return undefined
    }
    const careful = job.idempotent !== true
    // Together, because each takes a trip: to the disk, and to pond.
    const recorded = journal.write({ step: 'claim', ...this.#claim }, careful)
    if (careful && !(await this.#confirmLately())) return undefined
    if (!(await recorded)) return this.#unrecorded(careful)
    if (this.#dropped || this.#abandoned) return undefined
    if (this.#stopped) return { cause: this.#stopped, ended_at: clock.now() }
    if (!careful) this.#cancelConfirm = clock.after(CONFIRM_AFTER_MS, () => void this.#confirm())
    return this.#execute(job)
  }

  async #decline({ message, cause }: Unwilling): Promise<undefined> {
    this.#parts.log.info('claim_declined', { claim_id: this.claimId, job_id: this.jobId, message })
    const said = await this.#say('declined', { message: message.slice(0, limit.messageChars), ...(cause && { cause }) })
    if (said.outcome === 'unsaid') this.#abandoned = true
  }

  /** What cannot be found again after a restart is not started. Once pond counts it as running, only a final word undoes that. */
  #unrecorded(confirmed: boolean): Promise<undefined> | Ending {
    const message = 'the journal of this swarm takes no lines'
    // The next job would fare no better.
    void this.#parts.gate.look()
    if (!confirmed) return this.#decline(refuse(message))
    return { cause: 'disk_full', rc: NO_CODE, ended_at: this.#parts.clock.now(), message }
  }

  /** False when the claim is void, or swarm ends. */
  async #confirm(): Promise<boolean> {
    const said = await this.#say('running', { started_at: this.#parts.clock.now() })
    if (said.outcome === 'accepted' || said.outcome === 'idempotent') return true
    if (said.outcome === 'unsaid') {
      this.#abandoned = true
      return false
    }
    const { outcome, error } = said
    this.#parts.log.warn('claim_void', { claim_id: this.claimId, job_id: this.jobId, outcome, code: error?.code })
    this.drop()
    return false
  }

  /** An answer that was long on its way, or found the machine asleep, may be history: then pond is asked again. False too when the claim was dropped meanwhile. */
  async #confirmLately(): Promise<boolean> {
    const { clock, wakes } = this.#parts
    for (;;) {
      const askedAt = clock.monotonic()
      this.#askedIn = wakes()
      if (!(await this.#confirm()) || this.#dropped || this.#abandoned) return false
      if (wakes() === this.#askedIn && clock.monotonic() - askedAt < limit.confirmMs) return true
    }
  }

  #say(state: BatchWord['state'], more: Partial<BatchWord>): Promise<Said> {
    const { job_id, claim_id, claim_token } = this.#intent
    return this.#parts.words.say({ job_id, claim_id, claim_token, state, ...more })
  }

  /** Answers how the job ends when what it needs cannot be had. */
  async #equip(job: JobSpec): Promise<Ending | undefined> {
    const { signal } = this.#unwanted
    const equipped = await equip(this.#parts, { intent: this.#intent, job, claim: this.#claim, signal })
    if (equipped === 'unsaid') {
      this.#abandoned ||= !this.#stopped
      return undefined
    }
    const { supply, privacy, refused } = equipped
    this.#supply = supply
    this.#privacy = privacy
    return refused && { ...refused, rc: NO_CODE, ended_at: this.#parts.clock.now() }
  }

  async #execute(job: JobSpec): Promise<Ending | undefined> {
    const { clock, executor, journal, log } = this.#parts
    const refused = await this.#equip(job)
    if (refused || this.#dropped || this.#abandoned) return refused
    if (this.#stopped) return { cause: this.#stopped, ended_at: clock.now() }
    let execution: Execution
    try {
      execution = await executor.start(
        planOf({
          intent: this.#intent,
          job,
          supply: this.#supply,
          confirm: () => this.#confirmAwake(job.idempotent !== true),
        }),
        { output: (channel, bytes) => this.#write(channel, bytes), event: (value) => this.#event(value) },
      )
    } catch (error) {
      if (this.#dropped || this.#abandoned) return undefined
      return endWithout(error, { stopped: this.#stopped, ended_at: clock.now(), claimId: this.claimId, log })
    }
    // Not sooner: a large folder is prepared for minutes, and the machine may sleep meanwhile.
    const startedAt = clock.now()
    this.#begin()
    this.#execution = execution
    this.#state = { at: 'running', startedAt, execution }
    // Not waited for: a tree without this line is found by its claim.
    void journal.write({ step: 'started', claim_id: this.claimId, trace: execution.trace, at: startedAt })
    log.info('job_started', { claim_id: this.claimId, job_id: this.jobId, pid: execution.trace.pid })
    if (this.#dropped || this.#abandoned || this.#killed) void execution.kill()
    else if (this.#stopped) this.#terminate(execution)
    const cancelTimeout = job.timeout_ms && clock.after(job.timeout_ms, () => this.stop('timeout'))
    const exit = await execution.exited
    if (cancelTimeout) cancelTimeout()
    this.#cancelKill?.()
    this.#state = { at: 'ended', startedAt }
    this.#holdsSlot = true
    if (exit.eventsSkipped > 0) log.warn('events_skipped', { claim_id: this.claimId, count: exit.eventsSkipped })
    const artifacts = job.artifacts && (await this.#collect(job.artifacts, execution.work))
    // A spool that breaks with the last bytes still decides the cause.
    await this.#output?.end()
    return {
      ...endOf(exit, { stopped: this.#stopped, startedAt, ended_at: clock.now() }),
      ...(artifacts && { artifacts }),
    }
  }

  /** What pond said before a sleep of this machine may be history: a careful job asks again. Rejects when nothing may be started. */
  async #confirmAwake(careful: boolean): Promise<void> {
    if (careful && this.#askedIn !== this.#parts.wakes()) await this.#confirmLately()
    if (this.#dropped || this.#abandoned) throw new Error('the claim is void')
    if (this.#stopped) throw new Error(`not wanted any more: ${this.#stopped}`)
  }

  async #collect(globs: readonly string[], work: string): Promise<readonly ArtifactReport[] | undefined> {
    const privacy = this.#privacy
    if (!privacy || this.#dropped) return undefined
    try {
      return await collectArtifacts({
        ...{ clock: this.#parts.clock, work, globs, privacy },
        ...{ mostBytes: this.#intent.limits.artifact_bytes, signal: this.#abort.signal },
        add: (index, bytes) => this.#outputs(privacy).addArtifact(index, bytes),
      })
    } catch (error) {
      // What a job left behind never masks how it ended.
      this.#parts.log.error('artifacts_failed', { claim_id: this.claimId, error: String(error) })
      return globs.slice(0, limit.artifactsPerJob).map((path) => ({ path, problem: 'unreadable' }))
    }
  }

  #makeFolder(): Promise<void> {
    this.#madeFolder ??= this.#parts.disk.makeFolder(this.#folder)
    return this.#madeFolder
  }

  async #conclude(ending: Ending): Promise<LastWordEnd> {
    const { words, journal, log } = this.#parts
    await this.#telemetry?.close()
    const end = await sayLastWord({ words, journal, log, claim: this.#claim, output: this.#output }, ending)
    if (end === 'unsaid') this.#abandoned = true
    return end
  }

  /** What it was given goes as soon as nothing of it runs, however long pond is away. */
  async #release(): Promise<void> {
    try {
      await this.#execution?.release()
      await this.#supply?.close()
    } catch (error) {
      this.#parts.log.warn('supply_left', { claim_id: this.claimId, error: String(error) })
    }
  }

  async #forget(): Promise<void> {
    const { disk, journal, log } = this.#parts
    void journal.write({ step: 'gone', claim_id: this.claimId })
    try {
      await this.#released
      await this.#output?.close()
      if (this.#madeFolder) await disk.remove(this.#folder)
    } catch (error) {
      log.warn('folder_left', { folder: this.#folder, error: String(error) })
    }
  }

  #write(channel: 'stdout' | 'stderr', bytes: Buffer): void | Promise<void> {
    if (this.#dropped || !this.#privacy) return undefined
    return this.#outputs(this.#privacy).write(channel, bytes)
  }

  #outputs(privacy: Privacy): Output {
    this.#output ??= createOutput({
      claim: this.#claim,
      privacy,
      folder: this.#folder,
      ready: () => this.#makeFolder(),
      signal: this.#abort.signal,
      failed: (error) => this.#spoolFailed(error),
      ...this.#parts,
    })
    return this.#output
  }

  #spoolFailed(error: unknown): void {
    this.#parts.log.error('spool_failed', { claim_id: this.claimId, job_id: this.jobId, error: String(error) })
    const cause = isNoRoom(error) ? 'disk_full' : 'output_lost'
    void this.#parts.gate.look()
    if (this.#state.at === 'running') this.stop(cause)
    else this.#stopped ??= cause
  }

  #event(value: Readonly<Record<string, unknown>>): void {
    if (!this.#privacy) return
    this.#telemetry ??= createTelemetry({ ...this.#parts, claim: this.#claim, privacy: this.#privacy })
    this.#telemetry.add(value)
  }

  stop(cause: StopCause): void {
    if (this.#stopped || this.#dropped || this.#state.at === 'ended') return
    this.#stopped = cause
    this.#unwanted.abort()
    this.#parts.log.info('job_stopping', { claim_id: this.claimId, job_id: this.jobId, cause })
    if (this.#state.at === 'running') this.#terminate(this.#state.execution)
  }

  #terminate(execution: Execution): void {
    execution.terminate()
    this.#cancelKill = this.#parts.clock.after(limit.killGraceMs, () => void execution.kill())
  }

  kill(cause: StopCause): void {
    if (this.#state.at === 'ended') return
    this.#stopped ??= cause
    this.#killed = true
    this.#unwanted.abort()
    if (this.#state.at === 'running') void this.#state.execution.kill()
  }

  drop(): void {
    if (this.#dropped || this.#state.at === 'ended') return
    this.#dropped = true
    this.#parts.log.info('claim_dropped', { claim_id: this.claimId, job_id: this.jobId })
    this.#unwanted.abort()
    this.#abort.abort()
    if (this.#state.at === 'running') void this.#state.execution.kill()
  }

  abandon(): void {
    this.#abandoned = true
    this.#unwanted.abort()
    this.#abort.abort()
  }
}

/**
 * Jobs that end before this cost one trip and one commit of pond less: half again as many of them go through (bench noop-throughput).
 * Far below the second in which a reader expects to see something, and pond's time to confirm.
 */
const CONFIRM_AFTER_MS = 50
