// A store in memory that outlives the pond that uses it: what was committed is in its rows, and a test sees each commit and can make one fail.

import assert from 'node:assert/strict'
import { type ReadTx, type Store, type StoreEvents, StoreFailing, type WriteTx } from '../../server/store/contract.ts'
import { GroupCommit, type Transaction } from '../../server/store/group-commit.ts'
import type {
  AttestationRow,
  AuditRow,
  BindingRow,
  BundleRow,
  ClaimRow,
  CodeRow,
  CredentialRow,
  DependencyRow,
  IdempotencyRow,
  JobFilter,
  JobRow,
  KeyRow,
  ProjectRow,
  StopRow,
  TelemetryRow,
  TransitionRow,
  WorkerRow,
} from '../../server/store/row.ts'
import { drive, Scope } from '../../server/store/work.ts'
import { type ClaimId, elementOf } from '../../src/protocol/id.ts'
import type { Clock } from '../../src/system/clock.ts'
import { deadReads } from './memory-dead.ts'
import { pairedReads, pairedWrites } from './memory-paired.ts'
import { queuedOf, standsIn } from './memory-queued.ts'
import { sealedReads, sealedWrites } from './memory-sealed.ts'
import { byId, find, insert, newestFirst, removeWhere, sorted, update, where } from './memory-table.ts'
import { useReads } from './memory-use.ts'

/** Tables by name, rows by key. A commit replaces the maps that it changed, so a reader keeps the moment at which it began. */
export interface MemoryRows {
  readonly projects: ReadonlyMap<string, ProjectRow>
  readonly keys: ReadonlyMap<string, KeyRow>
  readonly codes: ReadonlyMap<string, CodeRow>
  readonly bindings: ReadonlyMap<string, BindingRow>
  readonly workers: ReadonlyMap<string, WorkerRow>
  readonly stops: ReadonlyMap<string, StopRow>
  readonly jobs: ReadonlyMap<string, JobRow>
  readonly specs: ReadonlyMap<string, Buffer>
  readonly dependencies: ReadonlyMap<string, DependencyRow>
  readonly claims: ReadonlyMap<string, ClaimRow>
  /** By job. */
  readonly transitions: ReadonlyMap<string, readonly TransitionRow[]>
  readonly results: ReadonlyMap<string, string>
  readonly attestations: ReadonlyMap<string, AttestationRow>
  readonly idempotency: ReadonlyMap<string, IdempotencyRow>
  readonly telemetry: ReadonlyMap<string, TelemetryRow>
  readonly audit: ReadonlyMap<string, AuditRow>
  readonly credentials: ReadonlyMap<string, { readonly row: CredentialRow; readonly custody: string }>
  /** By project. */
  readonly recipients: ReadonlyMap<string, readonly string[]>
  readonly bundles: ReadonlyMap<string, BundleRow>
}

export type Table = keyof MemoryRows
export type RowOf<T extends Table> = MemoryRows[T] extends ReadonlyMap<string, infer Row> ? Row : never

const noRows: MemoryRows = {
  projects: new Map(),
  keys: new Map(),
  codes: new Map(),
  bindings: new Map(),
  workers: new Map(),
  stops: new Map(),
  jobs: new Map(),
  specs: new Map(),
  dependencies: new Map(),
  claims: new Map(),
  transitions: new Map(),
  results: new Map(),
  attestations: new Map(),
  idempotency: new Map(),
  telemetry: new Map(),
  audit: new Map(),
  credentials: new Map(),
  recipients: new Map(),
  bundles: new Map(),
}

/** `lose`: nothing of the group stays. `keep`: all of it does, and the writers are not told. `full`: no room, nothing stays. */
export type CommitFault = 'lose' | 'keep' | 'full' | undefined
/** `full`: no room, the statement alone fails. `error`: it fails alone, too. `drop`: the whole transaction is gone with it, as after an I/O error. */
export type StatementFault = 'full' | 'error' | 'drop' | undefined

export interface MemoryDatabase {
  /** What is committed. */
  rows: MemoryRows
  /** Asked at each commit that changes something. */
  fault: () => CommitFault
  /** Asked at each statement that changes something. */
  statementFault: () => StatementFault
  /** Runs in the middle of each commit that changes something. */
  committed: (before: MemoryRows, after: MemoryRows) => void
}

export function createMemoryDatabase(): MemoryDatabase {
  return { rows: noRows, fault: () => undefined, statementFault: () => undefined, committed() {} }
}

/** What SQLite says of a device that fails. */
class DeviceError extends Error {
  override readonly name = 'DeviceError'
  readonly blame: 'full' | 'fsync' | 'other'

  constructor(what: string, blame: DeviceError['blame']) {
    super(`the device was told to fail: ${what}`)
    this.blame = blame
  }
}

/** One process's way to the database; another may be opened when it is gone. */
export function openMemoryStore(
  database: MemoryDatabase,
  {
    clock,
    events,
    transaction = new MemoryTransaction(database),
  }: { readonly clock: Clock; readonly events: StoreEvents; readonly transaction?: MemoryTransaction },
): Store {
  const group = new GroupCommit<WriteTx>({ transaction, clock, events })
  const reads = new Set<Promise<unknown>>()
  let closed = false
  return {
    async read(work) {
      if (closed) throw new StoreFailing('the store is closed')
      const { rows } = database
      const scope = new Scope(() => true)
      const reading = drive(() => work(new ReadingTx(rows, scope) as unknown as ReadTx))
      reads.add(reading)
      const outcome = await reading
      reads.delete(reading)
      scope.close()
      if (!outcome.ok) throw outcome.error
      return outcome.value
    },
    write: (work) => group.write(work),
    async close() {
      closed = true
      await Promise.all([group.close(), ...reads])
    },
  }
}

/** Tables are copied when a transaction, or a savepoint of it, changes them first. */
export class MemoryTransaction implements Transaction<WriteTx> {
  readonly #database: MemoryDatabase
  #draft: MemoryRows | undefined
  #saved: MemoryRows | undefined
  #own = new Set<Table>()

  constructor(database: MemoryDatabase) {
    this.#database = database
  }

  begin(): void {
    this.#draft = { ...this.#database.rows }
    this.#own.clear()
  }

  commit(): void {
    const before = this.#database.rows
    const after = this.rows()
    this.#draft = undefined
    const changed = (Object.keys(after) as Table[]).some((table) => after[table] !== before[table])
    const fault = changed ? this.#database.fault() : undefined
    if (changed && (fault === undefined || fault === 'keep')) {
      this.#database.rows = after
      this.#database.committed(before, after)
    }
    if (fault) throw new DeviceError(fault, fault === 'full' ? 'full' : 'fsync')
  }

  rollback(): void {
    this.#draft = undefined
  }

  save(): void {
    this.#saved = this.rows()
    this.#draft = { ...this.#saved }
    this.#own.clear()
  }

  keep(): void {
    this.#saved = undefined
  }

  undo(): void {
    this.#draft = this.#saved
    this.#own.clear()
  }

  stands(): boolean {
    return this.#draft !== undefined
  }

  tx(scope: Scope): WriteTx {
    return new WritingTx(this, scope) as unknown as WriteTx
  }

  blame(error: unknown): 'full' | 'fsync' | 'other' {
    return error instanceof DeviceError ? error.blame : 'other'
  }

  /** A statement is about to change something. */
  meet(): void {
    const fault = this.#database.statementFault()
    if (fault === undefined) return
    if (fault === 'drop') this.#draft = undefined
    throw new DeviceError(fault, fault === 'full' ? 'full' : 'other')
  }

  rows(): MemoryRows {
    assert(this.#draft, 'a statement needs a transaction')
    return this.#draft
  }

  /** The table as this transaction may change it. */
  own<T extends Table>(table: T): Map<string, RowOf<T>> {
    const rows = this.rows()
    if (!this.#own.has(table)) {
      this.#draft = { ...rows, [table]: new Map(rows[table] as ReadonlyMap<string, RowOf<T>>) }
      this.#own.add(table)
    }
    return this.rows()[table] as unknown as Map<string, RowOf<T>>
  }
}

/** The methods of a tx as plain functions of what they work on. */
export type Statements<Tx, On> = {
  readonly [K in keyof Tx]: Tx[K] extends (...values: infer Values) => Promise<infer Answer>
    ? (on: On, ...values: Values) => Answer
    : never
}

const reads: Statements<ReadTx, MemoryRows> = {
  getProject: ({ projects }, id) => projects.get(id),
  findProject: ({ projects }, name) => find(projects, (row) => row.name === name),
  listProjects: ({ projects }) => sorted(projects),
  getKey: ({ keys }, id) => keys.get(id),
  findKey: ({ keys }, tokenHash) => find(keys, (row) => row.tokenHash === tokenHash),
  listKeys: ({ keys }) => sorted(keys),
  getJob: ({ jobs }, id) => jobs.get(id),
  getSpec: ({ specs }, id) => specs.get(elementOf(id)?.array ?? id),
  listJobs: ({ jobs }, filter) => where(jobs, matches(filter)).sort(newestFirst).slice(0, filter.limit),
  listQueued: ({ jobs }, filter) => sorted(jobs).filter(standsIn(filter)).slice(0, filter.limit).map(queuedOf),
  listDependencies: ({ dependencies }, jobId, limit) =>
    where(dependencies, (row) => row.jobId === jobId)
      .sort((one, other) => (one.otherId < other.otherId ? -1 : 1))
      .slice(0, limit),
  listDependents: ({ dependencies }, otherId, limit) =>
    where(dependencies, (row) => row.otherId === otherId)
      .sort((one, other) => (one.jobId < other.jobId ? -1 : 1))
      .slice(0, limit),
  listAwaited: ({ dependencies }) => [...new Set(where(dependencies, () => true).map(({ otherId }) => otherId))].sort(),
  getClaim: ({ claims }, id) => claims.get(id),
  listClaims: ({ claims }, jobId) =>
    where(claims, (row) => row.jobId === jobId).sort((one, other) => one.epoch - other.epoch),
  listLiveClaims: ({ claims, jobs }) => sorted(claims).filter(({ id, jobId }) => holds(jobs.get(jobId), id)),
  listTransitions: ({ transitions }, jobId) =>
    [...(transitions.get(jobId) ?? [])].sort((one, other) => one.version - other.version),
  getResult: ({ results }, claimId) => results.get(claimId),
  getAttestation: ({ attestations }, id) => attestations.get(id),
  getIdempotency: ({ idempotency }, projectId, key) => idempotency.get(`${projectId} ${key}`),
  listTelemetry: ({ telemetry }, jobId, limit) => where(telemetry, (row) => row.jobId === jobId).slice(0, limit),
  countTelemetry: ({ telemetry }, claimId) => where(telemetry, (row) => row.claimId === claimId).length,
  listAudit: ({ audit }, limit, before) =>
    where(audit, (row) => before === undefined || row.id < before)
      .sort(newestFirst)
      .slice(0, limit),
  listEnded: ({ jobs }, at, limit) =>
    where(jobs, ({ law }) => law.end !== undefined && law.end.at < at)
      .sort((one, other) => (one.law.end?.at ?? 0) - (other.law.end?.at ?? 0) || byId(one, other))
      .slice(0, limit)
      .map(({ id }) => id),
  ...useReads,
  ...deadReads,
  ...pairedReads,
  ...sealedReads,
}

const holds = (job: JobRow | undefined, id: ClaimId) =>
  job?.law.claimId === id && (job.law.state === 'claimed' || job.law.state === 'running')

const matches = (filter: JobFilter) => (row: JobRow) =>
  elementOf(row.id)?.array === filter.array &&
  (filter.projectId === undefined || row.projectId === filter.projectId) &&
  (filter.state === undefined || row.law.state === filter.state) &&
  (filter.label === undefined || row.labels[filter.label.key] === filter.label.value) &&
  (filter.before === undefined || row.id < filter.before)

const writes: Statements<Omit<WriteTx, keyof ReadTx | 'afterCommit'>, MemoryTransaction> = {
  insertProject(on, row) {
    assert(!find(on.rows().projects, ({ name }) => name === row.name), 'a project has this name')
    insert(on, 'projects', { key: row.id, row })
  },
  updateProject: (on, row) => update(on, 'projects', { key: row.id, row }),
  insertKey: (on, row) => insert(on, 'keys', { key: row.id, row }),
  updateKey: (on, row) => update(on, 'keys', { key: row.id, row }),
  insertJob(on, row, spec) {
    insert(on, 'jobs', { key: row.id, row })
    insert(on, 'specs', { key: row.id, row: Buffer.from(spec) })
  },
  insertElement: (on, row) => insert(on, 'jobs', { key: row.id, row }),
  insertDependency: (on, row) => insert(on, 'dependencies', { key: `${row.otherId} ${row.jobId}`, row }),
  deleteDependency: (on, { jobId, otherId }) => void on.own('dependencies').delete(`${otherId} ${jobId}`),
  updateJob: (on, row) => update(on, 'jobs', { key: row.id, row }),
  insertClaim(on, row) {
    const taken = find(on.rows().claims, ({ jobId, epoch }) => jobId === row.jobId && epoch === row.epoch)
    assert(!taken, 'a claim of the job has this epoch')
    insert(on, 'claims', { key: row.id, row })
  },
  updateClaim: (on, row) => update(on, 'claims', { key: row.id, row }),
  insertTransition(on, row) {
    const before = on.rows().transitions.get(row.jobId) ?? []
    assert(!before.some(({ version }) => version === row.version), 'the job has a transition of this version')
    on.own('transitions').set(row.jobId, [...before, row])
  },
  putResult: (on, claimId, text) => void on.own('results').set(claimId, text),
  insertAttestation: (on, row) => insert(on, 'attestations', { key: row.id, row }),
  insertIdempotency: (on, row) => insert(on, 'idempotency', { key: `${row.projectId} ${row.key}`, row }),
  deleteIdempotency: (on, before) => removeWhere(on, 'idempotency', (row) => row.createdAt < before),
  insertTelemetry(on, row) {
    const key = `${row.claimId} ${row.id}`
    if (on.rows().telemetry.has(key)) return false
    insert(on, 'telemetry', { key, row })
    return true
  },
  insertAudit: (on, row) => insert(on, 'audit', { key: row.id, row }),
  ...pairedWrites,
  ...sealedWrites,
  deleteJob(on, id) {
    for (const claim of where(on.rows().claims, ({ jobId }) => jobId === id)) on.own('results').delete(claim.id)
    removeWhere(on, 'claims', ({ jobId }) => jobId === id)
    const named = new Set([...on.rows().claims.values()].map(({ attestationId }) => attestationId))
    removeWhere(on, 'attestations', (row) => !named.has(row.id))
    removeWhere(on, 'dependencies', ({ jobId }) => jobId === id)
    removeWhere(on, 'telemetry', ({ jobId }) => jobId === id)
    for (const table of ['jobs', 'specs', 'transitions'] as const) on.own(table).delete(id)
  },
}

/** Made once for each work, so its methods stand on the prototype. */
class Tx<On> {
  readonly on: On
  readonly scope: Scope

  constructor(on: On, scope: Scope) {
    this.on = on
    this.scope = scope
  }
}

class ReadingTx extends Tx<MemoryRows> {}

class WritingTx extends Tx<MemoryTransaction> {
  afterCommit(run: () => void): void {
    this.scope.effects.push(run)
  }
}

type Statement = (on: unknown, ...values: unknown[]) => unknown

function addMethods(to: { readonly prototype: object }, statements: object, onOf: (tx: Tx<unknown>) => unknown): void {
  for (const [name, statement] of Object.entries(statements) as [string, Statement][]) {
    const value = function (this: Tx<unknown>, ...values: unknown[]) {
      return this.scope.run(() => statement(onOf(this), ...values))
    }
    Object.defineProperty(to.prototype, name, { value })
  }
}

addMethods(ReadingTx, reads, (tx) => tx.on)
addMethods(WritingTx, reads, (tx) => (tx.on as MemoryTransaction).rows())
addMethods(WritingTx, writes, (tx) => {
  const on = tx.on as MemoryTransaction
  on.meet()
  return on
})
