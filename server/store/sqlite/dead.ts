// Dead letters, found by the index of ends in SQLite: so many rows a call, however many jobs ended well.
import type { JobId } from '../../../src/protocol/id.ts'
import type { DeadFilter, DeadPage } from '../contract.ts'
import type { JobRow } from '../row.ts'
import type { Connection } from './connection.ts'
import { jobReads } from './job.ts'

/** Sorts after every id. */
const LAST = '~'

/** An array stands for its elements that never began; those that did are rows of their own. */
const isDead = `state in ('failed', 'expired') and (tally is null or json_extract(tally, '$.dropped') > 0)
  and coalesce(json_extract(facts, '$.replay.by'), json_extract(facts, '$.replay.dismissedAt')) is null`

interface Seen {
  readonly id: JobId
  readonly at: number
  readonly dead: number
}

export const deadReads = {
  listDead(db: Connection, { projectId, cause, label, array, before, limit, scan }: DeadFilter): DeadPage {
    const seen = db.all<Seen>(
      `select id, end_at as at, (${isDead}
         and (? is null or end_cause = ?)
         and (? is null or (id = ? and tally is not null) or (id > ? || '.' and id < ? || '/'))
         and (? is null or exists (select 1 from job_labels l
           where l.project_id = jobs.project_id and l.key = ? and l.value = ? and l.job_id = substr(jobs.id, 1, 30)))) as dead
       from jobs where project_id = ? and end_at is not null and (end_at, id) < (?, ?)
       order by end_at desc, id desc limit ?`,
      ...[cause, cause, array, array, array, array, label?.key, label?.key, label?.value],
      ...[projectId, before?.at ?? Number.MAX_SAFE_INTEGER, before?.id ?? LAST, scan],
    )
    const rows: JobRow[] = []
    for (const { id, at, dead } of seen) {
      const row = dead === 1 ? jobReads.getJob(db, id) : undefined
      if (row) rows.push(row)
      if (rows.length === limit) return { rows, next: { at, id } }
    }
    const last = seen.at(-1)
    return { rows, ...(last && seen.length === scan && { next: { at: last.at, id: last.id } }) }
  },
}
