// Bundles, as rows of SQLite; their bytes are blobs.
import assert from 'node:assert/strict'
import type { BundleId, ProjectId } from '../../../src/protocol/id.ts'
import type { BundleRow } from '../row.ts'
import { given, toBit } from './column.ts'
import type { Connection } from './connection.ts'

interface RawBundle {
  readonly id: BundleId
  readonly project_id: ProjectId
  readonly digest: string | null
  readonly size: number
  readonly custody: string | null
  readonly signer: string | null
  readonly complete: number
  readonly created_at: number
  readonly used_at: number
}

const bundleOf = (raw: RawBundle): BundleRow => ({
  id: raw.id,
  projectId: raw.project_id,
  ...given({ digest: raw.digest }),
  size: raw.size,
  ...given({ custody: raw.custody, signer: raw.signer }),
  complete: raw.complete === 1,
  createdAt: raw.created_at,
  usedAt: raw.used_at,
})

const select = 'select id, project_id, digest, size, custody, signer, complete, created_at, used_at from bundles b'

export const bundleReads = {
  getBundle(db: Connection, id: BundleId) {
    const raw = db.get<RawBundle>(`${select} where id = ?`, id)
    return raw && bundleOf(raw)
  },
  findBundle(db: Connection, projectId: ProjectId, digest: string) {
    const raw = db.get<RawBundle>(`${select} where project_id = ? and digest = ?`, projectId, digest)
    return raw && bundleOf(raw)
  },
  sumBundles(db: Connection, projectId: ProjectId) {
    const raw = db.get<{ count: number; bytes: number }>(
      'select count(*) as count, coalesce(sum(size), 0) as bytes from bundles where project_id = ?',
      projectId,
    )
    return { count: raw?.count ?? 0, bytes: raw?.bytes ?? 0 }
  },
  listNameless(db: Connection) {
    return db.all<RawBundle>(`${select} where digest is null order by id`).map(bundleOf)
  },
  listUnused(db: Connection, at: number, limit: number) {
    const raws = db.all<RawBundle>(
      `${select} where used_at < ? and digest is not null and not exists (
         select 1 from job_specs s join jobs j on j.id = s.job_id
         where s.bundle = b.digest and j.project_id = b.project_id and j.end_at is null)
       order by used_at, id limit ?`,
      ...[at, limit],
    )
    return raws.map(bundleOf)
  },
}

export const bundleWrites = {
  insertBundle(db: Connection, row: BundleRow) {
    db.run(
      `insert into bundles (id, project_id, digest, size, custody, signer, complete, created_at, used_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[row.id, row.projectId, row.digest, row.size, row.custody, row.signer, toBit(row.complete)],
      ...[row.createdAt, row.usedAt],
    )
  },
  updateBundle(db: Connection, row: BundleRow) {
    const changed = db.run(
      'update bundles set digest = ?, size = ?, custody = ?, signer = ?, complete = ?, used_at = ? where id = ?',
      ...[row.digest, row.size, row.custody, row.signer, toBit(row.complete), row.usedAt],
      row.id,
    )
    assert(changed === 1, `there is no bundle ${row.id}`)
  },
  deleteBundle(db: Connection, id: BundleId) {
    db.run('delete from bundles where id = ?', id)
  },
}
