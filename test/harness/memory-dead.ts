// Dead letters among the rows in memory.
import type { DeadFilter, ReadTx } from '../../server/store/contract.ts'
import type { JobRow } from '../../server/store/row.ts'
import { elementOf } from '../../src/protocol/id.ts'
import type { MemoryRows, Statements } from './memory-store.ts'
import { byId, where } from './memory-table.ts'

const endOf = ({ law }: JobRow) => law.end?.at ?? 0

const isDead = ({ law: { state, array }, replay }: JobRow) =>
  (state === 'failed' || state === 'expired') &&
  array?.dropped !== 0 &&
  replay?.by === undefined &&
  replay?.dismissedAt === undefined

const matches = (row: JobRow, { cause, label, array }: DeadFilter) =>
  (cause === undefined || row.law.end?.cause === cause) &&
  (array === undefined || (row.id === array && row.law.array !== undefined) || elementOf(row.id)?.array === array) &&
  (label === undefined || row.labels[label.key] === label.value)

export const deadReads: Statements<Pick<ReadTx, 'listDead'>, MemoryRows> = {
  listDead({ jobs }, filter) {
    const { projectId, before, limit, scan } = filter
    const isBehind = (row: JobRow) =>
      !before || endOf(row) < before.at || (endOf(row) === before.at && row.id < before.id)
    const seen = where(jobs, (row) => row.projectId === projectId && row.law.end !== undefined && isBehind(row))
      .sort((one, other) => endOf(other) - endOf(one) || byId(other, one))
      .slice(0, scan)
    const rows = seen.filter((row) => isDead(row) && matches(row, filter)).slice(0, limit)
    const last = rows.length === limit ? rows.at(-1) : seen.length === scan ? seen.at(-1) : undefined
    return { rows, ...(last && { next: { at: endOf(last), id: last.id } }) }
  },
}
