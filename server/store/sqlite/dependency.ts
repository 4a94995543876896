// Which job waits for which, as rows of SQLite.
import type { JobId } from '../../../src/protocol/id.ts'
import type { DependencyRow } from '../row.ts'
import type { Connection } from './connection.ts'

interface RawDependency {
  readonly job_id: JobId
  readonly other_id: JobId
  readonly kind: DependencyRow['on']
}

const dependencyOf = (raw: RawDependency): DependencyRow => ({
  jobId: raw.job_id,
  otherId: raw.other_id,
  on: raw.kind,
})

const select = 'select job_id, other_id, kind from dependencies'

export const dependencyReads = {
  listDependencies(db: Connection, jobId: JobId, limit: number) {
    return db.all<RawDependency>(`${select} where job_id = ? order by other_id limit ?`, jobId, limit).map(dependencyOf)
  },
  listDependents(db: Connection, otherId: JobId, limit: number) {
    return db
      .all<RawDependency>(`${select} where other_id = ? order by job_id limit ?`, otherId, limit)
      .map(dependencyOf)
  },
  listAwaited(db: Connection) {
    return db.all<{ id: JobId }>('select distinct other_id as id from dependencies order by id').map(({ id }) => id)
  },
}

export const dependencyWrites = {
  insertDependency(db: Connection, row: DependencyRow) {
    db.run('insert into dependencies (job_id, other_id, kind) values (?, ?, ?)', row.jobId, row.otherId, row.on)
  },
  deleteDependency(db: Connection, { jobId, otherId }: Pick<DependencyRow, 'jobId' | 'otherId'>) {
    db.run('delete from dependencies where other_id = ? and job_id = ?', otherId, jobId)
  },
}
