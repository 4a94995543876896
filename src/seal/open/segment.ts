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
import { ByteQueue } from '../byte-queue.ts'
import { canonicalBytes, parseCanonical, parseJson } from '../canonical.ts'
import { HEADER_BYTES, LENGTH_BYTES } from '../frame.ts'
import type { KeyPair } from '../key.ts'
import { SealError } from '../refusal.ts'
import {
  END_BIT,
  HEADER_BIT,
  HEADER_TEXT_BYTES_MOST,
  SIGNATURE_BYTES,
  STRIDE_BYTES,
  signedHeader,
  TRAILER_BIT,
} from '../segment.ts'
import { isSignedBy } from '../signature.ts'
import type { Sodium } from '../sodium.ts'
import { createFrameOpener, type FrameOpener, requireFrameLength } from './frame.ts'

export interface ReaderParts {
  readonly sodium: typeof Sodium
  readonly stream: Pick<SegmentContext, 'job' | 'claim' | 'stream'>
  /** SHA-256 of the job's exact bytes, as the reader knows it. */
  readonly jobDigest: string
  /** The reader's own. */
  readonly pairs: readonly KeyPair[]
  /** Whether output signed by this worker is believed. */
  readonly trusts: (worker: string) => boolean
  /** Whether both keys are of one worker, that replaced one of them: a swarm that was interrupted goes on with its keys of now. By default only a key itself is. */
  readonly sameWorker?: (before: string, behind: string) => boolean
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
  /** The stream's own word that it ends here; never said of one that goes on behind it. */
  ended(): boolean
  /** Where the next byte to push stands among the stored ones. */
  position(): number
}

/** So many stored bytes hold any header and its signature. */
export const HEADER_BYTES_MOST = LENGTH_BYTES + HEADER_TEXT_BYTES_MOST + SIGNATURE_BYTES

export function createSegmentReader(parts: ReaderParts): SegmentReader {
  return new Reader(parts)
}

/** The header that begins these stored bytes, checked whole; undefined where none begins or not all of it is here. */
export function readHeader(parts: ReaderParts, bytes: Buffer, at: number): SegmentHeader | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined
  const word = bytes.readUInt32BE()
  const length = (word & ~HEADER_BIT) >>> 0
  if ((word & HEADER_BIT) === 0) return undefined
  if (length > HEADER_TEXT_BYTES_MOST) throw new SealError('damaged')
  const text = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length)
  const signature = bytes.subarray(LENGTH_BYTES + length, LENGTH_BYTES + length + SIGNATURE_BYTES)
  if (signature.length < SIGNATURE_BYTES) return undefined
  return check(parts, { text, signature, at })
}

function check(
  parts: ReaderParts,
  { text, signature, at }: { readonly text: Buffer; readonly signature: Buffer; readonly at: number },
): SegmentHeader {
  const header = parseCanonical(segmentHeader.parse, text)
  const { context, worker, job_digest } = header
  if (!isSignedBy(worker, signedHeader(text), signature)) throw new SealError('bad_signature')
  if (!parts.trusts(worker)) throw new SealError('untrusted')
  const { job, claim, stream } = parts.stream
  const here = context.job === job && context.claim === claim && context.stream === stream && context.at === at
  if (!here || job_digest !== parts.jobDigest) throw new SealError('wrong_place')
  if (!header.boxes.every(({ to }) => parts.named(to))) throw new SealError('unnamed_recipient')
  return header
}

/** Its canonical form, filled up with spaces where it is not the last. */
function parseTrailer(bytes: Buffer): SegmentTrailer {
  const trailer = parseJson(segmentTrailer.parse, bytes)
  const text = canonicalBytes(trailer).toString()
  if (!Buffer.from(text.padEnd(trailer.end ? 0 : bytes.length)).equals(bytes)) throw new SealError('damaged')
  return trailer
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
  /** Of all its bytes, as far as they go. */
  readonly digest: string
}

class Reader implements SegmentReader {
  readonly #parts: ReaderParts
  readonly #held = new ByteQueue()
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
    return this.#ended && this.#held.length === 0
  }

  position(): number {
    return this.#at + this.#held.length
  }

  push(bytes: Uint8Array): readonly Piece[] {
    this.#held.push(bytes)
    const pieces: Piece[] = []
    for (;;) {
      if (this.#ended && this.#held.length > 0) throw new SealError('damaged')
      if (this.#held.length < LENGTH_BYTES) return pieces
      const word = this.#held.peek(LENGTH_BYTES).readUInt32BE()
      const whole = (word & HEADER_BIT) === 0 ? this.#frame(word, pieces) : this.#header(word)
      if (!whole) return pieces
    }
  }

  /** False when not all of it is here yet. */
  #header(word: number): boolean {
    const length = (word & ~HEADER_BIT) >>> 0
    if (length > HEADER_TEXT_BYTES_MOST) throw new SealError('damaged')
    const size = LENGTH_BYTES + length + SIGNATURE_BYTES + HEADER_BYTES
    if (this.#held.length < size) return false
    const bytes = this.#held.peek(size)
    const header = readHeader(this.#parts, bytes, this.#at)
    if (!header) throw new SealError('damaged')
    // A segment without an end of its own was interrupted: the worker says so by signing what comes behind it.
    if (this.#open) this.#plain = undefined
    this.#leave()
    this.#checkOrder(header)
    const { sodium, pairs } = this.#parts
    const { context, worker } = header
    const { key } = openBox(sodium, header, { pairs, place: context })
    const start = bytes.subarray(size - HEADER_BYTES)
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
    if (first && context.offset !== 0) throw new SealError('damaged')
    if (!before) return
    const follows = context.segment === before.context.segment + 1 && context.offset === this.#offset
    const same = worker === before.worker || this.#parts.sameWorker?.(before.worker, worker)
    if (!follows || previous !== before.digest || !same) throw new SealError('damaged')
  }

  #frame(word: number, pieces: Piece[]): boolean {
    const open = this.#open
    const length = (word & ~(TRAILER_BIT | END_BIT)) >>> 0
    if (!open) throw new SealError('damaged')
    requireFrameLength(length)
    if (this.#held.length < LENGTH_BYTES + length) return false
    const { bytes, final } = open.opener.open(this.#held.peek(LENGTH_BYTES + length).subarray(LENGTH_BYTES))
    const trailer = final ? parseTrailer(bytes) : undefined
    // Who has no key goes by the bits, so they must say the same. Only a trailer is final, and no other frame is empty.
    const bits = (final ? TRAILER_BIT : 0) | (trailer?.end ? END_BIT : 0)
    if (word !== (bits | length) >>> 0 || bytes.length === 0) throw new SealError('damaged')
    const { at, offset } = { at: this.#at, offset: this.#offset ?? 0 }
    this.#advance(LENGTH_BYTES + length)
    if (trailer) this.#trailer(trailer)
    else {
      this.#plain?.update(bytes)
      this.#offset = offset + bytes.length
      pieces.push({ bytes, offset, at })
    }
    return true
  }

  #trailer(trailer: SegmentTrailer): void {
    this.#leave()
    if (!trailer.end) {
      if (this.#at % STRIDE_BYTES !== 0) throw new SealError('damaged')
      return
    }
    // A writer that went on behind a whole segment did not hash across either, and no interruption shows.
    const same = !this.#plain || trailer.sha256 === undefined || trailer.sha256 === this.#plain.digest('hex')
    if (trailer.bytes !== this.#offset || !same) throw new SealError('damaged')
    this.#ended = true
  }

  #leave(): void {
    if (!this.#open) return
    const { context, worker, opener, hash } = this.#open
    opener.close()
    this.#before = { context, worker, digest: hash.digest('hex') }
    this.#open = undefined
  }

  #advance(size: number): void {
    this.#open?.hash.update(this.#held.peek(size))
    this.#held.drop(size)
    this.#at += size
  }
}

/** Among the stored bytes, where to begin reading for a place in the plaintext. `peek` gives HEADER_BYTES_MOST stored bytes from there, fewer only at the end. */
export async function findSegment(
  parts: ReaderParts,
  peek: (at: number) => Promise<Buffer>,
  wish: { readonly size: number; readonly offset: number },
): Promise<number> {
  let low = 0
  let high = Math.max(0, Math.ceil(wish.size / STRIDE_BYTES) - 1)
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    // Where the segment before reaches beyond, none begins; the next multiple has one then, unless that was interrupted too.
    const found = (await offsetAt(parts, peek, middle)) ?? (await offsetAt(parts, peek, middle + 1))
    if (found && found.offset <= wish.offset && found.stride <= high) low = found.stride
    else high = middle - 1
  }
  return low * STRIDE_BYTES
}

/** Which plaintext begins at this multiple; undefined when no good header stands there. Reading starts earlier then, and refuses what is bad. */
async function offsetAt(
  parts: ReaderParts,
  peek: (at: number) => Promise<Buffer>,
  stride: number,
): Promise<{ readonly stride: number; readonly offset: number } | undefined> {
  try {
    const at = stride * STRIDE_BYTES
    const header = readHeader(parts, await peek(at), at)
    return header && { stride, offset: header.context.offset }
  } catch (error) {
    if (error instanceof SealError) return undefined
    throw error
  }
}
