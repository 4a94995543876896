// Elements of arrays as rows: what one gets of its array when it is drawn, and what it is until then.

import { elementId, elementOf, type JobId } from '../../src/protocol/id.ts'
import type { Cause, FinalState, TallyView } from '../../src/protocol/job.ts'
import { hasIndex, type Tally, underWay, undrawn } from '../../src/state/array.ts'
import { newJob } from '../../src/state/job.ts'
import type { ReadTx } from '../store/contract.ts'
import type { JobRow } from '../store/row.ts'

export function elementRow({ law: { policy }, ...array }: JobRow, index: number): JobRow {
  const { startedAt: _, message: _message, replay: _replay, ...row } = array
  return { ...row, id: elementId(array.id, index), law: newJob(policy, 'queued'), version: 1 }
}

/** An element that was not drawn, as its array says; undefined where there is none of that index. */
export async function findUndrawn(tx: ReadTx, id: JobId): Promise<JobRow | undefined> {
  const element = elementOf(id)
  const array = element && (await tx.getJob(element.array))
  const tally = array?.law.array
  if (!element || !tally || id !== elementId(array.id, element.index)) return undefined
  if (!hasIndex(tally, element.index)) return undefined
  const row = { ...elementRow(array, element.index), version: 0 }
  if (array.law.state === 'waiting') return { ...row, law: newJob(row.law.policy, 'waiting') }
  if (undrawn(tally) > 0) return row
  const state = droppedAs(array)
  const cause = causeOfDrop(state)
  const at = array.law.end?.at ?? array.law.cancel?.at ?? array.createdAt
  return { ...row, law: { ...row.law, state, end: { cause, at } } }
}

function droppedAs({ law }: JobRow): FinalState {
  if (law.cancel) return 'cancelled'
  return law.end?.cause === 'dependency' ? 'failed' : 'expired'
}

/** Why an element ended that was never drawn. */
export function causeOfDrop(state: FinalState): Cause {
  if (state === 'expired') return 'ttl'
  return state === 'cancelled' ? 'cancelled' : 'dependency'
}

/** A job, or an element that was not drawn yet. */
export const findAny = async (tx: ReadTx, id: JobId) => (await tx.getJob(id)) ?? (await findUndrawn(tx, id))

/** What an array shows of its elements. */
export function viewTally(tally: Tally): TallyView {
  const { count, from, maxParallel, ended, dropped } = tally
  return {
    ...{ count, from, max_parallel: maxParallel, queued: undrawn(tally), under_way: underWay(tally), ...ended },
    ...(dropped > 0 ? { never_began: dropped } : {}),
  }
}
