// Rows as consumers see them.
import type { AttemptView, JobView, WorkerView } from '../../src/protocol/consumer.ts'
import { elementOf } from '../../src/protocol/id.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { anything } from '../../src/state/match.ts'
import type { ClaimRow, JobRow, WorkerDrain, WorkerRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { viewTally } from './element.ts'
import { grantedOf } from './label.ts'
import { leaseMsOf } from './lease.ts'
import { readNeeds } from './line.ts'
import type { Polls } from './poll.ts'
import { cordonOf } from './stop.ts'

export function viewJob(core: Core, row: JobRow): JobView {
  const { law } = row
  const element = elementOf(row.id)
  return {
    id: row.id,
    project: core.projects.get(row.projectId) ?? row.projectId,
    state: law.state,
    version: row.version,
    array: law.array && viewTally(law.array),
    array_id: element?.array,
    array_index: element?.index,
    digest: row.digest,
    command: [...row.command],
    labels: { ...row.labels },
    priority: row.priority,
    requires: viewRequires(row.needs),
    idempotent: law.policy.idempotent,
    attempts: law.attempts,
    created_at: row.createdAt,
    not_before: law.notBefore,
    expires_at: row.expiresAt,
    started_at: row.startedAt,
    ended_at: law.end?.at,
    cancel_requested_at: law.cancel?.at,
    worker: row.workerId,
    cause: law.end?.cause,
    rc: law.end?.rc,
    message: row.message,
    usage: row.usage,
    has_result: row.resultClaimId !== undefined,
    recipients: [...(row.recipients ?? [])],
    credential: row.credential,
    bundle: row.bundle?.digest,
    signer: row.signature?.keyid,
    attested: row.attested === true,
    adopted: law.adopted && viewAdoption(law.adopted),
    replay_of: row.replay?.of,
    replayed_by: row.replay?.by,
    dismissed_at: row.replay?.dismissedAt,
  }
}

/** Of its needs, what stands in its own field `requires`. */
function viewRequires(text: string): JobView['requires'] {
  const needs = readNeeds(text)
  if (needs === anything) return undefined
  const { secrets: _, 'sandbox.backend': _backend, 'sandbox.network': _network, ...requires } = needs
  return Object.keys(requires).length > 0 ? requires : undefined
}

function viewAdoption({ attempt, by, at, cause, rc }: NonNullable<JobRow['law']['adopted']>): JobView['adopted'] {
  return { attempt, by, at, cause, rc }
}

export async function viewAttempt(core: Core, row: ClaimRow): Promise<AttemptView> {
  const streams: AttemptView['streams'] = []
  for (const name of await core.blobs.list(row.id)) {
    const { committed } = await core.blobs.stat({ claimId: row.id, name })
    const report = row.streams?.[name]
    streams.push({ name, bytes: committed, produced: report?.produced, sha256: report?.sha256, end: report?.end })
  }
  return {
    claim_id: row.id,
    attempt: row.attempt,
    epoch: row.epoch,
    state: row.lease.state,
    worker: row.workerId,
    worker_name: core.fleet.get(row.workerId)?.name ?? row.workerId,
    claimed_at: row.claimedAt,
    confirmed_at: row.confirmedAt,
    started_at: row.startedAt,
    ended_at: row.endedAt,
    cause: row.cause,
    rc: row.rc,
    message: row.message,
    usage: row.usage,
    streams,
    orphan: row.orphan,
  }
}

export function viewWorker(core: Core, polls: Polls, row: WorkerRow): WorkerView {
  return {
    id: row.id,
    name: row.name,
    binding_id: row.bindingId,
    project: core.projects.get(row.projectId) ?? row.projectId,
    ...standing(core, polls, row),
    class: row.report?.class,
    drain: row.drain && viewDrain(row.drain),
    cordon: cordonOf(core, row),
    sealing_key: row.sealingKey,
    signing_key: row.signingKey,
    fingerprint: fingerprint(row.sealingKey, row.signingKey),
    rotations: row.formerKeys?.map(({ rotation }) => rotation).reverse(),
    labels: { ...row.labels },
    granted_labels: grantedOf(row),
    ...{ ...row.resources, gpus: row.resources.gpus && [...row.resources.gpus] },
    inflight: [...core.live.ofBinding(row.bindingId)].filter((claim) => claim.workerId === row.id).length,
    load: row.report?.load,
    version: row.report?.version,
    os: row.report?.os,
    arch: row.report?.arch,
    executor: row.report?.executor,
    sandbox: row.report?.sandbox,
    allow_unsandboxed: row.report?.allow_unsandboxed,
    shown_fingerprint: row.shownKeys && fingerprint(row.shownKeys.sealingKey, row.shownKeys.signingKey),
    last_poll_at: polls.lastPollAt(row.bindingId),
  }
}

function viewDrain({ at, by, deadlineAt, note, heardBy }: WorkerDrain): WorkerView['drain'] {
  return { at, by, deadline_at: deadlineAt, note, heard: heardBy !== undefined }
}

/** Every state in which a worker can be. */
export const standings = [
  'online',
  'paused',
  'cordoned',
  'draining',
  'away',
  'offline',
  'quarantined',
  'revoked',
] as const

interface Standing {
  readonly state: (typeof standings)[number]
  readonly note?: string | undefined
}

/** Trust first, then whether it is there, for nothing else helps before; then what an operator ordered, then what it says of itself. */
export function standing(core: Core, polls: Polls, worker: WorkerRow): Standing {
  const { id, bindingId, law, report, drain } = worker
  if (law.state === 'quarantined' || law.state === 'revoked') return { state: law.state }
  if (!polls.isOnline(bindingId)) return { state: isAway(core, polls, { id, bindingId }) ? 'away' : 'offline' }
  if (drain) return { state: 'draining', note: drain.note }
  const cordon = cordonOf(core, { id, bindingId })
  if (cordon) return { state: 'cordoned', note: cordon.note }
  if (report?.state === 'paused' || report?.state === 'draining') return { state: report.state, note: report.note }
  return { state: 'online' }
}

/** Silent for less than it takes to lose a claim. Of one that left, or that pond has not heard since its own start, only a claim is waited for. */
function isAway(core: Core, polls: Polls, { id, bindingId }: Pick<WorkerRow, 'id' | 'bindingId'>): boolean {
  const lastPollAt = polls.lastPollAt(bindingId)
  const isUnknown = lastPollAt === undefined || polls.hasLeft(bindingId)
  if (isUnknown) return [...core.live.ofBinding(bindingId)].some((claim) => claim.workerId === id)
  return core.clock.now() - lastPollAt < leaseMsOf(core, id)
}
