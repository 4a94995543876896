// The statements of the store in memory about credentials, recipients and bundles.
import assert from 'node:assert/strict'
import type { ReadTx, WriteTx } from '../../server/store/contract.ts'
import type { BundleRow, JobRow } from '../../server/store/row.ts'
import type { MemoryRows, MemoryTransaction, Statements } from './memory-store.ts'
import { byId, find, sorted, where } from './memory-table.ts'

type Reads =
  | 'getCredential'
  | 'getCustody'
  | 'listCredentials'
  | 'getRecipients'
  | 'getBundle'
  | 'findBundle'
  | 'sumBundles'
  | 'listNameless'
  | 'listUnused'

export const sealedReads: Statements<Pick<ReadTx, Reads>, MemoryRows> = {
  getCredential: ({ credentials }, projectId, name) => credentials.get(`${projectId} ${name}`)?.row,
  getCustody: ({ credentials }, projectId, name) => credentials.get(`${projectId} ${name}`)?.custody,
  listCredentials: ({ credentials }, projectId) =>
    where(credentials, ({ row }) => row.projectId === projectId)
      .map(({ row }) => row)
      .sort((one, other) => (one.name < other.name ? -1 : 1)),
  getRecipients: ({ recipients }, projectId) => recipients.get(projectId) ?? [],
  getBundle: ({ bundles }, id) => bundles.get(id),
  findBundle: ({ bundles }, projectId, digest) =>
    find(bundles, (row) => row.projectId === projectId && row.digest === digest),
  sumBundles({ bundles }, projectId) {
    const own = where(bundles, (row) => row.projectId === projectId)
    return { count: own.length, bytes: own.reduce((sum, { size }) => sum + size, 0) }
  },
  listNameless: ({ bundles }) => sorted(bundles).filter(({ digest }) => digest === undefined),
  listUnused: ({ bundles, jobs }, at, limit) =>
    where(bundles, ({ usedAt, digest }) => usedAt < at && digest !== undefined)
      .filter((row) => !find(jobs, (job) => needs(job, row)))
      .sort((one, other) => one.usedAt - other.usedAt || byId(one, other))
      .slice(0, limit),
}

const needs = ({ projectId, bundle, law }: JobRow, row: BundleRow) =>
  projectId === row.projectId && bundle !== undefined && bundle.digest === row.digest && law.end === undefined

type Writes = 'putCredential' | 'deleteCredential' | 'putRecipients' | 'insertBundle' | 'updateBundle' | 'deleteBundle'

export const sealedWrites: Statements<Pick<WriteTx, Writes>, MemoryTransaction> = {
  putCredential(on, row, custody) {
    const key = `${row.projectId} ${row.name}`
    const { createdAt } = on.rows().credentials.get(key)?.row ?? row
    on.own('credentials').set(key, { row: { ...row, createdAt }, custody })
  },
  deleteCredential: (on, projectId, name) => void on.own('credentials').delete(`${projectId} ${name}`),
  putRecipients(on, projectId, recipients) {
    assert(on.rows().projects.has(projectId), `there is no project ${projectId}`)
    on.own('recipients').set(projectId, recipients)
  },
  insertBundle(on, row) {
    const same = ({ projectId, digest }: BundleRow) => projectId === row.projectId && digest === row.digest
    assert(row.digest === undefined || !find(on.rows().bundles, same), 'the project has a bundle of this digest')
    assert(!on.rows().bundles.has(row.id), `there is a bundle ${row.id}`)
    on.own('bundles').set(row.id, row)
  },
  updateBundle(on, row) {
    assert(on.rows().bundles.has(row.id), `there is no bundle ${row.id}`)
    on.own('bundles').set(row.id, row)
  },
  deleteBundle: (on, id) => void on.own('bundles').delete(id),
}
