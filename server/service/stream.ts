// Streams: chunks in from workers, bytes out to consumers. The law says what is taken; the blobs keep it.
import { Refusal } from '../../src/protocol/error.ts'
import type { StreamName } from '../../src/protocol/field.ts'
import type { BindingId, ClaimId, JobId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { ChunkQuery, StreamEnd } from '../../src/protocol/word.ts'
import { claimToken, sameText } from '../../src/seal/token.ts'
import { isLive } from '../../src/state/lease.ts'
import { openStream, stepStream } from '../../src/state/stream.ts'
import { type ChunkMark, NoRoomError } from '../blob/contract.ts'
import type { ClaimRow } from '../store/contract.ts'
import type { Core } from './core.ts'
import { readJob, type Scope } from './job.ts'
import { waitFor } from './wait.ts'

export interface ClaimCaller {
  readonly bindingId: BindingId
  readonly jobId: JobId
  readonly claimId: ClaimId
  readonly token: string
}

type Holder = Pick<ClaimRow, 'id' | 'jobId' | 'bindingId' | 'epoch' | 'streamBytes'> & {
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
  if (!sameText(caller.token, claimToken(core.keys.tokenKey, holder.id, holder.epoch))) {
    throw new Refusal('forbidden', 'this is not the token of the claim')
  }
  if (holder.lease === 'ended' || hasFinalWord) throw new Refusal('claim_ended', 'the claim has its final word')
  if (!isLive(holder.lease) && holder.lease !== 'lost') {
    throw new Refusal('stale', `the claim was ${holder.lease}`)
  }
  if (live) live.heardAt = core.listening.now()
  return holder
}

/** One append at a time for each stream: the next waits for the one before. */
export class Streams {
  readonly #core: Core
  readonly #tails = new Map<string, Promise<unknown>>()

  constructor(core: Core) {
    this.#core = core
  }

  /** Appends a chunk and answers how much of the stream is stored for good. */
  async append(caller: ClaimCaller, query: ChunkQuery, bytes: Uint8Array): Promise<{ committed: number }> {
    if (bytes.length > limit.chunkBytes) {
      const details = { most: limit.chunkBytes, got: bytes.length }
      throw new Refusal('body_too_large', `a chunk must not be longer than ${limit.chunkBytes} bytes`, details)
    }
    const holder = await holdClaim(this.#core, caller)
    return await this.#inTurn(`${holder.id} ${query.stream}`, () => this.#take(holder, query, bytes))
  }

  async #inTurn<T>(key: string, run: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const mine = before.then(run, run)
    const tail = mine.catch(() => {})
    this.#tails.set(key, tail)
    try {
      return await mine
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }

  async #take(holder: Holder, query: ChunkQuery, bytes: Uint8Array): Promise<{ committed: number }> {
    const key = { claimId: holder.id, name: query.stream }
    const cap = query.stream.endsWith('.tail') ? limit.tailBytes : holder.streamBytes
    const { committed } = await this.#core.blobs.stat(key)
    const event = { type: 'chunk', offset: query.offset, length: bytes.length } as const
    const step = stepStream(openStream(committed, cap), event, this.#core.clock.now())
    if ('refused' in step) {
      throw new Refusal('chunk_gap', `${committed} bytes are here, the chunk starts at ${query.offset}`, { committed })
    }
    const { skip, length } = step.append
    const after =
      length > 0
        ? await this.#store(key, { ...query, offset: query.offset + skip }, bytes.subarray(skip, skip + length))
        : committed
    if (step.overflow)
      throw new Refusal('stream_full', `the stream ends at its cap of ${cap}`, { committed: after, cap })
    return { committed: after }
  }

  async #store(
    key: { claimId: ClaimId; name: string },
    { offset, at, order }: Omit<ChunkMark, 'length'>,
    bytes: Uint8Array,
  ): Promise<number> {
    try {
      const { committed } = await this.#core.blobs.append(key, { offset, at, order }, bytes)
      this.#core.hub.claim.tell(key.claimId, undefined)
      return committed
    } catch (error) {
      if (error instanceof NoRoomError) throw new Refusal('disk_full', 'pond has no room for the chunk')
      throw error
    }
  }
}

/** Where a reader stands in a stream. */
export interface StreamView {
  readonly claimId: ClaimId
  readonly attempt: number
  readonly committed: number
  /** `open` while more may come. */
  readonly end: StreamEnd | 'open'
}

export interface StreamAsk {
  readonly scope: Scope
  readonly jobId: JobId
  readonly name: StreamName
  readonly attempt?: number | undefined
}

/** Finds the stream of an attempt (the latest by default) and how far it is. */
export async function lookStream(core: Core, ask: StreamAsk): Promise<StreamView> {
  await readJob(core, ask.scope, ask.jobId)
  const claims = await core.store.read((tx) => tx.listClaims(ask.jobId))
  const started = claims.filter((claim) => claim.confirmedAt !== undefined)
  const claim = ask.attempt === undefined ? started.at(-1) : started.findLast((it) => it.attempt === ask.attempt)
  if (!claim) {
    throw new Refusal('not_found', 'there is no such attempt yet', { reason: 'no_attempt' })
  }
  const { committed } = await core.blobs.stat({ claimId: claim.id, name: ask.name })
  const end = claim.streams?.[ask.name]?.end ?? endOf(claim, committed)
  return { claimId: claim.id, attempt: claim.attempt, committed, end }
}

/** The end of a stream of which the final word, if there was one, says nothing. */
function endOf(claim: ClaimRow, committed: number): StreamView['end'] {
  if (isLive(claim.lease.state)) return 'open'
  return claim.lease.state === 'ended' && committed === 0 ? 'complete' : 'lost'
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
