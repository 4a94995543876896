// The last look, when the storm is over and all is quiet: what was promised is there, and each end is what the machines saw.
import type { ClaimRow, JobRow } from '../../server/store/row.ts'
import { type Cause, isFinal, type JobSpec } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { StreamReport } from '../../src/protocol/word.ts'
import type { MemoryDevice } from '../harness/memory-blobs.ts'
import type { MemoryRows } from '../harness/memory-store.ts'
import { type Checker, specOf } from './checker.ts'
import type { Order } from './consumer.ts'
import type { Law } from './invariant.ts'
import type { Place } from './place.ts'
import type { Run } from './program.ts'

interface Evidence {
  readonly place: Place
  readonly checker: Checker
  readonly rows: MemoryRows
  readonly device: MemoryDevice
  readonly orders: readonly Order[]
  /** The machine had power cuts or a faulty disk, so output may be lost. */
  readonly mishap: (host: string) => boolean
}

export function judge(evidence: Evidence): void {
  const { place, checker, rows, orders } = evidence
  checkPromises(evidence)
  for (const job of rows.jobs.values()) {
    checkLog(evidence, job)
    checkAttempts(evidence, job)
    checkEnd(evidence, job)
  }
  for (const run of checker.runs) {
    if (!run.exit) place.violate('nothing_is_left_running', { claim: run.plan.claimId, host: run.host })
    checkStored(evidence, run)
  }
  for (const order of orders) checkHeard(evidence, order)
  const names = [...rows.jobs.values()].map(({ labels }) => labels.name)
  if (new Set(names).size !== names.length) place.violate('a_submit_makes_one_job', { jobs: names.length })
}

function checkPromises({ place, checker, rows, device }: Evidence): void {
  const { submitted, cancelled, committed, ended, confirmed } = checker.promised
  for (const id of submitted) if (!rows.jobs.has(id)) place.violate('acknowledged_job_stays', { job: id })
  for (const id of cancelled) {
    const law = rows.jobs.get(id)?.law
    if (!law?.cancel) place.violate('acknowledged_cancel_stays', { job: id, state: law?.state })
  }
  for (const id of confirmed) {
    if (rows.claims.get(id)?.confirmedAt === undefined) place.violate('acknowledged_start_stays', { claim: id })
  }
  for (const [key, length] of committed) {
    const [claim = '', stream = ''] = key.split(' ')
    const stored = device.bytesOf(claim, stream).length
    if (stored < length) place.violate('acknowledged_bytes_stay', { claim, stream, told: length, stored })
  }
  for (const [id, word] of ended) {
    const claim = rows.claims.get(id)
    if (claim?.lease.state !== 'ended' || claim.cause !== word.cause || claim.rc !== word.rc)
      place.violate('acknowledged_end_stays', { claim: id, told: word.cause, stored: claim?.cause })
  }
}

/** The log tells every step, each from where the one before led, and none behind an end. */
function checkLog({ place, rows }: Evidence, job: JobRow): void {
  const log = [...(rows.transitions.get(job.id) ?? [])].sort((one, other) => one.version - other.version)
  for (const [index, { version, from }] of log.entries()) {
    const before = log[index - 1]?.to
    if (version !== index + 1 || from !== before)
      place.violate('every_step_is_logged', { job: job.id, version, from, before })
    if (before !== undefined && isFinal(before)) place.violate('terminal_absorbs', { job: job.id, version, before })
  }
  if (log.at(-1)?.to !== job.law.state) place.violate('every_step_is_logged', { job: job.id, state: job.law.state })
}

const claimsOf = (rows: MemoryRows, jobId: string) =>
  [...rows.claims.values()].filter((claim) => claim.jobId === jobId).sort((one, other) => one.epoch - other.epoch)

/** A claim after a confirmed one is a new attempt, and the job's own words must allow it. */
function checkAttempts({ place, rows }: Evidence, job: JobRow): void {
  const spec = specOf(rows, job.id)
  const claims = claimsOf(rows, job.id)
  const counted = claims.filter((claim) => claim.confirmedAt !== undefined)
  if (!spec || counted.length !== job.law.attempts)
    place.violate('attempts_are_confirmed_claims', { job: job.id, attempts: job.law.attempts, counted: counted.length })
  for (const [index, claim] of claims.entries()) {
    const before = claims.slice(0, index).filter((it) => it.confirmedAt !== undefined)
    const last = before.at(-1)
    if (claim.attempt !== before.length + 1)
      place.violate('attempts_count_from_one', { claim: claim.id, attempt: claim.attempt })
    if (claim.epoch !== index + 1) place.violate('epochs_count_from_one', { claim: claim.id, epoch: claim.epoch })
    if (spec && last && !mayTryAgain(spec, last, before.length))
      place.violate('attempts_rise_by_policy', { job: job.id, attempt: claim.attempt, after: last.cause })
  }
}

/** The rule as the manual says it. */
function mayTryAgain(spec: JobSpec, claim: ClaimRow, used: number): boolean {
  // A word that came too late is kept beside the job; what counted was the loss.
  const cause = claim.lease.state === 'lost' ? 'worker_lost' : claim.cause
  if (cause === undefined || used >= (spec.retry?.attempts ?? 3)) return false
  const listed: readonly Cause[] =
    spec.retry?.on ?? (spec.idempotent === true ? ['drained', 'worker_lost'] : ['drained'])
  return listed.includes(cause) || (cause === 'worker_lost' && spec.on_lost === 'rerun')
}

function checkEnd(evidence: Evidence, job: JobRow): void {
  const { place, checker, rows, orders } = evidence
  const { state, end, cancel } = job.law
  const spec = specOf(rows, job.id)
  const order = orders.find(({ name }) => name === job.labels.name)
  const wrong = (rule: Law, more: object = {}) =>
    place.violate(rule, { job: job.id, state, cause: end?.cause, rc: end?.rc, ...more })
  if (!spec || !order || !end) {
    wrong('every_job_ends')
    return
  }
  if (order.view?.state !== state) wrong('the_consumer_saw_the_end', { saw: order.view?.state })
  const claim = claimsOf(rows, job.id).at(-1)
  const run = checker.runs.find(({ plan }) => plan.claimId === claim?.id)
  if (state === 'succeeded' && (run?.exit?.cause !== 'exit' || run.exit.rc !== 0)) wrong('success_is_an_exit_of_0')
  if (state === 'succeeded' && run) checkSuccess(evidence, run, claim)
  if (state === 'failed' && end.cause === 'exit' && run?.exit?.rc !== end.rc) wrong('the_exit_code_is_the_process_s')
  if (state === 'cancelled' && !(cancel && order.cancelAsked)) wrong('only_who_asked_cancels')
  if (state === 'expired' && spec.ttl_ms === undefined) wrong('only_a_ttl_expires')
  if (end.cause === 'timeout' && spec.timeout_ms === undefined) wrong('only_a_limit_times_out')
  const faulty = place.storm.diskFault > 0
  if (end.cause === 'setup_failed' && !commandIsBroken(spec) && !faulty) wrong('only_the_broken_fail_to_start')
  if (place.weather().calm && ['worker_lost', 'output_lost', 'disk_full', 'drained'].includes(end.cause))
    wrong('calm_loses_nothing')
}

const commandIsBroken = (spec: JobSpec) => JSON.parse(spec.command[1] ?? '{}').broken === true

/** A succeeded job's result and streams are exactly what its process made. */
function checkSuccess({ place, rows, device, mishap }: Evidence, run: Run, claim: ClaimRow | undefined): void {
  if (!claim) return
  const { result } = run.program
  if (rows.results.get(claim.id) !== result) place.violate('the_result_is_whole', { claim: claim.id })
  for (const name of ['stdout', 'stderr'] as const) {
    const written = Buffer.concat(run[name])
    const report = claim.streams?.[name]
    const wrong = (rule: Law, more: object = {}) =>
      place.violate(rule, { claim: claim.id, stream: name, written: written.length, ...report, ...more })
    if (!report) {
      if (written.length > 0) wrong('streams_are_reported')
      continue
    }
    const stored = device.bytesOf(claim.id, name)
    checkReport({ report, written, stored, cap: claim.streamBytes, wrong, mishap: mishap(run.host) })
    if (report.end !== 'capped') continue
    const tail = device.bytesOf(claim.id, `${name}.tail`)
    const wanted = written.subarray(Math.max(stored.length, written.length - limit.tailBytes))
    if (!tail.equals(wanted) && !mishap(run.host))
      wrong('the_tail_is_kept', { tail: tail.length, wanted: wanted.length })
  }
}

interface Compared {
  readonly report: StreamReport
  readonly written: Buffer
  readonly stored: Buffer
  readonly cap: number
  readonly mishap: boolean
  readonly wrong: (rule: Law, more?: object) => void
}

function checkReport({ report, written, stored, cap, wrong, mishap }: Compared): void {
  if (report.end === 'complete' && !stored.equals(written)) wrong('complete_is_whole', { stored: stored.length })
  if (report.end === 'capped' && !mishap && !stored.equals(written.subarray(0, cap))) wrong('capped_is_the_prefix')
  if (report.end === 'complete' && written.length > cap) wrong('the_cap_holds')
  if (report.end === 'lost' && !mishap) wrong('nothing_is_lost_without_a_cause')
  if (report.produced !== written.length && !mishap) wrong('what_was_written_is_counted')
}

/** Whatever became of it: what is stored is a prefix of what the process wrote. */
function checkStored({ place, device }: Evidence, run: Run): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const written = Buffer.concat(run[name])
    const stored = device.bytesOf(run.plan.claimId, name)
    if (!stored.equals(written.subarray(0, stored.length)) || stored.length > written.length)
      place.violate('a_stream_is_a_prefix', { claim: run.plan.claimId, stream: name })
  }
}

function checkHeard({ place, rows, device }: Evidence, { id, heard }: Order): void {
  if (!heard || id === undefined) return
  const claims = claimsOf(rows, id).filter((it) => it.attempt === heard.attempt && it.confirmedAt !== undefined)
  const stored = device.bytesOf(claims.at(-1)?.id ?? '', heard.stream)
  const whole = heard.end === 'lost' ? stored.subarray(0, heard.bytes.length) : stored
  if (!heard.bytes.equals(whole))
    place.violate('what_was_read_stands', { job: id, read: heard.bytes.length, stored: stored.length })
}
