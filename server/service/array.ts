// Arrays: many jobs that are submitted, listed and cancelled as one. An element is a row from its claim on; until then it is what its array says of it.
import type { JobId } from '../../src/protocol/id.ts'
import { isFinal } from '../../src/protocol/job.ts'
import { nextIndex } from '../../src/state/array.ts'
import type { JobRow } from '../store/row.ts'
import { changeJob, transition, type Write } from './change.ts'
import type { Core } from './core.ts'
import { elementRow } from './element.ts'

/** A fresh row of the element that is next; undefined when there is none to be had now. */
export async function drawElement(write: Write, id: JobId): Promise<JobRow | undefined> {
  const { core, tx } = write
  const array = await tx.getJob(id)
  const tally = array?.law.array
  if (!array || !tally) return undefined
  const patch = array.startedAt === undefined ? { startedAt: core.clock.now() } : {}
  const drawn = await changeJob(write, { row: array, event: { type: 'draw' }, who: { by: 'pond' }, patch })
  if ('refused' in drawn) return undefined
  const row = elementRow(array, nextIndex(tally))
  await tx.insertElement(row)
  // From here on it waits by itself, until its claim.
  tx.afterCommit(() => core.quotas.add(row, 1))
  await tx.insertTransition(transition(row, core.clock.now(), { who: { by: 'pond', note: `drawn of ${id}` } }))
  return row
}

/** Of one write: others go on between two. */
const RECALLED_AT_ONCE = 256

/** A cancel of an array reaches what was drawn behind its commit, some at a time, and goes on after a restart. */
export function startArrays(core: Core): void {
  core.recall.listen((id) => void recall(core, id))
}

async function recall(core: Core, id: JobId): Promise<void> {
  try {
    for (let before: string | undefined, more = true; more; ) {
      const last = await core.store.write((tx) => recallSome({ core, tx }, id, before))
      more = last !== undefined
      before = last
    }
  } catch (error) {
    core.log.warn('array.recall_failed', { error: String(error), job_id: id })
    core.recalling.add(core.clock.now() + core.settings.sweepMs, id)
  }
}

/** The last element that it looked at; undefined when there are no more. */
async function recallSome(write: Write, id: JobId, before: string | undefined): Promise<string | undefined> {
  const { tx } = write
  const array = await tx.getJob(id)
  const by = array?.law.cancel?.by
  if (!array || by === undefined || isFinal(array.law.state)) return undefined
  const limit = RECALLED_AT_ONCE
  const rows = await tx.listJobs({ array: id, limit, ...(before === undefined ? {} : { before }) })
  for (const row of rows) {
    if (isFinal(row.law.state) || row.law.cancel) continue
    await changeJob(write, { row, event: { type: 'cancel', by }, who: { by } })
  }
  return rows.length === limit ? rows.at(-1)?.id : undefined
}
