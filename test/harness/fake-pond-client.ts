// A small pond behind the Client contract, in memory and without HTTP: it holds polls, fences words and checks offsets as the real one does.
import type { Answer, Call, CallError, CallErrorCode, Client } from '../../src/client/contract.ts'
import { type ErrorDetails, errorTable } from '../../src/protocol/error.ts'
import type { ClaimId, JobId, WorkerId } from '../../src/protocol/id.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import { limit, retryWait } from '../../src/protocol/limit.ts'
import type {
  BatchWord,
  Directive,
  Intent,
  OutcomeReply,
  PollBody,
  PollReply,
  SnapshotBody,
} from '../../src/protocol/orch.ts'
import type { ReplyOf, RouteName } from '../../src/protocol/route.ts'
import { type Clock, sleep } from '../../src/system/clock.ts'
import { jitter, type Random } from '../../src/system/random.ts'

type AnyCall = Call<RouteName>

/** `lost`: pond does it, but the reply never arrives. */
export type Fault = CallError | 'lost' | undefined

export interface FakePond {
  readonly client: Client
  /** A client of a process that can die: a dead one repeats nothing. */
  connect(alive: () => boolean): Client
  /** Queues a job for the next poll that has room. */
  give(job?: Partial<JobSpec>, intent?: Partial<Intent>): Intent
  /** Says it in every reply from now on. */
  direct(directive: Omit<Directive, 'type'> & { readonly type: string }): void
  /** The claim no longer holds its job. */
  void(claimId: ClaimId): void
  /** Looked at before each try of a call; may wait. */
  fault: (name: RouteName, call: AnyCall) => Fault | Promise<Fault>
  /** Awaited when a reply is on its way, so a test can hold it back. */
  deliver: (name: RouteName, call: AnyCall) => void | Promise<void>
  readonly polls: PollBody[]
  readonly words: BatchWord[]
  readonly snapshots: SnapshotBody[]
  readonly events: { readonly id: string; readonly type: string; readonly data?: unknown }[]
  readonly chunks: {
    readonly stream: string
    readonly offset: number
    readonly length: number
    readonly at: number
    readonly order: number
  }[]
  readonly calls: RouteName[]
  /** What was committed of a stream. Shorten it to make pond forget. */
  stream(claimId: string, name: string): Buffer
  forgetStream(claimId: string, name: string, from: number): void
  /** Bytes that pond takes of one stream. */
  capBytes: number
  /** The last word of a claim that was accepted. */
  finalOf(claimId: string): BatchWord | undefined
}

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

interface HeldPoll {
  readonly body: PollBody
  readonly answer: (reply: PollReply) => void
}

const limits = { chunk_bytes: limit.chunkBytes, poll_hold_ms: limit.pollHoldMs, words_per_call: limit.wordsPerCall }

export function createFakePond({ clock, random }: { clock: Clock; random: Random }): FakePond {
  const claims = new Map<string, Claim>()
  const streams = new Map<string, Buffer>()
  const directives: Directive[] = []
  let held: HeldPoll[] = []
  let freshDirective = false
  let count = 0

  const pond: FakePond = {
    client: undefined as never,
    connect: undefined as never,
    fault: () => undefined,
    deliver() {},
    capBytes: Number.MAX_SAFE_INTEGER,
    polls: [],
    words: [],
    snapshots: [],
    events: [],
    chunks: [],
    calls: [],
    give(job = {}, more = {}) {
      const id = String(++count).padStart(26, '0')
      const spec = { command: ['true'], ...job }
      const intent: Intent = {
        claim_id: `clm_${id}` as ClaimId,
        job_id: `job_${id}` as JobId,
        worker_id: fakeWorkerId,
        claim_token: `pond_claim_${id}`,
        epoch: 1,
        lease_ms: limit.leaseMs,
        confirm_ms: limit.confirmMs,
        attempt: 1,
        job: Buffer.from(JSON.stringify(spec)).toString('base64'),
        limits: { stream_bytes: spec.limits?.stream_bytes ?? limit.streamBytes, artifact_bytes: 0 },
        ...more,
      }
      claims.set(intent.claim_id, { intent, key: undefined, state: 'queued', final: undefined })
      wake()
      return intent
    },
    direct(directive) {
      directives.push(directive as Directive)
      freshDirective = true
      wake()
    },
    void(claimId) {
      const claim = claims.get(claimId)
      if (claim) claim.state = 'void'
    },
    stream: (claimId, name) => streams.get(`${claimId}/${name}`) ?? Buffer.alloc(0),
    forgetStream(claimId, name, from) {
      streams.set(`${claimId}/${name}`, pond.stream(claimId, name).subarray(0, from))
    },
    finalOf: (claimId) => claims.get(claimId)?.final,
  }

  /** Answers held polls that there is something for. */
  function wake(): void {
    for (const it of held) {
      const newest = it === held.at(-1)
      const intents = newest ? intentsFor(it.body) : []
      if (newest && intents.length === 0 && !freshDirective) continue
      freshDirective = false
      held = held.filter((other) => other !== it)
      it.answer({ protocol: 1, intents, directives: [...directives], limits })
    }
  }

  function intentsFor({ claim_key, workers }: PollBody): Intent[] {
    const again = [...claims.values()].filter((claim) => claim.key === claim_key && claim.state === 'claimed')
    const room = (workers[0]?.free.slots ?? 0) - again.length
    const fresh = [...claims.values()].filter((claim) => claim.state === 'queued').slice(0, Math.max(0, room))
    for (const claim of fresh) Object.assign(claim, { key: claim_key, state: 'claimed' })
    return [...again, ...fresh].map((claim) => claim.intent)
  }

  function poll(body: PollBody): Promise<PollReply> {
    pond.polls.push(structuredClone(body))
    return new Promise((resolve) => {
      const cancel = clock.after(body.wait_ms, () => {
        held = held.filter((it) => it.body !== body)
        resolve({ protocol: 1, intents: [], directives: [...directives], limits })
      })
      held.push({
        body,
        answer(reply) {
          cancel()
          resolve(reply)
        },
      })
      wake()
    })
  }

  function judge(word: BatchWord): OutcomeReply {
    pond.words.push(structuredClone(word))
    const claim = claims.get(word.claim_id)
    if (!claim || claim.state === 'void') return { outcome: 'stale', error: { ...refusal('stale'), code: 'stale' } }
    if (claim.state === 'ended') {
      const same = JSON.stringify(claim.final) === JSON.stringify(word)
      return { outcome: same ? 'idempotent' : 'conflict' }
    }
    if (word.state === 'running') {
      const again = claim.state === 'running'
      claim.state = 'running'
      return { outcome: again ? 'idempotent' : 'accepted' }
    }
    if (word.state === 'declined' && claim.state === 'running')
      return { outcome: 'refused', error: { ...refusal('not_possible'), code: 'not_possible' } }
    const missing = Object.entries(word.streams ?? {}).filter(
      ([name, it]) => it.end === 'complete' && pond.stream(word.claim_id, name).length < it.bytes,
    )
    if (missing.length > 0) {
      const committed = Object.fromEntries(missing.map(([name]) => [name, pond.stream(word.claim_id, name).length]))
      return {
        outcome: 'refused',
        error: { ...refusal('streams_incomplete', { streams: committed }), code: 'streams_incomplete' } as never,
      }
    }
    claim.state = 'ended'
    claim.final = word
    return { outcome: 'accepted' }
  }

  function append({ query, body }: AnyCall): { committed: number } | CallError {
    const { claim = '', stream = '', offset = 0, at = 0, order = 0 } = query as Record<string, never>
    const bytes = body as unknown as Uint8Array
    const state = claims.get(claim)?.state
    if (state === 'ended' || state === 'void') return refusal('claim_ended')
    const before = pond.stream(claim, stream)
    if (offset > before.length) return refusal('chunk_gap', { committed: before.length })
    if (bytes.length > limit.chunkBytes) return refusal('body_too_large')
    if (offset + bytes.length > pond.capBytes && !String(stream).endsWith('.tail'))
      return refusal('stream_full', { committed: before.length })
    if (offset + bytes.length > before.length) {
      streams.set(`${claim}/${stream}`, Buffer.concat([before.subarray(0, offset), bytes]))
      pond.chunks.push({ stream, offset, length: bytes.length, at, order })
    }
    return { committed: pond.stream(claim, stream).length }
  }

  async function perform(name: RouteName, call: AnyCall): Promise<unknown> {
    const body = call.body as never
    switch (name) {
      case 'poll':
        return poll(body)
      case 'sendWords':
        return { outcomes: (body as { words: BatchWord[] }).words.map(judge) }
      case 'sendWord': {
        const { id = '' } = call.params ?? {}
        return judge({ ...(body as object), job_id: id, claim_token: call.claimToken } as BatchWord)
      }
      case 'sendChunk':
        return append(call)
      case 'sendTelemetry':
        pond.events.push(...(body as { events: [] }).events)
        return { stored: 0, repeated: 0, dropped: 0 }
      case 'sendSnapshot':
        pond.snapshots.push(body)
        return {}
      default:
        return refusal('not_found')
    }
  }

  async function once(name: RouteName, call: AnyCall = {}): Promise<Answer<RouteName>> {
    pond.calls.push(name)
    const fault = await pond.fault(name, call)
    if (fault && fault !== 'lost') return { ok: false, error: fault }
    const reply = await orAborted(perform(name, call), call.signal)
    await pond.deliver(name, call)
    if (fault === 'lost') return { ok: false, error: refusal('unreachable') }
    if (typeof reply === 'object' && reply !== null && 'retry' in reply) return { ok: false, error: reply as CallError }
    return { ok: true, status: 200, reply: reply as ReplyOf<RouteName>, headers: {} }
  }

  const connect = (alive: () => boolean): Client => ({
    call: once as Client['call'],
    persist: (async (name, call = {}) => {
      for (let tries = 0; ; tries++) {
        const answer = await once(name, call as AnyCall)
        if (!alive() || answer.ok || answer.error.retry !== 'later' || call.signal?.aborted) return answer
        await sleep(clock, jitter(random, tries, retryWait.baseMs, retryWait.mostMs), call.signal)
        if (!alive() || call.signal?.aborted) return answer
      }
    }) as Client['persist'],
    open: async () => ({ ok: false, error: refusal('not_found') }),
    skewMs: () => 0,
  })
  return Object.assign(pond, { client: connect(() => true), connect })
}
