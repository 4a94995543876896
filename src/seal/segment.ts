// Segments: a live stream as a row of envelopes, sealed once, while it is written. Each fills the stored stream up to the next multiple of
// STRIDE_BYTES, so that reading can start at any such place; each is signed by the worker and names the digest of the one before.
import { createHash, type Hash } from 'node:crypto'
import type { SegmentContext, SegmentHeader, SegmentTrailer } from '../protocol/sealed.ts'
import type { Random } from '../system/random.ts'
import { sealBoxes } from './box.ts'
import { canonicalBytes } from './canonical.ts'
import {
  createFrameSealer,
  FRAME_BYTES,
  FRAME_EXTRA_BYTES,
  type FrameSealer,
  HEADER_BYTES,
  LENGTH_BYTES,
} from './frame.ts'
import type { Signer } from './signature.ts'
import type { Sodium } from './sodium.ts'

/** A segment begins at each multiple of this among the stored bytes, and where an interrupted one stops. */
export const STRIDE_BYTES = 1024 * 1024
/** Marks the length of a header, of a segment's last frame and of the stream's last: who cannot open frames still finds where they stop. */
export const HEADER_BIT = 0x8000_0000
export const TRAILER_BIT = 0x4000_0000
export const END_BIT = 0x2000_0000
/** More than a header for the most recipients takes. */
export const HEADER_TEXT_BYTES_MOST = 64 * 1024
export const SIGNATURE_BYTES = 64
/** Kept free for the last frame of a segment: its trailer, and what a frame takes. */
const TRAILER_BYTES = 256
/** A sealed box on top of what it holds. */
const BOX_EXTRA_BYTES = 48

/** What the worker signs: this line, then the header's exact bytes. It keeps the signature from meaning anything else. */
export function signedHeader(header: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('pond-segment-1\n'), header])
}

/** Where a stream was interrupted, and goes on: what the header of the segment to come says. */
export interface Interruption
  extends Pick<SegmentContext, 'segment' | 'offset' | 'at'>,
    Pick<SegmentHeader, 'previous'> {}

export interface SegmentParts {
  readonly sodium: typeof Sodium
  readonly random: Random
  readonly signer: Signer
  readonly stream: Pick<SegmentContext, 'job' | 'claim' | 'stream'>
  readonly jobDigest: string
  /** X25519 public keys in unpadded base64url. */
  readonly recipients: readonly string[]
  /** The most that is stored. */
  readonly capBytes: number
  readonly after?: Interruption
}

export interface SegmentWriter {
  /** Seals as much as fits under the cap; `taken` tells how many bytes that are. */
  seal(bytes: Uint8Array): { readonly stored: readonly Buffer[]; readonly taken: number }
  /** The end of the stream; nothing may be sealed behind it. Empty when nothing ever was, or when behind an interruption there is no room for it. */
  end(): readonly Buffer[]
}

export function createSegmentWriter(parts: SegmentParts): SegmentWriter {
  return new Segments(parts)
}

interface OpenSegment {
  readonly sealer: FrameSealer
  /** Among the stored bytes. */
  readonly until: number
}

class Segments implements SegmentWriter {
  readonly #parts: SegmentParts
  #open: OpenSegment | undefined
  #segment: number
  #offset: number
  #at: number
  #previous: SegmentHeader['previous']
  /** Of the segment under way. */
  #hash: Hash = createHash('sha256')
  /** Of the plaintext; undefined behind an interruption. */
  readonly #plain: Hash | undefined
  #stored: Buffer[] = []
  #ended = false

  constructor(parts: SegmentParts) {
    this.#parts = parts
    const { after } = parts
    this.#segment = after?.segment ?? 0
    this.#offset = after?.offset ?? 0
    this.#at = after?.at ?? 0
    this.#previous = after?.previous ?? null
    this.#plain = this.#at === 0 ? createHash('sha256') : undefined
  }

  seal(bytes: Uint8Array): { readonly stored: readonly Buffer[]; readonly taken: number } {
    if (this.#ended) throw new Error('nothing is sealed behind the end')
    let taken = 0
    while (taken < bytes.length) {
      const { sealer, room } = this.#roomy() ?? {}
      if (!sealer || room === undefined) break
      const piece = bytes.subarray(taken, taken + Math.min(FRAME_BYTES, room))
      this.#store(sealer.seal(piece, false))
      this.#plain?.update(piece)
      this.#offset += piece.length
      taken += piece.length
    }
    return { stored: this.#take(), taken }
  }

  end(): readonly Buffer[] {
    if (this.#ended) throw new Error('a stream ends once')
    this.#ended = true
    if (this.#at === 0 || (!this.#open && !this.#fits(this.#at))) return []
    this.#open ??= this.#begin()
    const sha256 = this.#plain?.digest('hex')
    const trailer: SegmentTrailer = { end: true, bytes: this.#offset, ...(sha256 && { sha256 }) }
    this.#close(canonicalBytes(trailer), TRAILER_BIT | END_BIT)
    return this.#take()
  }

  /** A segment with room for at least one byte; undefined at the cap. */
  #roomy(): { readonly sealer: FrameSealer; readonly room: number } | undefined {
    for (;;) {
      if (!this.#open && !this.#fits(this.#at)) return undefined
      this.#open ??= this.#begin()
      const { sealer, until } = this.#open
      const room = Math.min(until, this.#parts.capBytes) - this.#at - FRAME_EXTRA_BYTES - TRAILER_BYTES
      if (room > 0) return { sealer, room }
      if (!this.#fits(until)) return undefined
      const filling = until - this.#at - FRAME_EXTRA_BYTES
      this.#close(Buffer.from(canonicalBytes({ end: false }).toString().padEnd(filling)), TRAILER_BIT)
    }
  }

  /** Whether a segment that begins there can hold something and its end. */
  #fits(at: number): boolean {
    return at + this.#leastBytes() <= this.#parts.capBytes
  }

  /** An upper bound of what a segment takes before its first byte, with room for that and its end. */
  #leastBytes(): number {
    const { recipients, signer, jobDigest, stream } = this.#parts
    const most = Number.MAX_SAFE_INTEGER
    const context = { kind: 'segment', ...stream, segment: most, offset: most, at: most } as const
    const key = 'k'.repeat(43)
    const box = 'b'.repeat(Math.ceil(((canonicalBytes({ key, context }).length + BOX_EXTRA_BYTES) * 4) / 3))
    const boxes = recipients.map(() => ({ to: 'f'.repeat(39), box }))
    const longest = { format: 1, context, job_digest: jobDigest, previous: jobDigest, boxes, worker: signer.publicKey }
    return canonicalBytes(longest).length + LENGTH_BYTES + SIGNATURE_BYTES + HEADER_BYTES + 2 * TRAILER_BYTES
  }

  #begin(): OpenSegment {
    const { sodium, random, signer } = this.#parts
    const key = random.bytes(32)
    const header = this.#makeHeader(key)
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32BE((HEADER_BIT | header.length) >>> 0)
    const sealer = createFrameSealer(sodium, key, this.#context())
    // Behind an interruption there may be too little room up to the next multiple; then it goes on to the one behind.
    const until = Math.ceil((this.#at + this.#leastBytes()) / STRIDE_BYTES) * STRIDE_BYTES
    this.#hash = createHash('sha256')
    for (const part of [length, header, signer.sign(signedHeader(header)), sealer.header]) this.#store(part)
    return { sealer, until }
  }

  #makeHeader(key: Buffer): Buffer {
    const { sodium, recipients, signer, jobDigest } = this.#parts
    const context = this.#context()
    const capsule = { key: key.toString('base64url'), context }
    const header: SegmentHeader = {
      format: 1,
      context,
      job_digest: jobDigest,
      previous: this.#previous,
      boxes: sealBoxes(sodium, recipients, capsule),
      worker: signer.publicKey,
    }
    return canonicalBytes(header)
  }

  #context(): SegmentContext {
    return {
      kind: 'segment',
      ...this.#parts.stream,
      segment: this.#segment,
      offset: this.#offset,
      at: this.#at,
    }
  }

  #close(trailer: Uint8Array, bits: number): void {
    if (!this.#open) return
    const frame = this.#open.sealer.seal(trailer, true)
    frame.writeUInt32BE((bits | frame.readUInt32BE()) >>> 0)
    this.#store(frame)
    this.#open = undefined
    this.#previous = this.#hash.digest('hex')
    this.#segment++
  }

  #store(bytes: Buffer): void {
    this.#hash.update(bytes)
    this.#at += bytes.length
    this.#stored.push(bytes)
  }

  #take(): readonly Buffer[] {
    const stored = this.#stored
    this.#stored = []
    return stored
  }
}
