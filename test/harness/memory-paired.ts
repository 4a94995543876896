// The statements of the store in memory about codes, bindings, workers and what is stopped.
import type { ReadTx, WriteTx } from '../../server/store/contract.ts'
import type { MemoryRows, MemoryTransaction, Statements } from './memory-store.ts'
import { find, insert, removeWhere, sorted, update, where } from './memory-table.ts'

type Reads =
  | 'getCode'
  | 'listCodes'
  | 'getBinding'
  | 'findBinding'
  | 'listBindings'
  | 'getWorker'
  | 'listWorkers'
  | 'listGone'
  | 'getStop'
  | 'listStops'

export const pairedReads: Statements<Pick<ReadTx, Reads>, MemoryRows> = {
  getCode: ({ codes }, id) => codes.get(id),
  listCodes: ({ codes }) => sorted(codes),
  getBinding: ({ bindings }, id) => bindings.get(id),
  findBinding: ({ bindings }, codeId, bindingKey) =>
    find(bindings, (row) => row.codeId === codeId && row.bindingKey === bindingKey),
  listBindings: ({ bindings }) => sorted(bindings),
  getWorker: ({ workers }, id) => workers.get(id),
  listWorkers: ({ workers }, { bindingId, projectId }) =>
    sorted(workers)
      .filter((row) => bindingId === undefined || row.bindingId === bindingId)
      .filter((row) => projectId === undefined || row.projectId === projectId),
  listGone: ({ bindings }, at, limit) =>
    where(bindings, (row) => row.ephemeral && row.state === 'revoked' && (row.revokedAt ?? at) < at)
      .slice(0, limit)
      .map(({ id }) => id),
  getStop: ({ stops }, target) => stops.get(target),
  listStops: ({ stops }) => where(stops, () => true).sort((one, other) => (one.target < other.target ? -1 : 1)),
}

type Writes =
  | 'insertCode'
  | 'updateCode'
  | 'deleteCode'
  | 'insertBinding'
  | 'updateBinding'
  | 'insertWorker'
  | 'updateWorker'
  | 'deleteBinding'
  | 'putStop'
  | 'deleteStop'

export const pairedWrites: Statements<Pick<WriteTx, Writes>, MemoryTransaction> = {
  insertCode: (on, row) => insert(on, 'codes', { key: row.id, row }),
  updateCode: (on, row) => update(on, 'codes', { key: row.id, row }),
  deleteCode: (on, id) => void on.own('codes').delete(id),
  insertBinding: (on, row) => insert(on, 'bindings', { key: row.id, row }),
  updateBinding: (on, row) => update(on, 'bindings', { key: row.id, row }),
  insertWorker: (on, row) => insert(on, 'workers', { key: row.id, row }),
  updateWorker: (on, row) => update(on, 'workers', { key: row.id, row }),
  deleteBinding(on, id) {
    removeWhere(on, 'codes', (row) => row.bindingId === id)
    removeWhere(on, 'workers', (row) => row.bindingId === id)
    on.own('bindings').delete(id)
  },
  putStop: (on, row) => void on.own('stops').set(row.target, row),
  deleteStop: (on, target) => void on.own('stops').delete(target),
}
