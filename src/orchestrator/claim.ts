// What the rest of swarm knows of a claim that it holds, whether its job runs here or a former life of swarm ran it.
import type { Client } from '../client/contract.ts'
import type { Executor } from '../executor/contract.ts'
import type { ClaimId, JobId, WorkerId } from '../protocol/id.ts'
import type { HaveState } from '../protocol/orch.ts'
import type { Signer } from '../seal/signature.ts'
import type { Clock } from '../system/clock.ts'
import type { Disk } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import type { Random } from '../system/random.ts'
import type { Gate } from './gate.ts'
import type { Journal } from './journal.ts'
import type { Supplied, SupplyOrder } from './supply.ts'
import type { Words } from './words.ts'

/** Why swarm ends a job that would go on by itself. */
export type StopCause = 'cancelled' | 'timeout' | 'drained' | 'disk_full' | 'output_lost'

export interface Have {
  readonly claim_id: ClaimId
  readonly state: HaveState
  readonly started_at?: number
}

export interface HeldClaim {
  readonly claimId: ClaimId
  readonly jobId: JobId
  /** Of the disk, promised to its job as long as it is held. */
  readonly diskBytes?: number
  have(): Have
  /** SIGTERM now, SIGKILL after the grace; the first cause stands. */
  stop(cause: StopCause): void
  /** SIGKILL now. */
  kill(cause: StopCause): void
  /** Pond says that the claim is void: kills what runs and forgets all of it. What has ended is delivered all the same: pond may keep it beside the job. */
  drop(): void
  /** Swarm ends: says no more. What is not said yet stays in the journal. */
  abandon(): void
}

/** What every claim is given of the world. */
export interface ClaimParts {
  readonly client: Client
  readonly clock: Clock
  readonly log: Log
  readonly disk: Disk
  readonly executor: Executor
  readonly journal: Journal
  readonly words: Words
  readonly random: Random
  /** With the key that pond has pinned for this worker. */
  readonly signerOf: (workerId: WorkerId) => Signer
  /** What a job needs besides its spec. Never rejects for what pond, a consumer or a full disk can do. */
  readonly fetchSupply: (order: SupplyOrder) => Promise<Supplied>
  /** The owner takes confidential jobs even where nothing keeps other jobs from them. */
  readonly allowUnsandboxed: boolean
  /** How often this machine woke: what pond said before counts no more. */
  readonly wakes: () => number
  /** Which commands the owner wants, and who looks whether there is room. */
  readonly gate: Pick<Gate, 'unwelcome' | 'spareDisk' | 'look'>
  /** Holds one folder a claim. */
  readonly jobsPath: string
}
