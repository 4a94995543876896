// What a project used, day by day, added up from the rows of jobs that ended; and how its quotas stand now. Nothing is stored for it.
import { Refusal } from '../../src/protocol/error.ts'
import type { ProjectId } from '../../src/protocol/id.ts'
import type { ProjectUsage, StandingView } from '../../src/protocol/quota.ts'
import { dayOf } from '../../src/state/quota.ts'
import type { EndedRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { priorityMostOf, standingsOf } from './quota.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** Of one read: others get their turn between two. */
const READ_AT_ONCE = 1000
/** Of one call: it takes about a second. */
const COUNTED_MOST = 100_000

type Day = ProjectUsage['days'][number]

export async function readUsage(core: Core, projectId: ProjectId, days: number): Promise<ProjectUsage> {
  const at = core.clock.now()
  const project = core.projectRows.get(projectId)
  if (!project) throw new Refusal('not_found', 'there is no such project', { field: 'project' })
  return {
    project: project.name,
    at,
    queued: core.quotas.of(projectId).waiting,
    running: core.live.inProject(projectId),
    quotas: standingViews(core, projectId),
    priority_most: priorityMostOf(core, projectId),
    days: await sumDays(core, projectId, { today: dayOf(at), days }),
  }
}

function standingViews(core: Core, projectId: ProjectId): StandingView[] {
  const running = core.projectRows.get(projectId)?.quota?.running
  const now = core.clock.now()
  const all: StandingView[] = standingsOf(core, projectId).map(({ name, most, used, wholeInMs }) => ({
    ...{ name, most, used },
    ...(wholeInMs === undefined || used === 0 ? {} : { until: now + wholeInMs }),
  }))
  if (running !== undefined) all.push({ name: 'running', most: running, used: core.live.inProject(projectId) })
  return all
}

async function sumDays(
  core: Core,
  projectId: ProjectId,
  { today, days }: { readonly today: number; readonly days: number },
): Promise<Day[]> {
  const sums = Array.from({ length: days }, (_, ago) => emptyDay(today - ago * DAY_MS))
  const since = today - (days - 1) * DAY_MS
  let before: EndedRow | undefined
  for (let counted = 0; counted < COUNTED_MOST; counted += READ_AT_ONCE) {
    const of = { projectId, since, limit: READ_AT_ONCE, ...(before ? { before } : {}) }
    const rows = await core.store.read((tx) => tx.listEnds(of))
    for (const row of rows) addTo(sums[(today - dayOf(row.at)) / DAY_MS] ?? sums[0], row)
    if (rows.length < READ_AT_ONCE) return sums
    before = rows.at(-1)
    await turn(core)
  }
  const reached = (today - dayOf(before?.at ?? today)) / DAY_MS
  return sums.map((day, ago) => (ago < reached ? day : { ...day, is_least: true }))
}

/** Whoever waits in the event loop comes first. */
export const turn = ({ clock }: Core) => new Promise<void>((resolve) => void clock.after(0, resolve))

const emptyDay = (at: number): Day => ({
  day: new Date(at).toISOString().slice(0, 10),
  ended: {},
  ...{ cpu_ms: 0, output_bytes: 0, run_ms: 0 },
})

function addTo(day: Day | undefined, { state, cpuMs, runMs, outputBytes }: EndedRow): void {
  if (!day) return
  day.ended[state] = (day.ended[state] ?? 0) + 1
  day.cpu_ms += Math.round(cpuMs)
  day.run_ms += Math.round(runMs)
  day.output_bytes += outputBytes
}
