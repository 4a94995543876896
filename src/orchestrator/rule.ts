// The owner's rules as law: whether this machine takes jobs now, and which. Pure: what the machine tells and the time come in.
import picomatch from 'picomatch'
import { z } from 'zod'
import { name } from '../protocol/field.ts'
import type { MachineFacts } from '../system/machine.ts'
import { type Hours, isWithin, localTime, parseHours } from './hours.ts'

const hours = z
  .string()
  .max(128)
  .superRefine((text, context) => {
    const parsed = parseHours(text)
    if (typeof parsed === 'string') context.addIssue({ code: 'custom', message: parsed })
  })

/** As in rules.json. What is not there is not ruled. */
export const rules = z.strictObject({
  /** Local times at which jobs are taken: `mon-fri 18:00-08:00`, `sat,sun`. */
  hours: z.array(hours).min(1).max(64).optional(),
  mains_only: z.boolean().optional(),
  /** Nobody typed at a terminal for so long. */
  idle_minutes: z.int().min(1).max(10_080).optional(),
  /** One-minute load average a core; that of swarm's own jobs counts too. */
  max_load: z.number().positive().max(1000).optional(),
  min_free_disk_bytes: z.int().min(0).optional(),
  min_free_memory_bytes: z.int().min(0).optional(),
  projects: z.array(name).min(1).max(64).optional(),
  /** Globs for the first word of a command, or the first words of one. */
  commands: z
    .array(z.union([z.string().min(1).max(4096), z.array(z.string().max(4096)).min(1).max(64)]))
    .min(1)
    .max(256)
    .optional(),
  paused: z.boolean().optional(),
})
export type Rules = z.infer<typeof rules>
export type RuleName = keyof Rules

/** Those for which the machine must be looked at. */
export const machineRules = ['mains_only', 'idle_minutes', 'max_load', 'min_free_memory_bytes'] as const

/** With less room on the disk a job could not even say that it is full. Holds without a rule. */
export const ROOM_BYTES_LEAST = 4 * 1024 * 1024

/** What of the disk no job is promised: output waits there while pond is away, with bundles and the journal. */
export const OWN_BYTES = 1024 ** 3

/** What of the disk is not for the folders of jobs. */
export const keptBytes = ({ min_free_disk_bytes: owned = 0 }: Rules): number => Math.max(owned, OWN_BYTES)

export interface RuleFacts extends MachineFacts {
  /** Where swarm has its folder; undefined where it cannot be read. */
  readonly freeDiskBytes: number | undefined
  /** The one that this machine is paired with. */
  readonly project: string
}

/** One rule and what it meets now. */
export interface Verdict {
  readonly rule: RuleName
  readonly open: boolean
  /** Both in words for people. */
  readonly wants: string
  readonly is: string
}

const UNKNOWN = 'not told by this machine'

/** Of each rule that is there, and of the disk in any case. What a rule asks for and the machine does not tell is not met; a disk that cannot be asked counts as free. */
export function judgeRules(owner: Rules, facts: RuleFacts, now: number): readonly Verdict[] {
  const verdicts: Verdict[] = []
  const judge = (rule: RuleName, wants: string, [is, open]: readonly [string, boolean]) =>
    void verdicts.push({ rule, open, wants, is })
  const told = <T>(value: T | undefined, say: (value: T) => readonly [string, boolean]) =>
    value === undefined ? ([UNKNOWN, false] as const) : say(value)
  const { hours, mains_only, idle_minutes, max_load, min_free_memory_bytes: memory, projects, commands } = owner
  if (owner.paused !== undefined) judge('paused', 'false', [`${owner.paused}`, !owner.paused])
  if (projects) judge('projects', projects.join('; '), [facts.project, projects.includes(facts.project)])
  if (hours) judge('hours', hours.join('; '), [localTime(now), isWithin(hours.map(hoursOf), now)])
  if (mains_only !== undefined) {
    const power = told(facts.onMains, (onMains) => [onMains ? 'on mains' : 'on battery', onMains || !mains_only])
    judge('mains_only', `${mains_only}`, power)
  }
  if (idle_minutes !== undefined) {
    const idle = told(facts.idleMs, (ms) => [describeIdle(ms), ms >= idle_minutes * 60_000])
    judge('idle_minutes', `${idle_minutes}`, idle)
  }
  if (max_load !== undefined)
    judge(
      'max_load',
      `${max_load} a core`,
      told(facts.loadPerCore, (load) => [`${load.toFixed(2)} a core`, load <= max_load]),
    )
  if (memory !== undefined)
    judge(
      'min_free_memory_bytes',
      size(memory),
      told(facts.freeMemoryBytes, (bytes) => [size(bytes), bytes >= memory]),
    )
  const room = Math.max(owner.min_free_disk_bytes ?? 0, ROOM_BYTES_LEAST)
  // A disk that cannot even be asked shows by what fails on it.
  const disk = facts.freeDiskBytes ?? Number.POSITIVE_INFINITY
  judge('min_free_disk_bytes', size(room), [size(disk), disk >= room])
  if (commands)
    judge('commands', commands.map((one) => [one].flat().join(' ')).join('; '), ['judged for each job', true])
  return verdicts
}

/** Without what changes from look to look, and read by others: neither when somebody typed nor what is free. */
const saying: Readonly<Record<Exclude<RuleName, 'commands'>, (verdict: Verdict) => string>> = {
  paused: () => 'this swarm is paused by its owner',
  projects: ({ is }) => `the owner of this machine does not serve the project ${is}`,
  hours: ({ wants }) => `it is outside of the owner's hours: ${wants}, local time`,
  mains_only: ({ is }) => `this machine is ${is}, and its owner gives it on mains only`,
  idle_minutes: ({ wants }) => `somebody uses this machine; its owner gives it after ${wants} min without`,
  max_load: ({ wants }) => `the load of this machine is above ${wants}`,
  min_free_disk_bytes: ({ wants }) => `the disk is full: less than ${wants} are free`,
  min_free_memory_bytes: ({ wants }) => `memory is short: less than ${wants} are free`,
}

/** The first rule that is not met, in words for whoever waits; undefined: jobs are taken. */
export function whyClosed(verdicts: readonly Verdict[]): string | undefined {
  const closed = verdicts.find(({ open }) => !open)
  if (!closed || closed.rule === 'commands') return undefined
  return saying[closed.rule](closed)
}

/** Why the owner does not want this command; undefined where he does. Says who is welcome and keeps nobody out: a shell runs anything. */
export function whyUnwelcome({ commands }: Rules, command: readonly string[]): string | undefined {
  const [first = ''] = command
  if (!commands || commands.some((one) => isMeant(one, command))) return undefined
  return `the owner of this machine does not run the command ${JSON.stringify(first.slice(0, 64))}`
}

function isMeant(one: string | readonly string[], command: readonly string[]): boolean {
  if (typeof one === 'string') return picomatch(one, { dot: true })(command[0] ?? '') || one === command[0]
  return one.every((word, index) => word === command[index])
}

function hoursOf(text: string): Hours {
  const parsed = parseHours(text)
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed
}

const describeIdle = (ms: number) =>
  Number.isFinite(ms) ? `somebody typed ${Math.floor(ms / 60_000)} min ago` : 'nobody is at a terminal'

function size(bytes: number): string {
  if (!Number.isFinite(bytes)) return 'as much as is needed'
  return bytes < 1024 ** 3 ? `${(bytes / 1024 ** 2).toFixed(1)} MiB` : `${(bytes / 1024 ** 3).toFixed(1)} GiB`
}
