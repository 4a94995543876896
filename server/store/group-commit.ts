// Group commit: works that wait at the same time share one transaction and one fsync. What a transaction is comes by parameter; no SQL.
//
// One group a turn of the event loop: what arrives while a commit blocks forms the next group. Inside a group works run one after another, each undone
// alone if it throws. No outcome is told before the commit, refusals included: a work may have refused because of what a neighbour wrote.
import assert from 'node:assert/strict'
import type { Clock } from '../../src/system/clock.ts'
import { type Blame, type StoreEvents, StoreFailing, StoreFull } from './contract.ts'
import { nextTurn } from './turn.ts'
import { drive, type Outcome, Scope } from './work.ts'

/** One connection's transaction. All of it is synchronous and may throw. */
export interface Transaction<Tx> {
  begin(): void
  commit(): void
  rollback(): void
  /** Sets a savepoint; `keep` and `undo` end it. */
  save(): void
  keep(): void
  undo(): void
  /** False once the database has dropped the transaction by itself. */
  stands(): boolean
  tx(scope: Scope): Tx
  /** What an error of the database means for its group. */
  blame(error: unknown): Blame
}

export interface GroupCommitParts<Tx> {
  readonly transaction: Transaction<Tx>
  readonly clock: Clock
  readonly events: StoreEvents
}

/** Enough to pay for an fsync many times over, few enough that a group costs the loop some milliseconds. */
const worksMost = 256
/** A group of costly works ends early, so that requests, polls and timers get their turn. */
const groupMs = 8

interface Entry<Tx> {
  readonly work: (tx: Tx) => Promise<unknown>
  /** Tells the caller what became of the work. */
  readonly settle: (outcome: Outcome<unknown>) => void
}

interface Done<Tx> {
  readonly entry: Entry<Tx>
  readonly outcome: Outcome<unknown>
  readonly effects: readonly (() => void)[]
}

export class GroupCommit<Tx> {
  readonly #transaction: Transaction<Tx>
  readonly #clock: Clock
  readonly #events: StoreEvents
  #waiting: Entry<Tx>[] = []
  #loop: Promise<void> | undefined
  #refusal: StoreFailing | undefined

  constructor({ transaction, clock, events }: GroupCommitParts<Tx>) {
    this.#transaction = transaction
    this.#clock = clock
    this.#events = events
  }

  /** Resolves once the work is durable. Rejects with what it threw, or with StoreFailing or StoreFull when its group did not commit. */
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    if (this.#refusal) return Promise.reject(this.#refusal)
    return new Promise<T>((resolve, reject) => {
      const settle = (outcome: Outcome<unknown>) => (outcome.ok ? resolve(outcome.value as T) : reject(outcome.error))
      this.#waiting.push({ work, settle })
      this.#loop ??= this.#run()
    })
  }

  /** Refuses works from now on; resolves when those that wait have been told their outcome. */
  async close(): Promise<void> {
    this.#refusal ??= new StoreFailing('the store is closed')
    await this.#loop
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await nextTurn()
      await this.#group(this.#waiting.splice(0, worksMost))
    }
    this.#loop = undefined
  }

  async #group(batch: readonly Entry<Tx>[]): Promise<void> {
    const done: Done<Tx>[] = []
    // A begin that fails, fails for all of them: each would wait as long for the same lock.
    let begun = batch.length
    let committing = false
    let tookMs = 0
    try {
      this.#transaction.begin()
      begun = 0
      const until = this.#clock.monotonic() + groupMs
      let clean = true
      for (const entry of batch) {
        begun += 1
        const one = await this.#work(entry, clean)
        clean &&= !one.outcome.ok
        done.push(one)
        if (this.#clock.monotonic() >= until) break
      }
      committing = true
      tookMs = this.#commit()
    } catch (error) {
      this.#waiting.unshift(...batch.slice(begun))
      return this.#fail(batch.slice(0, begun), { error, committing })
    }
    this.#waiting.unshift(...batch.slice(begun))
    this.#tell(done)
    this.#events.committed?.(done.length, tookMs)
  }

  /** How long it took, where anybody asks. */
  #commit(): number {
    if (!this.#events.committed) {
      this.#transaction.commit()
      return 0
    }
    const from = this.#clock.monotonic()
    this.#transaction.commit()
    return this.#clock.monotonic() - from
  }

  /** Throws when the transaction is gone. In a `clean` one nothing of a neighbour is there yet, and starting anew is cheaper than a savepoint. */
  async #work(entry: Entry<Tx>, clean: boolean): Promise<Done<Tx>> {
    const scope = new Scope(() => this.#transaction.stands())
    if (!clean) this.#transaction.save()
    const outcome = this.#judge(await drive(() => entry.work(this.#transaction.tx(scope))))
    scope.close()
    if (scope.dropped !== undefined) throw scope.dropped
    assert(this.#transaction.stands(), 'the transaction is gone without an error')
    if (!outcome.ok && outcome.error instanceof StoreFull) this.#events.failed?.('full')
    if (clean) {
      if (!outcome.ok) this.#startAnew()
    } else if (outcome.ok) this.#transaction.keep()
    else this.#transaction.undo()
    return { entry, outcome, effects: scope.effects }
  }

  /** A full device may cost one statement only; then the work alone fails for it, in the words of the contract. */
  #judge(outcome: Outcome<unknown>): Outcome<unknown> {
    if (outcome.ok || this.#transaction.blame(outcome.error) !== 'full') return outcome
    return { ok: false, error: noRoom(outcome.error) }
  }

  #startAnew(): void {
    this.#transaction.rollback()
    this.#transaction.begin()
  }

  /** What mirrors rows in memory follows the commit at once, all of it before any caller goes on. */
  #tell(done: readonly Done<Tx>[]): void {
    for (const { outcome, effects } of done) {
      if (outcome.ok) for (const effect of effects) this.#apply(effect)
    }
    for (const { entry, outcome } of done) entry.settle(outcome)
  }

  #apply(effect: () => void): void {
    try {
      effect()
    } catch (error) {
      this.#events.fatal(error)
    }
  }

  #fail(group: readonly Entry<Tx>[], failure: { readonly error: unknown; readonly committing: boolean }): void {
    const { error, committing } = failure
    const blame = this.#transaction.blame(error)
    const stuck = this.#clear()
    const answer =
      blame === 'full' ? noRoom(error) : new StoreFailing('the changes could not be stored', { cause: error })
    for (const entry of group) entry.settle({ ok: false, error: answer })
    this.#events.failed?.(blame)
    // What the device holds after a failed commit is known only after recovery: the kernel may report a failed fsync once and then never again.
    if (stuck || blame === 'fsync' || (committing && blame !== 'full')) this.#die(error)
  }

  /** Removes what is left of the transaction; true when that fails too. What is told is the first failure, not this one. */
  #clear(): boolean {
    try {
      if (this.#transaction.stands()) this.#transaction.rollback()
      return false
    } catch {
      return true
    }
  }

  #die(error: unknown): void {
    this.#refusal = new StoreFailing('the store has failed and must be opened anew', { cause: error })
    for (const entry of this.#waiting.splice(0)) entry.settle({ ok: false, error: this.#refusal })
    this.#events.fatal(error)
  }
}

const noRoom = (cause: unknown) => new StoreFull('there is no room on the device', { cause })
