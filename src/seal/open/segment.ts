// Reads sealed streams: from any segment on, as bytes come. What is out of place, unsigned or not by whom it should be is refused, and nothing behind it is given out.
import { createHash, type Hash } from 'node:crypto'
import {
  type SegmentContext,
  type SegmentHeader,
  type SegmentTrailer,
  segmentHeader,
  segmentTrailer,
} from '../../protocol/sealed.ts'
import { openBox } from '../box.ts'
import { FRAME_BYTES, FRAME_EXTRA_BYTES, HEADER_BYTES, LENGTH_BYTES } from '../frame.ts'
import type { KeyPair } from '../key.ts'
import { SealError } from '../refusal.ts'
import { HEADER_BIT, SIGNATURE_BYTES, STRIDE_BYTES, signedHeader, TRAILER_BIT } from '../segment.ts'
import { isSignedBy } from '../signature.ts'
import type { Sodium } from '../sodium.ts'
import { createFrameOpener, type FrameOpener } from './frame.ts'

export interface ReaderParts {
  readonly sodium: typeof Sodium
  readonly stream: Pick<SegmentContext, 'job' | 'claim' | 'stream'>
  /** SHA-256 of the job's exact bytes, as the reader knows it. */
  readonly jobDigest: string
  /** The reader's own. */
  readonly pairs: readonly KeyPair[]
  /** Whether output signed by this worker is believed. */
  readonly trusts: (worker: string) => boolean
  /** Whether this fingerprint is of a recipient that the consumer named. */
  readonly named: (fingerprint: string) => boolean
  /** Where reading starts among the stored bytes: the beginning of a segment. */
  readonly at?: number
}

/** Opened bytes: where they stand in the plaintext, and where their frame stands among the stored bytes. */
export interface Piece {
  readonly bytes: Buffer
  readonly offset: number
  readonly at: number
}

export interface SegmentReader {
  push(bytes: Uint8Array): readonly Piece[]
  /** The stream's own word that it ends here. */
  ended(): boolean
  /** Where the next byte to push stands among the stored ones. */
  position(): number
}

/** Longer than a header for the most recipients. */
export const HEADER_BYTES_MOST = 64 * 1024

export function createSegmentReader(parts: ReaderParts): SegmentReader {
  return new Reader(parts)
}

/** The header that begins these stored bytes, checked whole; undefined where none begins or not all of it is here. */
export function readHeader(parts: ReaderParts, bytes: Buffer, at: number): SegmentHeader | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined
  const word = bytes.readUInt32BE()
  const length = (word & ~HEADER_BIT) >>> 0
  if ((word & HEADER_BIT) === 0) return undefined
  if (length > HEADER_BYTES_MOST) throw new SealError('damaged')
  const text = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length)
  const signature = bytes.subarray(LENGTH_BYTES + length, LENGTH_BYTES + length + SIGNATURE_BYTES)
  if (signature.length < SIGNATURE_BYTES) return undefined
  return check(parts, { text, signature, at })
}

function check(
  parts: ReaderParts,
  { text, signature, at }: { readonly text: Buffer; readonly signature: Buffer; readonly at: number },
): SegmentHeader {
  const header = parseWith(segmentHeader.parse, text)
  const { context, worker, job_digest } = header
  if (!isSignedBy(worker, signedHeader(text), signature)) throw new SealError('bad_signature')
  if (!parts.trusts(worker)) throw new SealError('untrusted')
  const { job, claim, stream } = parts.stream
  const here = context.job === job && context.claim === claim && context.stream === stream && context.at === at
  if (!here || job_digest !== parts.jobDigest) throw new SealError('wrong_place')
  if (!header.boxes.every(({ to }) => parts.named(to))) throw new SealError('unnamed_recipient')
  return header
}

function parseWith<T>(parse: (value: unknown) => T, bytes: Buffer): T {
  try {
    return parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    throw new SealError('damaged')
  }
}

interface OpenSegment {
  readonly context: SegmentContext
  readonly opener: FrameOpener
  readonly worker: string
  readonly hash: Hash
}

interface ClosedSegment {
  readonly context: SegmentContext
  readonly worker: string
  /** Of all its bytes; undefined when it was interrupted. */
  readonly digest: string | undefined
}

class Reader implements SegmentReader {
  readonly #parts: ReaderParts
  #held: Buffer = Buffer.alloc(0)
  /** Where `#held` begins among the stored bytes. */
  #at: number
  #offset: number | undefined
  #open: OpenSegment | undefined
  #before: ClosedSegment | undefined
  #ended = false
  /** Of the plaintext, while it was read from its beginning without an interruption. */
  #plain: Hash | undefined

  constructor(parts: ReaderParts) {
    this.#parts = parts
    this.#at = parts.at ?? 0
    this.#plain = this.#at === 0 ? createHash('sha256') : undefined
  }

  ended(): boolean {
    return this.#ended
  }

  position(): number {
    return this.#at + this.#held.length
  }

  push(bytes: Uint8Array): readonly Piece[] {
    this.#held = Buffer.concat([this.#held, bytes])
    const pieces: Piece[] = []
    for (;;) {
      if (this.#ended && this.#held.length > 0) throw new SealError('damaged')
      if (this.#held.length < LENGTH_BYTES) return pieces
      const word = this.#held.readUInt32BE()
      const whole = (word & HEADER_BIT) === 0 ? this.#frame(word, pieces) : this.#header()
      if (!whole) return pieces
    }
  }

  /** False when not all of it is here yet. */
  #header(): boolean {
    const header = readHeader(this.#parts, this.#held, this.#at)
    if (!header) return false
    const length = (this.#held.readUInt32BE() & ~HEADER_BIT) >>> 0
    const size = LENGTH_BYTES + length + SIGNATURE_BYTES + HEADER_BYTES
    if (this.#held.length < size) return false
    // A segment without an end of its own was interrupted, and the next one says so.
    if (this.#open) this.#leave(undefined)
    this.#checkOrder(header)
    const { sodium, pairs } = this.#parts
    const { context, boxes, worker } = header
    const { key } = openBox(sodium, { boxes, pairs, place: context })
    const start = this.#held.subarray(size - HEADER_BYTES, size)
    const opener = createFrameOpener(sodium, { key: Buffer.from(key, 'base64url'), header: start, place: context })
    this.#open = { context, opener, worker, hash: createHash('sha256') }
    this.#offset = context.offset
    this.#advance(size)
    return true
  }

  #checkOrder({ context, previous, worker }: SegmentHeader): void {
    const before = this.#before
    const first = context.segment === 0
    if (first !== (previous === null) || first !== (context.at === 0)) throw new SealError('damaged')
    if (!before) return
    const expected = before.digest ?? 'interrupted'
    const follows = context.segment === before.context.segment + 1 && context.offset === this.#offset
    if (!follows || previous !== expected || worker !== before.worker) throw new SealError('damaged')
  }

  #frame(word: number, pieces: Piece[]): boolean {
    const open = this.#open
    const length = (word & ~TRAILER_BIT) >>> 0
    if (!open || length > FRAME_BYTES + FRAME_EXTRA_BYTES) throw new SealError('damaged')
    if (this.#held.length < LENGTH_BYTES + length) return false
    const { bytes, final } = open.opener.open(this.#held.subarray(LENGTH_BYTES, LENGTH_BYTES + length))
    if (final !== ((word & TRAILER_BIT) !== 0)) throw new SealError('damaged')
    const { at, offset } = { at: this.#at, offset: this.#offset ?? 0 }
    this.#advance(LENGTH_BYTES + length)
    if (final) this.#trailer(parseWith(segmentTrailer.parse, bytes))
    else {
      this.#plain?.update(bytes)
      this.#offset = offset + bytes.length
      pieces.push({ bytes, offset, at })
    }
    return true
  }

  #trailer(trailer: SegmentTrailer): void {
    this.#leave(this.#open?.hash.digest('hex'))
    if (!trailer.end) {
      if (this.#at % STRIDE_BYTES !== 0) throw new SealError('damaged')
      return
    }
    const sha256 = this.#plain?.digest('hex')
    const same = trailer.sha256 === undefined || sha256 === undefined || trailer.sha256 === sha256
    if (trailer.bytes !== this.#offset || !same) throw new SealError('damaged')
    this.#ended = true
  }

  #leave(digest: string | undefined): void {
    if (!this.#open) return
    const { context, worker } = this.#open
    this.#before = { context, worker, digest }
    this.#open = undefined
    if (digest === undefined) this.#plain = undefined
  }

  #advance(size: number): void {
    this.#open?.hash.update(this.#held.subarray(0, size))
    this.#held = this.#held.subarray(size)
    this.#at += size
  }
}

/** Among the stored bytes, where to begin reading for a place in the plaintext. `peek` gives stored bytes from there, at least a header's worth. */
export async function findSegment(
  parts: ReaderParts,
  peek: (at: number) => Promise<Buffer>,
  wish: { readonly size: number; readonly offset: number },
): Promise<number> {
  let low = 0
  let high = Math.max(0, Math.ceil(wish.size / STRIDE_BYTES) - 1)
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    const at = middle * STRIDE_BYTES
    // None begins there where the one before reaches beyond.
    const header = readHeader(parts, await peek(at), at)
    if (header && header.context.offset <= wish.offset) low = middle
    else high = middle - 1
  }
  return low * STRIDE_BYTES
}
