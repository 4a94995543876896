// pond project quota: what a project may use. What is not named stays as it is.
import type { ProjectView } from '../../protocol/admin.ts'
import type { Quota } from '../../protocol/quota.ts'
import type { ConnectionFlags } from '../config.ts'
import { nameFailure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { fields } from '../output.ts'
import { need, withSession } from '../session.ts'
import { formatSize } from '../size.ts'

type Limits = { -readonly [K in keyof Quota]: Quota[K] }

export interface QuotaFlags extends ConnectionFlags {
  readonly name: string
  readonly queued?: number
  readonly running?: number
  readonly submitsPerMinute?: number
  readonly cpuSecondsPerDay?: number
  readonly outputPerDay?: number
  readonly priorityMost?: number
  /** Limits to take away, by the names of their flags. */
  readonly none?: readonly string[]
  readonly clear?: boolean
}

/** By the names of the flags. */
const fieldOf = {
  queued: 'queued',
  running: 'running',
  'submits-per-minute': 'submits_per_minute',
  'cpu-seconds-per-day': 'cpu_seconds_per_day',
  'output-per-day': 'output_bytes_per_day',
  'priority-most': 'priority_most',
} as const satisfies Record<string, keyof Quota>
type FlagName = keyof typeof fieldOf
const flagNames = Object.keys(fieldOf) as readonly FlagName[]

export function quota(io: Io, flags: QuotaFlags): Promise<number> {
  const change = changeOf(flags)
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the projects', await client.call('listProjects'))
    const before = items.find(({ id }) => id === flags.name) ?? items.find(({ name }) => name === flags.name)
    if (!before) throw nameFailure(0, 'project', { given: flags.name, next: 'List them: pond project ls.' })
    const call = { params: { project: before.id }, body: change(before.quota ?? {}) }
    const isAsked = flagNames.some((name) => givenBy(flags)[name] !== undefined) || flags.none || flags.clear
    const after = isAsked ? need(`set the quota of ${before.name}`, await client.call('setQuota', call)) : before
    await out.result(after, () => describe(after))
    return 0
  })
}

function givenBy(flags: QuotaFlags): Readonly<Record<FlagName, number | undefined>> {
  return {
    queued: flags.queued,
    running: flags.running,
    'submits-per-minute': flags.submitsPerMinute,
    'cpu-seconds-per-day': flags.cpuSecondsPerDay,
    'output-per-day': flags.outputPerDay,
    'priority-most': flags.priorityMost,
  }
}

function changeOf(flags: QuotaFlags): (before: Quota) => Quota {
  const given = givenBy(flags)
  const taken = (flags.none ?? []).map((name) => {
    const known = flagNames.find((it) => it === name)
    if (!known) throw usageFailure(`--none: no limit is called ${name}`, `Name one of: ${flagNames.join(', ')}.`)
    return known
  })
  const both = taken.find((name) => given[name] !== undefined)
  if (both) throw usageFailure(`--${both} and --none ${both} exclude each other`)
  return (before) => {
    const after: Limits = {}
    for (const name of flagNames) {
      const kept = flags.clear || taken.includes(name) ? undefined : before[fieldOf[name]]
      const value = given[name] ?? kept
      if (value !== undefined) after[fieldOf[name]] = value
    }
    return after
  }
}

function describe({ id, name, quota = {} }: ProjectView): readonly string[] {
  const rows = flagNames.map((flag) => {
    const value = quota[fieldOf[flag]]
    return [flag, value !== undefined && flag === 'output-per-day' ? formatSize(value) : value] as const
  })
  const isFree = rows.every(([, value]) => value === undefined)
  return fields([['project', name], ['id', id], ...rows, ['limits', isFree ? 'none' : undefined]])
}
