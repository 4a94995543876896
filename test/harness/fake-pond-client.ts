// A small pond behind the Client contract, in memory and without HTTP: it holds polls, fences words and checks offsets as the real one does.
import type { Answer, Call, CallError, CallErrorCode, Client } from '../../src/client/contract.ts'
import { type ErrorDetails, errorTable } from '../../src/protocol/error.ts'
import type { ClaimId, JobId, WorkerId } from '../../src/protocol/id.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import { limit, retryWait } from '../../src/protocol/limit.ts'
import type { Directive, Intent, PollBody, PollReply, SnapshotBody } from '../../src/protocol/orch.ts'
import type { ReplyOf, RouteName } from '../../src/protocol/route.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import type { BatchWord, OutcomeReply, TelemetryBody } from '../../src/protocol/word.ts'
import { type Clock, sleep } from '../../src/system/clock.ts'
import { jitter, type Random } from '../../src/system/random.ts'

type AnyCall = Call<RouteName>

/** `lost`: pond does it, but the reply never arrives. */
export type Fault = CallError | 'lost' | undefined

export const fakeWorkerId = `wrk_${'0'.repeat(26)}` as WorkerId

export function refusal(code: CallErrorCode, details: ErrorDetails = {}): CallError {
  const base = { code, message: `refused: ${code}`, details, help: '' }
  if (code === 'unreachable' || code === 'undecodable') return { ...base, retry: 'later' }
  const { retry, status } = errorTable[code]
  return { ...base, retry, status }
}

interface Claim {
  readonly intent: Intent
  key: string | undefined
  state: 'queued' | 'claimed' | 'running' | 'ended' | 'void'
  final: BatchWord | undefined
}

interface HeldPoll {
  readonly body: PollBody
  readonly answer: (intents: Intent[]) => void
}

interface ChunkRecord {
  readonly stream: string
  readonly offset: number
  readonly length: number
  readonly at: number
  readonly order: number
}

const limits = { chunk_bytes: limit.chunkBytes, poll_hold_ms: limit.pollHoldMs, words_per_call: limit.wordsPerCall }

export class FakePond {
  /** Looked at before each try of a call; may wait. */
  fault: (name: RouteName, call: AnyCall) => Fault | Promise<Fault> = () => undefined
  /** Awaited when a reply is on its way, so a test can hold it back. */
  deliver: (name: RouteName, call: AnyCall) => void | Promise<void> = () => {}
  /** Answers the calls that this pond does not know itself. */
  serve: (name: RouteName, call: AnyCall) => unknown = () => refusal('not_found')
  /** Bytes that pond takes of one stream. */
  capBytes = Number.MAX_SAFE_INTEGER
  /** Claims that the next reply to words brings, if that asks for some. */
  readonly withWords: Intent[] = []
  /** The step that it speaks. */
  protocol = PROTOCOL
  /** Over how long those who lost it are to come back. */
  returnMs = 0
  readonly client: Client
  readonly calls: RouteName[] = []
  readonly polls: PollBody[] = []
  readonly words: BatchWord[] = []
  readonly chunks: ChunkRecord[] = []
  readonly snapshots: SnapshotBody[] = []
  readonly events: TelemetryBody['events'] = []
  readonly #clock: Clock
  readonly #random: Random
  readonly #claims = new Map<string, Claim>()
  readonly #streams = new Map<string, Buffer>()
  readonly #directives: Directive[] = []
  #held: HeldPoll[] = []
  #freshDirective = false

  constructor({ clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = clock
    this.#random = random
    this.client = this.connect(() => true)
  }

  /** Queues a job for the next poll that has room. */
  give(job: Partial<JobSpec> = {}, more: Partial<Intent> = {}): Intent {
    const intent = this.#add(job, more)
    this.#wake()
    return intent
  }

  /** Keeps a job for the next reply to words that asks for one. */
  giveWithWords(job: Partial<JobSpec> = {}): Intent {
    const intent = this.#add(job, {}, 'void')
    this.withWords.push(intent)
    return intent
  }

  #add(job: Partial<JobSpec>, more: Partial<Intent>, state: Claim['state'] = 'queued'): Intent {
    const id = String(this.#claims.size + 1).padStart(26, '0')
    const intent: Intent = {
      claim_id: `clm_${id}` as ClaimId,
      job_id: `job_${id}` as JobId,
      worker_id: fakeWorkerId,
      claim_token: `pond_claim_${id}`,
      epoch: 1,
      lease_ms: limit.leaseMs,
      confirm_ms: limit.confirmMs,
      attempt: 1,
      job: Buffer.from(JSON.stringify({ command: ['true'], ...job })).toString('base64'),
      limits: { stream_bytes: job.limits?.stream_bytes ?? limit.streamBytes, artifact_bytes: 0 },
      ...more,
    }
    this.#claims.set(intent.claim_id, { intent, key: undefined, state, final: undefined })
    return intent
  }

  /** Says it in every reply from now on. */
  direct(directive: Omit<Directive, 'type'> & { readonly type: string }): void {
    this.#directives.push(directive as Directive)
    this.#freshDirective = true
    this.#wake()
  }

  /** The claim no longer holds its job. */
  void(claimId: ClaimId): void {
    const claim = this.#claims.get(claimId)
    if (claim) claim.state = 'void'
  }

  /** The word that ended a claim. */
  finalOf(claimId: string): BatchWord | undefined {
    return this.#claims.get(claimId)?.final
  }

  /** What was committed of a stream. */
  stream(claimId: string, name: string): Buffer {
    return this.#streams.get(`${claimId}/${name}`) ?? Buffer.alloc(0)
  }

  forgetStream(claimId: string, name: string, from: number): void {
    this.#streams.set(`${claimId}/${name}`, this.stream(claimId, name).subarray(0, from))
  }

  /** A client of a process that can die: a dead one repeats nothing. */
  connect(alive: () => boolean): Client {
    return {
      call: ((name, call = {}) => this.#try(name, call as AnyCall)) as Client['call'],
      persist: (async (name, call = {}, onRetry) => {
        for (let tries = 0; ; tries++) {
          const answer = await this.#try(name, call as AnyCall)
          if (!alive() || answer.ok || answer.error.retry !== 'later' || call.signal?.aborted) return answer
          const waitMs = jitter(this.#random, tries, retryWait)
          onRetry?.(answer.error, waitMs)
          await sleep(this.#clock, waitMs, call.signal)
          if (!alive() || call.signal?.aborted) return answer
        }
      }) as Client['persist'],
      open: async () => ({ ok: false, error: refusal('not_found') }),
      skewMs: () => 0,
    }
  }

  async #try(name: RouteName, call: AnyCall): Promise<Answer<RouteName>> {
    this.calls.push(name)
    const fault = await this.fault(name, call)
    if (fault && fault !== 'lost') return { ok: false, error: fault }
    const reply = await orAborted(this.#perform(name, call), call.signal)
    await this.deliver(name, call)
    if (fault === 'lost') return { ok: false, error: refusal('unreachable') }
    if (typeof reply === 'object' && reply !== null && 'retry' in reply) return { ok: false, error: reply as CallError }
    return { ok: true, status: 200, reply: reply as ReplyOf<RouteName>, headers: {} }
  }

  async #perform(name: RouteName, call: AnyCall): Promise<unknown> {
    const body = call.body as never
    switch (name) {
      case 'poll':
        return this.#poll(body)
      case 'sendWords':
        return this.#hear(body)
      case 'sendWord':
        return this.#judge({ ...(body as object), job_id: call.params?.id, claim_token: call.claimToken } as BatchWord)
      case 'sendChunk':
        return this.#append(call.query as never, body)
      case 'sendTelemetry':
        this.events.push(...(body as TelemetryBody).events)
        return { stored: 0, repeated: 0, dropped: 0 }
      case 'sendSnapshot':
        this.snapshots.push(body)
        return {}
      default:
        return this.serve(name, call)
    }
  }

  #hear({ words, refill }: { readonly words: BatchWord[]; readonly refill?: boolean }): unknown {
    const outcomes = words.map((word) => this.#judge(word))
    const intents = refill ? this.withWords.splice(0) : []
    for (const { claim_id } of intents) Object.assign(this.#claims.get(claim_id) ?? {}, { state: 'claimed' })
    return { outcomes, ...(intents.length > 0 && { intents }) }
  }

  #poll(body: PollBody): Promise<PollReply | CallError> {
    if (body.protocol > this.protocol) return Promise.resolve(refusal('upgrade_required', { protocol: this.protocol }))
    this.polls.push(structuredClone(body))
    return new Promise((resolve) => {
      const answer = (intents: Intent[]) => {
        cancel()
        this.#held = this.#held.filter((it) => it.body !== body)
        resolve({
          protocol: this.protocol,
          intents,
          directives: [...this.#directives],
          limits: { ...limits, return_ms: this.returnMs },
          ...(this.protocol > OLDEST_PROTOCOL && { receipt: `receipt ${body.seq}` }),
        })
      }
      const cancel = this.#clock.after(body.wait_ms, () => answer([]))
      for (const older of this.#held) older.answer([])
      this.#held = [{ body, answer }]
      this.#wake()
    })
  }

  #wake(): void {
    const [held] = this.#held
    if (!held) return
    const intents = this.#intentsFor(held.body)
    if (intents.length === 0 && !this.#freshDirective) return
    this.#freshDirective = false
    held.answer(intents)
  }

  #intentsFor({ claim_key, workers, have, refill }: PollBody): Intent[] {
    const claims = [...this.#claims.values()]
    const again = claims.filter((claim) => claim.key === claim_key && claim.state === 'claimed')
    const over = have.flatMap(({ claim_id, state }) => {
      const claim = this.#claims.get(claim_id)
      return refill && state !== 'ended' && claim?.state === 'ended' ? [claim] : []
    })
    const fresh = workers.flatMap(({ worker_id, free }) => {
      const mine = ({ intent }: Claim) => intent.worker_id === worker_id
      const room = free.slots + over.filter(mine).length - again.filter(mine).length
      return claims.filter((claim) => claim.state === 'queued' && mine(claim)).slice(0, Math.max(0, room))
    })
    for (const claim of fresh) Object.assign(claim, { key: claim_key, state: 'claimed' })
    return [...again, ...fresh].map((claim) => claim.intent)
  }

  #judge(word: BatchWord): OutcomeReply {
    this.words.push(structuredClone(word))
    const claim = this.#claims.get(word.claim_id)
    if (!claim || claim.state === 'void') return { outcome: 'stale', error: refusal('stale') }
    if (claim.state === 'ended')
      return { outcome: JSON.stringify(claim.final) === JSON.stringify(word) ? 'idempotent' : 'conflict' }
    if (word.state === 'running') {
      const outcome = claim.state === 'running' ? 'idempotent' : 'accepted'
      claim.state = 'running'
      return { outcome }
    }
    if (word.state === 'declined' && claim.state === 'running')
      return { outcome: 'refused', error: refusal('not_possible') }
    const missing = this.#missing(word)
    if (missing) return { outcome: 'refused', error: refusal('streams_incomplete', { streams: missing }) }
    claim.state = 'ended'
    claim.final = word
    this.#wake()
    return { outcome: 'accepted' }
  }

  /** What is committed of the streams that a word calls complete and that are not. */
  #missing({ claim_id, streams = {} }: BatchWord): Record<string, number> | undefined {
    const names = Object.entries(streams).flatMap(([name, report]) =>
      report?.end === 'complete' && this.stream(claim_id, name).length < report.bytes ? [name] : [],
    )
    if (names.length === 0) return undefined
    return Object.fromEntries(names.map((name) => [name, this.stream(claim_id, name).length]))
  }

  #append(query: Omit<ChunkRecord, 'length'> & { readonly claim: string }, bytes: Uint8Array): unknown {
    const { claim, stream, offset, at, order } = query
    const state = this.#claims.get(claim)?.state
    if (state === 'ended' || state === 'void') return refusal('claim_ended')
    const before = this.stream(claim, stream)
    const end = offset + bytes.length
    if (offset > before.length) return refusal('chunk_gap', { committed: before.length })
    if (bytes.length > limit.chunkBytes) return refusal('body_too_large')
    if (end > this.capBytes && !stream.endsWith('.tail')) return refusal('stream_full', { committed: before.length })
    if (end <= before.length) return { committed: before.length }
    this.#streams.set(`${claim}/${stream}`, Buffer.concat([before.subarray(0, offset), bytes]))
    this.chunks.push({ stream, offset, length: bytes.length, at, order })
    return { committed: end }
  }
}

/** What came first; an aborted call is one without a reply. */
async function orAborted(reply: Promise<unknown>, signal: AbortSignal | undefined): Promise<unknown> {
  if (!signal) return reply
  let abort = () => {}
  const aborted = new Promise<CallError>((resolve) => {
    abort = () => resolve(refusal('unreachable'))
  })
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const first = await Promise.race([reply, aborted])
  signal.removeEventListener('abort', abort)
  return first
}

export function createFakePond(parts: { readonly clock: Clock; readonly random: Random }): FakePond {
  return new FakePond(parts)
}
