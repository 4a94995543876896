// The gate: whether this machine takes jobs now, by its owner's rules and the room on its disk. Looks again every few seconds; decides nothing by itself.
import PQueue from 'p-queue'
import { limit } from '../protocol/limit.ts'
import { type Cancel, type Clock, every } from '../system/clock.ts'
import type { Disk } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import type { Machine, MachineFacts } from '../system/machine.ts'
import { judgeRules, machineRules, type RuleFacts, type Rules, type Verdict, whyClosed, whyUnwelcome } from './rule.ts'
import { type RuleFile, RulesError } from './rule-file.ts'

export interface Gate {
  /** Reads the rules for the first time; rejects with RulesError where they cannot be read. */
  open(): Promise<void>
  /** Why no jobs are taken now; undefined: they are. */
  closed(): string | undefined
  /** Why the owner does not want this command. */
  unwelcome(command: readonly string[]): string | undefined
  /** Looks at rules and machine now. Never rejects. */
  look(): Promise<void>
  /** Takes effect at once and is kept for the next run. Rejects when it could not be kept. */
  pause(paused: boolean): Promise<void>
  close(): void
}

export interface GateParts {
  readonly clock: Clock
  readonly log: Log
  readonly disk: Pick<Disk, 'freeBytes'>
  /** The folder whose room counts. */
  readonly folder: string
  readonly file: RuleFile
  /** Without one, rules about it are not met. */
  readonly machine: Machine | undefined
  readonly project: () => string
  /** The disk is full: gives back what no job uses. */
  readonly shrink: () => Promise<void>
  /** It opened or closed, or is closed for another reason. */
  readonly changed: () => void
}

/** A plug that is pulled or a disk that is emptied is noticed within this. */
const LOOK_MS = 5000

export function createGate(parts: GateParts): Gate {
  return new OwnersGate(parts)
}

class OwnersGate implements Gate {
  readonly #parts: GateParts
  #rules: Rules = {}
  #facts: RuleFacts
  #closed: string | undefined
  /** What is wrong with the file, as it was last logged. */
  #problem: string | undefined
  /** Asked for, and not in the file yet. */
  #asked: boolean | undefined
  #looking: Promise<void> | undefined
  /** What is asked later is what stays in the file. */
  readonly #writes = new PQueue({ concurrency: 1 })
  #cancel: Cancel = () => {}

  constructor(parts: GateParts) {
    this.#parts = parts
    this.#facts = { project: parts.project(), freeDiskBytes: undefined }
  }

  async open(): Promise<void> {
    const { clock, file } = this.#parts
    this.#rules = await file.read()
    await this.look()
    this.#cancel = every(clock, LOOK_MS, () => this.look())
  }

  close(): void {
    this.#cancel()
  }

  closed(): string | undefined {
    return this.#closed
  }

  unwelcome(command: readonly string[]): string | undefined {
    return whyUnwelcome(this.#rules, command)
  }

  look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  pause(paused: boolean): Promise<void> {
    const { file } = this.#parts
    this.#asked = paused
    this.#judge()
    return this.#writes.add(async () => {
      const { paused: _, ...rest } = await file.read()
      await file.write(paused ? { ...rest, paused } : rest)
      await this.look()
    })
  }

  async #lookOnce(): Promise<void> {
    await this.#readAgain()
    this.#facts = await this.#lookAround()
    if (this.#judge().some(({ rule, open }) => rule === 'min_free_disk_bytes' && !open)) await this.#parts.shrink()
  }

  /** While the file cannot be read, the last good rules hold. */
  async #readAgain(): Promise<void> {
    const { file, log } = this.#parts
    try {
      this.#rules = await file.read()
      if ((this.#rules.paused ?? false) === this.#asked) this.#asked = undefined
      this.#problem = undefined
    } catch (error) {
      const problem = error instanceof RulesError ? error.message : String(error)
      if (problem !== this.#problem) {
        const next = 'the rules before it hold until it is mended; look with swarm rules'
        log.error('rules_broken', { path: file.path, message: problem, next })
      }
      this.#problem = problem
    }
  }

  async #lookAround(): Promise<RuleFacts> {
    const { disk, folder, machine, project } = this.#parts
    const asksMachine = machineRules.some((rule) => this.#rules[rule] !== undefined)
    const [told, freeDiskBytes] = await Promise.all([
      asksMachine && machine ? machine.facts().catch((): MachineFacts => ({})) : {},
      disk.freeBytes(folder).catch(() => undefined),
    ])
    return { ...told, freeDiskBytes, project: project() }
  }

  #judge(): readonly Verdict[] {
    const { clock, log, changed } = this.#parts
    const before = this.#closed
    const owner = this.#asked === undefined ? this.#rules : { ...this.#rules, paused: this.#asked }
    const verdicts = judgeRules(owner, this.#facts, clock.now())
    this.#closed = whyClosed(verdicts)?.slice(0, limit.noteChars)
    if (this.#closed !== before) {
      if (this.#closed === undefined) log.info('opened')
      else log.info('closed', { message: this.#closed })
      changed()
    }
    return verdicts
  }
}
