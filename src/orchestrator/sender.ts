// Sends one stream from its spool to pond: by offset, a few chunks under way at once.
import { setMaxListeners } from 'node:events'
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
/**
 * Chunks under way at once. Pond syncs together what waits together, so that a slow disk or a long way costs once for all of them: 190
 * MB/s with four, 142 with one, on loopback and a quick disk. More would only take memory and connections from other streams.
 */
const FLYING_MOST = 4
/** Of the streams of one claim together, with room for the rest of the claim. */
const LISTENERS_MOST = 32
/** Corrections in a row that bring nothing forward; more of them mean that the two sides will not agree. */
const GAPS_MOST = 5

interface Chunk {
  readonly offset: number
  readonly bytes: Buffer
}

interface Landed extends Chunk {
  /** Where pond stands afterwards. */
  readonly at: number | NotSent
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
  /** Where the next chunk starts: behind those under way. */
  #next: number
  readonly #flying: Promise<Landed>[] = []
  /** The first chunk goes alone: its answer tells where pond stands. After a gap every chunk does: the way to pond does not keep their order. */
  #flyingMost = 1
  #gaps = 0
  #sawGap = false
  /** Buffers of chunks that landed, until nothing comes for a while. A fresh one costs as much as filling it, and then again to collect it. */
  #spare: Buffer[] = []

  constructor(parts: SenderParts) {
    this.#parts = parts
    this.#committed = parts.from ?? 0
    this.#next = this.#committed
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
    const sent = await this.#sendAll()
    await Promise.all(this.#flying)
    return sent
  }

  async #sendAll(): Promise<Sent> {
    const { spool, signal } = this.#parts
    for (;;) {
      if (signal.aborted) return this.#end('unsent')
      if (spool.size() < this.#committed) return this.#giveUp('pond has more of the stream than its spool')
      if (spool.size() === this.#committed && this.#finishing) return this.#end('sent')
      if (this.#flying.length === 0 && !(await this.#filled())) continue
      this.#launch()
      const landed = await this.#flying.shift()
      if (!landed) continue
      const { at } = landed
      if (typeof at !== 'number') return at.end === 'lost' ? this.#giveUp(at.why) : this.#end(at.end)
      if (at < landed.offset + landed.bytes.length) await this.#goBack(at)
      else this.#advance(at, landed.bytes)
      if (this.#gaps > GAPS_MOST) return this.#giveUp('pond and swarm do not agree where the stream stands')
    }
  }

  /** Whole chunks, as many as may be under way; a shorter one when it is the only one or the last. */
  #launch(): void {
    while (this.#flying.length < this.#flyingMost) {
      const length = Math.min(limit.chunkBytes, this.#parts.spool.size() - this.#next)
      const due = length === limit.chunkBytes || this.#finishing || this.#flying.length === 0
      if (length <= 0 || !due) return
      this.#flying.push(this.#fly(this.#next, length))
      this.#next += length
    }
  }

  async #fly(offset: number, length: number): Promise<Landed> {
    const { spool } = this.#parts
    const fresh = length === limit.chunkBytes ? Buffer.allocUnsafeSlow : Buffer.allocUnsafe
    const bytes = (length === limit.chunkBytes && this.#spare.pop()) || fresh(length)
    const got = await spool.read(offset, bytes).catch(() => 0)
    if (got < length) return { offset, bytes, at: { end: 'lost', why: 'the spool cannot be read' } }
    return { offset, bytes, at: await send(this.#parts, { offset, bytes }) }
  }

  #advance(at: number, bytes: Buffer): void {
    this.#gaps = 0
    if (!this.#sawGap && this.#flyingMost === 1) this.#widen()
    // Pond has stored these bytes, so no connection still holds on to them; after any other answer one may.
    if (bytes.length === limit.chunkBytes) this.#spare.push(bytes)
    this.#committed = Math.max(this.#committed, at)
    this.#next = Math.max(this.#next, at)
    this.#parts.spool.forget(at)
  }

  #widen(): void {
    this.#flyingMost = FLYING_MOST
    // Each chunk under way listens for the end of its claim, and Node warns of more than ten listeners.
    setMaxListeners(LISTENERS_MOST, this.#parts.signal)
  }

  /**
   * Pond stands before what was sent. Of chunks that were under way together nobody knows which answer is the latest, so the furthest
   * is believed; from then on each goes alone, and then its answer is exact.
   */
  async #goBack(at: number): Promise<void> {
    const others = (await Promise.all(this.#flying.splice(0))).map((landed) => landed.at)
    const known = [this.#committed, at, ...others.filter((it) => typeof it === 'number')]
    this.#committed = this.#flyingMost === 1 ? at : Math.max(...known)
    this.#next = this.#committed
    this.#sawGap = true
    this.#flyingMost = 1
    this.#gaps++
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
    const waiting = () => spool.size() - this.#next
    if (waiting() === 0) {
      await (this.#spare.length > 0 ? this.#bell.waitAtMost(clock, FLUSH_MS) : this.#bell.wait())
      if (waiting() <= 0) {
        this.#spare = []
        return false
      }
    }
    const due = clock.monotonic() + FLUSH_MS
    for (;;) {
      const left = due - clock.monotonic()
      if (signal.aborted) return false
      if (this.#finishing || waiting() >= limit.chunkBytes || left <= 0) return waiting() > 0
      await this.#bell.waitAtMost(clock, left)
    }
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
