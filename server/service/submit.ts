// Submitting: jobs in their exact bytes, stored all or not at all, once per Idempotency-Key.
import { hash } from 'node:crypto'
import { Refusal } from '../../src/protocol/error.ts'
import type { JobId, ProjectId } from '../../src/protocol/id.ts'
import { defaultPriority, type JobSpec } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { type Dsse, payloadType } from '../../src/protocol/sealed.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { openDsse } from '../../src/seal/dsse.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { newTally, type Tally } from '../../src/state/array.ts'
import { newJob } from '../../src/state/job.ts'
import { anything, needsOf } from '../../src/state/match.ts'
import { policyOf } from '../../src/state/retry.ts'
import type { WriteTx } from '../store/contract.ts'
import type { IdempotencyRow, JobRow } from '../store/row.ts'
import { touchBundle } from './bundle.ts'
import { mirrorJob, transition, type Write } from './change.ts'
import { type Claim, type FreshJob, writeClaims } from './claim.ts'
import type { Core } from './core.ts'
import { block, inOrder, lookUp, type Wanted } from './dependency.ts'
import type { Polls } from './poll.ts'
import { Charge, priorityMostOf, waitingIn } from './quota.ts'
import { readRecipients } from './recipient.ts'

export interface Submission {
  readonly projectId: ProjectId
  /** `key:ID` or `admin:ID`. */
  readonly by: string
  readonly jobs: readonly SubmittedJob[]
  readonly batch: boolean
  readonly idempotencyKey?: string
  /** In place of a key, where something else says that the jobs were made before. */
  readonly once?: Once
}

export interface Once {
  /** What was made before, as the write sees it. */
  readonly find: (tx: WriteTx) => Promise<readonly JobRow[] | undefined>
  /** In the same write as the jobs. */
  readonly made: (write: Write, rows: readonly JobRow[]) => Promise<void>
}

export interface SubmittedJob {
  readonly spec: JobSpec
  /** What stands before the names of its fields in the body. */
  readonly field: string
  /** As it stood in the body, for its exact bytes. */
  readonly raw?: unknown
  /** Its exact bytes, where they are there already: signed, or of the job that it runs once more. */
  readonly exact?: ExactJob
  readonly replay?: Replay
}

export interface ExactJob {
  readonly bytes: Buffer
  readonly signature?: NonNullable<JobRow['signature']>
}

export interface Replay {
  readonly of: JobId
  /** The elements that run once more, where it was an array or one of its elements. */
  readonly array?: Pick<Tally, 'count' | 'from'>
}

export interface SignedJob extends ExactJob {
  readonly signature: NonNullable<JobRow['signature']>
}

/** The exact bytes of a job, if the key that the envelope names signed them. Whose key it is, its worker asks. */
export function openSignedJob(signed: Dsse): SignedJob {
  const [signature, ...others] = signed.signatures
  if (!signature || others.length > 0) {
    throw new Refusal('invalid_field', 'a job has exactly one signature', { field: 'signed.signatures' })
  }
  try {
    return { bytes: openDsse(signed, payloadType.job, signature.keyid), signature }
  } catch (error) {
    if (!(error instanceof SealError)) throw error
    throw new Refusal('invalid_field', 'signed: it is no job that this key signed', { field: 'signed' })
  }
}

/**
 * Stores the jobs and answers their rows; a repeat of the same key and body answers the rows it made then, as they are now. What a parked poll has room for
 * is claimed in the same commit, so that a job for a waiting pool costs one.
 */
export async function submitJobs(
  { core, polls }: { readonly core: Core; readonly polls: Polls },
  submission: Submission,
): Promise<readonly JobRow[]> {
  const { projectId, jobs, batch, idempotencyKey } = submission
  for (const { spec, field } of jobs) checkSpec(core, spec, field)
  if ((await core.blobs.roomBytes()) <= 0) throw new Refusal('disk_full', 'pond has no room for new jobs')
  const prepared = jobs.map((job) => prepare(core, projectId, job))
  const waiting = prepared.reduce((sum, { row }) => sum + waitingIn(row.law), 0)
  const kinds = new Map(prepared.map(({ row }, index) => [row.needs, jobs[index]?.field ?? '']))
  const charge = new Charge(core, projectId, { jobs: waiting, submits: jobs.length, kinds })
  const order = jobs.some(({ spec }) => spec.after) ? inOrder(jobs.map(wantedBy)) : [...jobs.keys()]
  const digest = sha256(prepared.map(({ row }) => [row.digest, row.signature?.keyid].join(' ')).join('\n'))
  const store = async ({ tx }: Write, claim: Claim) => {
    const repeated = await (submission.once ? submission.once.find(tx) : findRepeat(tx, submission, digest))
    if (repeated) return repeated
    checkPriorities(core, submission)
    charge.take()
    const fresh = [...prepared]
    for (const index of order) {
      const one = fresh[index]
      const job = jobs[index]
      if (one && job) fresh[index] = await enter({ core, tx }, { one, job, batch: prepared, by: submission.by })
    }
    if (idempotencyKey !== undefined) {
      await tx.insertIdempotency({
        projectId,
        key: idempotencyKey,
        digest,
        jobIds: fresh.map(({ row }) => row.id),
        batch,
        createdAt: core.clock.now(),
      })
    }
    await submission.once?.made(
      { core, tx },
      fresh.map(({ row }) => row),
    )
    const open = fresh.filter(({ row: { law } }) => law.state === 'queued' && !law.array)
    const claimed = await claim(polls.offers.fresh(projectId, open))
    charge.claimed(claimed.length)
    tx.afterCommit(() => charge.settle())
    return fresh.map(({ row }) => row)
  }
  // Inside too, or its neighbours in the commit would be refused for what is not stored.
  return await charge.cover(() => writeClaims(core, 'poll', (write, claim) => charge.cover(() => store(write, claim))))
}

/** Sizes above this pond's own limit, and recipients that are none. */
function checkSpec(core: Core, spec: JobSpec, prefix: string): void {
  const { streamBytesMost, artifactBytesMost } = core.settings
  for (const [name, most] of [
    ['stream_bytes', streamBytesMost],
    ['artifact_bytes', artifactBytesMost],
  ] as const) {
    if ((spec.limits?.[name] ?? 0) <= most) continue
    const field = `${prefix}limits.${name}`
    throw new Refusal('invalid_field', `${field} must not be above ${most} on this pond`, { field, most })
  }
  if (spec.recipients) readRecipients(spec.recipients, `${prefix}recipients`)
}

function checkPriorities(core: Core, { projectId, jobs }: Submission): void {
  const most = priorityMostOf(core, projectId)
  if (most === undefined) return
  for (const { spec, field: prefix } of jobs) {
    if ((spec.priority ?? 0) <= most) continue
    const field = `${prefix}priority`
    throw new Refusal('invalid_field', `${field} must not be above ${most} in this project`, { field, most })
  }
}

function textOfNeeds(spec: JobSpec): string {
  const needs = needsOf(spec)
  return needs === anything ? '{}' : canonicalBytes(needs).toString()
}

function lawOf(spec: JobSpec, replay: Replay | undefined): JobRow['law'] {
  const law = newJob(policyOf(spec), 'queued')
  if (spec.count === undefined) return law
  const { count = spec.count, from } = replay?.array ?? {}
  return { ...law, array: { ...newTally(count, spec.max_parallel), ...(from === undefined ? {} : { from }) } }
}

function prepare(core: Core, projectId: ProjectId, { spec, raw, exact, replay }: SubmittedJob): FreshJob {
  const bytes = exact?.bytes ?? canonicalBytes(raw)
  const now = core.clock.now()
  const row: JobRow = {
    id: `job_${core.newId()}` as JobId,
    projectId,
    law: lawOf(spec, replay),
    version: 1,
    priority: spec.priority ?? Math.min(defaultPriority, priorityMostOf(core, projectId) ?? defaultPriority),
    needs: textOfNeeds(spec),
    command: spec.command,
    labels: spec.labels ?? {},
    digest: sha256(bytes),
    ...(spec.credential === undefined ? {} : { credential: spec.credential }),
    ...(spec.recipients ? { recipients: spec.recipients } : {}),
    ...(exact?.signature ? { signature: exact.signature } : {}),
    ...(replay ? { replay: { of: replay.of } } : {}),
    streamBytes: spec.limits?.stream_bytes ?? Math.min(limit.streamBytes, core.settings.streamBytesMost),
    artifactBytes: spec.limits?.artifact_bytes ?? Math.min(limit.artifactBytes, core.settings.artifactBytesMost),
    createdAt: now,
    ...(spec.ttl_ms === undefined ? {} : { expiresAt: now + spec.ttl_ms }),
  }
  return { row, bytes }
}

/** Looks up what a job names: it must be there whole, and what is in a consumer's custody is only for jobs that he signed. */
async function nameNeeds({ core, tx }: Write, row: JobRow, job: SubmittedJob | undefined): Promise<JobRow> {
  const { credential, bundle: digest } = job?.spec ?? {}
  const fieldOf = (name: string) => `${job?.field ?? ''}${name}`
  if (credential !== undefined) {
    const found = await tx.getCredential(row.projectId, credential)
    if (!found) throw missing(fieldOf('credential'), `there is no credential ${credential}`)
    checkSigner(row, found.signer, fieldOf('credential'))
  }
  if (digest === undefined) return row
  const found = await tx.findBundle(row.projectId, digest)
  if (!found?.complete) throw missing(fieldOf('bundle'), `there is no whole bundle ${digest}`)
  if (found.custody === undefined) throw missing(fieldOf('bundle'), 'the boxes of the bundle are not here')
  checkSigner(row, found.signer, fieldOf('bundle'))
  await touchBundle(core, tx, found)
  return { ...row, bundle: { digest, size: found.size } }
}

function checkSigner(row: JobRow, signer: string | undefined, field: string): void {
  if (signer === undefined || row.signature?.keyid === signer) return
  throw new Refusal('invalid_field', `${field} opens only for jobs that its owner signed`, { field, signer })
}

function missing(field: string, says: string): Refusal {
  return new Refusal('invalid_field', `${field}: ${says}`, { field })
}

async function findRepeat(tx: WriteTx, submission: Submission, digest: string): Promise<readonly JobRow[] | undefined> {
  const { idempotencyKey, projectId, batch } = submission
  if (idempotencyKey === undefined) return undefined
  const known: IdempotencyRow | undefined = await tx.getIdempotency(projectId, idempotencyKey)
  if (!known) return undefined
  if (known.digest !== digest || known.batch !== batch) {
    throw new Refusal('idempotency_mismatch', 'this Idempotency-Key was used with another body')
  }
  const rows: JobRow[] = []
  for (const id of known.jobIds) {
    const row = await tx.getJob(id)
    if (row) rows.push(row)
  }
  if (rows.length < known.jobIds.length) {
    throw new Refusal('not_found', 'the jobs of this Idempotency-Key were removed by retention')
  }
  return rows
}

const wantedBy = ({ spec: { after = [] }, field }: SubmittedJob): Wanted => ({ after, field })

interface Entering {
  readonly one: FreshJob
  readonly job: SubmittedJob
  readonly batch: readonly FreshJob[]
  readonly by: string
}

/** A job that waits for others that have not ended yet stands in no queue. */
async function enter(write: Write, { one, job, batch, by }: Entering): Promise<FreshJob> {
  const { core, tx } = write
  const named = await nameNeeds(write, one.row, job)
  const { projectId } = named
  if (!job.spec.after) {
    await insert(core, tx, { row: named, bytes: one.bytes, by })
    return { ...one, row: named }
  }
  const { open, broken } = await lookUp(tx, wantedBy(job), { projectId, batch: batch.map(({ row }) => row) })
  const waits = open.size > 0 || broken !== undefined
  const row: JobRow = waits ? { ...named, law: { ...named.law, state: 'waiting' } } : named
  await insert(core, tx, { row, bytes: one.bytes, by })
  if (broken !== undefined) return { ...one, row: await block(write, row, broken) }
  for (const [otherId, on] of open) await tx.insertDependency({ jobId: row.id, otherId, on })
  tx.afterCommit(() => {
    for (const otherId of open.keys()) core.awaited.add(otherId)
  })
  return { ...one, row }
}

async function insert(core: Core, tx: WriteTx, made: FreshJob & { readonly by: string }): Promise<void> {
  const { row, bytes, by } = made
  await tx.insertJob(row, bytes)
  await tx.insertTransition(transition(row, row.createdAt, { who: { by } }))
  tx.afterCommit(() => mirrorJob(core, undefined, row))
}

function sha256(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex')
}
