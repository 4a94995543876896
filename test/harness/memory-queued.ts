// What is queued, as the store in memory lists it for the start.
import type { JobRow, QueuedFilter, QueuedRow } from '../../server/store/row.ts'
import { elementOf } from '../../src/protocol/id.ts'

export const standsIn =
  ({ projectId, kind, after }: QueuedFilter) =>
  (row: JobRow) =>
    row.projectId === projectId && kindOf(row) === kind && (after === undefined || row.id > after)

/** In which of the lists of what is queued it stands. */
function kindOf({ id, law: { state, array } }: JobRow): QueuedFilter['kind'] | undefined {
  if (elementOf(id)) return state === 'queued' ? 'element' : undefined
  return state === 'queued' || state === 'waiting' || (array && state === 'running') ? state : undefined
}

export const queuedOf = ({ id, projectId, priority, needs, law, createdAt, expiresAt }: JobRow): QueuedRow => ({
  id,
  state: law.state as QueuedRow['state'],
  projectId,
  priority,
  needs,
  passedOver: law.passedOver,
  createdAt,
  ...(law.array && { array: law.array }),
  ...(law.notBefore !== undefined && { notBefore: law.notBefore }),
  ...(expiresAt !== undefined && { expiresAt }),
})
