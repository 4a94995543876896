// pond usage: what the project used, day by day, and what counts against its quotas.
import type { ProjectUsage, StandingView } from '../../protocol/quota.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatDuration } from '../duration.ts'
import type { Io } from '../io.ts'
import { fields } from '../output.ts'
import { need, withSession } from '../session.ts'
import { formatSize } from '../size.ts'

export interface UsageFlags extends ConnectionFlags {
  readonly days?: number
}

export function usage(io: Io, flags: UsageFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const query = { days: flags.days }
    const view = need('read what the project used', await client.call('getUsage', { query }))
    await out.result(view, () => describe(view))
    return 0
  })
}

function describe({ project, queued, running, quotas, priority_most, days, at }: ProjectUsage): readonly string[] {
  return [
    ...fields([
      ['project', project],
      ['waiting', queued],
      ['running', running],
      ...quotas.map((one) => [`quota ${one.name}`, sayStanding(one, at)] as const),
      ['highest priority', priority_most],
    ]),
    '',
    ...fields(days.map((day) => [day.day, sayDay(day)] as const)),
  ]
}

function sayStanding({ name, most, used, until }: StandingView, now: number): string {
  const say = name === 'output_bytes_per_day' ? formatSize : String
  const when = until === undefined ? '' : `, whole again in ${formatDuration(Math.max(0, until - now))}`
  return `${say(used)} of ${say(most)}${when}`
}

function sayDay({ ended, cpu_ms, run_ms, output_bytes, is_least }: ProjectUsage['days'][number]): string {
  const ends = Object.entries(ended).map(([state, count]) => `${count} ${state}`)
  if (ends.length === 0) return is_least ? 'not counted: too many jobs ended since' : 'nothing ended'
  const used = `CPU ${formatDuration(cpu_ms)}, ran ${formatDuration(run_ms)}, output ${formatSize(output_bytes)}`
  return `${is_least ? 'at least ' : ''}${ends.join(', ')}; ${used}`
}
