// The writer of sealed streams: where segments stand, what they say, and that neither cap nor count is ever passed.
import fc from 'fast-check'
import t from 'tap'
import { segmentHeader } from '../../src/protocol/sealed.ts'
import type { Piece } from '../../src/seal/open/segment.ts'
import { createSegmentWriter, STRIDE_BYTES, signedHeader } from '../../src/seal/segment.ts'
import { isSignedBy } from '../../src/seal/signature.ts'
import { sealingPair, sha256, split } from '../harness/seal.ts'
import {
  keysOf,
  readerParts,
  readStream,
  sealStream,
  segmentsOf,
  takeApart,
  worker,
  writerParts,
} from '../harness/seal-stream.ts'

const many = Array.from({ length: 64 }, (_, index) => sealingPair(`reader ${index}`))
const first = many.slice(0, 1)

t.test('segments fill the stored stream, and each names the one before', async (t) => {
  const plain = Buffer.alloc(2_500_000, 'output\n')
  const stored = sealStream(split(plain, [10_000]))
  const segments = segmentsOf(stored)
  t.equal(segments.length, 3)
  t.strictSame(segments.map(({ length }) => length).slice(0, -1), [STRIDE_BYTES, STRIDE_BYTES])
  let [offset, at] = [0, 0]
  let previous: string | null = null
  for (const [segment, bytes] of segments.entries()) {
    const length = bytes.readUInt32BE() & 0x1fff_ffff
    const text = bytes.subarray(4, 4 + length)
    const header = segmentHeader.parse(JSON.parse(text.toString()))
    t.match(header, { context: { segment, offset, at }, previous, worker: worker.publicKey })
    t.ok(isSignedBy(worker.publicKey, signedHeader(text), bytes.subarray(4 + length, 4 + length + 64)))
    const frames = takeApart(bytes).filter(({ kind }) => kind === 'frame')
    offset += frames.reduce((sum, frame) => sum + frame.bytes.length - 21, 0)
    at += bytes.length
    previous = sha256(bytes)
  }
  t.equal(offset, plain.length)
  t.strictSame(
    takeApart(stored).flatMap(({ kind }) => (kind === 'frame' ? [] : [kind])),
    ['header', 'trailer', 'header', 'trailer', 'header', 'end'],
  )
})

t.test('any writes, any pieces, any number of recipients: what was written is what each of them reads', async (t) => {
  const sizes = fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 6 })
  const total = fc.integer({ min: 1, max: 2_300_000 })
  const count = fc.integer({ min: 1, max: 64 })
  await t.resolves(
    fc.assert(
      fc.asyncProperty(total, sizes, sizes, fc.tuple(count, fc.nat()), async (length, into, out, [readers, pick]) => {
        const pairs = many.slice(0, readers)
        const plain = Buffer.alloc(length, `${length} bytes\n`)
        // Pieces of a few bytes make streams that are mostly overhead; a fifth of them is enough.
        const stored = sealStream(
          split(
            plain,
            into.map((size) => Math.max(size, length / 5000)),
          ),
          { recipients: keysOf(pairs) },
        )
        const mine = pairs[pick % readers] ?? pairs[0]
        const read = readStream(stored, { pairs: mine ? [mine] : [], named: () => true }, out)
        return read.ended && isJoined(read.pieces) && read.bytes.equals(plain)
      }),
      { numRuns: 30 },
    ),
  )
})

/** Bytes kept free for the last frame, and of an empty segment for one reader: no less. */
const LAST_FRAME = 280
const SEGMENT = 1600

t.test('a cap is never passed, and what was taken is what the reader gets', async (t) => {
  const sizes = fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 5 })
  const cap = fc.oneof(
    fc.integer({ min: 0, max: 5000 }),
    fc.integer({ min: 0, max: 90_000 }),
    fc.integer({ min: STRIDE_BYTES - 3000, max: STRIDE_BYTES + 3000 }),
  )
  await t.resolves(
    fc.assert(
      fc.asyncProperty(cap, sizes, fc.constantFrom(1, 2, 64), async (capBytes, into, readers) => {
        const plain = Buffer.alloc(1_200_000, 'capped ')
        const writer = createSegmentWriter(writerParts({ capBytes, recipients: keysOf(many.slice(0, readers)) }))
        const stored: Buffer[] = []
        let taken = 0
        for (const piece of split(plain, into)) {
          const sealed = writer.seal(piece)
          stored.push(...sealed.stored)
          taken += sealed.taken
          if (sealed.taken < piece.length) break
        }
        stored.push(...writer.end())
        const bytes = Buffer.concat(stored)
        if (bytes.length > capBytes) return false
        const read = readStream(bytes, { pairs: first, named: () => true })
        const wasted = capBytes - bytes.length
        // It gives up only where neither a last frame nor one more segment fits.
        const filled = bytes.length === 0 || taken === plain.length || wasted <= LAST_FRAME + SEGMENT * readers
        return filled && read.ended === bytes.length > 0 && read.bytes.equals(plain.subarray(0, taken))
      }),
      { numRuns: 60 },
    ),
  )
})

t.test('a stream of nothing is nothing, and an end is an end', async (t) => {
  const silent = createSegmentWriter(writerParts())
  t.strictSame(silent.seal(Buffer.alloc(0)), { stored: [], taken: 0 })
  t.strictSame(silent.end(), [])
  t.throws(() => silent.end(), /ends once/)
  const writer = createSegmentWriter(writerParts())
  writer.seal(Buffer.from('x'))
  writer.end()
  t.throws(() => writer.seal(Buffer.from('y')), /behind the end/)
})

t.test('one byte, and the first and last sizes of a frame and of a segment', async (t) => {
  const overhead = sealStream([Buffer.of(1)]).length
  const frame = 65_536
  const edges = [1, frame - 1, frame, frame + 1]
  // Where the trailer of the first segment has just no room left, or just some.
  for (let less = 0; less < 1600; less += 41) edges.push(STRIDE_BYTES - overhead - 16 * 21 - less)
  for (const size of edges) {
    const plain = Buffer.alloc(size, 'e')
    const read = readStream(sealStream([plain]))
    t.ok(read.ended && read.bytes.equals(plain), `${size} bytes`)
  }
})

/** Each piece begins where the one before stops. */
function isJoined(pieces: readonly Piece[]): boolean {
  return pieces.every(({ offset }, index) => {
    const before = pieces[index - 1]
    return offset === (before ? before.offset + before.bytes.length : 0)
  })
}

t.test('no header outgrows what a reader takes', async (t) => {
  const stream = { ...writerParts().stream, stream: 'artifact/9999' as const }
  const after = { segment: 2 ** 40, offset: 2 ** 52, at: 2 ** 52, previous: sha256('') }
  const stored = sealStream([Buffer.of(1)], { recipients: keysOf(many), stream, after })
  t.ok((stored.readUInt32BE() & 0x1fff_ffff) < 64 * 1024)
  const parts = readerParts({ stream, pairs: first, named: () => true, at: after.at })
  t.ok(readStream(stored, parts).ended)
})
