// What attempts used, added up from the rows of claims in SQLite. Only rows that an index names are read.
import type { ProjectId } from '../../../src/protocol/id.ts'
import type { EndFilter } from '../contract.ts'
import type { EndedRow, UseRow } from '../row.ts'
import type { Connection } from './connection.ts'

/** Sorts after every id. */
const LAST = '~'

const cpuOf = `sum(json_extract(c.word, '$.usage.cpu_ms'))`
const runOf = `sum(json_extract(c.word, '$.usage.wall_ms'))`
const bytesOf = `sum((select sum(json_extract(s.value, '$.bytes')) from json_each(c.word, '$.streams') s))`

const ofAttempts = (sum: string) =>
  `coalesce((select ${sum} from claims c where c.job_id = j.id and c.final_digest is not null), 0)`

/**
 * Each finds its jobs by an index of its own. Pond's own time of a word is that of the transition that it made; the only attempt of a job that ended since
 * then is not looked up.
 */
const sumsOf = [
  'j.end_at >= ?',
  `length(j.id) = 30 and j.state in ('claimed', 'running')`,
  `length(j.id) > 30 and j.end_at is null and j.state in ('claimed', 'running')`,
  `j.state = 'queued' and j.attempts > 0`,
].map(
  (which) =>
    `select coalesce(${cpuOf}, 0) as cpuMs, coalesce(${bytesOf}, 0) as outputBytes
     from jobs j cross join claims c on c.job_id = j.id
     where j.project_id = ? and ${which} and c.final_digest is not null
       and ((j.end_at is not null and j.attempts = 1)
         or exists (select 1 from transitions t where t.job_id = j.id and t.claim_id = c.id and t.at >= ?))`,
)

export const useReads = {
  listEnds(db: Connection, { projectId, since, before, limit }: EndFilter) {
    return db.all<EndedRow>(
      `select j.id as id, j.state as state, j.end_at as at,
         ${ofAttempts(cpuOf)} as cpuMs, ${ofAttempts(runOf)} as runMs, ${ofAttempts(bytesOf)} as outputBytes
       from jobs j
       where j.project_id = ? and j.end_at >= ? and j.tally is null and (j.end_at, j.id) < (?, ?)
       order by j.end_at desc, j.id desc limit ?`,
      ...[projectId, since, before?.at ?? Number.MAX_SAFE_INTEGER, before?.id ?? LAST, limit],
    )
  },
  sumUse(db: Connection, projectId: ProjectId, since: number) {
    const sum = { cpuMs: 0, outputBytes: 0 }
    for (const [index, sql] of sumsOf.entries()) {
      const part = db.get<UseRow>(sql, projectId, ...(index === 0 ? [since] : []), since)
      sum.cpuMs += part?.cpuMs ?? 0
      sum.outputBytes += part?.outputBytes ?? 0
    }
    return sum
  },
}
