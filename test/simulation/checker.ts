// The law over all that can be seen from outside, and over each commit: none of it is taken from the product's own tables.
import type { PondRequest } from '../../server/http/message.ts'
import type { ClaimRow, JobRow } from '../../server/store/row.ts'
import { causes, type JobSpec } from '../../src/protocol/job.ts'
import type { BatchWord, OutcomeReply } from '../../src/protocol/word.ts'
import type { MemoryRows } from '../harness/memory-store.ts'
import { isReleased } from './after-rule.ts'
import type { Law } from './invariant.ts'
import type { WholeReply, Wiretap } from './network.ts'
import type { Place } from './place.ts'
import type { Run } from './program.ts'
import { mayTryAgain } from './retry-rule.ts'
import type { WireWatch } from './wire-watch.ts'

/** What pond told somebody, and may therefore never lose. */
export interface Promised {
  readonly submitted: Set<string>
  readonly cancelled: Set<string>
  /** By claim and stream: the bytes that pond said it has. */
  readonly committed: Map<string, number>
  /** By claim: the final word that was accepted. */
  readonly ended: Map<string, BatchWord>
  readonly confirmed: Set<string>
}

export interface Checker {
  readonly promised: Promised
  /** A commit of pond's store. */
  committed(before: MemoryRows, after: MemoryRows): void
  readonly tap: Wiretap
  /** A process is about to start. */
  started(run: Run): void
  readonly runs: readonly Run[]
}

export const liveStates: ReadonlySet<string> = new Set(['granted', 'confirmed', 'held'])
const final = new Set(['succeeded', 'failed', 'cancelled', 'expired'])

export function createChecker(place: Place, wire: WireWatch, rows: () => MemoryRows): Checker {
  const promised: Promised = {
    submitted: new Set(),
    cancelled: new Set(),
    committed: new Map(),
    ended: new Map(),
    confirmed: new Set(),
  }
  const runs: Run[] = []
  return {
    promised,
    runs,
    committed(before, after) {
      if (before.jobs !== after.jobs) {
        for (const job of after.jobs.values()) {
          const old = before.jobs.get(job.id)
          if (old !== job) checkJob(place, { old, job, rows: after })
        }
        for (const id of before.jobs.keys()) if (!after.jobs.has(id)) place.violate('jobs_stay', { job: id })
      }
      if (before.claims === after.claims) return
      for (const claim of after.claims.values()) checkClaim(place, before.claims.get(claim.id), claim)
    },
    tap: {
      ...wire,
      replied(host, request, reply) {
        wire.replied(host, request, reply)
        if (reply.status >= 200 && reply.status <= 299) remember(promised, request, reply)
      },
    },
    started(run) {
      checkStart(place, run, { rows: rows(), runs })
      runs.push(run)
    },
  }
}

interface JobStep {
  readonly old: JobRow | undefined
  readonly job: JobRow
  readonly rows: MemoryRows
}

function checkJob(place: Place, { old, job, rows }: JobStep): void {
  const { id, law } = job
  const wrong = (rule: Law, more: object = {}) =>
    place.violate(rule, { job: id, from: old?.law.state, to: law.state, ...more })
  place.history.note('job', { id, state: law.state, epoch: law.epoch, attempts: law.attempts, cause: law.end?.cause })
  const claims = [...rows.claims.values()].filter((claim) => claim.jobId === id && liveStates.has(claim.lease.state))
  if (claims.length > 1) wrong('one_live_claim', { claims: claims.length })
  if ((claims[0]?.id ?? undefined) !== law.claimId) wrong('the_claim_of_a_job_is_live', { claim: law.claimId })
  if ((law.claimId !== undefined) !== (law.state === 'claimed' || law.state === 'running')) wrong('claim_fits_state')
  if (final.has(law.state) && !causes.includes(law.end?.cause as never)) wrong('every_end_has_a_cause')
  if (!final.has(law.state) && law.end) wrong('only_an_end_has_a_cause')
  if (!old) return
  // Which result is read a person may change, once; the end stands.
  const { adopted, ...end } = old.law
  const after = adopted ? law : { ...law, adopted: undefined }
  if (final.has(old.law.state) && JSON.stringify({ ...end, adopted }) !== JSON.stringify(after))
    wrong('terminal_absorbs')
  // One commit may hold several steps of a job.
  const steps = job.version - old.version
  if (steps < 1) wrong('version_rises', { was: old.version, is: job.version })
  if (law.epoch < old.law.epoch || law.epoch > old.law.epoch + steps) wrong('epoch_never_falls')
  if (law.attempts < old.law.attempts || law.attempts > old.law.attempts + steps) wrong('attempts_never_fall')
  if (job.digest !== old.digest) wrong('the_job_itself_never_changes')
  if (old.law.cancel && !law.cancel) wrong('a_cancel_is_not_forgotten')
}

function checkClaim(place: Place, old: ClaimRow | undefined, claim: ClaimRow): void {
  if (!old || old === claim) return
  const wrong = (rule: Law) => place.violate(rule, { claim: claim.id, from: old.lease.state, to: claim.lease.state })
  if (!liveStates.has(old.lease.state) && claim.lease.state !== old.lease.state) wrong('a_dead_claim_stays_dead')
  if (old.lease.state === 'ended' && JSON.stringify(old) !== JSON.stringify(claim)) wrong('a_final_word_stands')
  if (old.confirmedAt !== undefined && claim.confirmedAt !== old.confirmedAt) wrong('a_confirmation_stands')
}

function remember(promised: Promised, request: PondRequest, reply: WholeReply): void {
  const { method, path, query, body } = request
  const told = () => JSON.parse(reply.body.toString())
  if (method !== 'POST') return
  if (path === '/v1/jobs') promised.submitted.add(told().id)
  else if (path.endsWith('/cancel')) promised.cancelled.add(path.split('/')[3] ?? '')
  else if (path.endsWith('/chunk')) {
    const key = `${query.claim} ${query.stream}`
    promised.committed.set(key, Math.max(promised.committed.get(key) ?? 0, told().committed))
  } else if (path === '/orch/jobs/states' || path === '/orch/states') {
    const { words } = JSON.parse(Buffer.from(body ?? []).toString()) as { words: BatchWord[] }
    const { outcomes } = told() as { outcomes: OutcomeReply[] }
    for (const [index, word] of words.entries()) hear(promised, word, outcomes[index]?.outcome)
  } else if (path.endsWith('/state')) {
    hear(promised, JSON.parse(Buffer.from(body ?? []).toString()), told().outcome)
  }
}

function hear(promised: Promised, word: BatchWord, outcome: string | undefined): void {
  if (outcome !== 'accepted') return
  if (word.state === 'running') promised.confirmed.add(word.claim_id)
  if (word.state === 'final') promised.ended.set(word.claim_id, word)
}

interface Before {
  readonly rows: MemoryRows
  readonly runs: readonly Run[]
}

function checkStart(place: Place, run: Run, { rows, runs }: Before): void {
  const { claimId, jobId, attempt } = run.plan
  place.history.note('started', { host: run.host, claim: claimId, job: jobId, attempt })
  const wrong = (rule: Law, more: object = {}) => place.violate(rule, { claim: claimId, job: jobId, attempt, ...more })
  const claim = rows.claims.get(claimId)
  const spec = specOf(rows, jobId)
  if (!claim || !spec) {
    wrong('only_claimed_jobs_start')
    return
  }
  if (runs.some((other) => other.plan.claimId === claimId)) wrong('a_claim_starts_once')
  if (claim.attempt !== attempt) wrong('the_attempt_is_told', { is: claim.attempt })
  if (!isReleased(rows, spec)) wrong('not_before_what_it_waits_for', { after: spec.after })
  if (spec.idempotent === true) return
  if (claim.confirmedAt === undefined) wrong('not_before_pond_accepted')
  for (const other of runs.filter((it) => it.plan.jobId === jobId)) {
    const told = rows.claims.get(other.plan.claimId)
    if (told?.lease.state !== 'ended' || !mayTryAgain(spec, told, told.attempt))
      wrong('started_again_only_by_policy', { other: other.plan.claimId, told: told?.cause })
  }
  const running = runs.find((other) => other.plan.jobId === jobId && !other.exit && !other.orphaned)
  if (running) wrong('never_twice_at_once', { other: running.plan.claimId })
}

/** The job as it was submitted. */
export function specOf(rows: MemoryRows, jobId: string): JobSpec | undefined {
  const bytes = rows.specs.get(jobId)
  return bytes && (JSON.parse(bytes.toString()) as JobSpec)
}
