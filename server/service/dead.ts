// Dead letters: jobs that failed or expired and that nobody replayed or dismissed; an array among them stands for those of its elements that never began.
// They are no rows of their own; a mark on the job takes it out of the list.
import type { JobView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import { type JobId, jobId, type ProjectId } from '../../src/protocol/id.ts'
import type { Cause } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { DeadFilter, EndPlace } from '../store/contract.ts'
import type { JobRow, ReplayRow } from '../store/row.ts'
import { mirrorJob, transition, type Who, type Write } from './change.ts'
import type { Core } from './core.ts'
import { findJob, parseLabel, type Scope } from './job.ts'
import { viewJob } from './view.ts'

/** Jobs that a page looks at: many end well for each that does not, and others wait for the store meanwhile. */
export const DEAD_SCAN = 1000

/** Which dead letters of a project. */
export interface DeadQuery {
  readonly cause?: Cause | undefined
  readonly label?: string | undefined
  readonly array?: JobId | undefined
}

export function deadFilter(
  projectId: ProjectId,
  { cause, label, array }: DeadQuery,
): Pick<DeadFilter, 'projectId' | 'cause' | 'label' | 'array'> {
  return {
    projectId,
    ...(cause ? { cause } : {}),
    ...(label === undefined ? {} : { label: parseLabel(label) }),
    ...(array === undefined ? {} : { array }),
  }
}

export async function listDead(
  core: Core,
  projectId: ProjectId,
  query: DeadQuery & { readonly cursor?: string | undefined; readonly limit?: number | undefined },
): Promise<{ items: JobView[]; next: string | null }> {
  const filter = {
    ...deadFilter(projectId, query),
    ...(query.cursor === undefined ? {} : { before: parsePlace(query.cursor) }),
    ...{ limit: query.limit ?? limit.listDefault, scan: DEAD_SCAN },
  }
  const { rows, next } = await core.store.read((tx) => tx.listDead(filter))
  return { items: rows.map((row) => viewJob(core, row)), next: next ? `${next.at}.${next.id}` : null }
}

function parsePlace(cursor: string): EndPlace {
  const [, at, given] = /^(\d{1,15})\.(.+)$/.exec(cursor) ?? []
  const id = jobId.safeParse(given)
  if (!id.success) throw new Refusal('invalid_field', 'cursor must be the next of a page', { field: 'cursor' })
  return { at: Number(at), id: id.data }
}

interface Asked {
  readonly scope: Scope
  readonly id: JobId
  readonly by: string
}

/** One that is in the list no more stays as it is. */
export async function dismissJob(core: Core, { scope, id, by }: Asked): Promise<JobView> {
  const row = await core.store.write(async (tx) => {
    const row = await findJob(tx, scope, id)
    checkDead(row)
    if (isSettled(row)) return row
    return await markReplay({ core, tx }, row, {
      mark: { dismissedAt: core.clock.now() },
      who: { by, note: 'dismissed' },
    })
  })
  return viewJob(core, row)
}

function checkDead(row: JobRow): void {
  const { state, array } = row.law
  if (array && array.dropped === 0) {
    throw new Refusal('not_possible', 'all of the array began: its elements are dead letters, and it is none', {
      state,
    })
  }
  checkBegun(row)
  if (state === 'failed' || state === 'expired') return
  throw new Refusal('not_possible', `only what failed or expired is a dead letter; the job is ${state}`, { state })
}

/** An element that was never drawn has no row that could be marked. */
export function checkBegun({ version, law: { state } }: JobRow): void {
  if (version > 0) return
  throw new Refusal('not_possible', 'this element never began; replay its array', { state })
}

/** Replayed or dismissed. */
export const isSettled = ({ replay }: JobRow) => replay?.by !== undefined || replay?.dismissedAt !== undefined

/** Notes on an ended job what became of it; how it ended stands. */
export async function markReplay(
  { core, tx }: Write,
  row: JobRow,
  { mark, who }: { readonly mark: ReplayRow; readonly who: Who },
): Promise<JobRow> {
  const next: JobRow = { ...row, version: row.version + 1, replay: { ...row.replay, ...mark } }
  await tx.updateJob(next)
  await tx.insertTransition(transition(next, core.clock.now(), { from: row.law.state, who, note: who.note }))
  tx.afterCommit(() => mirrorJob(core, row.law, next))
  return next
}
