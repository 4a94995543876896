// Claims and the results they delivered, as rows of SQLite.
import assert from 'node:assert/strict'
import type { BindingId, ClaimId, JobId, ProjectId, WorkerId } from '../../../src/protocol/id.ts'
import type { Cause } from '../../../src/protocol/job.ts'
import type { LeaseState } from '../../../src/state/lease.ts'
import { nothing } from '../../../src/state/room.ts'
import type { AttestationRow, ClaimRow, UsageRow } from '../row.ts'
import { fromJson, given, toBit, toJson } from './column.ts'
import type { Connection } from './connection.ts'

interface RawClaim {
  readonly id: ClaimId
  readonly job_id: JobId
  readonly project_id: ProjectId
  readonly binding_id: BindingId
  readonly worker_id: WorkerId
  readonly epoch: number
  readonly attempt: number
  readonly claim_key: string
  readonly lease_state: LeaseState
  readonly lease_hold_ms: number
  readonly lease_held_until: number | null
  readonly lease_final_digest: string | null
  readonly stream_bytes: number
  readonly artifact_bytes: number
  readonly held: string
  readonly claimed_at: number
  readonly confirmed_at: number | null
  readonly started_at: number | null
  readonly ended_at: number | null
  readonly cause: Cause | null
  readonly rc: number | null
  readonly message: string | null
  readonly usage: string | null
  readonly streams: string | null
  readonly artifacts: string | null
  readonly attestation_id: string | null
  readonly orphan: number
}

interface RawAttestation {
  readonly id: string
  readonly worker_id: WorkerId
  readonly sealing_key: string
  readonly signing_key: string
  readonly body: string
}

const NOTHING = '{}'

const claimOf = (raw: RawClaim): ClaimRow => ({
  id: raw.id,
  jobId: raw.job_id,
  projectId: raw.project_id,
  bindingId: raw.binding_id,
  workerId: raw.worker_id,
  epoch: raw.epoch,
  attempt: raw.attempt,
  claimKey: raw.claim_key,
  lease: {
    state: raw.lease_state,
    holdMs: raw.lease_hold_ms,
    ...given({ heldUntil: raw.lease_held_until, finalDigest: raw.lease_final_digest }),
  },
  streamBytes: raw.stream_bytes,
  artifactBytes: raw.artifact_bytes,
  held: raw.held === NOTHING ? nothing : fromJson(raw.held),
  claimedAt: raw.claimed_at,
  ...given({
    confirmedAt: raw.confirmed_at,
    startedAt: raw.started_at,
    endedAt: raw.ended_at,
    cause: raw.cause,
    rc: raw.rc,
    message: raw.message,
    usage: fromJson<UsageRow>(raw.usage),
    streams: fromJson<NonNullable<ClaimRow['streams']>>(raw.streams),
    artifacts: fromJson<NonNullable<ClaimRow['artifacts']>>(raw.artifacts),
    attestationId: raw.attestation_id,
  }),
  orphan: raw.orphan === 1,
})

const select = `
  select id, job_id, project_id, binding_id, worker_id, epoch, attempt, claim_key,
    lease_state, lease_hold_ms, lease_held_until, lease_final_digest, stream_bytes, artifact_bytes, held, claimed_at,
    confirmed_at, started_at, ended_at, cause, rc, message, usage, streams, artifacts, attestation_id, orphan
  from claims`

/** The columns that change, in the order of the statements. */
const changing = ({ lease, ...row }: ClaimRow) => [
  ...[lease.state, lease.holdMs, lease.heldUntil, lease.finalDigest, row.confirmedAt, row.startedAt, row.endedAt],
  ...[row.cause, row.rc, row.message, toJson(row.usage), toJson(row.streams), toBit(row.orphan)],
  ...[toJson(row.artifacts), row.attestationId],
]

export const claimReads = {
  getClaim(db: Connection, id: ClaimId) {
    const raw = db.get<RawClaim>(`${select} where id = ?`, id)
    return raw && claimOf(raw)
  },
  listClaims(db: Connection, jobId: JobId) {
    return db.all<RawClaim>(`${select} where job_id = ? order by epoch`, jobId).map(claimOf)
  },
  listLiveClaims(db: Connection) {
    return db.all<RawClaim>(`${select} where lease_state in ('granted', 'confirmed', 'held') order by id`).map(claimOf)
  },
  getAttestation(db: Connection, id: string): AttestationRow | undefined {
    const raw = db.get<RawAttestation>(
      'select id, worker_id, sealing_key, signing_key, body from attestations where id = ?',
      id,
    )
    return (
      raw && {
        id: raw.id,
        workerId: raw.worker_id,
        sealingKey: raw.sealing_key,
        signingKey: raw.signing_key,
        text: raw.body,
      }
    )
  },
  getResult(db: Connection, claimId: ClaimId) {
    return db.get<{ body: string }>('select body from results where claim_id = ?', claimId)?.body
  },
}

export const claimWrites = {
  insertClaim(db: Connection, row: ClaimRow) {
    db.run(
      `insert into claims (lease_state, lease_hold_ms, lease_held_until, lease_final_digest, confirmed_at, started_at, ended_at,
         cause, rc, message, usage, streams, orphan, artifacts, attestation_id,
         id, job_id, project_id, binding_id, worker_id, epoch, attempt, claim_key, stream_bytes, artifact_bytes, held, claimed_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...changing(row),
      ...[row.id, row.jobId, row.projectId, row.bindingId, row.workerId, row.epoch, row.attempt, row.claimKey],
      ...[row.streamBytes, row.artifactBytes, row.held === nothing ? NOTHING : toJson(row.held), row.claimedAt],
    )
  },
  updateClaim(db: Connection, row: ClaimRow) {
    const changed = db.run(
      `update claims set lease_state = ?, lease_hold_ms = ?, lease_held_until = ?, lease_final_digest = ?,
         confirmed_at = ?, started_at = ?, ended_at = ?, cause = ?, rc = ?, message = ?, usage = ?, streams = ?, orphan = ?,
         artifacts = ?, attestation_id = ?
       where id = ?`,
      ...changing(row),
      row.id,
    )
    assert(changed === 1, `there is no claim ${row.id}`)
  },
  insertAttestation(db: Connection, row: AttestationRow) {
    db.run(
      'insert into attestations (id, worker_id, sealing_key, signing_key, body) values (?, ?, ?, ?, ?)',
      ...[row.id, row.workerId, row.sealingKey, row.signingKey, row.text],
    )
  },
  putResult(db: Connection, claimId: ClaimId, text: string) {
    db.run(
      'insert into results (claim_id, body) values (?, ?) on conflict (claim_id) do update set body = excluded.body',
      ...[claimId, text],
    )
  },
}
