// The claims that a swarm holds, and whose each is. Tells them all at once what to do; decides nothing about one.
import type { WorkerId } from '../protocol/id.ts'
import type { Have, HeldClaim, StopCause } from './claim.ts'
import type { LastWordEnd } from './last-word.ts'

/** More late results than a person looks through. */
const ORPHANS_MOST = 20

export interface Orphan {
  readonly claim_id: string
  readonly job_id: string
}

export class Holding {
  readonly #claims = new Map<string, HeldClaim>()
  readonly #owners = new Map<string, WorkerId>()
  readonly #orphans: Orphan[] = []
  /** Whose the claims of a former life are: nobody knows it. */
  readonly #firstWorker: () => WorkerId

  constructor(firstWorker: () => WorkerId) {
    this.#firstWorker = firstWorker
  }

  get size(): number {
    return this.#claims.size
  }

  add(claim: HeldClaim, owner?: WorkerId): void {
    this.#claims.set(claim.claimId, claim)
    if (owner) this.#owners.set(claim.claimId, owner)
  }

  get(claimId: string): HeldClaim | undefined {
    return this.#claims.get(claimId)
  }

  /** `end` is absent where something of ours failed. */
  remove(claimId: string, end: LastWordEnd | undefined): void {
    const claim = this.#claims.get(claimId)
    if (claim && end === 'kept') this.#orphans.push({ claim_id: claimId, job_id: claim.jobId })
    if (this.#orphans.length > ORPHANS_MOST) this.#orphans.shift()
    this.#claims.delete(claimId)
    this.#owners.delete(claimId)
  }

  have(): readonly Have[] {
    return [...this.#claims.values()].map((claim) => claim.have())
  }

  /** For people, with the job of each. */
  describe(): readonly (Have & { readonly job_id: string })[] {
    return [...this.#claims.values()].map((claim) => ({ ...claim.have(), job_id: claim.jobId }))
  }

  /** The latest claims of this life whose results came too late for their jobs. */
  orphans(): readonly Orphan[] {
    return [...this.#orphans]
  }

  /** What all that run were promised of the disk. */
  diskBytes(): number {
    let bytes = 0
    for (const { diskBytes = 0 } of this.#claims.values()) bytes += diskBytes
    return bytes
  }

  countOf(worker: WorkerId): number {
    return this.#of(worker).length
  }

  /** Of one worker, or all of them. */
  stop(cause: StopCause, worker?: WorkerId): void {
    for (const claim of worker ? this.#of(worker) : this.#claims.values()) claim.stop(cause)
  }

  kill(cause: StopCause): void {
    for (const claim of this.#claims.values()) claim.kill(cause)
  }

  abandon(): void {
    for (const claim of this.#claims.values()) claim.abandon()
  }

  #of(worker: WorkerId): readonly HeldClaim[] {
    return [...this.#claims.values()].filter(({ claimId }) => this.#ownerOf(claimId) === worker)
  }

  #ownerOf(claimId: string): WorkerId {
    return this.#owners.get(claimId) ?? this.#firstWorker()
  }
}
