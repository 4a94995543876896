// Reads one stream of an attempt as its consumer wants it: as it is stored, or opened on the way.
import { createSegmentReader, findSegment, HEADER_BYTES_MOST, type Piece, readHeader } from '../../seal/open/segment.ts'
import { SealError } from '../../seal/refusal.ts'
import { STRIDE_BYTES } from '../../seal/segment.ts'
import { callFailure, Failure } from '../failure.ts'
import { readStream, type StreamParts, type StreamRead, type StreamWish } from '../stream.ts'
import { attestedExecution } from './attested.ts'
import { type Opening, sealFailure } from './opening.ts'

export interface OpenedParts extends StreamParts {
  /** Absent for a plain job. */
  readonly opening?: Opening | undefined
}

/** `from` counts opened bytes; the sink is told where its bytes, or the frame they come from, stand among the stored ones. */
export async function readOpened(parts: OpenedParts, wish: StreamWish): Promise<StreamRead> {
  if (!parts.opening) return await readStream(parts, wish)
  try {
    return await readSealed(parts, parts.opening, wish)
  } catch (error) {
    throw sealFailure(`could not open ${wish.name} of ${parts.id}`, error)
  }
}

async function readSealed(parts: StreamParts, opening: Opening, wish: StreamWish): Promise<StreamRead> {
  const stored = await findStored(parts, wish)
  if (!stored && parts.signal.aborted) return { offset: wish.from, end: 'open' }
  if (!stored) throw new Failure({ what: `${parts.id} has no attempt ${wish.attempt} yet` })
  await opening.meet(parts)
  const sealed = opening.reader(stored.claim, wish.name)
  const size = stored.bytes
  const at = wish.from > 0 ? await findSegment(sealed, peekIn(parts, wish), { size, offset: wish.from }) : 0
  const reader = createSegmentReader({ ...sealed, at })
  let until = wish.from
  const sink: StreamWish['sink'] = async (bytes) => {
    const pieces = reader.push(bytes)
    await opening.settle()
    for (const piece of pieces) {
      const skip = Math.max(0, wish.from - piece.offset)
      until = piece.offset + piece.bytes.length
      if (skip < piece.bytes.length) await wish.sink(piece.bytes.subarray(skip), piece.at)
    }
  }
  const read = await readStream(parts, { ...wish, from: at, sink })
  const whole = read.end === 'complete' || read.end === 'capped'
  // Pond says that all of it is here; only the worker's own end proves it.
  if (whole && !reader.ended()) await requireEmpty(parts, opening, { ...wish, read })
  return { ...read, offset: until }
}

/** A stream into which nothing was written has no end of its own; that it is one, its worker attested. */
async function requireEmpty(
  { client, id }: StreamParts,
  opening: Opening,
  { name, attempt, read }: Pick<StreamWish, 'name' | 'attempt'> & { readonly read: StreamRead },
): Promise<void> {
  if (read.offset > 0) throw new SealError('damaged')
  const { facts } = await attestedExecution({ client }, { id, opening, attempt })
  await opening.settle()
  if ((facts.streams[name]?.bytes ?? 0) > 0) throw new SealError('damaged')
}

interface StoredStream {
  readonly claim: string
  readonly bytes: number
}

/** Undefined before the attempt has begun. */
async function findStored(
  { client, id, signal, outage }: StreamParts,
  { attempt, name }: Pick<StreamWish, 'attempt' | 'name'>,
): Promise<StoredStream | undefined> {
  const answer = await client.persist('listAttempts', { params: { id }, signal }, outage.failed)
  if (!answer.ok) {
    if (signal.aborted) return undefined
    throw callFailure(`list the attempts of ${id}`, answer.error)
  }
  const found = answer.reply.items.findLast((it) => it.attempt === attempt)
  const bytes = found?.streams.find((stream) => stream.name === name)?.bytes ?? 0
  return found && { claim: found.claim_id, bytes }
}

/** Enough stored bytes for a header, from an offset. */
function peekIn({ client, id, signal }: StreamParts, { attempt, name }: Pick<StreamWish, 'attempt' | 'name'>) {
  return async (at: number): Promise<Buffer> => {
    const parts: Buffer[] = []
    let length = 0
    const answer = await client.open('readStream', { params: { id, name }, query: { attempt, offset: at }, signal })
    if (!answer.ok) throw callFailure(`read ${name} of ${id}`, answer.error)
    for await (const part of answer.body) {
      parts.push(Buffer.from(part))
      length += part.length
      if (length >= 2 * HEADER_BYTES_MOST) break
    }
    return Buffer.concat(parts)
  }
}

/** The opened end of a stream: at least the last `most` stored bytes of it, and where that begins in the plaintext. */
export async function readEnd(parts: OpenedParts, wish: EndWish): Promise<StreamEnd> {
  const stored = await findStored(parts, wish)
  if (!stored) return { bytes: Buffer.alloc(0), offset: 0 }
  if (!parts.opening) return await readPlainEnd(parts, wish, stored)
  try {
    return await readSealedEnd({ ...parts, opening: parts.opening }, wish, stored)
  } catch (error) {
    throw sealFailure(`could not open ${wish.name} of ${parts.id}`, error)
  }
}

interface EndWish {
  readonly name: string
  readonly attempt: number
  readonly most: number
}

interface StreamEnd {
  readonly bytes: Buffer
  readonly offset: number
}

const over = AbortSignal.abort()

async function readPlainEnd(parts: StreamParts, wish: EndWish, { bytes: size }: StoredStream): Promise<StreamEnd> {
  const { name, attempt, most } = wish
  const offset = Math.max(0, size - most)
  const pieces: Uint8Array[] = []
  const sink: StreamWish['sink'] = async (bytes, at) => {
    if (at < size) pieces.push(bytes.subarray(0, size - at))
  }
  await readStream(parts, { name, attempt, from: offset, over, sink })
  return { bytes: Buffer.concat(pieces), offset }
}

async function readSealedEnd(
  parts: StreamParts & { readonly opening: Opening },
  { name, attempt, most }: EndWish,
  stored: StoredStream,
): Promise<StreamEnd> {
  await parts.opening.meet(parts)
  const sealed = parts.opening.reader(stored.claim, name)
  let at = Math.floor(Math.max(0, stored.bytes - most) / STRIDE_BYTES) * STRIDE_BYTES
  const peek = peekIn(parts, { name, attempt })
  // None begins there where the one before reaches beyond.
  while (at > 0 && !readHeader(sealed, await peek(at), at)) at -= STRIDE_BYTES
  const pieces: Piece[] = []
  const reader = createSegmentReader({ ...sealed, at })
  const sink: StreamWish['sink'] = async (bytes) => void pieces.push(...reader.push(bytes))
  await readStream(parts, { name, attempt, from: at, over, sink })
  return { bytes: Buffer.concat(pieces.map(({ bytes }) => bytes)), offset: pieces[0]?.offset ?? 0 }
}
