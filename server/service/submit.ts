// Submitting: jobs in their exact bytes, stored all or not at all, once per Idempotency-Key.
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { Refusal } from '../../src/protocol/error.ts'
import type { JobId, ProjectId } from '../../src/protocol/id.ts'
import { defaultPriority, type JobSpec, reservedJobFields } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { newJob } from '../../src/state/job.ts'
import { isConfidential } from '../../src/state/match.ts'
import { policyOf } from '../../src/state/retry.ts'
import type { IdempotencyRow, JobRow, WriteTx } from '../store/contract.ts'
import { mirrorJob, transition } from './change.ts'
import { type FreshJob, writeClaims } from './claim.ts'
import type { Core } from './core.ts'
import type { Polls } from './poll.ts'

export interface Submission {
  readonly projectId: ProjectId
  /** `key:ID` or `admin:ID`. */
  readonly by: string
  /** Each job as parsed, and as it stood in the body: the exact bytes come from the latter. */
  readonly jobs: readonly { readonly spec: JobSpec; readonly raw: unknown }[]
  readonly batch: boolean
  readonly idempotencyKey?: string
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
  for (const [index, { spec }] of jobs.entries()) refuseReserved(core, spec, batch ? `jobs.${index}.` : '')
  if ((await core.blobs.roomBytes()) <= 0) throw new Refusal('disk_full', 'pond has no room for new jobs')
  const prepared = jobs.map((job) => prepare(core, projectId, job))
  const digest = sha256(prepared.map(({ row }) => row.digest).join('\n'))
  return await writeClaims(core, async ({ tx }, claim) => {
    const repeated = await findRepeat(tx, submission, digest)
    if (repeated) return repeated
    for (const { row, bytes } of prepared) await insert(core, tx, { row, bytes, by: submission.by })
    if (idempotencyKey !== undefined) {
      await tx.insertIdempotency({
        projectId,
        key: idempotencyKey,
        digest,
        jobIds: prepared.map(({ row }) => row.id),
        batch,
        createdAt: core.clock.now(),
      })
    }
    await claim(polls.offer(projectId, { fresh: prepared }))
    return prepared.map(({ row }) => row)
  })
}

/** Fields whose place is kept, and sizes above this pond's own limit. */
function refuseReserved(core: Core, spec: JobSpec, prefix: string): void {
  const used = reservedJobFields.find((field) => spec[field] !== undefined)
  if (used) {
    throw new Refusal('unsupported', `${prefix}${used} is not served by this pond`, { field: `${prefix}${used}` })
  }
  const most = core.settings.streamBytesMost
  if ((spec.limits?.stream_bytes ?? 0) > most) {
    const field = `${prefix}limits.stream_bytes`
    throw new Refusal('invalid_field', `${field} must not be above ${most} on this pond`, { field, most })
  }
}

function prepare(core: Core, projectId: ProjectId, { spec, raw }: Submission['jobs'][number]): FreshJob {
  const text = canonicalize(raw)
  if (text === undefined) throw new Refusal('malformed', 'the job has no canonical JSON form')
  const bytes = Buffer.from(text)
  const now = core.clock.now()
  const row: JobRow = {
    id: `job_${core.newId()}` as JobId,
    projectId,
    law: newJob(policyOf(spec), 'queued'),
    version: 1,
    priority: spec.priority ?? defaultPriority,
    confidential: isConfidential(spec),
    command: spec.command,
    labels: spec.labels ?? {},
    digest: sha256(bytes),
    streamBytes: spec.limits?.stream_bytes ?? Math.min(limit.streamBytes, core.settings.streamBytesMost),
    createdAt: now,
    ...(spec.ttl_ms === undefined ? {} : { expiresAt: now + spec.ttl_ms }),
  }
  return { row, bytes }
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

async function insert(core: Core, tx: WriteTx, made: FreshJob & { readonly by: string }): Promise<void> {
  const { row, bytes, by } = made
  await tx.insertJob(row, bytes)
  await tx.insertTransition(transition(row, row.createdAt, { who: { by } }))
  tx.afterCommit(() => mirrorJob(core, undefined, row))
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex')
}
