// The last look, when the storm is over and all is quiet: what was promised is there, and each end is what the machines saw.
import { createHash } from 'node:crypto'
import type { ClaimRow, JobRow } from '../../server/store/row.ts'
import { isFinal, type JobSpec } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { ArtifactReport, StreamReport } from '../../src/protocol/word.ts'
import type { MemoryDevice } from '../harness/memory-blobs.ts'
import type { MemoryRows } from '../harness/memory-store.ts'
import { isReleased } from './after-rule.ts'
import type { Bundles } from './bundle.ts'
import { type Checker, specOf } from './checker.ts'
import type { Order } from './consumer.ts'
import type { Law } from './invariant.ts'
import type { Place } from './place.ts'
import { filesOf, type Run, saidBy } from './program.ts'
import { mayTryAgain } from './retry-rule.ts'
import { openEnd, openStored } from './sealed.ts'
import type { WireWatch } from './wire-watch.ts'

interface Evidence {
  readonly place: Place
  readonly checker: Checker
  readonly wire: WireWatch
  readonly bundles: Bundles
  readonly rows: MemoryRows
  readonly device: MemoryDevice
  readonly orders: readonly Order[]
  /** The machine had power cuts or a faulty disk, so output may be lost. */
  readonly mishap: (host: string) => boolean
}

export async function judge(evidence: Evidence): Promise<void> {
  const { place, checker, rows, orders } = evidence
  checkPromises(evidence)
  checkAccepted(evidence)
  checkAtRest(evidence)
  for (const job of rows.jobs.values()) {
    recordLog(evidence, job)
    checkLog(evidence, job)
    checkAttempts(evidence, job)
    checkEnd(evidence, job)
  }
  for (const run of checker.runs) {
    if (!run.exit) place.violate('nothing_is_left_running', { claim: run.plan.claimId, host: run.host })
    checkBundle(evidence, run)
    checkStored(evidence, run)
    await checkSealedEnd(evidence, run)
  }
  recordStreams(evidence)
  for (const order of orders) checkHeard(evidence, order)
  const names = [...rows.jobs.values()].map(({ labels }) => labels.name)
  if (new Set(names).size !== names.length) place.violate('a_submit_makes_one_job', { jobs: names.length })
}

/** A replay has every step at the same time, by the same hand. */
function recordLog({ place, rows }: Evidence, { id }: JobRow): void {
  for (const { version, at, to, by, cause, claimId } of rows.transitions.get(id) ?? [])
    place.history.note('step', { job: id, version, at, to, by, cause, claim: claimId })
}

/** And the same bytes. What is sealed differs each time, for its keys are drawn by the real dice. */
function recordStreams({ place, rows, device }: Evidence): void {
  for (const { claimId, name, pieces } of device.streams.values()) {
    const bytes = Buffer.concat(pieces)
    const jobId = rows.claims.get(claimId as never)?.jobId
    const isSealed = jobId !== undefined && specOf(rows, jobId)?.recipients !== undefined
    const what = isSealed ? {} : { sha256: sha256(bytes) }
    place.history.note('stored', { claim: claimId, stream: name, bytes: bytes.length, ...what })
  }
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

/** What pond once said it has stands where it said, to the byte. */
function checkAccepted({ place, wire, device }: Evidence): void {
  for (const { claimId, stream, offset, bytes } of wire.accepted) {
    const stored = device.bytesOf(claimId, stream).subarray(offset, offset + bytes.length)
    if (!stored.equals(bytes)) place.violate('accepted_bytes_never_change', { claim: claimId, stream, offset })
  }
}

/** Pond's rows and streams hold no secret in the clear. */
function checkAtRest({ place, rows, device }: Evidence): void {
  const asText = (_: string, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value
  for (const [table, entries] of Object.entries(rows) as [string, MemoryRows['jobs']][])
    if (place.isSecret(JSON.stringify([...entries], asText))) place.violate('no_secret_at_rest', { table })
  for (const { claimId, name, pieces } of device.streams.values())
    if (place.isSecret(Buffer.concat(pieces))) place.violate('no_secret_at_rest', { claim: claimId, stream: name })
}

/** The log tells every step, each from where the one before led, and none behind an end. */
function checkLog({ place, rows }: Evidence, job: JobRow): void {
  const log = [...(rows.transitions.get(job.id) ?? [])].sort((one, other) => one.version - other.version)
  for (const [index, { version, from, to, note }] of log.entries()) {
    const before = log[index - 1]?.to
    if (version !== index + 1 || from !== before)
      place.violate('every_step_is_logged', { job: job.id, version, from, before })
    if (before !== undefined && isFinal(before) && !(to === before && note?.startsWith('adopted')))
      place.violate('terminal_absorbs', { job: job.id, version, before })
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
  if (end.cause === 'dependency' && isReleased(rows, spec)) wrong('only_what_broke_blocks')
  if (end.cause === 'timeout' && spec.timeout_ms === undefined) wrong('only_a_limit_times_out')
  const faulty = place.storm.diskFault > 0
  if (['setup_failed', 'bundle_rejected'].includes(end.cause) && !commandIsBroken(spec) && !faulty)
    wrong('only_the_broken_fail_to_start')
  if (place.weather().calm && ['worker_lost', 'output_lost', 'disk_full', 'drained'].includes(end.cause))
    wrong('calm_loses_nothing')
}

const commandIsBroken = (spec: JobSpec) => JSON.parse(spec.command[1] ?? '{}').broken === true

/** A succeeded job's result and streams are exactly what its process made. */
function checkSuccess({ place, rows, device, mishap }: Evidence, run: Run, claim: ClaimRow | undefined): void {
  const spec = specOf(rows, run.plan.jobId)
  // What a sealed job made is judged by what opens of it.
  if (!claim || spec?.recipients) return
  const { result } = run.program
  if (rows.results.get(claim.id) !== result) place.violate('the_result_is_whole', { claim: claim.id })
  for (const name of ['stdout', 'stderr'] as const) {
    const written = saidBy(place, run, name)
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

/** Whatever became of it: what is stored is a prefix of what the process said. */
function checkStored(evidence: Evidence, run: Run): void {
  const { place, rows, device } = evidence
  const { claimId, jobId } = run.plan
  const sealed = specOf(rows, jobId)?.recipients !== undefined
  for (const name of ['stdout', 'stderr'] as const) {
    const said = saidBy(place, run, name)
    const stored = device.bytesOf(claimId, name)
    const opened = sealed ? openSealed(evidence, { run, name, stored }) : stored
    if (!opened?.equals(said.subarray(0, opened.length)))
      place.violate('a_stream_is_a_prefix', { claim: claimId, stream: name })
    if (rows.claims.get(claimId)?.streams?.[name]?.end !== 'complete') continue
    place.history.note('opened', { claim: claimId, stream: name, sha256: sha256(opened ?? Buffer.alloc(0)) })
    if (opened?.length !== said.length) place.violate('complete_is_whole', { claim: claimId, stream: name })
  }
}

/** What its job named lies in the folder of a process, and nothing else. */
function checkBundle({ place, rows, bundles }: Evidence, { plan, found }: Run): void {
  const { jobId, claimId } = plan
  const wanted = bundles.get(specOf(rows, jobId)?.bundle ?? '')
  if (found === undefined ? wanted !== undefined : !wanted?.equals(found))
    place.violate('its_bundle_lies_in_its_folder', { job: jobId, claim: claimId, found: found?.length })
}

interface SealedOutput {
  readonly run: Run
  readonly name: string
  readonly stored: Buffer
}

function openSealed({ place, rows }: Evidence, { run, name, stored }: SealedOutput): Buffer | undefined {
  const { claimId, jobId } = run.plan
  const jobDigest = rows.jobs.get(jobId as never)?.digest ?? ''
  const opened = openStored({ claimId, jobId, stream: name, jobDigest, stored })
  if (!opened) place.violate('sealed_output_opens', { claim: claimId, stream: name, stored: stored.length })
  return opened?.bytes
}

/** What a sealed job left as its result opens for its consumer, and is what its process made. */
async function checkSealedEnd(evidence: Evidence, run: Run): Promise<void> {
  const { place, rows } = evidence
  const { plan, program } = run
  const { jobId, claimId } = plan
  const claim = rows.claims.get(claimId)
  if (!specOf(rows, jobId)?.recipients || claim?.lease.state !== 'ended' || claim.cause !== 'exit') return
  const stored = rows.results.get(claimId)
  const { result, artifacts = [] } = stored === undefined ? {} : await openEnd({ jobId, claimId }, stored)
  place.history.note('opened_end', { claim: claimId, result })
  if (result !== program.result) place.violate('the_result_is_whole', { claim: claimId, result })
  checkSealedFiles(evidence, run, artifacts)
}

function checkSealedFiles(evidence: Evidence, run: Run, artifacts: readonly ArtifactReport[]): void {
  const { place, rows, device, mishap } = evidence
  const { claimId } = run.plan
  const missed = filesOf(run)
  const wrong = (path: string, what: string) =>
    place.violate('an_artifact_is_what_was_written', { claim: claimId, path, what })
  for (const { path = '', stream, problem } of artifacts) {
    if (problem !== undefined || stream === undefined) continue
    const opened = openSealed(evidence, { run, name: stream, stored: device.bytesOf(claimId, stream) })
    const end = rows.claims.get(claimId)?.streams?.[stream]?.end ?? 'complete'
    const wanted = end === 'complete' ? missed.get(path) : missed.get(path)?.subarray(0, opened?.length)
    if (!opened || !wanted?.equals(opened)) wrong(path, 'bytes')
    // One that was lost is told as such by pond, whatever was sealed when its process ended.
    if (end === 'complete') missed.delete(path)
  }
  if (!mishap(run.host)) for (const path of missed.keys()) wrong(path, 'missed')
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

function checkHeard({ place, rows, device }: Evidence, { id, heard }: Order): void {
  if (!heard || id === undefined) return
  const claims = claimsOf(rows, id).filter((it) => it.attempt === heard.attempt && it.confirmedAt !== undefined)
  const stored = device.bytesOf(claims.at(-1)?.id ?? '', heard.stream)
  const whole = heard.end === 'lost' ? stored.subarray(0, heard.bytes.length) : stored
  if (!heard.bytes.equals(whole))
    place.violate('what_was_read_stands', { job: id, read: heard.bytes.length, stored: stored.length })
}
