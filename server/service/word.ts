// Words: what workers say about their claims. A batch is one write; each word has its own outcome and disturbs no other.
import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { type ErrorCode, type ErrorDetails, errorTable } from '../../src/protocol/error.ts'
import type { BindingId, ClaimId, JobId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import type { OutcomeReply, StreamReport, WordBody } from '../../src/protocol/word.ts'
import { sameText } from '../../src/seal/token.ts'
import type { Verdict } from '../../src/state/job.ts'
import { type LeaseEvent, type LeaseStep, stepLease } from '../../src/state/lease.ts'
import { judgeProof } from '../../src/state/proof.ts'
import { judgeEnd } from '../../src/state/stream.ts'
import type { ClaimRow, JobRow } from '../store/row.ts'
import { openTestimony, type Witness, witnessOf } from './attestation.ts'
import { changeClaim, changeJob, changeWorker, type Write } from './change.ts'
import { writeClaims } from './claim.ts'
import type { Core } from './core.ts'
import { intentsOf, tokenOf } from './intent.ts'
import type { Polls } from './poll.ts'

/** One word with the job and the token that came with it. */
export interface Word {
  readonly jobId: JobId
  readonly token: string
  readonly body: Said
}

/** What proves a word is no part of it: signed anew it is the same word. */
export type Said = Omit<WordBody, 'attestation'>

export interface Batch {
  readonly words: readonly Word[]
  /** The worker's signed statement about them. */
  readonly attestation?: Dsse | undefined
  /** Slots that they free may be filled in the reply. */
  readonly refill?: boolean | undefined
}

export interface Heed {
  /** One for each word, in order. */
  readonly outcomes: readonly OutcomeReply[]
  readonly intents: readonly Intent[]
}

/** Hears a batch of words of one binding. The slots that they free are filled in the same commit. */
export async function hearWords(
  { core, polls }: { readonly core: Core; readonly polls: Polls },
  bindingId: BindingId,
  { words, attestation, refill }: Batch,
): Promise<Heed> {
  const lacks = await Promise.all(words.map((word) => lacking(core, word)))
  const hasRoom = (await core.blobs.roomBytes()) > 0
  // One signature for all words, and outside of the write.
  const testimony = attestation && openTestimony(core, bindingId, attestation)
  const { outcomes, claimed } = await writeClaims(core, 'caller', async (write, claim) => {
    const outcomes: OutcomeReply[] = []
    const call = { bindingId, unproved: new Set<ClaimId>(), witness: witnessOf(write, testimony) }
    for (const [index, word] of words.entries()) {
      const missing = lacks[index]
      outcomes.push(await hearWord(write, { word, ...call, ...(missing ? { missing } : {}) }))
    }
    const ended = call.unproved.size > 0 ? none : endedBy(words, outcomes)
    if (!hasRoom || ended.size === 0) return { outcomes, claimed: [] }
    return { outcomes, claimed: await claim(polls.offers.freed({ bindingId, ended, refill: refill === true })) }
  })
  for (const [index, { body }] of words.entries()) {
    const heard = outcomes[index]?.outcome
    const live = core.live.get(body.claim_id)
    if (live && (heard === 'accepted' || heard === 'idempotent')) live.heardAt = core.listening.now()
  }
  return { outcomes, intents: intentsOf(core, bindingId, claimed) }
}

/** Claims that came to a good end. After a mishap the worker's new standing decides, and that is known only after the commit. */
function endedBy(words: readonly Word[], outcomes: readonly OutcomeReply[]): ReadonlySet<ClaimId> {
  const heard = words.filter((_, index) => outcomes[index]?.outcome === 'accepted').map(({ body }) => body)
  const ended = heard.filter(({ state }) => state === 'final')
  const mishap = heard.some(({ state, cause }) => state === 'declined' || cause === 'setup_failed')
  return new Set(mishap ? [] : ended.map(({ claim_id }) => claim_id))
}

const none: ReadonlySet<ClaimId> = new Set()

interface Hearing {
  readonly bindingId: BindingId
  readonly word: Word
  readonly witness: Witness
  /** Gets the claims whose final words did not hold. */
  readonly unproved: Set<ClaimId>
  /** Streams of a final word that are not whole: what pond has of each. */
  readonly missing?: Readonly<Record<string, number>>
}

async function hearWord(write: Write, hearing: Hearing): Promise<OutcomeReply> {
  const { core, tx } = write
  const { body, jobId, token } = hearing.word
  const claim = await tx.getClaim(body.claim_id)
  if (!claim || claim.bindingId !== hearing.bindingId || claim.jobId !== jobId) {
    return refuse('not_found', 'this binding has no such claim on this job')
  }
  if (!sameText(token, tokenOf(core, claim))) {
    return refuse('forbidden', 'this is not the token of the claim')
  }
  const event = eventOf(body)
  const step = stepLease(claim.lease, event, core.clock.now())
  if ('refused' in step) {
    return step.refused === 'stale'
      ? outcome('stale', 'the claim no longer holds the job')
      : refuse('not_possible', `a claim that is ${claim.lease.state} cannot be ${body.state}`, {
          state: claim.lease.state,
        })
  }
  // Also of what is only kept beside the job: a person may adopt it, and then it should be whole.
  const isKept = step.outcome === 'stale' && step.kept && claim.lease.finalDigest === undefined
  if (hearing.missing && (step.job === 'finish' || isKept)) {
    return refuse('streams_incomplete', 'not all of the streams is here', { streams: hearing.missing })
  }
  return apply(write, { claim, step, body, hearing })
}

function eventOf(body: Said): Extract<LeaseEvent, { type: 'confirm' | 'decline' | 'finish' }> {
  switch (body.state) {
    case 'running':
      return { type: 'confirm' }
    case 'declined':
      return { type: 'decline' }
    case 'final':
      return { type: 'finish', digest: digestOf(body) }
    default:
      return body.state satisfies never
  }
}

/** What a repeat is told by: SHA-256 of the word's canonical form. */
function digestOf(body: Said): string {
  return hash('sha256', canonicalize(body) ?? '', 'hex')
}

/** A word that the lease's law let through. */
interface Heard {
  readonly claim: ClaimRow
  readonly step: LeaseStep
  readonly body: Said
  readonly hearing: Hearing
}

/** A final word after its proof was looked at. */
interface Judged {
  readonly verdict: Verdict
  readonly message?: string | undefined
  /** What came with a word that does not hold is nobody's. */
  readonly result?: string | undefined
  readonly attestationId?: string | undefined
}

async function judgeFinal({ core }: Write, job: JobRow, { claim, body, hearing }: Heard): Promise<Judged> {
  const { cause, rc, message, result } = body
  if (cause === undefined) throw new Error('a final word has a cause')
  const said: Verdict = { cause, ...(rc === undefined ? {} : { rc }) }
  const proof = hearing.witness.proofOf({ claim, job, word: body })
  const verdict = judgeProof(said, proof, core.settings.requireAttestation)
  if (verdict !== said) {
    hearing.unproved.add(claim.id)
    return {
      verdict,
      message: proof === 'bad' ? 'what its worker signed is not what it said' : 'its worker did not sign it',
    }
  }
  return { verdict, message, result, ...(proof === 'good' ? { attestationId: await hearing.witness.keep() } : {}) }
}

async function apply(write: Write, heard: Heard): Promise<OutcomeReply> {
  const { core, tx } = write
  const { claim, step, body } = heard
  if (step.outcome === 'conflict') return outcome('conflict', 'another result of this claim stands')
  if (step.outcome === 'stale') {
    if (step.kept && claim.lease.finalDigest === undefined) await keepOrphan(write, heard)
    return { ...outcome('stale', 'the claim lost its lease'), ...(step.kept ? { kept: true } : {}) }
  }
  // What was said before changes nothing, its times included.
  if (step.outcome === 'idempotent' && step.lease.state === claim.lease.state) return { outcome: 'idempotent' }
  const row = step.job ? await tx.getJob(claim.jobId) : undefined
  const judged = row && body.state === 'final' ? await judgeFinal(write, row, heard) : undefined
  await changeClaim(write, claim, { step, patch: claimPatch(core, claim, { body, judged }) })
  if (row && judged) await finishJob(write, row, { heard, judged })
  else if (row) await tellJob(write, row, heard)
  return { outcome: step.outcome }
}

/** The late final word of a claim that lost only its lease: kept beside the job. */
async function keepOrphan(write: Write, heard: Heard): Promise<void> {
  const { claim, step, body } = heard
  const job = await write.tx.getJob(claim.jobId)
  if (!job) return
  const judged = await judgeFinal(write, job, heard)
  await changeClaim(write, claim, { step, patch: { ...claimPatch(write.core, claim, { body, judged }), orphan: true } })
  if (judged.result !== undefined) await write.tx.putResult(claim.id, judged.result)
}

const byWorker = (claim: ClaimRow, note: string | undefined) => ({
  by: `worker:${claim.workerId}`,
  claimId: claim.id,
  ...(note === undefined ? {} : { note }),
})

async function tellJob(write: Write, row: JobRow, { claim, step, body }: Heard): Promise<void> {
  const { core, tx } = write
  const who = byWorker(claim, body.message)
  if (step.job === 'confirm') {
    tx.afterCommit(() => core.refusals.took(claim.workerId))
    const patch = { startedAt: body.started_at ?? core.clock.now() }
    await changeJob(write, { row, event: { type: 'confirm', claimId: claim.id }, who, patch })
  } else if (step.job === 'giveBack') {
    // A worker that was restarted before it started the job, or takes no more jobs for now, is not unwilling to run it. One whose owner
    // does not want this job does well all the same: it is passed over for the job, and gets others.
    const willing = body.cause === 'worker_lost' || body.cause === 'drained'
    const passOverMs = body.cause === 'refused' ? limit.refusedMs : limit.passOverMs
    const passOver = { workerId: claim.workerId, until: core.clock.now() + passOverMs }
    const event = { type: 'giveBack', claimId: claim.id, ...(willing ? {} : { passOver }) } as const
    // Before the job is there for others again: then it is known what this worker may have.
    if (body.cause === 'refused') tx.afterCommit(() => slowDown(core, claim))
    tx.afterCommit(() => core.meter?.returned(body.cause ?? 'declined'))
    await changeJob(write, { row, event, who })
    if (body.cause !== 'refused' && body.cause !== 'drained') await judgeWorker(write, claim, 'mishap')
  }
}

function slowDown(core: Core, { workerId, bindingId }: ClaimRow): void {
  const until = core.refusals.refused(workerId, core.clock.now())
  if (until !== undefined) core.workerPauses.add(until, bindingId)
}

async function finishJob(
  write: Write,
  { attested: _before, ...row }: JobRow,
  { heard, judged }: { readonly heard: Heard; readonly judged: Judged },
): Promise<void> {
  const { claim, body, hearing } = heard
  const { verdict, message, result, attestationId } = judged
  const patch: { -readonly [N in keyof JobRow]?: JobRow[N] } = {}
  if (body.started_at !== undefined) patch.startedAt = body.started_at
  if (message !== undefined) patch.message = message
  if (body.usage) patch.usage = body.usage
  if (result !== undefined) patch.resultClaimId = claim.id
  if (attestationId !== undefined) patch.attested = true
  const event = { type: 'finish', claimId: claim.id, verdict } as const
  write.tx.afterCommit(() => write.core.refusals.took(claim.workerId))
  await changeJob(write, { row, event, who: byWorker(claim, message), patch })
  if (result !== undefined) await write.tx.putResult(claim.id, result)
  const mishap = verdict.cause === 'setup_failed' || hearing.unproved.has(claim.id)
  await judgeWorker(write, claim, mishap ? 'mishap' : 'success')
}

async function judgeWorker(write: Write, claim: ClaimRow, type: 'mishap' | 'success'): Promise<void> {
  const { core, tx } = write
  // A worker in good standing, as nearly all are, costs no read.
  const known = core.fleet.get(claim.workerId)
  if (type === 'success' && known?.law.state === 'ready' && known.law.mishaps === 0) return
  const worker = await tx.getWorker(claim.workerId)
  if (worker) await changeWorker(write, worker, { type })
}

function claimPatch(
  core: Core,
  claim: ClaimRow,
  { body, judged }: { readonly body: Said; readonly judged?: Judged | undefined },
): Partial<ClaimRow> {
  const { cause, rc } = judged?.verdict ?? body
  const { message } = judged ?? body
  const now = core.clock.now()
  if (body.state === 'running') {
    return claim.confirmedAt === undefined ? { confirmedAt: now, startedAt: body.started_at ?? now } : {}
  }
  return {
    endedAt: body.ended_at ?? now,
    ...(body.state === 'final' && claim.confirmedAt === undefined ? { confirmedAt: now } : {}),
    ...(body.started_at === undefined ? {} : { startedAt: body.started_at }),
    ...(cause ? { cause } : {}),
    ...(rc === undefined ? {} : { rc }),
    ...(message === undefined ? {} : { message }),
    ...(body.usage ? { usage: body.usage } : {}),
    ...(body.streams ? { streams: body.streams } : {}),
    ...(body.artifacts ? { artifacts: body.artifacts } : {}),
    ...(judged?.attestationId === undefined ? {} : { attestationId: judged.attestationId }),
  }
}

/** Compares a final word's streams with what is stored. It reads files, so it happens before the write. */
async function lacking(core: Core, word: Word): Promise<Readonly<Record<string, number>> | undefined> {
  if (word.body.state !== 'final') return undefined
  const missing: Record<string, number> = {}
  for (const [name, report] of Object.entries(word.body.streams ?? {}) as [string, StreamReport][]) {
    if (report.bytes === 0 && report.produced === 0) continue
    const key = { claimId: word.body.claim_id, name }
    const { committed } = await core.blobs.stat(key)
    const sha256 = committed === report.bytes ? await core.blobs.sha256(key) : ''
    if (judgeEnd(report, { committed, sha256 }) === 'incomplete') missing[name] = committed
  }
  return Object.keys(missing).length > 0 ? missing : undefined
}

/** Outcomes that are named like the code that explains them. */
function outcome(kind: 'conflict' | 'stale', message: string): OutcomeReply {
  return { outcome: kind, error: errorOf(kind, message) }
}

function refuse(code: ErrorCode, message: string, details: ErrorDetails = {}): OutcomeReply {
  return { outcome: 'refused', error: errorOf(code, message, details) }
}

function errorOf(code: ErrorCode, message: string, details: ErrorDetails = {}): OutcomeReply['error'] {
  return { code, message, details: { ...details }, help: errorTable[code].help }
}
