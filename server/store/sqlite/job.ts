// Jobs, their exact bytes and their transitions, as rows of SQLite.
import assert from 'node:assert/strict'
import type { ClaimId, JobId, ProjectId, WorkerId } from '../../../src/protocol/id.ts'
import { type Cause, type JobState, jobStates } from '../../../src/protocol/job.ts'
import type { Tally } from '../../../src/state/array.ts'
import type { JobFilter, JobRow, QueuedFilter, QueuedRow, ReplayRow, TransitionRow, UsageRow } from '../row.ts'
import { fromJson, given, toBit, toJson } from './column.ts'
import type { Connection } from './connection.ts'

interface RawJob {
  readonly id: JobId
  readonly project_id: ProjectId
  readonly state: JobState
  readonly epoch: number
  readonly attempts: number
  readonly claim_id: string | null
  readonly not_before: number | null
  readonly cancel_at: number | null
  readonly cancel_by: string | null
  readonly end_cause: Cause | null
  readonly end_rc: number | null
  readonly end_at: number | null
  readonly adopted: string | null
  readonly tally: string | null
  readonly replay: string | null
  readonly passed_over: string
  readonly version: number
  readonly priority: number
  readonly needs: string
  readonly stream_bytes: number
  readonly artifact_bytes: number
  readonly attested: number
  readonly created_at: number
  readonly expires_at: number | null
  readonly started_at: number | null
  readonly worker_id: WorkerId | null
  readonly message: string | null
  readonly usage: string | null
  readonly result_claim_id: ClaimId | null
  readonly digest: string
  readonly policy: string
  readonly labels: string
  readonly command: string
  readonly credential: string | null
  readonly bundle: string | null
  readonly bundle_size: number | null
  readonly recipients: string | null
  readonly signer: string | null
  readonly signature: string | null
}

interface RawTransition {
  readonly job_id: JobId
  readonly version: number
  readonly at: number
  readonly from_state: JobState | null
  readonly to_state: JobState
  readonly who: string
  readonly cause: Cause | null
  readonly note: string | null
  readonly claim_id: ClaimId | null
}

/** As `queuedOfKind` selects them: id, priority, needs, passed over, created, not before, expires, tally. */
type RawQueued = readonly [JobId, number, string, string, number, number | null, number | null, string | null]

const lawOf = (raw: RawJob): JobRow['law'] => ({
  state: raw.state,
  epoch: raw.epoch,
  attempts: raw.attempts,
  policy: fromJson(raw.policy),
  ...given({ claimId: raw.claim_id, notBefore: raw.not_before }),
  ...(raw.cancel_at === null || raw.cancel_by === null ? {} : { cancel: { at: raw.cancel_at, by: raw.cancel_by } }),
  ...(raw.end_at === null || raw.end_cause === null
    ? {}
    : { end: { cause: raw.end_cause, ...given({ rc: raw.end_rc }), at: raw.end_at } }),
  ...given({
    adopted: fromJson<NonNullable<JobRow['law']['adopted']>>(raw.adopted),
    array: fromJson<Tally>(raw.tally),
  }),
  passedOver: fromJson(raw.passed_over),
})

const jobOf = (raw: RawJob): JobRow => ({
  id: raw.id,
  projectId: raw.project_id,
  law: lawOf(raw),
  version: raw.version,
  priority: raw.priority,
  needs: raw.needs,
  command: fromJson(raw.command),
  labels: fromJson(raw.labels),
  digest: raw.digest,
  ...given({ credential: raw.credential, recipients: fromJson<readonly string[]>(raw.recipients) }),
  ...(raw.bundle === null || raw.bundle_size === null ? {} : { bundle: { digest: raw.bundle, size: raw.bundle_size } }),
  ...(raw.signer === null || raw.signature === null ? {} : { signature: { keyid: raw.signer, sig: raw.signature } }),
  streamBytes: raw.stream_bytes,
  artifactBytes: raw.artifact_bytes,
  createdAt: raw.created_at,
  ...given({
    expiresAt: raw.expires_at,
    startedAt: raw.started_at,
    workerId: raw.worker_id,
    message: raw.message,
    usage: fromJson<UsageRow>(raw.usage),
    resultClaimId: raw.result_claim_id,
    replay: fromJson<ReplayRow>(raw.replay),
  }),
  ...(raw.attested === 1 && { attested: true }),
})

const transitionOf = (raw: RawTransition): TransitionRow => ({
  jobId: raw.job_id,
  version: raw.version,
  at: raw.at,
  ...given({ from: raw.from_state }),
  to: raw.to_state,
  by: raw.who,
  ...given({ cause: raw.cause, note: raw.note, claimId: raw.claim_id }),
})

const NOBODY: QueuedRow['passedOver'] = {}

/** A million of them may stand there, so what most have in common is one object. */
const queuedOf = (
  [id, priority, needs, passedOver, createdAt, notBefore, expiresAt, tally]: RawQueued,
  projectId: ProjectId,
  state: QueuedRow['state'],
): QueuedRow => {
  const passing = passedOver === '{}' ? NOBODY : fromJson<QueuedRow['passedOver']>(passedOver)
  const row = { id, state, projectId, priority, needs, createdAt, passedOver: passing }
  if (notBefore === null && expiresAt === null && tally === null) return row
  return { ...row, ...given({ notBefore, expiresAt, array: fromJson<Tally>(tally) }) }
}

const select = `
  select id, project_id, state, epoch, attempts, claim_id, not_before, cancel_at, cancel_by, end_cause, end_rc, end_at,
    adopted, tally, passed_over, version, priority, needs, stream_bytes, artifact_bytes, created_at, expires_at, started_at, worker_id, message,
    usage, result_claim_id, attested, replay, digest, policy, labels, command, credential, bundle, bundle_size, recipients, signer, signature
  from jobs join job_specs on job_id = substr(id, 1, 30)
  where id = ?`

/** Each a stretch of one index. */
const queuedOfKind = Object.fromEntries(
  Object.entries({
    queued: "length(id) = 30 and state = 'queued'",
    waiting: "length(id) = 30 and state = 'waiting'",
    running: "length(id) = 30 and state = 'running' and tally is not null",
    element: "length(id) > 30 and end_at is null and state = 'queued'",
  }).map(([kind, which]) => [
    kind,
    `select id, priority, needs, passed_over, created_at, not_before, expires_at, tally
     from jobs where project_id = ? and ${which} and id > ? order by id limit ?`,
  ]),
) as Readonly<Record<QueuedFilter['kind'], string>>

/** The columns that change, in the order of the statements. */
const changing = ({ law, ...row }: JobRow) => [
  ...[law.state, law.epoch, law.attempts, law.claimId, law.notBefore, law.cancel?.at, law.cancel?.by],
  ...[law.end?.cause, law.end?.rc, law.end?.at, toJson(law.adopted), toJson(law.array), toJson(law.passedOver)],
  ...[row.version, row.expiresAt, row.startedAt, row.workerId, row.message, toJson(row.usage), row.resultClaimId],
  ...[toBit(row.attested === true), toJson(row.replay)],
]

/** Sorts after every id. */
const LAST = '~'

export const jobReads = {
  getJob(db: Connection, id: JobId) {
    const raw = db.get<RawJob>(select, id)
    return raw && jobOf(raw)
  },
  getSpec(db: Connection, id: JobId) {
    const raw = db.get<{ spec: Uint8Array }>('select spec from job_specs where job_id = substr(?, 1, 30)', id)
    return raw && Buffer.from(raw.spec.buffer, raw.spec.byteOffset, raw.spec.byteLength)
  },
  listJobs(db: Connection, filter: JobFilter) {
    const raws = newestIds(db, filter).map((id) => db.get<RawJob>(select, id))
    return raws.flatMap((raw) => (raw ? [jobOf(raw)] : []))
  },
  listQueued(db: Connection, { projectId, kind, after = '' as JobId, limit }: QueuedFilter) {
    const raws = db.lists<RawQueued>(queuedOfKind[kind], projectId, after, limit)
    return raws.map((raw) => queuedOf(raw, projectId, kind === 'element' ? 'queued' : kind))
  },
  listTransitions(db: Connection, jobId: JobId) {
    const raws = db.all<RawTransition>(
      `select job_id, version, at, from_state, to_state, who, cause, note, claim_id
       from transitions where job_id = ? order by version`,
      jobId,
    )
    return raws.map(transitionOf)
  },
  /** The oldest of each project, merged. */
  listEnded(db: Connection, at: number, limit: number) {
    const raws = projectIds(db).flatMap((project) =>
      db.all<{ id: JobId; end_at: number }>(
        'select id, end_at from jobs where project_id = ? and end_at < ? order by end_at, id limit ?',
        ...[project, at, limit],
      ),
    )
    raws.sort((one, other) => one.end_at - other.end_at || (one.id < other.id ? -1 : 1))
    return raws.slice(0, limit).map(({ id }) => id)
  },
}

export const jobWrites = {
  insertElement(db: Connection, row: JobRow) {
    db.run(
      `insert into jobs (state, epoch, attempts, claim_id, not_before, cancel_at, cancel_by, end_cause, end_rc, end_at, adopted, tally,
         passed_over, version, expires_at, started_at, worker_id, message, usage, result_claim_id, attested, replay, id, project_id, priority, needs,
         stream_bytes, artifact_bytes, created_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...changing(row),
      ...[row.id, row.projectId, row.priority, row.needs, row.streamBytes, row.artifactBytes, row.createdAt],
    )
  },
  insertJob(db: Connection, row: JobRow, spec: Uint8Array) {
    jobWrites.insertElement(db, row)
    db.run(
      `insert into job_specs (job_id, digest, policy, labels, command, spec, credential, bundle, bundle_size, recipients, signer, signature)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[row.id, row.digest, toJson(row.law.policy), toJson(row.labels), toJson(row.command), spec],
      ...[row.credential, row.bundle?.digest, row.bundle?.size, toJson(row.recipients)],
      ...[row.signature?.keyid, row.signature?.sig],
    )
    for (const [key, value] of Object.entries(row.labels)) {
      db.run(
        'insert into job_labels (project_id, key, value, job_id) values (?, ?, ?, ?)',
        row.projectId,
        key,
        value,
        row.id,
      )
    }
  },
  updateJob(db: Connection, row: JobRow) {
    const changed = db.run(
      `update jobs set state = ?, epoch = ?, attempts = ?, claim_id = ?, not_before = ?, cancel_at = ?, cancel_by = ?,
         end_cause = ?, end_rc = ?, end_at = ?, adopted = ?, tally = ?, passed_over = ?,
         version = ?, expires_at = ?, started_at = ?, worker_id = ?, message = ?, usage = ?, result_claim_id = ?,
         attested = ?, replay = ?
       where id = ?`,
      ...changing(row),
      row.id,
    )
    assert(changed === 1, `there is no job ${row.id}`)
  },
  insertTransition(db: Connection, row: TransitionRow) {
    db.run(
      `insert into transitions (job_id, version, at, from_state, to_state, who, cause, note, claim_id)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[row.jobId, row.version, row.at, row.from, row.to, row.by, row.cause, row.note, row.claimId],
    )
  },
  /** Its other rows go by cascade, statements with their last claim; its labels are found by the whole key, which saves them an index. */
  deleteJob(db: Connection, id: JobId) {
    const raw = db.get<RawJob>(select, id)
    if (!raw) return
    for (const [key, value] of Object.entries(fromJson<JobRow['labels']>(raw.labels))) {
      db.run(
        'delete from job_labels where project_id = ? and key = ? and value = ? and job_id = ?',
        raw.project_id,
        key,
        value,
        id,
      )
    }
    const named = db.all<{ id: string }>(
      'select attestation_id as id from claims where job_id = ? and attestation_id is not null',
      id,
    )
    db.run('delete from jobs where id = ?', id)
    for (const statement of new Set(named.map((it) => it.id))) {
      db.run(
        'delete from attestations where id = ? and not exists (select 1 from claims where attestation_id = ?)',
        ...[statement, statement],
      )
    }
  },
}

function projectIds(db: Connection): readonly ProjectId[] {
  return db.all<{ id: ProjectId }>('select id from projects').map(({ id }) => id)
}

/**
 * The head of each stretch of one index that the filter allows, merged: (projects × states) short reads, whatever the depth. One index on all states moves
 * less often than several partial ones. With a label and a state the label is read until enough jobs are in that state.
 */
function newestIds(db: Connection, filter: JobFilter): readonly JobId[] {
  const before = filter.before ?? LAST
  const { state, label, limit, array } = filter
  if (array !== undefined) return newestElements(db, array, { before, state, limit })
  const projects = filter.projectId === undefined ? projectIds(db) : [filter.projectId]
  const heads = projects.flatMap((project) => {
    if (label) return listLabelled(db, [project, label.key, label.value, before], { state, limit })
    return (state ? [state] : jobStates).flatMap((one) =>
      db.all<{ id: JobId }>(
        'select id from jobs where project_id = ? and state = ? and length(id) = 30 and id < ? order by id desc limit ?',
        ...[project, one, before, limit],
      ),
    )
  })
  const ids = heads.map(({ id }) => id).sort()
  return ids.reverse().slice(0, limit)
}

/** The ids of an array's elements are one stretch of the table's own tree. */
function newestElements(
  db: Connection,
  array: JobId,
  { before, state, limit }: { readonly before: string; readonly state: JobState | undefined; readonly limit: number },
): readonly JobId[] {
  const last = before < `${array}/` ? before : `${array}/`
  const raws = db.all<{ id: JobId }>(
    'select id from jobs where id > ? and id < ? and (? is null or state = ?) order by id desc limit ?',
    ...[`${array}.`, last, state, state, limit],
  )
  return raws.map(({ id }) => id)
}

function listLabelled(
  db: Connection,
  range: readonly [ProjectId, string, string, string],
  { state, limit }: { readonly state: JobState | undefined; readonly limit: number },
): readonly { readonly id: JobId }[] {
  const where = 'l.project_id = ? and l.key = ? and l.value = ? and l.job_id < ?'
  if (state === undefined) {
    return db.all(
      `select l.job_id as id from job_labels l where ${where} order by l.job_id desc limit ?`,
      ...range,
      limit,
    )
  }
  return db.all(
    `select l.job_id as id from job_labels l cross join jobs j on j.id = l.job_id
     where ${where} and j.state = ? order by l.job_id desc limit ?`,
    ...[...range, state, limit],
  )
}
