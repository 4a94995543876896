// Jobs, their exact bytes and their transitions, as rows of SQLite.
import assert from 'node:assert/strict'
import type { ClaimId, JobId, ProjectId, WorkerId } from '../../../src/protocol/id.ts'
import { type Cause, type JobState, jobStates } from '../../../src/protocol/job.ts'
import type { Tally } from '../../../src/state/array.ts'
import type { JobFilter, JobRow, QueuedFilter, QueuedRow, TransitionRow } from '../row.ts'
import { fromFacts, fromJson, given, NOTHING, toFacts, toJson } from './column.ts'
import type { Connection } from './connection.ts'
import { projectIds } from './project.ts'

interface RawJob {
  readonly id: JobId
  readonly project_id: ProjectId
  readonly priority: number
  readonly created_at: number
  readonly needs: string | null
  readonly state: JobState
  readonly version: number
  readonly epoch: number
  readonly attempts: number
  readonly claim_id: string | null
  readonly worker_id: WorkerId | null
  readonly started_at: number | null
  readonly end_at: number | null
  readonly end_cause: Cause | null
  readonly facts: string | null
  readonly expires_at: number | null
  readonly not_before: number | null
  readonly passed_over: string | null
  readonly tally: string | null
  readonly summary: string
}

/** What no statement asks of a job, as JSON: of what changes, and of what never does. */
interface Facts extends Pick<JobRow, 'message' | 'usage' | 'resultClaimId' | 'attested' | 'replay'> {
  readonly rc?: number
  readonly cancel?: NonNullable<JobRow['law']['cancel']>
  readonly adopted?: NonNullable<JobRow['law']['adopted']>
}
type Summary = Pick<JobRow['law'], 'policy'> &
  Pick<JobRow, 'digest' | 'command' | 'labels' | 'streamBytes' | 'artifactBytes'> &
  Pick<JobRow, 'credential' | 'bundle' | 'recipients' | 'signature'>

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
type RawQueued = readonly [
  JobId,
  number,
  string | null,
  string | null,
  number,
  number | null,
  number | null,
  string | null,
]

const jobOf = (raw: RawJob): JobRow => {
  const { policy, ...summary } = fromJson<Summary>(raw.summary)
  const { rc, cancel, adopted, ...facts } = fromFacts<Facts>(raw.facts)
  const { end_at: at, end_cause: cause } = raw
  const law = Object.assign(
    { state: raw.state, epoch: raw.epoch, attempts: raw.attempts, policy },
    given({ claimId: raw.claim_id, notBefore: raw.not_before, cancel, adopted, array: fromJson<Tally>(raw.tally) }),
    at === null || cause === null ? undefined : { end: rc === undefined ? { cause, at } : { cause, rc, at } },
    { passedOver: fromFacts<QueuedRow['passedOver']>(raw.passed_over) },
  )
  // Not by spreading: each key that a spread object gets besides costs a microsecond.
  return Object.assign(
    { id: raw.id, projectId: raw.project_id, law, version: raw.version, priority: raw.priority },
    { needs: raw.needs ?? NOTHING, createdAt: raw.created_at },
    summary,
    given({ expiresAt: raw.expires_at, startedAt: raw.started_at, workerId: raw.worker_id }),
    facts,
  )
}

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
  const passing = passedOver === null ? NOBODY : fromJson<QueuedRow['passedOver']>(passedOver)
  const row = { id, state, projectId, priority, needs: needs ?? NOTHING, createdAt, passedOver: passing }
  if (notBefore === null && expiresAt === null && tally === null) return row
  return { ...row, ...given({ notBefore, expiresAt, array: fromJson<Tally>(tally) }) }
}

const select = `
  select id, project_id, priority, created_at, needs, state, version, epoch, attempts, claim_id, worker_id, started_at, end_at, end_cause,
    facts, expires_at, not_before, passed_over, tally, summary
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

/** The columns that change, in the order of the statements: what most jobs lack comes last. */
const changing = (
  row: JobRow,
  { state, epoch, attempts, claimId, end, notBefore, passedOver, array }: JobRow['law'],
) => [
  state,
  row.version,
  epoch,
  attempts,
  claimId,
  row.workerId,
  row.startedAt,
  end?.at,
  end?.cause,
  factsOf(row),
  row.expiresAt,
  notBefore,
  toFacts(passedOver),
  toJson(array),
]

function factsOf({ law, message, usage, resultClaimId, attested, replay }: JobRow): string | null {
  const { end, cancel, adopted } = law
  return toFacts({ rc: end?.rc, cancel, adopted, message, usage, resultClaimId, attested, replay })
}

function summaryOf(row: JobRow): string {
  const { digest, command, labels, streamBytes, artifactBytes, credential, bundle, recipients, signature } = row
  return JSON.stringify({
    policy: row.law.policy,
    digest,
    command,
    labels,
    streamBytes,
    artifactBytes,
    credential,
    bundle,
    recipients,
    signature,
  })
}

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
    db.insert(
      `insert into jobs (id, project_id, priority, created_at, needs, state, version, epoch, attempts, claim_id, worker_id, started_at,
         end_at, end_cause, facts, expires_at, not_before, passed_over, tally)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.id,
      row.projectId,
      row.priority,
      row.createdAt,
      row.needs === NOTHING ? null : row.needs,
      ...changing(row, row.law),
    )
  },
  insertJob(db: Connection, row: JobRow, spec: Uint8Array) {
    jobWrites.insertElement(db, row)
    db.insert(
      'insert into job_specs (job_id, summary, spec, bundle) values (?, ?, ?, ?)',
      row.id,
      summaryOf(row),
      spec,
      row.bundle?.digest,
    )
    for (const [key, value] of Object.entries(row.labels)) {
      db.insert(
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
      `update jobs set state = ?2, version = ?3, epoch = ?4, attempts = ?5, claim_id = ?6, worker_id = ?7, started_at = ?8, end_at = ?9,
         end_cause = ?10, facts = ?11, expires_at = ?12, not_before = ?13, passed_over = ?14, tally = ?15
       where id = ?1`,
      row.id,
      ...changing(row, row.law),
    )
    assert(changed === 1, `there is no job ${row.id}`)
  },
  insertTransition(db: Connection, row: TransitionRow) {
    db.insert(
      `insert into transitions (job_id, version, at, to_state, who, from_state, claim_id, cause, note)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.jobId,
      row.version,
      row.at,
      row.to,
      row.by,
      row.from,
      row.claimId,
      row.cause,
      row.note,
    )
  },
  /** Its other rows go by cascade, statements with their last claim; its labels are found by the whole key, which saves them an index. */
  deleteJob(db: Connection, id: JobId) {
    const raw = db.get<RawJob>(select, id)
    if (!raw) return
    for (const [key, value] of Object.entries(fromJson<Summary>(raw.summary).labels)) {
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
        `delete from attestations where id = ? and not exists (
           select 1 from json_each(attestations.claims) named cross join claims c on c.id = named.value
           where c.attestation_id = attestations.id)`,
        statement,
      )
    }
  },
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
