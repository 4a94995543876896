// What is written once and read back: idempotency keys, telemetry and the audit, as rows of SQLite.
import type { ClaimId, JobId, ProjectId } from '../../../src/protocol/id.ts'
import type { AuditRow, IdempotencyRow, TelemetryRow } from '../row.ts'
import { fromJson, given, toBit, toJson } from './column.ts'
import type { Connection } from './connection.ts'

interface RawIdempotency {
  readonly project_id: ProjectId
  readonly key: string
  readonly digest: string
  readonly job_ids: string
  readonly batch: number
  readonly created_at: number
}

interface RawTelemetry {
  readonly job_id: JobId
  readonly claim_id: ClaimId
  readonly id: string
  readonly type: string
  readonly at: number
  readonly data: string | null
}

interface RawAudit {
  readonly id: string
  readonly at: number
  readonly who: string
  readonly action: string
  readonly target: string
  readonly note: string | null
}

const idempotencyOf = (raw: RawIdempotency): IdempotencyRow => ({
  projectId: raw.project_id,
  key: raw.key,
  digest: raw.digest,
  jobIds: fromJson(raw.job_ids),
  batch: raw.batch === 1,
  createdAt: raw.created_at,
})

const telemetryOf = (raw: RawTelemetry): TelemetryRow => ({
  jobId: raw.job_id,
  claimId: raw.claim_id,
  id: raw.id,
  type: raw.type,
  at: raw.at,
  ...given({ data: fromJson<NonNullable<TelemetryRow['data']>>(raw.data) }),
})

const auditOf = (raw: RawAudit): AuditRow => ({
  id: raw.id,
  at: raw.at,
  by: raw.who,
  action: raw.action,
  target: raw.target,
  ...given({ note: raw.note }),
})

/** Sorts after every id. */
const LAST = '~'

export const recordReads = {
  getIdempotency(db: Connection, projectId: ProjectId, key: string) {
    const raw = db.get<RawIdempotency>(
      'select project_id, key, digest, job_ids, batch, created_at from idempotency where project_id = ? and key = ?',
      ...[projectId, key],
    )
    return raw && idempotencyOf(raw)
  },
  /** In the order of their arrival. */
  listTelemetry(db: Connection, jobId: JobId, limit: number) {
    const raws = db.all<RawTelemetry>(
      'select job_id, claim_id, id, type, at, data from telemetry where job_id = ? order by seq limit ?',
      ...[jobId, limit],
    )
    return raws.map(telemetryOf)
  },
  countTelemetry(db: Connection, claimId: ClaimId) {
    return db.get<{ count: number }>('select count(*) as count from telemetry where claim_id = ?', claimId)?.count ?? 0
  },
  listAudit(db: Connection, limit: number, before?: string) {
    const raws = db.all<RawAudit>(
      'select id, at, who, action, target, note from audit where id < ? order by id desc limit ?',
      ...[before ?? LAST, limit],
    )
    return raws.map(auditOf)
  },
}

export const recordWrites = {
  insertIdempotency(db: Connection, row: IdempotencyRow) {
    db.run(
      'insert into idempotency (project_id, key, digest, job_ids, batch, created_at) values (?, ?, ?, ?, ?, ?)',
      ...[row.projectId, row.key, row.digest, toJson(row.jobIds), toBit(row.batch), row.createdAt],
    )
  },
  deleteIdempotency(db: Connection, before: number) {
    db.run('delete from idempotency where created_at < ?', before)
  },
  insertTelemetry(db: Connection, row: TelemetryRow) {
    const inserted = db.run(
      `insert into telemetry (job_id, claim_id, id, type, at, data) values (?, ?, ?, ?, ?, ?)
       on conflict (claim_id, id) do nothing`,
      ...[row.jobId, row.claimId, row.id, row.type, row.at, toJson(row.data)],
    )
    return inserted === 1
  },
  insertAudit(db: Connection, row: AuditRow) {
    db.run(
      'insert into audit (id, at, who, action, target, note) values (?, ?, ?, ?, ?, ?)',
      ...[row.id, row.at, row.by, row.action, row.target, row.note],
    )
  },
}
