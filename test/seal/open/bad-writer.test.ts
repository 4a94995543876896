// What a worker could seal and sign that is no stream all the same: made by hand, with the keys that it has.
import t from 'tap'
import type { SegmentHeader } from '../../../src/protocol/sealed.ts'
import { sealBoxes } from '../../../src/seal/box.ts'
import { canonicalBytes } from '../../../src/seal/canonical.ts'
import { createFrameSealer } from '../../../src/seal/frame.ts'
import { END_BIT, STRIDE_BYTES, signedHeader, TRAILER_BIT } from '../../../src/seal/segment.ts'
import { jobDigest, refusalOf, sha256, sodium, stream } from '../../harness/seal.ts'
import { reader, readStream, worker } from '../../harness/seal-stream.ts'

const key = Buffer.alloc(32, 5)

interface Made {
  readonly segment?: number
  readonly offset?: number
  readonly previous?: SegmentHeader['previous']
  readonly frames: readonly Uint8Array[]
  readonly trailer?: Uint8Array
  readonly bits?: number
}

/** Segments behind each other; where a field is not given it is as it must be. */
function make(...all: readonly Made[]): Buffer {
  let stored = Buffer.alloc(0)
  let [offset, last] = [0, 0]
  for (const [index, made] of all.entries()) {
    const place = { segment: made.segment ?? index, offset: made.offset ?? offset, at: stored.length }
    const context = { kind: 'segment', ...stream, ...place } as const
    const previous = made.previous ?? (index === 0 ? null : sha256(stored.subarray(last)))
    const boxes = sealBoxes(sodium, [reader.publicKey], { key: key.toString('base64url'), context })
    const parts = { format: 1, context, job_digest: jobDigest, previous, boxes, worker: worker.publicKey }
    const header = canonicalBytes(parts)
    const sealer = createFrameSealer(sodium, key, context)
    const frames = made.frames.map((bytes) => sealer.seal(bytes, false))
    const end = made.trailer ? [mark(sealer.seal(made.trailer, true), made.bits ?? TRAILER_BIT)] : []
    const length = mark(Buffer.from([0, 0, header.length >> 8, header.length & 0xff]), 0x8000_0000)
    last = stored.length
    stored = Buffer.concat([
      stored,
      length,
      header,
      worker.sign(signedHeader(header)),
      sealer.header,
      ...frames,
      ...end,
    ])
    offset += made.frames.reduce((sum, bytes) => sum + bytes.length, 0)
  }
  return stored
}

function mark(frame: Buffer, bits: number): Buffer {
  frame.writeUInt32BE((frame.readUInt32BE() | bits) >>> 0)
  return frame
}

const text = Buffer.from('text')
const ending = (bytes: number, more: object = {}) => canonicalBytes({ end: true, bytes, ...more })
const end = (bytes: number, more?: object) => ({ trailer: ending(bytes, more), bits: TRAILER_BIT | END_BIT })
const refusal = (...all: readonly Made[]) => refusalOf(() => readStream(make(...all)))

/** What closes a first segment with this much in it just at the multiple. */
function filling(bytes: readonly Uint8Array[]): Buffer {
  const open = make({ frames: bytes, trailer: Buffer.alloc(1) })
  return Buffer.from('{"end":false}'.padEnd(STRIDE_BYTES - open.length + 1))
}

t.test('made as it must be, it is read', async (t) => {
  const one = readStream(make({ frames: [text, text], ...end(8, { sha256: sha256('texttext') }) }))
  t.match(one, { ended: true })
  t.equal(one.bytes.toString(), 'texttext')
  t.equal(await refusal({ frames: [text] }, { frames: [text] }, { frames: [], ...end(8) }), undefined, 'interrupted')
  const much = Array.from({ length: 15 }, () => Buffer.alloc(65_536))
  const rest = Buffer.alloc(STRIDE_BYTES - make({ frames: much }).length - 300)
  const full = [...much, rest.subarray(0, 64_000)]
  const trailer = filling(full)
  t.ok(trailer.length < 65_536)
  const total = full.reduce((sum, bytes) => sum + bytes.length, 0)
  t.equal(await refusal({ frames: full, trailer }, { frames: [text], ...end(total + 4) }), undefined, 'and filled')
  const tabbed = Buffer.from(trailer)
  tabbed[20] = 0x09
  t.equal(await refusal({ frames: full, trailer: tabbed }), 'damaged', 'but not with anything else')
})

t.test('segments that do not follow', async (t) => {
  const first = { frames: [text] }
  const last = { frames: [text], ...end(8) }
  t.equal(await refusal(first, last), undefined)
  t.equal(await refusal(first, { ...last, segment: 2 }), 'damaged', 'a number left out')
  t.equal(await refusal(first, { frames: [text], offset: 3, ...end(7) }), 'damaged', 'over what was there')
  t.equal(await refusal(first, { frames: [text], offset: 5, ...end(9) }), 'damaged', 'with a gap')
  t.equal(await refusal(first, { ...last, previous: sha256('') }), 'damaged', 'behind another')
  const early = { frames: [text], trailer: Buffer.from('{"end":false}') }
  t.equal(await refusal(early), 'damaged', 'closed before its place')
  t.equal(await refusal(early, last), 'damaged')
})

t.test('frames and ends that are none', async (t) => {
  t.equal(await refusal({ frames: [text, Buffer.alloc(0), text], ...end(8) }), 'damaged', 'an empty frame')
  t.equal(await refusal({ frames: [text], trailer: Buffer.alloc(0) }), 'damaged', 'an empty trailer')
  t.equal(await refusal({ frames: [text], ...end(3) }), 'damaged', 'less than there is')
  t.equal(await refusal({ frames: [text], ...end(5) }), 'damaged', 'more than there is')
  t.equal(await refusal({ frames: [text], ...end(4, { sha256: sha256('tex') }) }), 'damaged', 'of another text')
  for (const spaced of [
    '{"bytes":4,"end":true} ',
    ' {"bytes":4,"end":true}',
    '{"bytes":4, "end":true}',
    '{"end":true,"bytes":4}',
  ]) {
    const bits = TRAILER_BIT | END_BIT
    t.equal(await refusal({ frames: [text], trailer: Buffer.from(spaced), bits }), 'damaged', spaced)
  }
  t.equal(await refusal({ frames: [text], ...end(4), bits: TRAILER_BIT }), 'damaged', 'an end without its bit')
  t.equal(await refusal({ frames: [text], ...end(4), bits: 0 }), 'damaged', 'a trailer without its bit')
})
