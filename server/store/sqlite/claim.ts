// Claims and the results they delivered, as rows of SQLite.
import assert from 'node:assert/strict'
import type { BindingId, ClaimId, JobId, ProjectId, WorkerId } from '../../../src/protocol/id.ts'
import type { LeaseState } from '../../../src/state/lease.ts'
import { nothing } from '../../../src/state/room.ts'
import type { AttestationRow, ClaimRow, JobRow } from '../row.ts'
import { fromFacts, fromJson, given, toFacts, toJson } from './column.ts'
import type { Connection } from './connection.ts'
import { projectIds } from './project.ts'

interface RawClaim {
  readonly id: ClaimId
  readonly job_id: JobId
  readonly project_id: ProjectId
  readonly epoch: number
  readonly attempt: number
  readonly worker_id: WorkerId
  readonly binding_id: BindingId
  readonly claim_key: string
  readonly claimed_at: number
  readonly held: string | null
  readonly lease_state: LeaseState
  readonly confirmed_at: number | null
  readonly started_at: number | null
  readonly ended_at: number | null
  readonly final_digest: string | null
  readonly attestation_id: string | null
  readonly word: string | null
  readonly hold_ms: number | null
  readonly held_until: number | null
  readonly orphan: number | null
  readonly summary: string
}

/** What a final word says, as JSON. */
type Word = Pick<ClaimRow, 'cause' | 'rc' | 'message' | 'usage' | 'streams' | 'artifacts'>

interface RawAttestation {
  readonly id: string
  readonly worker_id: WorkerId
  readonly sealing_key: string
  readonly signing_key: string
  readonly claims: string
  readonly body: string
}

const claimOf = (raw: RawClaim): ClaimRow => {
  const { streamBytes, artifactBytes } = fromJson<Pick<JobRow, 'streamBytes' | 'artifactBytes'>>(raw.summary)
  return Object.assign(
    { id: raw.id, jobId: raw.job_id, projectId: raw.project_id, bindingId: raw.binding_id, workerId: raw.worker_id },
    { epoch: raw.epoch, attempt: raw.attempt, claimKey: raw.claim_key, streamBytes, artifactBytes },
    {
      lease: {
        state: raw.lease_state,
        holdMs: raw.hold_ms ?? 0,
        ...given({ heldUntil: raw.held_until, finalDigest: raw.final_digest }),
      },
      held: raw.held === null ? nothing : fromJson<ClaimRow['held']>(raw.held),
      claimedAt: raw.claimed_at,
      orphan: raw.orphan === 1,
    },
    given({ confirmedAt: raw.confirmed_at, startedAt: raw.started_at, endedAt: raw.ended_at }),
    fromFacts<Word>(raw.word),
    given({ attestationId: raw.attestation_id }),
  )
}

/** With what every claim of a job has of it. */
const select = `
  select c.id, c.job_id, j.project_id, c.epoch, c.attempt, c.worker_id, c.binding_id, c.claim_key, c.claimed_at, c.held, c.lease_state,
    c.confirmed_at, c.started_at, c.ended_at, c.final_digest, c.attestation_id, c.word, c.hold_ms, c.held_until, c.orphan, s.summary`
const ofClaim = `
  from claims c cross join jobs j on j.id = c.job_id cross join job_specs s on s.job_id = substr(c.job_id, 1, 30)`

/** Those that claimed and running jobs name: each by an index that stands for more than this, and none of a claim moves when it ends. */
const live = ['length(j.id) = 30', 'length(j.id) > 30 and j.end_at is null'].map(
  (which) =>
    `${select} from jobs j cross join claims c on c.id = j.claim_id cross join job_specs s on s.job_id = substr(j.id, 1, 30)
     where j.project_id = ? and j.state in ('claimed', 'running') and ${which}`,
)

/** The columns that change, in the order of the statements: what most claims lack comes last. */
const changing = (row: ClaimRow) => [
  row.lease.state,
  row.confirmedAt,
  row.startedAt,
  row.endedAt,
  row.lease.finalDigest,
  row.attestationId,
  wordOf(row),
  row.lease.holdMs === 0 ? null : row.lease.holdMs,
  row.lease.heldUntil,
  row.orphan ? 1 : null,
]

const wordOf = ({ cause, rc, message, usage, streams, artifacts }: ClaimRow) =>
  toFacts({ cause, rc, message, usage, streams, artifacts })

export const claimReads = {
  getClaim(db: Connection, id: ClaimId) {
    const raw = db.get<RawClaim>(`${select} ${ofClaim} where c.id = ?`, id)
    return raw && claimOf(raw)
  },
  listClaims(db: Connection, jobId: JobId) {
    return db.all<RawClaim>(`${select} ${ofClaim} where c.job_id = ? order by c.epoch`, jobId).map(claimOf)
  },
  listLiveClaims(db: Connection) {
    const raws = projectIds(db).flatMap((project) => live.flatMap((sql) => db.all<RawClaim>(sql, project)))
    return raws.map(claimOf).sort((one, other) => (one.id < other.id ? -1 : 1))
  },
  getAttestation(db: Connection, id: string): AttestationRow | undefined {
    const raw = db.get<RawAttestation>(
      'select id, worker_id, sealing_key, signing_key, claims, body from attestations where id = ?',
      id,
    )
    return (
      raw && {
        id: raw.id,
        workerId: raw.worker_id,
        sealingKey: raw.sealing_key,
        signingKey: raw.signing_key,
        claims: fromJson(raw.claims),
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
    db.insert(
      `insert into claims (id, job_id, epoch, attempt, worker_id, binding_id, claim_key, claimed_at, held, lease_state, confirmed_at, started_at,
         ended_at, final_digest, attestation_id, word, hold_ms, held_until, orphan)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.id,
      row.jobId,
      row.epoch,
      row.attempt,
      row.workerId,
      row.bindingId,
      row.claimKey,
      row.claimedAt,
      row.held === nothing ? null : toJson(row.held),
      ...changing(row),
    )
  },
  updateClaim(db: Connection, row: ClaimRow) {
    const changed = db.run(
      `update claims set lease_state = ?2, confirmed_at = ?3, started_at = ?4, ended_at = ?5, final_digest = ?6, attestation_id = ?7,
         word = ?8, hold_ms = ?9, held_until = ?10, orphan = ?11
       where id = ?1`,
      row.id,
      ...changing(row),
    )
    assert(changed === 1, `there is no claim ${row.id}`)
  },
  insertAttestation(db: Connection, row: AttestationRow) {
    db.run(
      'insert into attestations (id, worker_id, sealing_key, signing_key, claims, body) values (?, ?, ?, ?, ?, ?)',
      ...[row.id, row.workerId, row.sealingKey, row.signingKey, toJson(row.claims), row.text],
    )
  },
  putResult(db: Connection, claimId: ClaimId, text: string) {
    db.run(
      'insert into results (claim_id, body) values (?, ?) on conflict (claim_id) do update set body = excluded.body',
      ...[claimId, text],
    )
  },
}
