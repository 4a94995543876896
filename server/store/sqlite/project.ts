// Projects and the keys that open them, as rows of SQLite.
import assert from 'node:assert/strict'
import type { KeyId, ProjectId } from '../../../src/protocol/id.ts'
import type { KeyRow, ProjectRow } from '../row.ts'
import { fromJson, given, toJson } from './column.ts'
import type { Connection } from './connection.ts'

interface RawProject {
  readonly id: ProjectId
  readonly name: string
  readonly weight: number
  readonly quota: string | null
  readonly created_at: number
}

interface RawKey {
  readonly id: KeyId
  readonly kind: KeyRow['kind']
  readonly project_id: ProjectId | null
  readonly name: string
  readonly token_hash: string
  readonly scopes: string
  readonly created_at: number
  readonly expires_at: number | null
  readonly revoked_at: number | null
}

const projectOf = (raw: RawProject): ProjectRow => ({
  id: raw.id,
  name: raw.name,
  weight: raw.weight,
  ...given({ quota: fromJson<NonNullable<ProjectRow['quota']>>(raw.quota) }),
  createdAt: raw.created_at,
})

const selectProject = 'select id, name, weight, quota, created_at from projects'

const keyOf = (raw: RawKey): KeyRow => ({
  id: raw.id,
  kind: raw.kind,
  ...given({ projectId: raw.project_id }),
  name: raw.name,
  tokenHash: raw.token_hash,
  scopes: fromJson(raw.scopes),
  createdAt: raw.created_at,
  ...given({ expiresAt: raw.expires_at, revokedAt: raw.revoked_at }),
})

const selectKey = `
  select id, kind, project_id, name, token_hash, scopes, created_at, expires_at, revoked_at
  from keys`

/** For what stands in an index by project. */
export function projectIds(db: Connection): readonly ProjectId[] {
  return db.all<{ id: ProjectId }>('select id from projects').map(({ id }) => id)
}

export const projectReads = {
  getProject(db: Connection, id: ProjectId) {
    const raw = db.get<RawProject>(`${selectProject} where id = ?`, id)
    return raw && projectOf(raw)
  },
  findProject(db: Connection, name: string) {
    const raw = db.get<RawProject>(`${selectProject} where name = ?`, name)
    return raw && projectOf(raw)
  },
  listProjects(db: Connection) {
    return db.all<RawProject>(`${selectProject} order by id`).map(projectOf)
  },
  getKey(db: Connection, id: KeyId) {
    const raw = db.get<RawKey>(`${selectKey} where id = ?`, id)
    return raw && keyOf(raw)
  },
  findKey(db: Connection, tokenHash: string) {
    const raw = db.get<RawKey>(`${selectKey} where token_hash = ?`, tokenHash)
    return raw && keyOf(raw)
  },
  listKeys(db: Connection) {
    return db.all<RawKey>(`${selectKey} order by id`).map(keyOf)
  },
}

export const projectWrites = {
  insertProject(db: Connection, row: ProjectRow) {
    db.run(
      'insert into projects (id, name, weight, quota, created_at) values (?, ?, ?, ?, ?)',
      ...[row.id, row.name, row.weight, toJson(row.quota), row.createdAt],
    )
  },
  updateProject(db: Connection, row: ProjectRow) {
    const changed = db.run(
      'update projects set weight = ?, quota = ? where id = ?',
      ...[row.weight, toJson(row.quota), row.id],
    )
    assert(changed === 1, `there is no project ${row.id}`)
  },
  insertKey(db: Connection, row: KeyRow) {
    db.run(
      `insert into keys (id, kind, project_id, name, token_hash, scopes, created_at, expires_at, revoked_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[row.id, row.kind, row.projectId, row.name, row.tokenHash, toJson(row.scopes)],
      ...[row.createdAt, row.expiresAt, row.revokedAt],
    )
  },
  updateKey(db: Connection, row: KeyRow) {
    const changed = db.run(
      'update keys set name = ?, token_hash = ?, scopes = ?, expires_at = ?, revoked_at = ? where id = ?',
      ...[row.name, row.tokenHash, toJson(row.scopes), row.expiresAt, row.revokedAt],
      row.id,
    )
    assert(changed === 1, `there is no key ${row.id}`)
  },
}
