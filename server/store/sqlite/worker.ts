// Workers, as rows of SQLite.
import assert from 'node:assert/strict'
import type { BindingId, CodeId, ProjectId, WorkerId } from '../../../src/protocol/id.ts'
import type { WorkerState } from '../../../src/state/worker.ts'
import type { WorkerDrain, WorkerKeys, WorkerReport, WorkerRow } from '../row.ts'
import { fromJson, given, toJson } from './column.ts'
import type { Connection } from './connection.ts'

interface RawWorker {
  readonly id: WorkerId
  readonly binding_id: BindingId
  readonly project_id: ProjectId
  readonly name: string
  readonly sealing_key: string
  readonly signing_key: string
  readonly labels: string
  readonly own_labels: string | null
  readonly resources: string
  readonly state: WorkerState
  readonly mishaps: number
  readonly paused_until: number
  readonly report: string | null
  readonly code_id: CodeId | null
  readonly former_keys: string | null
  readonly shown_keys: string | null
  readonly drain: string | null
  readonly created_at: number
}

const workerOf = (raw: RawWorker): WorkerRow => ({
  id: raw.id,
  bindingId: raw.binding_id,
  projectId: raw.project_id,
  name: raw.name,
  sealingKey: raw.sealing_key,
  signingKey: raw.signing_key,
  labels: fromJson(raw.labels),
  resources: fromJson(raw.resources),
  law: { state: raw.state, mishaps: raw.mishaps, pausedUntil: raw.paused_until },
  ...given({
    ownLabels: fromJson<readonly string[]>(raw.own_labels),
    codeId: raw.code_id,
    report: fromJson<WorkerReport>(raw.report),
    formerKeys: fromJson<NonNullable<WorkerRow['formerKeys']>>(raw.former_keys),
    shownKeys: fromJson<WorkerKeys>(raw.shown_keys),
    drain: fromJson<WorkerDrain>(raw.drain),
  }),
  createdAt: raw.created_at,
})

const select = `
  select id, binding_id, project_id, name, sealing_key, signing_key, labels, own_labels, resources,
    state, mishaps, paused_until, report, code_id, former_keys, shown_keys, drain, created_at
  from workers`

/** The columns that change, in the order of the statements. */
const changing = (row: WorkerRow) => [
  ...[row.name, row.sealingKey, row.signingKey, toJson(row.labels), toJson(row.resources)],
  ...[row.law.state, row.law.mishaps, row.law.pausedUntil, toJson(row.report)],
  ...[toJson(row.formerKeys), toJson(row.shownKeys), toJson(row.drain)],
]

export const workerReads = {
  getWorker(db: Connection, id: WorkerId) {
    const raw = db.get<RawWorker>(`${select} where id = ?`, id)
    return raw && workerOf(raw)
  },
  listWorkers(db: Connection, of: { readonly bindingId?: BindingId; readonly projectId?: ProjectId }) {
    const { bindingId, projectId } = of
    if (bindingId !== undefined) {
      const raws = db.all<RawWorker>(`${select} where binding_id = ? order by id`, bindingId)
      return raws.filter((raw) => projectId === undefined || raw.project_id === projectId).map(workerOf)
    }
    if (projectId !== undefined)
      return db.all<RawWorker>(`${select} where project_id = ? order by id`, projectId).map(workerOf)
    return db.all<RawWorker>(`${select} order by id`).map(workerOf)
  },
}

export const workerWrites = {
  insertWorker(db: Connection, row: WorkerRow) {
    db.run(
      `insert into workers (name, sealing_key, signing_key, labels, resources, state, mishaps, paused_until, report,
         former_keys, shown_keys, drain, id, binding_id, project_id, code_id, own_labels, created_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...changing(row),
      ...[row.id, row.bindingId, row.projectId, row.codeId, toJson(row.ownLabels), row.createdAt],
    )
  },
  updateWorker(db: Connection, row: WorkerRow) {
    const changed = db.run(
      `update workers set name = ?, sealing_key = ?, signing_key = ?, labels = ?, resources = ?,
         state = ?, mishaps = ?, paused_until = ?, report = ?, former_keys = ?, shown_keys = ?, drain = ?
       where id = ?`,
      ...changing(row),
      row.id,
    )
    assert(changed === 1, `there is no worker ${row.id}`)
  },
}
