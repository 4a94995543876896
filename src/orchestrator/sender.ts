// Sends one stream from its spool to pond: by offset, one call at a time, the next chunk read while one is under way.
import type { CallError, Client } from '../client/contract.ts'
import type { StreamName } from '../protocol/field.ts'
import type { ClaimId, JobId } from '../protocol/id.ts'
import { limit } from '../protocol/limit.ts'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { createBell } from './bell.ts'
import type { Spool } from './spool.ts'

/** `sent`: pond has all of the spool. `full`: pond's own cap came first. `lost`: pond takes no more of it. `unsent`: swarm ends first. */
export type SendEnd = 'sent' | 'full' | 'lost' | 'unsent'

export interface Sent {
  readonly end: SendEnd
  /** Bytes that pond has. */
  readonly committed: number
}

export interface Sender {
  /** The spool grew. */
  grew(): void
  /** The spool grows no more: sends the rest at once and tells how it went. */
  finish(): Promise<Sent>
}

export interface SenderParts {
  readonly client: Client
  readonly clock: Clock
  readonly log: Log
  readonly claim: { readonly claim_id: ClaimId; readonly job_id: JobId; readonly claim_token: string }
  readonly name: StreamName
  readonly spool: Spool
  /** Where pond stands, as far as known; pond corrects it. */
  readonly from?: number
  readonly signal: AbortSignal
}

/** Bytes wait this long for more to travel with; together with the way to pond it stays below the second that a reader waits. */
const FLUSH_MS = 200
/** Corrections in a row that bring nothing forward; more of them mean that the two sides will not agree. */
const GAPS_MOST = 5

interface Chunk {
  readonly offset: number
  readonly bytes: Buffer
}

export function createSender(parts: SenderParts): Sender {
  return new SpoolSender(parts)
}

class SpoolSender implements Sender {
  readonly #parts: SenderParts
  readonly #bell = createBell()
  readonly #running: Promise<Sent>
  #finishing = false
  #committed: number

  constructor(parts: SenderParts) {
    this.#parts = parts
    this.#committed = parts.from ?? 0
    parts.signal.addEventListener('abort', this.#bell.ring, { once: true })
    this.#running = this.#run().finally(() => parts.signal.removeEventListener('abort', this.#bell.ring))
  }

  grew(): void {
    this.#bell.ring()
  }

  finish(): Promise<Sent> {
    this.#finishing = true
    this.#bell.ring()
    return this.#running
  }

  async #run(): Promise<Sent> {
    const { spool, signal } = this.#parts
    let gaps = 0
    let next: Promise<Chunk> | undefined
    for (;;) {
      if (signal.aborted) return this.#end('unsent')
      if (spool.size() < this.#committed) return this.#giveUp('pond has more of the stream than its spool')
      if (spool.size() === this.#committed && this.#finishing) return this.#end('sent')
      if (!(await this.#filled())) continue
      const chunk = await (next ?? this.#read(this.#committed))
      if (chunk.bytes.length === 0) return this.#giveUp('the spool cannot be read')
      const behind = chunk.offset + chunk.bytes.length
      const sending = send(this.#parts, chunk)
      next = spool.size() - behind >= limit.chunkBytes ? this.#read(behind) : undefined
      const result = await sending
      if (typeof result !== 'number') return result.end === 'lost' ? this.#giveUp(result.why) : this.#end(result.end)
      gaps = result > chunk.offset ? 0 : gaps + 1
      if (gaps > GAPS_MOST) return this.#giveUp('pond and swarm do not agree where the stream stands')
      if (result !== behind) next = undefined
      this.#committed = result
      spool.forget(result)
    }
  }

  #end(end: SendEnd): Sent {
    return { end, committed: Math.min(this.#committed, this.#parts.spool.size()) }
  }

  #giveUp(why: string): Sent {
    const { claim, log, name } = this.#parts
    log.warn('stream_lost', { claim_id: claim.claim_id, stream: name, committed: this.#committed, why })
    return this.#end('lost')
  }

  /** Waits for a whole chunk, or for the flush time once there is a first byte. False: look at everything again. */
  async #filled(): Promise<boolean> {
    const { clock, spool, signal } = this.#parts
    const waiting = () => spool.size() - this.#committed
    if (waiting() === 0) {
      await this.#bell.wait()
      if (waiting() <= 0) return false
    }
    const due = clock.monotonic() + FLUSH_MS
    for (;;) {
      const left = due - clock.monotonic()
      if (signal.aborted) return false
      if (this.#finishing || waiting() >= limit.chunkBytes || left <= 0) return waiting() > 0
      await this.#bell.waitAtMost(clock, left)
    }
  }

  async #read(offset: number): Promise<Chunk> {
    const { spool } = this.#parts
    const bytes = Buffer.allocUnsafeSlow(Math.min(limit.chunkBytes, spool.size() - offset))
    const got = await spool.read(offset, bytes).catch(() => 0)
    return { offset, bytes: bytes.subarray(0, got) }
  }
}

type NotSent = { readonly end: 'full' | 'unsent' } | { readonly end: 'lost'; readonly why: string }

/** Where pond stands afterwards. */
async function send({ client, claim, name, spool, signal }: SenderParts, chunk: Chunk): Promise<number | NotSent> {
  const answer = await client.persist('sendChunk', {
    params: { id: claim.job_id },
    query: { claim: claim.claim_id, stream: name, offset: chunk.offset, ...spool.mark(chunk.offset) },
    claimToken: claim.claim_token,
    body: chunk.bytes,
    signal,
  })
  if (answer.ok) return answer.reply.committed
  return afterError(answer.error, signal)
}

function afterError(error: CallError, signal: AbortSignal): number | NotSent {
  const { committed } = error.details
  switch (error.code) {
    case 'chunk_gap':
      return typeof committed === 'number' ? committed : { end: 'lost', why: 'a gap without the place to go on from' }
    case 'stream_full':
      return { end: 'full' }
    default:
      if (signal.aborted && error.retry === 'later') return { end: 'unsent' }
      return { end: 'lost', why: `${error.code}: ${error.message}` }
  }
}
