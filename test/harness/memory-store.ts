// A store in memory that outlives the pond that uses it: what was committed is in its rows, and a test sees each commit and can make one fail.
import assert from 'node:assert/strict'
import {
  type AuditRow,
  type BindingRow,
  type ClaimRow,
  type CodeRow,
  type IdempotencyRow,
  type JobFilter,
  type JobRow,
  type KeyRow,
  type ProjectRow,
  type QueuedRow,
  type ReadTx,
  type Store,
  type StoreEvents,
  StoreFailing,
  type TelemetryRow,
  type TransitionRow,
  type WorkerRow,
  type WriteTx,
} from '../../server/store/contract.ts'
import { GroupCommit, type Transaction } from '../../server/store/group-commit.ts'
import { drive, Scope } from '../../server/store/work.ts'
import { isFinal } from '../../src/protocol/job.ts'
import { isLive } from '../../src/state/lease.ts'
import type { Clock } from '../../src/system/clock.ts'

/** Tables by name, rows by key. A commit replaces the maps that it changed, so a reader keeps the moment at which it began. */
export interface MemoryRows {
  readonly projects: ReadonlyMap<string, ProjectRow>
  readonly keys: ReadonlyMap<string, KeyRow>
  readonly codes: ReadonlyMap<string, CodeRow>
  readonly bindings: ReadonlyMap<string, BindingRow>
  readonly workers: ReadonlyMap<string, WorkerRow>
  readonly jobs: ReadonlyMap<string, JobRow>
  readonly specs: ReadonlyMap<string, Buffer>
  readonly claims: ReadonlyMap<string, ClaimRow>
  /** By job. */
  readonly transitions: ReadonlyMap<string, readonly TransitionRow[]>
  readonly results: ReadonlyMap<string, string>
  readonly idempotency: ReadonlyMap<string, IdempotencyRow>
  readonly telemetry: ReadonlyMap<string, TelemetryRow>
  readonly audit: ReadonlyMap<string, AuditRow>
}

type Table = keyof MemoryRows
type RowOf<T extends Table> = MemoryRows[T] extends ReadonlyMap<string, infer Row> ? Row : never

const noRows: MemoryRows = {
  projects: new Map(),
  keys: new Map(),
  codes: new Map(),
  bindings: new Map(),
  workers: new Map(),
  jobs: new Map(),
  specs: new Map(),
  claims: new Map(),
  transitions: new Map(),
  results: new Map(),
  idempotency: new Map(),
  telemetry: new Map(),
  audit: new Map(),
}

/** `lose`: nothing of the group stays. `keep`: all of it does, and the writers are not told. `full`: no room, nothing stays. */
export type CommitFault = 'lose' | 'keep' | 'full' | undefined

export interface MemoryDatabase {
  /** What is committed. */
  rows: MemoryRows
  /** Asked at each commit that changes something. */
  fault: () => CommitFault
  /** Runs in the middle of each commit that changes something. */
  committed: (before: MemoryRows, after: MemoryRows) => void
}

export function createMemoryDatabase(): MemoryDatabase {
  return { rows: noRows, fault: () => undefined, committed() {} }
}

class CommitError extends Error {
  override readonly name = 'CommitError'
  readonly blame: 'full' | 'fsync'

  constructor(fault: NonNullable<CommitFault>) {
    super(`the commit was told to ${fault}`)
    this.blame = fault === 'full' ? 'full' : 'fsync'
  }
}

/** One process's way to the database; another may be opened when it is gone. */
export function openMemoryStore(
  database: MemoryDatabase,
  { clock, events }: { readonly clock: Clock; readonly events: StoreEvents },
): Store {
  const group = new GroupCommit<WriteTx>({ transaction: new MemoryTransaction(database), clock, events })
  const reads = new Set<Promise<unknown>>()
  let closed = false
  return {
    async read(work) {
      if (closed) throw new StoreFailing('the store is closed')
      const { rows } = database
      const scope = new Scope(() => true)
      const reading = drive(() => work(readTx(() => rows, scope)))
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
class MemoryTransaction implements Transaction<WriteTx> {
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
    const after = this.#rows()
    this.#draft = undefined
    const changed = (Object.keys(after) as Table[]).some((table) => after[table] !== before[table])
    const fault = changed ? this.#database.fault() : undefined
    if (changed && (fault === undefined || fault === 'keep')) {
      this.#database.rows = after
      this.#database.committed(before, after)
    }
    if (fault) throw new CommitError(fault)
  }

  rollback(): void {
    this.#draft = undefined
  }

  save(): void {
    this.#saved = this.#rows()
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
    const rows = () => this.#rows()
    return { ...readTx(rows, scope), ...writeTx(rows, (table) => this.#owned(table), scope) }
  }

  blame(error: unknown): 'full' | 'fsync' | 'other' {
    return error instanceof CommitError ? error.blame : 'other'
  }

  #rows(): MemoryRows {
    assert(this.#draft, 'a statement needs a transaction')
    return this.#draft
  }

  #owned<T extends Table>(table: T): Map<string, RowOf<T>> {
    const rows = this.#rows()
    if (!this.#own.has(table)) {
      this.#draft = { ...rows, [table]: new Map(rows[table] as ReadonlyMap<string, RowOf<T>>) }
      this.#own.add(table)
    }
    return this.#rows()[table] as unknown as Map<string, RowOf<T>>
  }
}

const byId = (one: { readonly id: string }, other: { readonly id: string }) =>
  one.id < other.id ? -1 : Number(one.id > other.id)
const newestFirst = (one: { readonly id: string }, other: { readonly id: string }) => byId(other, one)
const sorted = <Row extends { readonly id: string }>(table: ReadonlyMap<string, Row>) => [...table.values()].sort(byId)
const find = <Row>(table: ReadonlyMap<string, Row>, wanted: (row: Row) => boolean) => [...table.values()].find(wanted)
const where = <Row>(table: ReadonlyMap<string, Row>, wanted: (row: Row) => boolean) =>
  [...table.values()].filter(wanted)

function readTx(rows: () => MemoryRows, scope: Scope): ReadTx {
  const run = <T>(statement: (rows: MemoryRows) => T) => scope.run(() => statement(rows()))
  return {
    getProject: (id) => run(({ projects }) => projects.get(id)),
    findProject: (name) => run(({ projects }) => find(projects, (row) => row.name === name)),
    listProjects: () => run(({ projects }) => sorted(projects)),
    getKey: (id) => run(({ keys }) => keys.get(id)),
    findKey: (tokenHash) => run(({ keys }) => find(keys, (row) => row.tokenHash === tokenHash)),
    listKeys: () => run(({ keys }) => sorted(keys)),
    getCode: (id) => run(({ codes }) => codes.get(id)),
    listCodes: () => run(({ codes }) => sorted(codes)),
    getBinding: (id) => run(({ bindings }) => bindings.get(id)),
    findBinding: (codeId, bindingKey) =>
      run(({ bindings }) => find(bindings, (row) => row.codeId === codeId && row.bindingKey === bindingKey)),
    listBindings: () => run(({ bindings }) => sorted(bindings)),
    getWorker: (id) => run(({ workers }) => workers.get(id)),
    listWorkers: ({ bindingId, projectId }) =>
      run(({ workers }) =>
        sorted(workers)
          .filter((row) => bindingId === undefined || row.bindingId === bindingId)
          .filter((row) => projectId === undefined || row.projectId === projectId),
      ),
    getJob: (id) => run(({ jobs }) => jobs.get(id)),
    getSpec: (id) => run(({ specs }) => specs.get(id)),
    listJobs: (filter) => run(({ jobs }) => where(jobs, matches(filter)).sort(newestFirst).slice(0, filter.limit)),
    listQueued: () =>
      run(({ jobs }) =>
        sorted(jobs)
          .filter(({ law }) => law.state === 'queued' || law.state === 'waiting')
          .map(queuedOf),
      ),
    getClaim: (id) => run(({ claims }) => claims.get(id)),
    listClaims: (jobId) =>
      run(({ claims }) => where(claims, (row) => row.jobId === jobId).sort((one, other) => one.epoch - other.epoch)),
    listLiveClaims: () => run(({ claims }) => sorted(claims).filter((row) => isLive(row.lease.state))),
    listTransitions: (jobId) =>
      run(({ transitions }) => [...(transitions.get(jobId) ?? [])].sort((one, other) => one.version - other.version)),
    getResult: (claimId) => run(({ results }) => results.get(claimId)),
    getIdempotency: (projectId, key) => run(({ idempotency }) => idempotency.get(`${projectId} ${key}`)),
    listTelemetry: (jobId, limit) =>
      run(({ telemetry }) => where(telemetry, (row) => row.jobId === jobId).slice(0, limit)),
    countTelemetry: (claimId) => run(({ telemetry }) => where(telemetry, (row) => row.claimId === claimId).length),
    listAudit: (limit, before) =>
      run(({ audit }) =>
        where(audit, (row) => before === undefined || row.id < before)
          .sort(newestFirst)
          .slice(0, limit),
      ),
    listEnded: (at, limit) =>
      run(({ jobs }) =>
        where(jobs, ({ law }) => law.end !== undefined && law.end.at < at)
          .sort((one, other) => (one.law.end?.at ?? 0) - (other.law.end?.at ?? 0) || byId(one, other))
          .slice(0, limit)
          .map(({ id }) => id),
      ),
  }
}

const matches = (filter: JobFilter) => (row: JobRow) =>
  (filter.projectId === undefined || row.projectId === filter.projectId) &&
  (filter.state === undefined || row.law.state === filter.state) &&
  (filter.label === undefined || row.labels[filter.label.key] === filter.label.value) &&
  (filter.before === undefined || row.id < filter.before)

const queuedOf = ({ id, projectId, priority, law, expiresAt }: JobRow): QueuedRow => ({
  id,
  projectId,
  priority,
  passedOver: law.passedOver,
  ...(law.notBefore !== undefined && { notBefore: law.notBefore }),
  ...(expiresAt !== undefined && { expiresAt }),
})

type Own = <T extends Table>(table: T) => Map<string, RowOf<T>>

function writeTx(rows: () => MemoryRows, own: Own, scope: Scope): Omit<WriteTx, keyof ReadTx> {
  const insert = <T extends Table>(table: T, key: string, row: RowOf<T>) => {
    assert(!rows()[table].has(key), `${table} holds ${key} already`)
    own(table).set(key, row)
  }
  const update = <T extends Table>(table: T, key: string, row: RowOf<T>) => {
    assert(rows()[table].has(key), `${table} does not hold ${key}`)
    own(table).set(key, row)
  }
  const removeWhere = <T extends Table>(table: T, wanted: (row: RowOf<T>) => boolean) => {
    for (const [key, row] of [...own(table)]) if (wanted(row)) own(table).delete(key)
  }
  return {
    insertProject: (row) =>
      scope.run(() => {
        assert(!find(rows().projects, ({ name }) => name === row.name), 'a project has this name')
        insert('projects', row.id, row)
      }),
    insertKey: (row) => scope.run(() => insert('keys', row.id, row)),
    updateKey: (row) => scope.run(() => update('keys', row.id, row)),
    insertCode: (row) => scope.run(() => insert('codes', row.id, row)),
    updateCode: (row) => scope.run(() => update('codes', row.id, row)),
    deleteCode: (id) => scope.run(() => void own('codes').delete(id)),
    insertBinding: (row) => scope.run(() => insert('bindings', row.id, row)),
    updateBinding: (row) => scope.run(() => update('bindings', row.id, row)),
    insertWorker: (row) => scope.run(() => insert('workers', row.id, row)),
    updateWorker: (row) => scope.run(() => update('workers', row.id, row)),
    insertJob: (row, spec) =>
      scope.run(() => {
        insert('jobs', row.id, row)
        insert('specs', row.id, Buffer.from(spec))
      }),
    updateJob: (row) => scope.run(() => update('jobs', row.id, row)),
    insertClaim: (row) =>
      scope.run(() => {
        const taken = find(rows().claims, ({ jobId, epoch }) => jobId === row.jobId && epoch === row.epoch)
        assert(!taken, 'a claim of the job has this epoch')
        insert('claims', row.id, row)
      }),
    updateClaim: (row) => scope.run(() => update('claims', row.id, row)),
    insertTransition: (row) =>
      scope.run(() => {
        const before = rows().transitions.get(row.jobId) ?? []
        assert(!before.some(({ version }) => version === row.version), 'the job has a transition of this version')
        own('transitions').set(row.jobId, [...before, row])
      }),
    putResult: (claimId, text) => scope.run(() => void own('results').set(claimId, text)),
    insertIdempotency: (row) => scope.run(() => insert('idempotency', `${row.projectId} ${row.key}`, row)),
    deleteIdempotency: (before) => scope.run(() => removeWhere('idempotency', (row) => row.createdAt < before)),
    insertTelemetry: (row) =>
      scope.run(() => {
        const key = `${row.claimId} ${row.id}`
        if (rows().telemetry.has(key)) return false
        insert('telemetry', key, row)
        return true
      }),
    insertAudit: (row) => scope.run(() => insert('audit', row.id, row)),
    deleteJob: (id) =>
      scope.run(() => {
        for (const claim of where(rows().claims, ({ jobId }) => jobId === id)) own('results').delete(claim.id)
        removeWhere('claims', ({ jobId }) => jobId === id)
        removeWhere('telemetry', ({ jobId }) => jobId === id)
        for (const table of ['jobs', 'specs', 'transitions'] as const) own(table).delete(id)
      }),
    afterCommit: (run) => void scope.effects.push(run),
  }
}

/** True when nothing of the job can change any more. */
export const isEnded = ({ law }: JobRow): boolean => isFinal(law.state)
