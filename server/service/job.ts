// What consumers do with jobs that exist: look, wait, list, cancel; and the end of what waited too long.
import type { JobView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { JobId, ProjectId } from '../../src/protocol/id.ts'
import { isFinal, type JobState } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { ReadTx } from '../store/contract.ts'
import type { JobRow } from '../store/row.ts'
import { changeJob } from './change.ts'
import type { Core } from './core.ts'
import { findAny } from './element.ts'
import { viewJob } from './view.ts'
import { waitFor } from './wait.ts'

/** Whose jobs a caller may see: those of one project, or all of them. */
export type Scope = ProjectId | 'all'

export async function findJob(tx: ReadTx, scope: Scope, id: JobId): Promise<JobRow> {
  const row = await findAny(tx, id)
  if (!row || (scope !== 'all' && row.projectId !== scope)) throw new Refusal('not_found', `there is no job ${id}`)
  return row
}

export function readJob(core: Core, scope: Scope, id: JobId): Promise<JobRow> {
  return core.store.read((tx) => findJob(tx, scope, id))
}

/** Answers at once when the job is final (or its version above `above`), else when it is, or after `waitMs`. Tells what it still waits for. */
export async function awaitJob(
  core: Core,
  asked: {
    readonly scope: Scope
    readonly id: JobId
    readonly waitMs: number
    readonly above?: number | undefined
    readonly signal: AbortSignal
  },
): Promise<JobView> {
  const settled = (row: JobRow) => isFinal(row.law.state) || (asked.above !== undefined && row.version > asked.above)
  const row = await waitFor(core, {
    listen: (nudge) => core.hub.job.listen(asked.id, nudge),
    look: () => readJob(core, asked.scope, asked.id),
    done: settled,
    waitMs: asked.waitMs,
    signal: asked.signal,
  })
  const view = viewJob(core, row)
  return row.law.state === 'waiting' ? { ...view, after: await readAfter(core, row.id) } : view
}

async function readAfter(core: Core, id: JobId): Promise<JobView['after']> {
  const rows = await core.store.read((tx) => tx.listDependencies(id, limit.listMost))
  return rows.map(({ otherId, on }) => ({ job: otherId, on }))
}

export async function listJobs(
  core: Core,
  scope: Scope,
  query: {
    readonly state?: JobState | undefined
    readonly array?: JobId | undefined
    readonly label?: string | undefined
    readonly cursor?: string | undefined
    readonly limit?: number | undefined
  },
): Promise<{ items: JobView[]; next: string | null }> {
  const most = query.limit ?? limit.listDefault
  const rows = await core.store.read((tx) =>
    tx.listJobs({
      limit: most,
      ...(scope === 'all' ? {} : { projectId: scope }),
      ...(query.state ? { state: query.state } : {}),
      ...(query.array === undefined ? {} : { array: query.array }),
      ...(query.label === undefined ? {} : { label: parseLabel(query.label) }),
      ...(query.cursor === undefined ? {} : { before: query.cursor }),
    }),
  )
  const last = rows.at(-1)
  return { items: rows.map((row) => viewJob(core, row)), next: last && rows.length === most ? last.id : null }
}

export function parseLabel(text: string): { key: string; value: string } {
  const at = text.indexOf('=')
  if (at < 1) throw new Refusal('invalid_field', 'label must look like key=value', { field: 'label' })
  return { key: text.slice(0, at), value: text.slice(at + 1) }
}

/** Cancels at once what nobody runs, and puts it on record for the worker otherwise. A repeat changes nothing. */
export async function cancelJob(
  core: Core,
  asked: { readonly scope: Scope; readonly id: JobId; readonly by: string },
): Promise<JobView> {
  const { scope, id, by } = asked
  const row = await core.store.write(async (tx) => {
    const row = await findJob(tx, scope, id)
    if (row.law.state === 'cancelled') return row
    if (row.version === 0 && !isFinal(row.law.state)) {
      const says = 'this element of the array has not begun; cancel the array, or this one once it has'
      throw new Refusal('not_possible', says, { state: row.law.state })
    }
    const next = await changeJob({ core, tx }, { row, event: { type: 'cancel', by }, who: { by } })
    if (!('refused' in next)) return next
    if (next.refused === 'unchanged') return row
    throw new Refusal('not_possible', `the job has ${row.law.state} already`, { state: row.law.state })
  })
  return viewJob(core, row)
}

const LIVE: readonly JobState[] = ['waiting', 'queued', 'claimed', 'running']
/** Of one write: others go on between two. */
const CANCELLED_AT_ONCE = 256

/** Cancels every job with this label. Jobs move while it goes through them, so it goes again until there was nothing to do. */
export async function cancelJobs(core: Core, asked: CancelMany): Promise<{ cancelled: number; asked: number }> {
  const total = { cancelled: 0, asked: 0 }
  for (let done = Number.POSITIVE_INFINITY; done > 0; ) {
    const before = total.cancelled + total.asked
    for (const state of LIVE) await cancelIn(core, { ...asked, state }, total)
    done = total.cancelled + total.asked - before
  }
  return total
}

interface CancelMany {
  readonly projectId: ProjectId
  readonly label: { readonly key: string; readonly value: string }
  readonly by: string
}

async function cancelIn(
  core: Core,
  { projectId, label, by, state }: CancelMany & { readonly state: JobState },
  total: { cancelled: number; asked: number },
): Promise<void> {
  for (let before: string | undefined, more = true; more; ) {
    const changed = await core.store.write(async (tx) => {
      const filter = { projectId, state, label, limit: CANCELLED_AT_ONCE, ...(before === undefined ? {} : { before }) }
      const rows = await tx.listJobs(filter)
      before = rows.at(-1)?.id
      more = rows.length === CANCELLED_AT_ONCE
      const counts = { cancelled: 0, asked: 0 }
      for (const row of rows) {
        const next = await changeJob({ core, tx }, { row, event: { type: 'cancel', by }, who: { by } })
        if ('refused' in next) continue
        counts[next.law.state === 'cancelled' ? 'cancelled' : 'asked']++
      }
      return counts
    })
    total.cancelled += changed.cancelled
    total.asked += changed.asked
  }
}

/** Ends jobs whose time to live is over, unless somebody has them by now. */
export function startExpiry(core: Core): void {
  core.expired.listen((ids) => {
    core.store
      .write(async (tx) => {
        for (const id of ids) {
          const row = await tx.getJob(id)
          if (row) await changeJob({ core, tx }, { row, event: { type: 'expire' }, who: { by: 'pond' } })
        }
      })
      .catch((error: unknown) => {
        core.log.warn('expiry.failed', { error: String(error), jobs: ids.length })
        for (const id of ids) core.expiring.add(core.clock.now() + core.settings.sweepMs, id)
      })
  })
}
