// The rows that a store keeps, as the services see them.
import type { Scope } from '../../src/protocol/admin.ts'
import type { Resources, Sandbox, WorkerClass } from '../../src/protocol/field.ts'
import type { BindingId, BundleId, ClaimId, CodeId, JobId, KeyId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { AllowedLabels, Cause, FinalState, JobState, Labels } from '../../src/protocol/job.ts'
import type { Quota } from '../../src/protocol/quota.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import type { ArtifactReport, StreamReport, UsageReport } from '../../src/protocol/word.ts'
import type { Tally } from '../../src/state/array.ts'
import type { Job } from '../../src/state/job.ts'
import type { Lease } from '../../src/state/lease.ts'
import type { Held } from '../../src/state/room.ts'
import type { Worker } from '../../src/state/worker.ts'

export interface ProjectRow {
  readonly id: ProjectId
  readonly name: string
  /** Its part of machines that serve several projects, against the weights of the others. */
  readonly weight: number
  /** Absent: nothing is limited. */
  readonly quota?: Quota
  readonly createdAt: number
}

/** What attempts used. */
export interface UseRow {
  readonly cpuMs: number
  /** Of their streams and artifacts. */
  readonly outputBytes: number
}

/** A job that ended, with what all its attempts used. */
export interface EndedRow extends UseRow {
  readonly id: JobId
  readonly state: FinalState
  readonly at: number
  readonly runMs: number
}

export interface KeyRow {
  readonly id: KeyId
  readonly kind: 'project' | 'admin'
  /** Absent for an admin token. */
  readonly projectId?: ProjectId
  readonly name: string
  /** SHA-256 of the token in lower-case hex. */
  readonly tokenHash: string
  readonly scopes: readonly Scope[]
  readonly createdAt: number
  readonly expiresAt?: number
  readonly revokedAt?: number
}

/** Whose jobs the workers of a binding take behind those of its own project. */
export interface LadderRow {
  readonly friends: readonly ProjectId[]
  /** Everybody's, behind its friends'. */
  readonly public: boolean
}

export interface CodeRow {
  readonly id: CodeId
  readonly projectId: ProjectId
  readonly ladder?: LadderRow
  readonly usesLeft: number
  readonly triesLeft: number
  readonly labels: Labels
  /** What those who come with it may choose for themselves. */
  readonly allowedLabels?: AllowedLabels
  readonly ephemeral: boolean
  /** The binding that a further worker joins with it; absent for a pairing code. */
  readonly bindingId?: BindingId
  /** Of the only worker keys that may use it. */
  readonly fingerprint?: string
  readonly createdAt: number
  readonly expiresAt: number
}

/** A token of a binding, bound to the keys that both sides had when it was made. */
export interface BindingToken {
  /** SHA-256 in lower-case hex. */
  readonly hash: string
  readonly expiresAt: number
  /** Signs the calls that carry the token. */
  readonly bindingKey: string
  /** The pond key that its holder knows. */
  readonly pondKey: string
  /** Its holder has it for sure: it came back in a call. */
  readonly used: boolean
}

export interface BindingRow {
  readonly id: BindingId
  /** Its own, whose jobs come first. */
  readonly projectId: ProjectId
  readonly ladder?: LadderRow
  readonly codeId: CodeId
  readonly name: string
  readonly bindingKey: string
  readonly state: 'active' | 'revoked'
  /** Oldest first; when one is first used the others are dropped. */
  readonly tokens: readonly BindingToken[]
  readonly ephemeral: boolean
  readonly createdAt: number
  readonly revokedAt?: number
}

/** What a worker last told about itself. */
export interface WorkerReport {
  readonly inflight: number
  readonly load: number
  readonly version: string
  readonly os?: string | undefined
  readonly arch?: string | undefined
  readonly executor?: string | undefined
  readonly sandbox?: Sandbox | undefined
  readonly allow_unsandboxed?: boolean | undefined
  readonly state?: 'ready' | 'paused' | 'draining' | undefined
  readonly class?: WorkerClass | undefined
  readonly note?: string | undefined
}

export interface WorkerKeys {
  readonly sealingKey: string
  readonly signingKey: string
}

export interface FormerKeys extends WorkerKeys {
  /** When the worker showed that it uses the keys behind them; absent until then, since the reply that told it so may be lost. */
  readonly until?: number
  /** By which they were replaced. */
  readonly rotation: Dsse
}

/** An operator's order that stands until its swarm obeyed it, left, and was started again. */
export interface WorkerDrain {
  readonly at: number
  /** `admin:ID`. */
  readonly by: string
  /** What still runs then is stopped. */
  readonly deadlineAt?: number
  readonly note?: string
  /** The session of the swarm that has heard of it. */
  readonly heardBy?: string
  /** In its newest poll that session held nothing and offered nothing. */
  readonly done?: true
}

export interface WorkerRow extends WorkerKeys {
  readonly id: WorkerId
  readonly bindingId: BindingId
  readonly projectId: ProjectId
  readonly name: string
  /** The code that a further worker enrolled with. */
  readonly codeId?: CodeId
  readonly labels: Labels
  /** Keys of those that it chose for itself, as its code allowed; the others its code gave. */
  readonly ownLabels?: readonly string[]
  readonly resources: Resources
  readonly law: Worker
  /** Pinned before the keys of now, newest first; what was signed with them for claims of that time holds. */
  readonly formerKeys?: readonly FormerKeys[]
  /** Keys that it showed and that are not pinned; there while it is quarantined. */
  readonly shownKeys?: WorkerKeys
  readonly report?: WorkerReport
  readonly drain?: WorkerDrain
  readonly createdAt: number
}

export type UsageRow = Readonly<UsageReport>

/** A bundle as a job names it, by SHA-256 of its stored bytes. */
export interface BundleName {
  readonly digest: string
  readonly size: number
}

/** A job without its exact bytes, which are read on their own. */
export interface JobRow {
  readonly id: JobId
  readonly projectId: ProjectId
  readonly law: Job
  /** Rises by one with every change. */
  readonly version: number
  readonly priority: number
  /** What it needs of its worker, in canonical form. */
  readonly needs: string
  readonly command: readonly string[]
  readonly labels: Labels
  /** SHA-256 of the exact bytes in lower-case hex. */
  readonly digest: string
  /** Name of a credential of its project. */
  readonly credential?: string
  /** A bundle of its project. */
  readonly bundle?: BundleName
  /** Its output is sealed to these; absent where pond can read it. */
  readonly recipients?: readonly string[]
  /** Whose Ed25519 key signed the exact bytes, and the signature in base64. */
  readonly signature?: { readonly keyid: string; readonly sig: string }
  readonly streamBytes: number
  readonly artifactBytes: number
  readonly createdAt: number
  readonly expiresAt?: number
  readonly startedAt?: number
  readonly workerId?: WorkerId
  readonly message?: string
  readonly usage?: UsageRow
  /** The claim whose result stands for the job. */
  readonly resultClaimId?: ClaimId
  /** The worker signed how its last attempt, or the adopted one, ended. */
  readonly attested?: true
  readonly replay?: ReplayRow
}

/** How a job stands to others with the same exact bytes. */
export interface ReplayRow {
  /** The job that it runs once more. */
  readonly of?: JobId
  /** The job that runs it once more. */
  readonly by?: JobId
  /** When a person took it out of the dead letters. */
  readonly dismissedAt?: number
}

export interface ClaimRow {
  readonly id: ClaimId
  readonly jobId: JobId
  readonly projectId: ProjectId
  readonly bindingId: BindingId
  readonly workerId: WorkerId
  readonly epoch: number
  readonly attempt: number
  /** The key of the poll that got it; the same key gets it again while it is live. Empty where it was made ahead of the poll. */
  readonly claimKey: string
  readonly lease: Lease
  /** Those of its job, as its project is. */
  readonly streamBytes: number
  readonly artifactBytes: number
  /** Of its worker, until it ends and the worker is done with it. */
  readonly held: Held
  readonly claimedAt: number
  readonly confirmedAt?: number
  readonly startedAt?: number
  readonly endedAt?: number
  readonly cause?: Cause
  readonly rc?: number
  readonly message?: string
  readonly usage?: UsageRow
  readonly streams?: Readonly<Partial<Record<string, StreamReport>>>
  readonly artifacts?: readonly ArtifactReport[]
  /** The statement that its final word came with. */
  readonly attestationId?: string
  /** Its final word came after the lease was lost. */
  readonly orphan: boolean
}

/** A signed statement, which may be about many claims, and the keys of its worker when it was heard. */
export interface AttestationRow extends WorkerKeys {
  readonly id: string
  readonly workerId: WorkerId
  /** What it speaks of; no other claim has its id. */
  readonly claims: readonly ClaimId[]
  /** The DSSE envelope as JSON text. */
  readonly text: string
}

export interface TransitionRow {
  readonly jobId: JobId
  readonly version: number
  readonly at: number
  readonly from?: JobState
  readonly to: JobState
  readonly by: string
  readonly cause?: Cause
  readonly note?: string
  readonly claimId?: ClaimId
}

export interface IdempotencyRow {
  readonly projectId: ProjectId
  readonly key: string
  /** SHA-256 of the request's body. */
  readonly digest: string
  readonly jobIds: readonly JobId[]
  /** The body was a batch. */
  readonly batch: boolean
  readonly createdAt: number
}

export interface TelemetryRow {
  readonly jobId: JobId
  readonly claimId: ClaimId
  readonly id: string
  readonly type: string
  readonly at: number
  readonly data?: Readonly<Record<string, unknown>>
}

export interface AuditRow {
  readonly id: string
  readonly at: number
  readonly by: string
  readonly action: string
  readonly target: string
  readonly note?: string
}

/** A credential without what was handed in, which is read on its own. */
export interface CredentialRow {
  readonly projectId: ProjectId
  readonly name: string
  /** Fingerprints of the keys it is sealed to. */
  readonly recipients: readonly string[]
  /** Ed25519 key of the consumer in whose custody it is; absent in pond's. */
  readonly signer?: string
  readonly createdAt: number
  readonly updatedAt: number
}

export interface BundleRow {
  /** Its stored bytes are the blob of this id. */
  readonly id: BundleId
  readonly projectId: ProjectId
  /** SHA-256 of its stored bytes; absent while pond seals it. */
  readonly digest?: string
  /** Of the whole; 0 while pond seals it. */
  readonly size: number
  /** JSON text of the boxes as they were handed in. */
  readonly custody?: string
  /** Ed25519 key of the consumer in whose custody it is. */
  readonly signer?: string
  /** All bytes are stored and their digest is right. */
  readonly complete: boolean
  readonly createdAt: number
  /** When it last was uploaded, named by a job or handed out. */
  readonly usedAt: number
}

/** A job waits for another. Gone as soon as that one ended as it should. */
export interface DependencyRow {
  readonly jobId: JobId
  readonly otherId: JobId
  /** What the other must come to: success, or any end. */
  readonly on: 'success' | 'end'
}

/** Whom or what a stop is about. */
export type StopTarget = WorkerId | BindingId | ProjectId

/** Nothing new goes to a worker or a binding, or comes out of a project. */
export interface StopRow {
  readonly target: StopTarget
  /** When it was last said. */
  readonly at: number
  /** `admin:ID`. */
  readonly by: string
  readonly note?: string
  /** It ends by itself then. */
  readonly until?: number
}

/** What the queue in memory keeps of a job. */
export interface QueuedRow {
  /** Arrays stand in it until their last element was drawn. */
  readonly state: 'queued' | 'waiting' | 'running'
  readonly id: JobId
  readonly projectId: ProjectId
  readonly priority: number
  readonly needs: string
  readonly passedOver: Readonly<Record<string, number>>
  readonly createdAt: number
  readonly notBefore?: number
  readonly expiresAt?: number
  readonly array?: Tally
}

/** `running`: arrays of which elements may be left. `element`: elements that wait for another attempt. */
export const queuedKinds = ['queued', 'waiting', 'running', 'element'] as const

export interface QueuedFilter {
  readonly projectId: ProjectId
  readonly kind: (typeof queuedKinds)[number]
  readonly after?: JobId
  readonly limit: number
}

export interface JobFilter {
  readonly projectId?: ProjectId
  /** Its elements; in no other list stands an element. */
  readonly array?: JobId
  readonly state?: JobState
  readonly label?: { readonly key: string; readonly value: string }
  /** Only jobs with a smaller id: the list is newest first. */
  readonly before?: string
  readonly limit: number
}
