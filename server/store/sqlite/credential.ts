// Credentials and the recipients of projects, as rows of SQLite.
import assert from 'node:assert/strict'
import type { ProjectId } from '../../../src/protocol/id.ts'
import type { CredentialRow } from '../row.ts'
import { fromJson, given, toJson } from './column.ts'
import type { Connection } from './connection.ts'

interface RawCredential {
  readonly project_id: ProjectId
  readonly name: string
  readonly recipients: string
  readonly signer: string | null
  readonly created_at: number
  readonly updated_at: number
}

const credentialOf = (raw: RawCredential): CredentialRow => ({
  projectId: raw.project_id,
  name: raw.name,
  recipients: fromJson(raw.recipients),
  ...given({ signer: raw.signer }),
  createdAt: raw.created_at,
  updatedAt: raw.updated_at,
})

const select =
  'select project_id, name, recipients, signer, created_at, updated_at from credentials where project_id = ?'

export const credentialReads = {
  getCredential(db: Connection, projectId: ProjectId, name: string) {
    const raw = db.get<RawCredential>(`${select} and name = ?`, projectId, name)
    return raw && credentialOf(raw)
  },
  getCustody(db: Connection, projectId: ProjectId, name: string) {
    return db.get<{ custody: string }>(
      'select custody from credentials where project_id = ? and name = ?',
      ...[projectId, name],
    )?.custody
  },
  listCredentials(db: Connection, projectId: ProjectId) {
    return db.all<RawCredential>(`${select} order by name`, projectId).map(credentialOf)
  },
  getRecipients(db: Connection, projectId: ProjectId): readonly string[] {
    const raw = db.get<{ recipients: string }>('select recipients from projects where id = ?', projectId)
    return raw ? fromJson(raw.recipients) : []
  },
}

export const credentialWrites = {
  putCredential(db: Connection, row: CredentialRow, custody: string) {
    db.run(
      `insert into credentials (project_id, name, recipients, signer, custody, created_at, updated_at)
       values (?, ?, ?, ?, ?, ?, ?)
       on conflict (project_id, name) do update set recipients = excluded.recipients, signer = excluded.signer,
         custody = excluded.custody, updated_at = excluded.updated_at`,
      ...[row.projectId, row.name, toJson(row.recipients), row.signer, custody, row.createdAt, row.updatedAt],
    )
  },
  deleteCredential(db: Connection, projectId: ProjectId, name: string) {
    db.run('delete from credentials where project_id = ? and name = ?', projectId, name)
  },
  putRecipients(db: Connection, projectId: ProjectId, recipients: readonly string[]) {
    const changed = db.run('update projects set recipients = ? where id = ?', toJson(recipients), projectId)
    assert(changed === 1, `there is no project ${projectId}`)
  },
}
