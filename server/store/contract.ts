// The contract of every store: works that read or write rows. No rule lives here; the law decides, a store keeps.
import type { BindingId, BundleId, ClaimId, CodeId, JobId, KeyId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { Cause } from '../../src/protocol/job.ts'
import type {
  AttestationRow,
  AuditRow,
  BindingRow,
  BundleRow,
  ClaimRow,
  CodeRow,
  CredentialRow,
  DependencyRow,
  EndedRow,
  IdempotencyRow,
  JobFilter,
  JobRow,
  KeyRow,
  ProjectRow,
  QueuedFilter,
  QueuedRow,
  StopRow,
  StopTarget,
  TelemetryRow,
  TransitionRow,
  UseRow,
  WorkerRow,
} from './row.ts'

/** Reads see only what is committed, except inside a write, where they see the work's own changes too. */
export interface ReadTx {
  getProject(id: ProjectId): Promise<ProjectRow | undefined>
  findProject(name: string): Promise<ProjectRow | undefined>
  listProjects(): Promise<readonly ProjectRow[]>
  getKey(id: KeyId): Promise<KeyRow | undefined>
  findKey(tokenHash: string): Promise<KeyRow | undefined>
  listKeys(): Promise<readonly KeyRow[]>
  getCode(id: CodeId): Promise<CodeRow | undefined>
  listCodes(): Promise<readonly CodeRow[]>
  getBinding(id: BindingId): Promise<BindingRow | undefined>
  /** The binding that this key made with this code. */
  findBinding(codeId: CodeId, bindingKey: string): Promise<BindingRow | undefined>
  listBindings(): Promise<readonly BindingRow[]>
  /** Ephemeral bindings that were revoked before `at`. */
  listGone(at: number, limit: number): Promise<readonly BindingId[]>
  getWorker(id: WorkerId): Promise<WorkerRow | undefined>
  listWorkers(of: { readonly bindingId?: BindingId; readonly projectId?: ProjectId }): Promise<readonly WorkerRow[]>
  getStop(target: StopTarget): Promise<StopRow | undefined>
  /** Every stop, for the start. */
  listStops(): Promise<readonly StopRow[]>
  getJob(id: JobId): Promise<JobRow | undefined>
  getSpec(id: JobId): Promise<Buffer | undefined>
  listJobs(filter: JobFilter): Promise<readonly JobRow[]>
  /** What stands in the queue or will, oldest first, so many behind `after`; for the start. */
  listQueued(of: QueuedFilter): Promise<readonly QueuedRow[]>
  /** What the job still waits for, by id. */
  listDependencies(jobId: JobId, limit: number): Promise<readonly DependencyRow[]>
  /** Who still waits for the job, by id. */
  listDependents(otherId: JobId, limit: number): Promise<readonly DependencyRow[]>
  /** Every job that another waits for, for the start. */
  listAwaited(): Promise<readonly JobId[]>
  getClaim(id: ClaimId): Promise<ClaimRow | undefined>
  /** Oldest first. */
  listClaims(jobId: JobId): Promise<readonly ClaimRow[]>
  /** Claims by which jobs are claimed or running now: those whose lease is live. For the start, by id. */
  listLiveClaims(): Promise<readonly ClaimRow[]>
  listTransitions(jobId: JobId): Promise<readonly TransitionRow[]>
  /** The JSON text a claim delivered. */
  getResult(claimId: ClaimId): Promise<string | undefined>
  getAttestation(id: string): Promise<AttestationRow | undefined>
  getIdempotency(projectId: ProjectId, key: string): Promise<IdempotencyRow | undefined>
  listTelemetry(jobId: JobId, limit: number): Promise<readonly TelemetryRow[]>
  countTelemetry(claimId: ClaimId): Promise<number>
  /** Newest first, ids below `before`. */
  listAudit(limit: number, before?: string): Promise<readonly AuditRow[]>
  /** Ids of jobs that ended before `at`, oldest first. */
  listEnded(at: number, limit: number): Promise<readonly JobId[]>
  /** Jobs of a project that ended at `since` or later, latest first, behind `before`. */
  listEnds(of: EndFilter): Promise<readonly EndedRow[]>
  /** Looks at so many jobs of a project that ended latest, and answers those of them that are dead letters and match. */
  listDead(filter: DeadFilter): Promise<DeadPage>
  /** The sum over attempts of a project whose final words came at `since` or later: of jobs that ended since then, and of those that have not ended. */
  sumUse(projectId: ProjectId, since: number): Promise<UseRow>
  getCredential(projectId: ProjectId, name: string): Promise<CredentialRow | undefined>
  /** JSON text of what was handed in. */
  getCustody(projectId: ProjectId, name: string): Promise<string | undefined>
  /** By name. */
  listCredentials(projectId: ProjectId): Promise<readonly CredentialRow[]>
  /** `pond_recipient_…`, in the order in which they were handed in. */
  getRecipients(projectId: ProjectId): Promise<readonly string[]>
  getBundle(id: BundleId): Promise<BundleRow | undefined>
  findBundle(projectId: ProjectId, digest: string): Promise<BundleRow | undefined>
  /** How many bundles a project has, and the sum of their sizes. */
  sumBundles(projectId: ProjectId): Promise<{ readonly count: number; readonly bytes: number }>
  /** Bundles without a digest. */
  listNameless(): Promise<readonly BundleRow[]>
  /** Bundles with a digest, last used before `at`, that no unfinished job of their project names, longest unused first. */
  listUnused(at: number, limit: number): Promise<readonly BundleRow[]>
}

/** Where a job stands among those of its project that ended. */
export type EndPlace = Pick<EndedRow, 'at' | 'id'>

/** Jobs that failed or expired and were neither replayed nor dismissed; elements of arrays, and not the arrays. */
export interface DeadFilter {
  readonly projectId: ProjectId
  readonly cause?: Cause
  readonly label?: { readonly key: string; readonly value: string }
  /** This array and its elements. */
  readonly array?: JobId
  readonly before?: EndPlace
  readonly limit: number
  /** Jobs that are looked at. */
  readonly scan: number
}

export interface DeadPage {
  /** Latest first. */
  readonly rows: readonly JobRow[]
  /** Where it stopped looking; absent: there are no more. */
  readonly next?: EndPlace
}

export interface EndFilter {
  readonly projectId: ProjectId
  readonly since: number
  readonly before?: EndPlace
  readonly limit: number
}

/** Each `insert` of an id that exists is a programmer's error; each `update` replaces the changing columns of the row with that id. */
export interface WriteTx extends ReadTx {
  insertProject(row: ProjectRow): Promise<void>
  updateProject(row: ProjectRow): Promise<void>
  insertKey(row: KeyRow): Promise<void>
  updateKey(row: KeyRow): Promise<void>
  insertCode(row: CodeRow): Promise<void>
  updateCode(row: CodeRow): Promise<void>
  deleteCode(id: CodeId): Promise<void>
  insertBinding(row: BindingRow): Promise<void>
  updateBinding(row: BindingRow): Promise<void>
  /** The binding with its workers and the codes that enroll more of them. */
  deleteBinding(id: BindingId): Promise<void>
  insertWorker(row: WorkerRow): Promise<void>
  updateWorker(row: WorkerRow): Promise<void>
  /** Inserts or replaces. */
  putStop(row: StopRow): Promise<void>
  deleteStop(target: StopTarget): Promise<void>
  insertJob(row: JobRow, spec: Uint8Array): Promise<void>
  /** A job whose exact bytes, labels, names and limits are those of its array. */
  insertElement(row: JobRow): Promise<void>
  updateJob(row: JobRow): Promise<void>
  insertDependency(row: DependencyRow): Promise<void>
  deleteDependency(row: Pick<DependencyRow, 'jobId' | 'otherId'>): Promise<void>
  insertClaim(row: ClaimRow): Promise<void>
  updateClaim(row: ClaimRow): Promise<void>
  insertTransition(row: TransitionRow): Promise<void>
  putResult(claimId: ClaimId, text: string): Promise<void>
  insertAttestation(row: AttestationRow): Promise<void>
  insertIdempotency(row: IdempotencyRow): Promise<void>
  deleteIdempotency(before: number): Promise<void>
  /** False when an event of this claim has this id already. */
  insertTelemetry(row: TelemetryRow): Promise<boolean>
  insertAudit(row: AuditRow): Promise<void>
  /** Inserts or replaces; a replaced one keeps its `createdAt`. */
  putCredential(row: CredentialRow, custody: string): Promise<void>
  deleteCredential(projectId: ProjectId, name: string): Promise<void>
  putRecipients(projectId: ProjectId, recipients: readonly string[]): Promise<void>
  insertBundle(row: BundleRow): Promise<void>
  updateBundle(row: BundleRow): Promise<void>
  deleteBundle(id: BundleId): Promise<void>
  /** An array goes after its elements. The job with its spec, claims, transitions, results and telemetry, and statements that are about no other claim. */
  deleteJob(id: JobId): Promise<void>
  /** Runs after this work's commit, in the order of the works; never when the work or the group failed. Memory that mirrors rows changes only here. */
  afterCommit(run: () => void): void
}

/** The group's commit failed: nothing of the work happened. The sender tries again later. */
export class StoreFailing extends Error {
  override readonly name = 'StoreFailing'
}

/** No room on the device or below the reserve. */
export class StoreFull extends Error {
  override readonly name = 'StoreFull'
}

export interface Store {
  /** Runs `work` on committed rows. */
  read<T>(work: (tx: ReadTx) => Promise<T>): Promise<T>
  /**
   * Runs `work`, commits it together with its neighbours, and resolves when that is durable. A work awaits only its `tx`.
   * What it throws undoes only its own changes and is thrown on; a failed commit rejects the whole group with StoreFailing or StoreFull.
   */
  write<T>(work: (tx: WriteTx) => Promise<T>): Promise<T>
  /** Rejects writes from now on, waits for those under way. */
  close(): Promise<void>
}

export interface StoreEvents {
  /** A commit or an fsync failed in a way that must not be tried again: pond must exit non-zero and recover at its next start. */
  readonly fatal: (error: unknown) => void
  /** So many works are durable, and their commit took so long. Absent, like the next: nobody measures. */
  readonly committed?: (works: number, tookMs: number) => void
  /** Works were not stored: a whole group, or the one that found no room. */
  readonly failed?: (blame: Blame) => void
}

/** No room; a commit or fsync that must not be tried again; anything else. */
export type Blame = 'full' | 'fsync' | 'other'
