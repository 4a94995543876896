// The gate: whether this machine takes jobs now, by its owner's rules and the room on its disk. Looks again every few seconds; decides nothing by itself.
import PQueue from 'p-queue'
import { limit } from '../protocol/limit.ts'
import { type Cancel, every } from '../system/clock.ts'
import type { MachineFacts } from '../system/machine.ts'
import type { SwarmParts } from './contract.ts'
import {
  judgeRules,
  keptBytes,
  machineRules,
  type RuleFacts,
  type Rules,
  type Verdict,
  whyClosed,
  whyUnwelcome,
} from './rule.ts'
import { openRuleFile, type RuleFile, RulesError, withPaused } from './rule-file.ts'

export interface Gate {
  /** Reads the rules for the first time; rejects with RulesError where they cannot be read. */
  open(): Promise<void>
  /** Why no jobs are taken now; undefined: they are. */
  closed(): string | undefined
  /** Why the owner does not want this command. */
  unwelcome(command: readonly string[]): string | undefined
  /** Bytes free where jobs have their folders, without what is kept; undefined where that cannot be asked. */
  spareDisk(): number | undefined
  /** Looks at rules and machine now. Never rejects. */
  look(): Promise<void>
  /** Takes effect at once and is kept for the next run. Rejects when it could not be kept. */
  pause(paused: boolean): Promise<void>
  close(): void
}

type Around = Pick<SwarmParts, 'clock' | 'log' | 'disk' | 'executor' | 'home' | 'host' | 'binding'>

interface GateParts {
  /** The disk is full: gives back what no job uses. */
  readonly shrink: () => Promise<void>
  /** It opened or closed, or is closed for another reason. */
  readonly changed: () => void
}

/** A plug that is pulled or a disk that is emptied is noticed within this. */
const LOOK_MS = 5000

/** Counts the room of swarm's folder. Without a machine to ask, rules about it are not met. */
export function createGate(around: Around, parts: GateParts): Gate {
  return new OwnersGate({ ...around, ...parts })
}

class OwnersGate implements Gate {
  readonly #parts: Around & GateParts
  readonly #file: RuleFile
  #rules: Rules = {}
  #facts: RuleFacts
  /** Where jobs have their folders, which may be another disk than that of swarm's own. */
  #boxBytes: number | undefined
  #closed: string | undefined
  /** What is wrong with the file, as it was last logged. */
  #problem: string | undefined
  /** Asked for, and not in the file yet. */
  #asked: boolean | undefined
  /** One after the other: a look does not end before what it saw is from behind the call, and what is asked later stays in the file. */
  readonly #turns = new PQueue({ concurrency: 1 })
  #cancel: Cancel = () => {}

  constructor(parts: Around & GateParts) {
    this.#parts = parts
    this.#file = openRuleFile(parts, parts.home.rulesPath)
    this.#facts = { project: parts.binding.now().project, freeDiskBytes: undefined }
  }

  async open(): Promise<void> {
    const { clock } = this.#parts
    this.#rules = await this.#file.read()
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

  spareDisk(): number | undefined {
    const spare = this.#boxBytes === undefined ? undefined : Math.max(0, this.#boxBytes - keptBytes(this.#rules))
    return spare === undefined ? undefined : Math.min(spare, Number.MAX_SAFE_INTEGER)
  }

  look(): Promise<void> {
    return this.#turns.add(() => this.#lookOnce())
  }

  pause(paused: boolean): Promise<void> {
    this.#asked = paused
    this.#judge()
    return this.#turns.add(async () => {
      await this.#file.change(withPaused(paused)).catch((cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new Error(`${this.#file.path} could not be changed: ${why}`, { cause })
      })
      await this.#lookOnce()
    })
  }

  async #lookOnce(): Promise<void> {
    await this.#readAgain()
    this.#facts = await this.#lookAround()
    if (this.#judge().some(({ rule, open }) => rule === 'min_free_disk_bytes' && !open)) await this.#parts.shrink()
  }

  /** While the file cannot be read, the last good rules hold. */
  async #readAgain(): Promise<void> {
    const { log } = this.#parts
    try {
      this.#rules = await this.#file.read()
      if ((this.#rules.paused ?? false) === this.#asked) this.#asked = undefined
      this.#problem = undefined
    } catch (error) {
      const problem = error instanceof RulesError ? error.message : String(error)
      if (problem !== this.#problem) {
        const next = 'the rules before it hold until it is mended; look with swarm rules'
        log.error('rules_broken', { path: this.#file.path, message: problem, next })
      }
      this.#problem = problem
    }
  }

  async #lookAround(): Promise<RuleFacts> {
    const { disk, executor, home, host, binding } = this.#parts
    const { machine } = host
    const asksMachine = machineRules.some((rule) => this.#rules[rule] !== undefined)
    const [told, freeDiskBytes, boxBytes] = await Promise.all([
      asksMachine && machine ? machine.facts().catch((): MachineFacts => ({})) : {},
      disk.freeBytes(home.path).catch(() => undefined),
      disk.freeBytes(executor.folder).catch(() => undefined),
    ])
    this.#boxBytes = boxBytes
    return { ...told, freeDiskBytes, project: binding.now().project }
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
