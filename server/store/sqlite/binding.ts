// Pairing codes and the bindings they leave behind, as rows of SQLite.

import assert from 'node:assert/strict'
import type { BindingId, CodeId, ProjectId } from '../../../src/protocol/id.ts'
import type { AllowedLabels } from '../../../src/protocol/job.ts'
import type { BindingRow, BindingToken, CodeRow, LadderRow } from '../row.ts'
import { fromJson, given, toBit, toJson } from './column.ts'
import type { Connection } from './connection.ts'

interface RawCode {
  readonly id: CodeId
  readonly project_id: ProjectId
  readonly uses_left: number
  readonly tries_left: number
  readonly labels: string
  readonly allowed_labels: string | null
  readonly ephemeral: number
  readonly binding_id: BindingId | null
  readonly fingerprint: string | null
  readonly ladder: string | null
  readonly created_at: number
  readonly expires_at: number
}

interface RawBinding {
  readonly id: BindingId
  readonly project_id: ProjectId
  readonly code_id: CodeId
  readonly name: string
  readonly binding_key: string
  readonly state: BindingRow['state']
  readonly tokens: string
  readonly ephemeral: number
  readonly ladder: string | null
  readonly created_at: number
  readonly revoked_at: number | null
}

const codeOf = (raw: RawCode): CodeRow => ({
  id: raw.id,
  projectId: raw.project_id,
  usesLeft: raw.uses_left,
  triesLeft: raw.tries_left,
  labels: fromJson(raw.labels),
  ephemeral: raw.ephemeral === 1,
  ...given({
    allowedLabels: fromJson<AllowedLabels>(raw.allowed_labels),
    ...{ bindingId: raw.binding_id, fingerprint: raw.fingerprint, ladder: fromJson<LadderRow>(raw.ladder) },
  }),
  createdAt: raw.created_at,
  expiresAt: raw.expires_at,
})

const bindingOf = (raw: RawBinding): BindingRow => ({
  id: raw.id,
  projectId: raw.project_id,
  codeId: raw.code_id,
  name: raw.name,
  bindingKey: raw.binding_key,
  state: raw.state,
  tokens: fromJson<readonly BindingToken[]>(raw.tokens),
  ephemeral: raw.ephemeral === 1,
  createdAt: raw.created_at,
  ...given({ revokedAt: raw.revoked_at, ladder: fromJson<LadderRow>(raw.ladder) }),
})

const selectCode = `
  select id, project_id, uses_left, tries_left, labels, allowed_labels, ephemeral, binding_id, fingerprint, ladder, created_at,
    expires_at
  from codes`
const selectBinding = `
  select id, project_id, code_id, name, binding_key, state, tokens, ephemeral, ladder, created_at, revoked_at
  from bindings`

export const bindingReads = {
  getCode(db: Connection, id: CodeId) {
    const raw = db.get<RawCode>(`${selectCode} where id = ?`, id)
    return raw && codeOf(raw)
  },
  listCodes(db: Connection) {
    return db.all<RawCode>(`${selectCode} order by id`).map(codeOf)
  },
  getBinding(db: Connection, id: BindingId) {
    const raw = db.get<RawBinding>(`${selectBinding} where id = ?`, id)
    return raw && bindingOf(raw)
  },
  findBinding(db: Connection, codeId: CodeId, bindingKey: string) {
    const raw = db.get<RawBinding>(`${selectBinding} where code_id = ? and binding_key = ?`, codeId, bindingKey)
    return raw && bindingOf(raw)
  },
  listBindings(db: Connection) {
    return db.all<RawBinding>(`${selectBinding} order by id`).map(bindingOf)
  },
  listGone(db: Connection, at: number, limit: number) {
    const rows = db.all<Pick<RawBinding, 'id'>>(
      "select id from bindings where ephemeral = 1 and state = 'revoked' and revoked_at < ? limit ?",
      ...[at, limit],
    )
    return rows.map(({ id }) => id)
  },
}

export const bindingWrites = {
  insertCode(db: Connection, row: CodeRow) {
    db.run(
      `insert into codes (id, project_id, uses_left, tries_left, labels, allowed_labels, ephemeral, binding_id, fingerprint, ladder,
         created_at, expires_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[row.id, row.projectId, row.usesLeft, row.triesLeft, toJson(row.labels), toJson(row.allowedLabels)],
      ...[toBit(row.ephemeral), row.bindingId, row.fingerprint, toJson(row.ladder), row.createdAt, row.expiresAt],
    )
  },
  updateCode(db: Connection, row: CodeRow) {
    const changed = db.run(
      'update codes set uses_left = ?, tries_left = ?, labels = ?, ephemeral = ?, expires_at = ? where id = ?',
      ...[row.usesLeft, row.triesLeft, toJson(row.labels), toBit(row.ephemeral), row.expiresAt],
      row.id,
    )
    assert(changed === 1, `there is no code ${row.id}`)
  },
  deleteCode(db: Connection, id: CodeId) {
    db.run('delete from codes where id = ?', id)
  },
  insertBinding(db: Connection, row: BindingRow) {
    db.run(
      `insert into bindings (id, project_id, code_id, name, binding_key, state, tokens, ephemeral, ladder, created_at, revoked_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[row.id, row.projectId, row.codeId, row.name, row.bindingKey, row.state, toJson(row.tokens)],
      ...[toBit(row.ephemeral), toJson(row.ladder), row.createdAt, row.revokedAt],
    )
  },
  updateBinding(db: Connection, row: BindingRow) {
    const changed = db.run(
      'update bindings set name = ?, binding_key = ?, state = ?, tokens = ?, ephemeral = ?, ladder = ?, revoked_at = ? where id = ?',
      ...[
        row.name,
        row.bindingKey,
        row.state,
        toJson(row.tokens),
        toBit(row.ephemeral),
        toJson(row.ladder),
        row.revokedAt,
      ],
      row.id,
    )
    assert(changed === 1, `there is no binding ${row.id}`)
  },
  deleteBinding(db: Connection, id: BindingId) {
    db.run('delete from codes where binding_id = ?', id)
    db.run('delete from workers where binding_id = ?', id)
    db.run('delete from bindings where id = ?', id)
  },
}
