// Where a sealed stream stops whose writer is gone: found by its lengths and headers alone, without a key.
import { segmentHeader } from '../protocol/sealed.ts'
import { FRAME_EXTRA_BYTES, HEADER_BYTES, LENGTH_BYTES } from './frame.ts'
import { HEADER_BIT, type Interruption, SIGNATURE_BYTES, STRIDE_BYTES, TRAILER_BIT } from './segment.ts'

/** Fills `target` from the stored stream; answers how many bytes there were. */
export type ReadStored = (at: number, target: Uint8Array) => Promise<number>

/** Where the next segment must begin; behind that there may be part of a frame, to be cut off. `ended`: the stream has its end. */
export async function findInterruption(read: ReadStored, size: number): Promise<Interruption | 'ended'> {
  const last = Math.floor(Math.max(0, size - 1) / STRIDE_BYTES) * STRIDE_BYTES
  for (let start = last; start >= 0; start -= STRIDE_BYTES) {
    const found = await walk(read, size, start)
    if (found) return found
  }
  return { segment: 0, offset: 0, at: 0 }
}

/** Undefined when no whole header begins at `start`. */
async function walk(read: ReadStored, size: number, start: number): Promise<Interruption | 'ended' | undefined> {
  let found: Interruption | undefined
  let closed = false
  for (let at = start; at + LENGTH_BYTES <= size; ) {
    const word = (await take(read, at, LENGTH_BYTES)).readUInt32BE()
    const isHeader = (word & HEADER_BIT) !== 0
    const length = (word & ~(HEADER_BIT | TRAILER_BIT)) >>> 0
    const next = at + LENGTH_BYTES + length + (isHeader ? SIGNATURE_BYTES + HEADER_BYTES : 0)
    if (next > size || (!isHeader && !found)) break
    if (isHeader) {
      const { segment, offset } = parseHeader(await take(read, at + LENGTH_BYTES, length))
      found = { segment: segment + 1, offset, at: next }
      closed = false
    } else if (found) {
      closed = (word & TRAILER_BIT) !== 0
      const plain = closed ? 0 : length + LENGTH_BYTES - FRAME_EXTRA_BYTES
      found = { ...found, offset: found.offset + plain, at: next }
    }
    at = next
  }
  // Only the end of the stream closes a segment that does not reach up to the next one.
  return found && closed && found.at % STRIDE_BYTES !== 0 ? 'ended' : found
}

async function take(read: ReadStored, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  const got = await read(at, bytes)
  return bytes.subarray(0, got)
}

function parseHeader(bytes: Buffer): { readonly segment: number; readonly offset: number } {
  return segmentHeader.parse(JSON.parse(bytes.toString('utf8'))).context
}
