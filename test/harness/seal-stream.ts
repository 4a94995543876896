// Sealed streams for tests: written, taken apart by their clear lengths alone, forged, and read again.
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import { createSegmentReader, type Piece, type ReaderParts } from '../../src/seal/open/segment.ts'
import { createSegmentWriter, type SegmentParts, signedHeader } from '../../src/seal/segment.ts'
import type { Signer } from '../../src/seal/signature.ts'
import { systemRandom } from '../../src/system/random.ts'
import { jobDigest, sealingPair, signerOf, sodium, split, stream } from './seal.ts'

export const worker = signerOf('worker')
export const reader = sealingPair('reader')
export const keysOf = (pairs: readonly KeyPair[]) => pairs.map(({ publicKey }) => publicKey)

export function writerParts(wish: Partial<SegmentParts> = {}): SegmentParts {
  const recipients = [reader.publicKey]
  const capBytes = Number.MAX_SAFE_INTEGER
  return { sodium, random: systemRandom, signer: worker, stream, jobDigest, recipients, capBytes, ...wish }
}

/** Everything sealed in these pieces, with the stream's end. */
export function sealStream(pieces: Iterable<Uint8Array>, wish: Partial<SegmentParts> = {}): Buffer {
  const writer = createSegmentWriter(writerParts(wish))
  const stored = [...pieces].flatMap((piece) => writer.seal(piece).stored)
  return Buffer.concat([...stored, ...writer.end()])
}

/** A reader that trusts the worker and named `reader`, unless it is told otherwise. */
export function readerParts(wish: Partial<ReaderParts> = {}): ReaderParts {
  return {
    sodium,
    stream,
    jobDigest,
    pairs: [reader],
    trusts: (key) => key === worker.publicKey,
    named: (to) => to === fingerprint(reader.publicKey),
    ...wish,
  }
}

export interface Read {
  readonly bytes: Buffer
  readonly pieces: readonly Piece[]
  readonly ended: boolean
}

export function readStream(stored: Uint8Array, wish: Partial<ReaderParts> = {}, sizes: readonly number[] = []): Read {
  const segments = createSegmentReader(readerParts(wish))
  const pieces = [...split(stored, sizes)].flatMap((piece) => segments.push(piece))
  return { bytes: Buffer.concat(pieces.map(({ bytes }) => bytes)), pieces, ended: segments.ended() }
}

/** One frame, or one header with its signature and secretstream header, as anybody can find it. */
export interface Part {
  readonly kind: 'header' | 'frame' | 'trailer' | 'end'
  readonly bytes: Buffer
  readonly at: number
}

/** Written from the page, not from the code: 31 is a header, 30 a trailer, 29 the end. */
export function takeApart(stored: Buffer): readonly Part[] {
  const parts: Part[] = []
  for (let at = 0; at < stored.length; ) {
    const word = stored.readUInt32BE(at)
    const length = word & 0x1fff_ffff
    const kind = word >>> 31 ? 'header' : word & 0x2000_0000 ? 'end' : word & 0x4000_0000 ? 'trailer' : 'frame'
    const bytes = stored.subarray(at, at + 4 + length + (kind === 'header' ? 64 + 24 : 0))
    parts.push({ kind, bytes, at })
    at += bytes.length
  }
  return parts
}

/** Whole segments. */
export function segmentsOf(stored: Buffer): readonly Buffer[] {
  const starts = takeApart(stored).filter(({ kind }) => kind === 'header')
  return starts.map(({ at }, index) => stored.subarray(at, starts[index + 1]?.at))
}

/** The stream with its first header changed and signed by somebody; what follows moves. */
export function forgeHeader(stored: Buffer, change: object | ((text: Buffer) => Buffer), signer?: Signer): Buffer {
  const length = stored.readUInt32BE() & 0x1fff_ffff
  const text = stored.subarray(4, 4 + length)
  const forged =
    typeof change === 'function'
      ? change(text)
      : canonicalBytes({ ...(JSON.parse(text.toString()) as object), ...change })
  const signature = signer?.sign(signedHeader(forged)) ?? stored.subarray(4 + length, 4 + length + 64)
  const word = Buffer.alloc(4)
  word.writeUInt32BE((0x8000_0000 | forged.length) >>> 0)
  return Buffer.concat([word, forged, signature, stored.subarray(4 + length + 64)])
}
