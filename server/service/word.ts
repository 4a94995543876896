// Words: what workers say about their claims. A batch is one write; each word has its own outcome and disturbs no other.
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { type ErrorCode, type ErrorDetails, errorTable } from '../../src/protocol/error.ts'
import type { BindingId, ClaimId, JobId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import type { OutcomeReply, StreamReport, WordBody } from '../../src/protocol/word.ts'
import { claimToken, sameText } from '../../src/seal/token.ts'
import { type LeaseEvent, type LeaseStep, stepLease } from '../../src/state/lease.ts'
import { judgeEnd } from '../../src/state/stream.ts'
import type { ClaimRow, JobRow } from '../store/contract.ts'
import { changeClaim, changeJob, changeWorker, type Write } from './change.ts'
import { writeClaims } from './claim.ts'
import type { Core } from './core.ts'
import { intentsOf } from './intent.ts'
import type { PollCaller, Polls } from './poll.ts'

/** One word with the job and the token that came with it. */
export interface Word {
  readonly jobId: JobId
  readonly token: string
  readonly body: WordBody
}

export interface Batch {
  readonly words: readonly Word[]
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
  { bindingId, projectId }: PollCaller,
  { words, refill }: Batch,
): Promise<Heed> {
  const lacks = await Promise.all(words.map((word) => lacking(core, word)))
  const hasRoom = (await core.blobs.roomBytes()) > 0
  const { outcomes, claimed } = await writeClaims(core, async (write, claim) => {
    const outcomes: OutcomeReply[] = []
    for (const [index, word] of words.entries()) {
      const missing = lacks[index]
      outcomes.push(await hearWord(write, { bindingId, word, ...(missing ? { missing } : {}) }))
    }
    const ended = endedBy(words, outcomes)
    if (!hasRoom || ended.size === 0) return { outcomes, claimed: [] }
    return { outcomes, claimed: await claim(polls.offer(projectId, { ended, refill: refill ? bindingId : undefined })) }
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

interface Hearing {
  readonly bindingId: BindingId
  readonly word: Word
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
  if (!sameText(token, claimToken(core.keys.tokenKey, claim.id, claim.epoch))) {
    return refuse('forbidden', 'this is not the token of the claim')
  }
  if (body.attestation !== undefined) {
    return refuse('unsupported', 'attestations are not checked here', { field: 'attestation' })
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
  if (hearing.missing && step.job === 'finish') {
    return refuse('streams_incomplete', 'not all of the streams is here', { streams: hearing.missing })
  }
  return apply(write, { claim, step, body })
}

function eventOf(body: WordBody): Extract<LeaseEvent, { type: 'confirm' | 'decline' | 'finish' }> {
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
function digestOf(body: WordBody): string {
  return createHash('sha256')
    .update(canonicalize(body) ?? '')
    .digest('hex')
}

/** A word that the lease's law let through. */
interface Heard {
  readonly claim: ClaimRow
  readonly step: LeaseStep
  readonly body: WordBody
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
  await changeClaim(write, claim, { step, patch: claimPatch(core, claim, body) })
  if (row) await tellJob(write, row, heard)
  return { outcome: step.outcome }
}

/** The late final word of a claim that lost only its lease: kept beside the job. */
async function keepOrphan(write: Write, { claim, step, body }: Heard): Promise<void> {
  const patch = { ...claimPatch(write.core, claim, body), orphan: true }
  await changeClaim(write, claim, { step, patch })
  if (body.result !== undefined) await write.tx.putResult(claim.id, body.result)
}

async function tellJob(write: Write, row: JobRow, { claim, step, body }: Heard): Promise<void> {
  const { core, tx } = write
  const who = {
    by: `worker:${claim.workerId}`,
    claimId: claim.id,
    ...(body.message === undefined ? {} : { note: body.message }),
  }
  const started = body.started_at === undefined ? {} : { startedAt: body.started_at }
  if (step.job === 'confirm') {
    const patch = { startedAt: body.started_at ?? core.clock.now() }
    await changeJob(write, { row, event: { type: 'confirm', claimId: claim.id }, who, patch })
  } else if (step.job === 'giveBack') {
    // A worker that was restarted before it started the job, or takes no more jobs for now, is not unwilling to run it.
    const willing = body.cause === 'worker_lost' || body.cause === 'drained'
    const passOver = { workerId: claim.workerId, until: core.clock.now() + limit.passOverMs }
    const event = { type: 'giveBack', claimId: claim.id, ...(willing ? {} : { passOver }) } as const
    await changeJob(write, { row, event, who })
    if (body.cause !== 'drained') await judgeWorker(write, claim, 'mishap')
  } else if (step.job === 'finish' && body.cause) {
    const verdict = { cause: body.cause, ...(body.rc === undefined ? {} : { rc: body.rc }) }
    const patch: Partial<JobRow> = {
      ...started,
      ...(body.message === undefined ? {} : { message: body.message }),
      ...(body.usage ? { usage: body.usage } : {}),
      ...(body.result === undefined ? {} : { resultClaimId: claim.id }),
    }
    await changeJob(write, { row, event: { type: 'finish', claimId: claim.id, verdict }, who, patch })
    if (body.result !== undefined) await tx.putResult(claim.id, body.result)
    await judgeWorker(write, claim, body.cause === 'setup_failed' ? 'mishap' : 'success')
  }
}

async function judgeWorker(write: Write, claim: ClaimRow, type: 'mishap' | 'success'): Promise<void> {
  const { core, tx } = write
  // A worker in good standing, as nearly all are, costs no read.
  const known = core.fleet.get(claim.workerId)
  if (type === 'success' && known?.law.state === 'ready' && known.law.mishaps === 0) return
  const worker = await tx.getWorker(claim.workerId)
  if (worker) await changeWorker(write, worker, { type })
}

function claimPatch(core: Core, claim: ClaimRow, body: WordBody): Partial<ClaimRow> {
  const now = core.clock.now()
  if (body.state === 'running') {
    return claim.confirmedAt === undefined ? { confirmedAt: now, startedAt: body.started_at ?? now } : {}
  }
  return {
    endedAt: body.ended_at ?? now,
    ...(body.state === 'final' && claim.confirmedAt === undefined ? { confirmedAt: now } : {}),
    ...(body.started_at === undefined ? {} : { startedAt: body.started_at }),
    ...(body.cause ? { cause: body.cause } : {}),
    ...(body.rc === undefined ? {} : { rc: body.rc }),
    ...(body.message === undefined ? {} : { message: body.message }),
    ...(body.usage ? { usage: body.usage } : {}),
    ...(body.streams ? { streams: body.streams } : {}),
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
