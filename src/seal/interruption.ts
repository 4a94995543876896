// Where a sealed stream stops whose writer is gone: found by its lengths and headers alone, without a key.
import { createHash } from 'node:crypto'
import { type SegmentHeader, segmentHeader } from '../protocol/sealed.ts'
import { parseCanonical } from './canonical.ts'
import { FRAME_EXTRA_BYTES, HEADER_BYTES, LENGTH_BYTES } from './frame.ts'
import { SealError } from './refusal.ts'
import {
  END_BIT,
  HEADER_BIT,
  HEADER_TEXT_BYTES_MOST,
  type Interruption,
  SIGNATURE_BYTES,
  STRIDE_BYTES,
  TRAILER_BIT,
} from './segment.ts'

/** Fills `target` from the stored stream; answers how many bytes there were. */
export type ReadStored = (at: number, target: Uint8Array) => Promise<number>

/** Where the next segment must begin; behind that there may be part of a frame, to be cut off. `ended`: the stream has its end. */
export async function findInterruption(read: ReadStored, size: number): Promise<Interruption | 'ended'> {
  const last = Math.floor(Math.max(0, size - 1) / STRIDE_BYTES) * STRIDE_BYTES
  for (let start = last; start >= 0; start -= STRIDE_BYTES) {
    const found = await walk(read, size, start)
    if (found) return found
  }
  return { segment: 0, offset: 0, at: 0, previous: null }
}

/** A segment on the way from its header to where it stops. */
interface Walked {
  readonly segment: number
  readonly start: number
  offset: number
  at: number
  closed: boolean
}

/** Undefined when no whole header begins at `start`. */
async function walk(read: ReadStored, size: number, start: number): Promise<Interruption | 'ended' | undefined> {
  let found: Walked | undefined
  for (let at = start; at + LENGTH_BYTES <= size; ) {
    const word = (await take(read, at, LENGTH_BYTES)).readUInt32BE()
    const length = (word & ~(HEADER_BIT | TRAILER_BIT | END_BIT)) >>> 0
    if ((word & HEADER_BIT) !== 0) {
      const next = at + LENGTH_BYTES + length + SIGNATURE_BYTES + HEADER_BYTES
      if (length > HEADER_TEXT_BYTES_MOST || next > size) break
      const context = readContext(await take(read, at + LENGTH_BYTES, length))
      // Where a segment reaches beyond a multiple of STRIDE_BYTES, any bytes can stand there.
      if (context?.at !== at) break
      found = { segment: context.segment, start: at, offset: context.offset, at: next, closed: false }
    } else {
      const next = at + LENGTH_BYTES + length
      const plain = next - at - FRAME_EXTRA_BYTES
      // A disk that lost power may have left zeros, which are no frame.
      if (!found || found.closed || plain < 0 || next > size) break
      found.closed = (word & TRAILER_BIT) !== 0
      found.offset += found.closed ? 0 : plain
      found.at = next
      if ((word & END_BIT) !== 0) return 'ended'
    }
    at = found.at
  }
  if (!found) return undefined
  return { segment: found.segment + 1, offset: found.offset, at: found.at, previous: await digest(read, found) }
}

async function take(read: ReadStored, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  if ((await read(at, bytes)) < length) throw new Error('the stored stream is shorter than it was said to be')
  return bytes
}

/** Undefined for what is no header. */
function readContext(bytes: Buffer): SegmentHeader['context'] | undefined {
  try {
    return parseCanonical(segmentHeader.parse, bytes).context
  } catch (error) {
    if (error instanceof SealError) return undefined
    throw error
  }
}

/** Of a segment as far as it goes, which the next one names. */
async function digest(read: ReadStored, { start, at: end }: Walked): Promise<string> {
  const hash = createHash('sha256')
  for (let at = start; at < end; at += DIGEST_BYTES) hash.update(await take(read, at, Math.min(DIGEST_BYTES, end - at)))
  return hash.digest('hex')
}

const DIGEST_BYTES = 256 * 1024
