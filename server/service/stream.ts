// Streams: chunks in from workers, bytes out to consumers. The law says what is taken; the blobs keep it.
import { Refusal } from '../../src/protocol/error.ts'
import type { StreamName } from '../../src/protocol/field.ts'
import type { BindingId, ClaimId, JobId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { ChunkQuery, StreamEnd } from '../../src/protocol/word.ts'
import { claimToken, sameText } from '../../src/seal/token.ts'
import { isLive } from '../../src/state/lease.ts'
import { capOf, openStream, stepStream } from '../../src/state/stream.ts'
import { appendMost, type NewChunk, NoRoomError } from '../blob/contract.ts'
import type { ClaimRow } from '../store/row.ts'
import type { Core } from './core.ts'
import { readJob, type Scope } from './job.ts'
import { waitFor } from './wait.ts'

export interface ClaimCaller {
  readonly bindingId: BindingId
  readonly jobId: JobId
  readonly claimId: ClaimId
  readonly token: string
}

type Holder = Pick<ClaimRow, 'id' | 'jobId' | 'bindingId' | 'epoch' | 'streamBytes' | 'artifactBytes'> & {
  readonly lease: ClaimRow['lease']['state']
}

/** The claim that a caller proved to hold. Live ones are known in memory; a lost one still delivers into its own streams. */
export async function holdClaim(core: Core, caller: ClaimCaller): Promise<Holder> {
  const live = core.live.get(caller.claimId)
  const row = live ? undefined : await core.store.read((tx) => tx.getClaim(caller.claimId))
  const holder: Holder | undefined = live ?? (row && { ...row, lease: row.lease.state })
  const hasFinalWord = row?.lease.finalDigest !== undefined
  if (!holder || holder.bindingId !== caller.bindingId || holder.jobId !== caller.jobId) {
    throw new Refusal('not_found', 'this binding has no such claim on this job')
  }
  if (!sameText(caller.token, tokenOf(core, holder))) {
    throw new Refusal('forbidden', 'this is not the token of the claim')
  }
  if (holder.lease === 'ended' || hasFinalWord) throw new Refusal('claim_ended', 'the claim has its final word')
  if (!isLive(holder.lease) && holder.lease !== 'lost') {
    throw new Refusal('stale', `the claim was ${holder.lease}`)
  }
  if (live) live.heardAt = core.listening.now()
  return holder
}

/** To say it again takes as long as all else that is asked about a caller. */
const tokens = new WeakMap<Holder, string>()

function tokenOf(core: Core, holder: Holder): string {
  const known = tokens.get(holder)
  if (known !== undefined) return known
  const token = claimToken(core.keys.tokenKey, holder.id, holder.epoch)
  tokens.set(holder, token)
  return token
}

/**
 * A chunk may overtake the one before it on another connection; it waits so long for it before it is refused as a gap, and longer only
 * delays the answer to who really lost his place.
 */
const AHEAD_MS = 2000
/** Nothing that far ahead was sent side by side with what is missing. */
const AHEAD_BYTES = 8 * limit.chunkBytes
/** Chunks of all streams that wait so; each is in memory meanwhile. */
const AHEAD_MOST = 256

interface Offer {
  readonly query: ChunkQuery
  readonly bytes: Uint8Array
  readonly cap: number
  readonly answer: (taken: Taken) => void
  readonly fail: (error: unknown) => void
}

/** How much is stored for good, and whether the chunk, or what of it fits under the cap, is part of it; `other`: what is there differs. */
interface Taken {
  readonly committed: number
  readonly how: 'whole' | 'cut' | 'ahead' | 'other'
}

/** One append at a time for each stream: what comes meanwhile waits for it, and then goes together. */
export class Streams {
  readonly #core: Core
  readonly #waiting = new Map<string, Offer[]>()
  #ahead = 0

  constructor(core: Core) {
    this.#core = core
  }

  /** Appends a chunk and answers how much of the stream is stored for good. */
  async append(caller: ClaimCaller, query: ChunkQuery, bytes: Uint8Array): Promise<{ committed: number }> {
    if (bytes.length > limit.chunkBytes) {
      const details = { most: limit.chunkBytes, got: bytes.length }
      throw new Refusal('body_too_large', `a chunk must not be longer than ${limit.chunkBytes} bytes`, details)
    }
    const due = this.#core.clock.monotonic() + AHEAD_MS
    for (;;) {
      const holder = await holdClaim(this.#core, caller)
      const key = { claimId: holder.id, name: query.stream }
      const cap = capOf(query.stream, holder)
      const { committed, how } = await this.#offer(key, { query, bytes, cap })
      if (how === 'whole') return { committed }
      if (how === 'cut') throw new Refusal('stream_full', `the stream ends at its cap of ${cap}`, { committed, cap })
      if (how === 'other') throw new Refusal('conflict', `other bytes are stored behind ${query.offset}`, { committed })
      const waitMs = due - this.#core.clock.monotonic()
      const hopeless = query.offset > committed + AHEAD_BYTES || this.#ahead >= AHEAD_MOST
      if (waitMs <= 0 || hopeless) throw gap(query, committed)
      await this.#reached(key, query.offset, waitMs)
    }
  }

  /** Resolves when the stream is as long as `offset`, or the time is over. */
  async #reached(key: { claimId: ClaimId; name: string }, offset: number, waitMs: number): Promise<void> {
    this.#ahead++
    const { hub, blobs } = this.#core
    await waitFor(this.#core, {
      listen: (nudge) => hub.claim.listen(key.claimId, nudge),
      look: () => blobs.stat(key),
      done: ({ committed }) => committed >= offset,
      waitMs,
    }).finally(() => this.#ahead--)
  }

  #offer(key: { claimId: ClaimId; name: string }, chunk: Pick<Offer, 'query' | 'bytes' | 'cap'>): Promise<Taken> {
    return new Promise((answer, fail) => {
      const path = `${key.claimId} ${key.name}`
      const waiting = this.#waiting.get(path)
      const offer = { answer, fail, ...chunk }
      if (waiting) return void waiting.push(offer)
      this.#waiting.set(path, [offer])
      void this.#work(key, path)
    })
  }

  async #work(key: { claimId: ClaimId; name: string }, path: string): Promise<void> {
    const waiting = this.#waiting.get(path) ?? []
    while (waiting.length > 0) {
      const { offers, later } = split(waiting.splice(0))
      waiting.push(...later)
      try {
        await this.#take(key, offers)
      } catch (error) {
        for (const { fail } of offers) fail(error)
      }
    }
    this.#waiting.delete(path)
  }

  async #take(key: { claimId: ClaimId; name: string }, offers: readonly Offer[]): Promise<void> {
    const before = await this.#core.blobs.stat(key)
    const now = this.#core.clock.now()
    let end = before.committed
    const chunks: NewChunk[] = []
    const agree = await Promise.all(offers.map((offer) => this.#agrees(key, offer, before.committed)))
    const ways = offers.map(({ query: { offset, at, order }, bytes, cap }, index): Taken['how'] => {
      if (!agree[index]) return 'other'
      const step = stepStream(openStream(end, cap), { type: 'chunk', offset, length: bytes.length }, now)
      if ('refused' in step) return 'ahead'
      const { skip, length } = step.append
      // It repeats what is only about to be stored: it is compared afterwards.
      if (skip > 0 && offset + skip > before.committed) return 'ahead'
      if (length > 0) chunks.push({ offset: end, at, order, bytes: bytes.subarray(skip, skip + length) })
      end += length
      return step.overflow ? 'cut' : 'whole'
    })
    const committed = chunks.length > 0 ? await this.#store(key, chunks) : end
    this.#core.meter?.stored(committed - before.committed)
    for (const [index, { answer }] of offers.entries()) answer({ committed, how: ways[index] ?? 'ahead' })
  }

  /** Whether what a chunk repeats is what is stored. */
  #agrees(
    key: { claimId: ClaimId; name: string },
    { query, bytes }: Offer,
    committed: number,
  ): boolean | Promise<boolean> {
    const again = bytes.subarray(0, Math.max(0, committed - query.offset))
    return again.length === 0 || this.#core.blobs.read(key, query.offset, again.length).then((it) => it.equals(again))
  }

  async #store(key: { claimId: ClaimId; name: string }, chunks: readonly NewChunk[]): Promise<number> {
    try {
      const { committed } = await this.#core.blobs.append(key, chunks)
      this.#core.hub.claim.tell(key.claimId, undefined)
      return committed
    } catch (error) {
      if (error instanceof NoRoomError) throw new Refusal('disk_full', 'pond has no room for the chunk')
      throw error
    }
  }
}

/** In the order of the stream, and no more than one append takes. */
function split(waiting: readonly Offer[]): { readonly offers: readonly Offer[]; readonly later: readonly Offer[] } {
  const sorted = [...waiting].sort((one, other) => one.query.offset - other.query.offset)
  let room: number = appendMost.bytes
  const over = sorted.findIndex(({ bytes }, index) => {
    room -= bytes.length
    return room < 0 || index === appendMost.chunks
  })
  return over < 0 ? { offers: sorted, later: [] } : { offers: sorted.slice(0, over), later: sorted.slice(over) }
}

function gap({ offset }: ChunkQuery, committed: number): Refusal {
  return new Refusal('chunk_gap', `${committed} bytes are here, the chunk starts at ${offset}`, { committed })
}

/** Where a reader stands in a stream. */
export interface StreamView {
  readonly claimId: ClaimId
  readonly attempt: number
  readonly committed: number
  /** `open` while more may come. */
  readonly end: StreamEnd | 'open'
}

export interface AttemptAsk {
  readonly scope: Scope
  readonly jobId: JobId
  readonly attempt?: number | undefined
}

export interface StreamAsk extends AttemptAsk {
  readonly name: StreamName
}

/** The claim of an attempt; by default of the one that was adopted, else of the latest. */
export async function findAttempt(core: Core, ask: AttemptAsk): Promise<ClaimRow> {
  const { law } = await readJob(core, ask.scope, ask.jobId)
  const claims = await core.store.read((tx) => tx.listClaims(ask.jobId))
  const started = claims.filter((claim) => claim.confirmedAt !== undefined)
  const attempt = ask.attempt ?? law.adopted?.attempt
  const claim = attempt === undefined ? started.at(-1) : started.findLast((it) => it.attempt === attempt)
  if (!claim) {
    throw new Refusal('not_found', 'there is no such attempt yet', { reason: 'no_attempt' })
  }
  return claim
}

/** Finds the stream of an attempt (the latest by default) and how far it is. */
export async function lookStream(core: Core, ask: StreamAsk): Promise<StreamView> {
  const claim = await findAttempt(core, ask)
  const { committed } = await core.blobs.stat({ claimId: claim.id, name: ask.name })
  const end = claim.streams?.[ask.name]?.end ?? endOf(claim, committed)
  return { claimId: claim.id, attempt: claim.attempt, committed, end }
}

/** The end of a stream of which the final word, if there was one, says nothing. */
function endOf(claim: ClaimRow, committed: number): StreamView['end'] {
  if (isLive(claim.lease.state)) return 'open'
  const hasWord = claim.lease.state === 'ended' || claim.orphan
  return hasWord && committed === 0 ? 'complete' : 'lost'
}

/** The stream's view once there is something behind `offset`, or its end, or the time is over. */
export async function awaitStream(
  core: Core,
  ask: StreamAsk,
  wait: { readonly offset: number; readonly waitMs: number; readonly signal: AbortSignal },
): Promise<StreamView> {
  const first = await lookStream(core, ask)
  return await waitFor(core, {
    listen: (nudge) => core.hub.claim.listen(first.claimId, nudge),
    look: () => lookStream(core, { ...ask, attempt: first.attempt }),
    done: (view) => view.committed > wait.offset || view.end !== 'open',
    waitMs: wait.waitMs,
    signal: wait.signal,
  })
}

/** Every byte from `offset` on, as it comes, until the attempt's stream ends or the caller leaves. */
export async function* followStream(
  core: Core,
  ask: StreamAsk,
  from: { readonly offset: number; readonly signal: AbortSignal },
): AsyncGenerator<Buffer> {
  let { offset } = from
  while (!from.signal.aborted) {
    const view = await awaitStream(core, ask, { offset, waitMs: limit.waitMs, signal: from.signal })
    const bytes = await core.blobs.read({ claimId: view.claimId, name: ask.name }, offset, limit.chunkBytes)
    if (bytes.length > 0) yield bytes
    else if (view.end !== 'open') return
    offset += bytes.length
  }
}
