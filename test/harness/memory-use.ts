// What attempts used, of the rows in memory.
import type { ReadTx } from '../../server/store/contract.ts'
import type { ClaimRow, EndedRow, JobRow } from '../../server/store/row.ts'
import { isFinal } from '../../src/protocol/job.ts'
import type { MemoryRows, Statements } from './memory-store.ts'
import { where } from './memory-table.ts'

const heard = ({ claims }: MemoryRows, jobId: string) =>
  where(claims, (row) => row.jobId === jobId && row.lease.finalDigest !== undefined)

const bytesOf = ({ streams = {} }: ClaimRow) => Object.values(streams).reduce((sum, it) => sum + (it?.bytes ?? 0), 0)

function sumOf(claims: readonly ClaimRow[]) {
  const sum = { cpuMs: 0, runMs: 0, outputBytes: 0 }
  for (const claim of claims) {
    sum.cpuMs += claim.usage?.cpu_ms ?? 0
    sum.runMs += claim.usage?.wall_ms ?? 0
    sum.outputBytes += bytesOf(claim)
  }
  return sum
}

function endOf(rows: MemoryRows, { id, law }: JobRow): EndedRow | undefined {
  if (!law.end || !isFinal(law.state)) return undefined
  return { id, state: law.state, at: law.end.at, ...sumOf(heard(rows, id)) }
}

const latestFirst = (one: EndedRow, other: EndedRow) => other.at - one.at || (one.id < other.id ? 1 : -1)

export const useReads: Statements<Pick<ReadTx, 'listEnds' | 'sumUse'>, MemoryRows> = {
  listEnds: (rows, { projectId, since, before, limit }) =>
    where(rows.jobs, (row) => row.projectId === projectId)
      .flatMap((row) => endOf(rows, row) ?? [])
      .filter((row) => row.at >= since)
      .filter(({ at, id }) => !before || at < before.at || (at === before.at && id < before.id))
      .sort(latestFirst)
      .slice(0, limit),
  sumUse(rows, projectId, since) {
    const jobs = where(rows.jobs, ({ projectId: of, law }) => of === projectId && (law.end?.at ?? since) >= since)
    const late = ({ id, jobId }: ClaimRow) =>
      (rows.transitions.get(jobId) ?? []).some(({ claimId, at }) => claimId === id && at >= since)
    const { cpuMs, outputBytes } = sumOf(jobs.flatMap(({ id }) => heard(rows, id)).filter(late))
    return { cpuMs, outputBytes }
  },
}
