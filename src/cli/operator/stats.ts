// pond stats: what waits and runs on the whole pond, and how long it took.
import type { StatsView } from '../../protocol/stats.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatDuration } from '../duration.ts'
import type { Io } from '../io.ts'
import { fields } from '../output.ts'
import { need, withSession } from '../session.ts'

export function stats(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const view = need('read the figures of the pond', await client.call('getStats'))
    await out.result(view, () => describe(view))
    return 0
  })
}

const CLASSES_SHOWN = 10

function describe(view: StatsView): readonly string[] {
  const { at, since, queued, delayed, waiting, classes, classes_in_all: all, claims, workers, polls_parked } = view
  const shown = classes.slice(0, CLASSES_SHOWN)
  return [
    ...fields([
      ['measured for', formatDuration(at - since)],
      ['queued', queued],
      ['delayed', delayed],
      ['waiting for others', waiting],
      ['claims', counts(claims) || 'none'],
      ['workers', counts(workers) || 'none'],
      ['polls parked', polls_parked],
    ]),
    ...(shown.length > 0
      ? ['', `queued by what they require${all > shown.length ? `, ${all} kinds in all` : ''}:`]
      : []),
    ...shown.map((one) => `  ${one.queued}  ${one.project}  ${sayNeeds(one.requires)}`),
    ...view.windows.flatMap((window) => ['', ...describeWindow(window, at)]),
  ]
}

function describeWindow(window: StatsView['windows'][number], at: number): readonly string[] {
  const { window_ms, from, ended, ended_per_second: rates, wait_ms, run_ms } = window
  // It moves on in steps of a 60th, which is no news to anybody.
  const isYoung = at - from < window_ms - window_ms / 60
  const says = Object.entries(ended).map(([state, jobs]) => `${jobs} ${state} (${sayRate(rates[state] ?? 0)})`)
  return fields([
    [`last ${formatDuration(window_ms)}`, says.join(', ') || 'nothing ended'],
    ['  counted for', isYoung ? formatDuration(at - from) : undefined],
    ['  wait', saySpread(wait_ms)],
    ['  run', saySpread(run_ms)],
  ])
}

/** In the unit in which it is a number above one, to two digits. */
function sayRate(perSecond: number): string {
  const [rate, unit] = perSecond >= 1 ? [perSecond, 's'] : [perSecond * 60, 'min']
  return `${rate >= 100 ? Math.round(rate) : Number(rate.toPrecision(2))}/${unit}`
}

function saySpread(spread: StatsView['windows'][number]['wait_ms']): string | undefined {
  if (!spread) return undefined
  const { count, p50, p95, p99 } = spread
  return `p50 ${formatDuration(p50)}, p95 ${formatDuration(p95)}, p99 ${formatDuration(p99)} (of ${count})`
}

const counts = (record: Readonly<Record<string, number>>) =>
  Object.entries(record)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')

const sayNeeds = (needs: Readonly<Record<string, unknown>>) =>
  Object.keys(needs).length === 0 ? 'nothing' : JSON.stringify(needs)
