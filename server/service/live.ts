// The live claims in memory: who holds what, and when each was last heard of. It mirrors committed rows and is filled from them at the start.
import type { BindingId, ClaimId, JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { LeaseState } from '../../src/state/lease.ts'
import { type Held, unitsOf } from '../../src/state/room.ts'
import type { ClaimRow, JobRow } from '../store/row.ts'

/** The job's part of an intent. */
export interface JobPart extends Pick<JobRow, 'credential' | 'bundle' | 'signature'> {
  /** The job's exact bytes. */
  readonly spec: Buffer
}

export function jobPart({ credential, bundle, signature }: JobRow, spec: Buffer): JobPart {
  return {
    spec,
    ...(credential === undefined ? {} : { credential }),
    ...(bundle ? { bundle } : {}),
    ...(signature ? { signature } : {}),
  }
}

export interface LiveClaim {
  readonly id: ClaimId
  readonly jobId: JobId
  readonly projectId: ProjectId
  readonly bindingId: BindingId
  readonly workerId: WorkerId
  readonly epoch: number
  readonly attempt: number
  /** Of the poll that brings it. */
  claimKey: string
  /** Once it was told. */
  token?: string
  readonly streamBytes: number
  readonly artifactBytes: number
  readonly held: Held
  /** Listening time of the grant: the time to confirm runs from here, whatever is said meanwhile. */
  readonly grantedAt: number
  lease: LeaseState
  heldUntil?: number
  /** Listening time of the last accepted word. */
  heardAt: number
  /** Who asked to cancel it. */
  cancelBy?: string
  /** Kept until the claim is confirmed. */
  job?: JobPart
}

/** What becomes of a claim that is dead for pond: its worker drops it, or may go on and deliver what a person can adopt. */
export type Fate = 'drop' | 'leave'

export class LiveClaims {
  readonly #claims = new Map<ClaimId, LiveClaim>()
  readonly #byBinding = new Map<BindingId, Set<LiveClaim>>()
  readonly #byJob = new Map<JobId, LiveClaim>()
  /** Claims that ended for pond while their worker may still be busy with them. */
  readonly #lingering = new Map<WorkerId, Map<ClaimId, Lingering>>()
  /** What claims of writes under way hold, by worker: it is filled before they are rows. */
  readonly #coming = new Map<WorkerId, Coming[]>()
  /** When what is counted for a worker changed, by the count of all such changes: none comes twice. */
  readonly #changes = new Map<WorkerId, number>()
  #allChanges = 0
  /** Live claims and those of writes under way. */
  readonly #inProject = new Map<ProjectId, number>()

  get size(): number {
    return this.#claims.size
  }

  add(row: ClaimRow, heardAt: number, job?: JobPart): void {
    const claim: LiveClaim = {
      id: row.id,
      jobId: row.jobId,
      projectId: row.projectId,
      bindingId: row.bindingId,
      workerId: row.workerId,
      epoch: row.epoch,
      attempt: row.attempt,
      claimKey: row.claimKey,
      streamBytes: row.streamBytes,
      artifactBytes: row.artifactBytes,
      held: row.held,
      lease: row.lease.state,
      grantedAt: heardAt,
      heardAt,
      ...(row.lease.heldUntil === undefined ? {} : { heldUntil: row.lease.heldUntil }),
      ...(job ? { job } : {}),
    }
    this.#claims.set(claim.id, claim)
    this.#changed(claim.workerId)
    this.#count(claim.projectId, 1)
    this.#byJob.set(claim.jobId, claim)
    const mates = this.#byBinding.get(claim.bindingId)
    if (mates) mates.add(claim)
    else this.#byBinding.set(claim.bindingId, new Set([claim]))
  }

  get(id: ClaimId): LiveClaim | undefined {
    return this.#claims.get(id)
  }

  ofJob(jobId: JobId): LiveClaim | undefined {
    return this.#byJob.get(jobId)
  }

  ofBinding(bindingId: BindingId): ReadonlySet<LiveClaim> {
    return this.#byBinding.get(bindingId) ?? none
  }

  all(): IterableIterator<LiveClaim> {
    return this.#claims.values()
  }

  /** Forgets a claim. With `lingers` what it holds stays counted until the worker says that it is free. */
  remove(id: ClaimId, lingers: boolean): void {
    const claim = this.#claims.get(id)
    if (!claim) return
    this.#claims.delete(id)
    this.#changed(claim.workerId)
    this.#count(claim.projectId, -1)
    if (this.#byJob.get(claim.jobId) === claim) this.#byJob.delete(claim.jobId)
    const mates = this.#byBinding.get(claim.bindingId)
    mates?.delete(claim)
    if (mates?.size === 0) this.#byBinding.delete(claim.bindingId)
    if (!lingers) return
    this.linger(claim, 'drop')
  }

  /** The worker is gone for good. */
  forget(workerId: WorkerId): void {
    this.#lingering.delete(workerId)
    this.#changes.delete(workerId)
  }

  /** Keeps a dead claim in mind until its worker names it no longer. */
  linger({ id, workerId, held }: Pick<ClaimRow, 'id' | 'workerId' | 'held'>, fate: Fate): void {
    const claims = this.#lingering.get(workerId) ?? new Map<ClaimId, Lingering>()
    this.#lingering.set(workerId, claims.set(id, { fate, held }))
    this.#changed(workerId)
  }

  fateOf(workerId: WorkerId, id: ClaimId): Fate | undefined {
    return this.#lingering.get(workerId)?.get(id)?.fate
  }

  /** Whether the worker may still be busy with a claim that is dead for pond. */
  lingers(workerId: WorkerId): boolean {
    return this.#lingering.has(workerId)
  }

  /** A worker told which claims it has: what it does not name lingers no longer. */
  reconcile(workerId: WorkerId, have: ReadonlySet<ClaimId>): void {
    const set = this.#lingering.get(workerId)
    if (!set) return
    for (const id of set.keys()) if (!have.has(id)) set.delete(id)
    this.#changed(workerId)
    if (set.size === 0) this.#lingering.delete(workerId)
  }

  /** Counts one more claim of a write under way; `arrived` takes it off when that write was settled, whatever came of it. */
  expect(workerId: WorkerId, claim: Coming): void {
    this.#count(claim.job.projectId, 1)
    this.#changed(workerId)
    const coming = this.#coming.get(workerId)
    if (coming) coming.push(claim)
    else this.#coming.set(workerId, [claim])
  }

  arrived(workerId: WorkerId, { job, held }: Coming): void {
    this.#count(job.projectId, -1)
    this.#changed(workerId)
    const coming = this.#coming.get(workerId) ?? []
    // Several elements of one array may come at a time, each with its own devices.
    const at = coming.findIndex((claim) => claim.job.id === job.id && claim.held === held)
    if (at >= 0) coming.splice(at, 1)
    if (coming.length === 0) this.#coming.delete(workerId)
  }

  coming(workerId: WorkerId): readonly Coming[] {
    return this.#coming.get(workerId) ?? nobody
  }

  /** While it is the same, the worker's claims are: live ones, those of writes under way and those that linger. */
  changesOf(workerId: WorkerId): number {
    return this.#changes.get(workerId) ?? 0
  }

  #changed(workerId: WorkerId): void {
    this.#changes.set(workerId, ++this.#allChanges)
  }

  /** What each project has of a binding's workers now. */
  unitsOf(bindingId: BindingId, workers: readonly WorkerId[]): Map<ProjectId, number> {
    const units = new Map<ProjectId, number>()
    const count = (projectId: ProjectId, held: Held) =>
      units.set(projectId, (units.get(projectId) ?? 0) + unitsOf(held))
    for (const { projectId, held } of this.ofBinding(bindingId)) count(projectId, held)
    for (const id of workers) for (const { job, held } of this.coming(id)) count(job.projectId, held)
    return units
  }

  /** Live claims of a project, those of writes under way among them: never fewer than there are. */
  inProject(projectId: ProjectId): number {
    return this.#inProject.get(projectId) ?? 0
  }

  #count(projectId: ProjectId, more: 1 | -1): void {
    this.#inProject.set(projectId, this.inProject(projectId) + more)
  }

  /** What claims hold that ended for pond while their worker may still be busy with them. */
  lingering(workerId: WorkerId): readonly Held[] {
    return [...(this.#lingering.get(workerId)?.values() ?? [])].map(({ held }) => held)
  }
}

/** A claim of a write under way. */
export interface Coming {
  readonly job: { readonly id: JobId; readonly projectId: ProjectId }
  readonly held: Held
}

interface Lingering {
  readonly fate: Fate
  readonly held: Held
}

const none: ReadonlySet<LiveClaim> = new Set()
const nobody: readonly Coming[] = []
