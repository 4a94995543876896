// Frames: what is sealed comes back whole, and what is not the next frame as it was sealed is refused, whatever the pieces it comes in.
import fc from 'fast-check'
import t from 'tap'
import {
  createFrameSealer,
  FRAME_BYTES,
  FRAME_EXTRA_BYTES,
  HEADER_BYTES,
  placeBytes,
  sealPayload,
} from '../../../src/seal/frame.ts'
import { createFrameOpener, openPayload } from '../../../src/seal/open/frame.ts'
import { freeState, loadSodium } from '../../../src/seal/sodium.ts'
import { mutateBytes } from '../../harness/mutation.ts'
import { gather, places, refusalOf, sodium, split } from '../../harness/seal.ts'

const key = Buffer.alloc(32, 7)
const place = places.bundle
const content = { key, place }
const sizes = [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES, 2 * FRAME_BYTES + 1]

const seal = (...payload: readonly Uint8Array[]) => gather(sealPayload(createFrameSealer(sodium, key, place), payload))
const open = (frames: Iterable<Uint8Array>) => openPayload(sodium, content, frames)
const refusal = (...frames: readonly Uint8Array[]) => refusalOf(() => open(frames))

/** Frames by hand, as somebody who has the key could make them. */
function makeRow(...frames: readonly { readonly size: number; readonly tag: number }[]): Buffer {
  const { state, header } = sodium.crypto_secretstream_xchacha20poly1305_init_push(key)
  const sealed = frames.map(({ size, tag }) => {
    const frame = sodium.crypto_secretstream_xchacha20poly1305_push(state, Buffer.alloc(size), placeBytes(place), tag)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(frame.length)
    return Buffer.concat([length, frame])
  })
  return Buffer.concat([header, ...sealed])
}

const tag = {
  message: sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE,
  push: sodium.crypto_secretstream_xchacha20poly1305_TAG_PUSH,
  rekey: sodium.crypto_secretstream_xchacha20poly1305_TAG_REKEY,
  final: sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL,
}

t.test('payloads at the edges of a frame', async (t) => {
  for (const size of sizes) {
    const payload = Buffer.alloc(size, 'abc')
    const frames = await seal(payload)
    const count = Math.max(1, Math.ceil(size / FRAME_BYTES))
    t.equal(frames.length, HEADER_BYTES + size + count * FRAME_EXTRA_BYTES, `${size} bytes make ${count} frames`)
    t.ok((await gather(open([frames]))).equals(payload))
  }
})

t.test('the pieces make no difference, on either side', async (t) => {
  const most = 2 * FRAME_BYTES + 1000
  const piece = fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 4 })
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: most }), piece, piece, async (size, into, out) => {
        const payload = Buffer.alloc(size, 'payload ')
        const frames = await gather(sealPayload(createFrameSealer(sodium, key, place), split(payload, into)))
        return (await gather(open(split(frames, out)))).equals(payload)
      }),
      { numRuns: 60 },
    ),
  )
})

t.test('a byte at a time', async (t) => {
  const payload = Buffer.alloc(FRAME_BYTES + 10, 'x')
  const frames = await seal(...split(payload, [1]))
  t.ok((await gather(open(split(frames, [1])))).equals(payload))
})

t.test('no change of any byte is opened', async (t) => {
  const frames = await seal(Buffer.from('a secret'))
  t.equal(await refusal(frames), undefined)
  let refused = 0
  for (const { what, value } of mutateBytes(frames)) {
    if ((await refusal(value)) !== 'damaged') t.fail(what)
    else refused++
  }
  t.equal(refused, frames.length + 4)
  for (let length = 0; length < frames.length; length++) {
    if ((await refusal(frames.subarray(0, length))) !== 'damaged') t.fail(`cut at ${length}`)
  }
})

t.test('frames taken out, doubled, swapped or put behind the end', async (t) => {
  const frames = await seal(Buffer.alloc(3 * FRAME_BYTES, 'y'))
  const header = frames.subarray(0, HEADER_BYTES)
  const full = FRAME_BYTES + FRAME_EXTRA_BYTES
  const [one, two, three] = [0, 1, 2].map((index) => frames.subarray(HEADER_BYTES + index * full).subarray(0, full))
  if (!one || !two || !three) throw new Error('three frames')
  t.equal(await refusal(header, one, two, three), undefined)
  for (const [what, row] of Object.entries({
    'the first is gone': [two, three],
    'one within is gone': [one, three],
    'the last is gone': [one, two],
    'all are gone': [],
    'two are swapped': [two, one, three],
    'one is there twice': [one, one, two, three],
    'the last is there twice': [one, two, three, three],
    'more frames follow the last': [one, two, three, one],
    'a byte follows the last': [one, two, three, Buffer.of(0)],
  })) {
    t.equal(await refusal(header, ...row), 'damaged', what)
  }
  const other = await seal(Buffer.alloc(3 * FRAME_BYTES, 'y'))
  t.equal(await refusal(header, one, other.subarray(HEADER_BYTES + full)), 'damaged', 'spliced from another row')
  t.equal(await refusal(other.subarray(0, HEADER_BYTES), one, two, three), 'damaged', 'under the header of another row')
})

t.test('another key and another place', async (t) => {
  const frames = await seal(Buffer.from('a secret'))
  const wrongKey = openPayload(sodium, { key: Buffer.alloc(32, 8), place }, [frames])
  t.equal(await refusalOf(() => wrongKey), 'damaged')
  const wrongPlace = openPayload(sodium, { key, place: places.credential }, [frames])
  t.equal(await refusalOf(() => wrongPlace), 'damaged')
})

t.test('one payload has one row of frames, and no tag but two', async (t) => {
  const good = makeRow({ size: FRAME_BYTES, tag: tag.message }, { size: 5, tag: tag.final })
  t.equal(await refusal(good), undefined)
  for (const [what, row] of Object.entries({
    'a short frame before the last': [
      { size: 5, tag: tag.message },
      { size: 5, tag: tag.final },
    ],
    'an empty frame before the last': [
      { size: 0, tag: tag.message },
      { size: 5, tag: tag.final },
    ],
    'an empty frame behind a full one': [
      { size: FRAME_BYTES, tag: tag.message },
      { size: 0, tag: tag.final },
    ],
    'a frame that is too long': [{ size: FRAME_BYTES + 1, tag: tag.final }],
    'a push': [
      { size: FRAME_BYTES, tag: tag.push },
      { size: 5, tag: tag.final },
    ],
    'a new key': [
      { size: FRAME_BYTES, tag: tag.rekey },
      { size: 5, tag: tag.final },
    ],
    'an unknown tag': [{ size: 5, tag: 9 }],
    'no final frame': [{ size: FRAME_BYTES, tag: tag.message }],
  })) {
    t.equal(await refusal(makeRow(...row)), 'damaged', what)
  }
})

t.test('a frame with another tag gives out nothing', async (t) => {
  for (const other of [tag.push, tag.rekey, 9]) {
    const row = makeRow({ size: FRAME_BYTES, tag: other })
    const opener = createFrameOpener(sodium, { key, header: row.subarray(0, HEADER_BYTES), place })
    t.equal(await refusalOf(() => opener.open(row.subarray(HEADER_BYTES + 4))), 'damaged', String(other))
  }
})

t.test('a length that no frame has is refused before its bytes come', async (t) => {
  const frames = await seal(Buffer.from('a secret'))
  for (const length of [0, 16, FRAME_BYTES + 18, 0x7fff_ffff, 0xffff_ffff]) {
    const word = Buffer.alloc(4)
    word.writeUInt32BE(length)
    const endless = (function* () {
      yield frames.subarray(0, HEADER_BYTES)
      yield word
      throw new Error('somebody waits for more')
    })()
    t.equal(await refusalOf(() => open(endless)), 'damaged', String(length))
  }
})

t.test('behind the last frame nothing is sealed or opened', async (t) => {
  const sealer = createFrameSealer(sodium, key, place)
  const frame = sealer.seal(Buffer.from('end'), true)
  t.throws(() => sealer.seal(Buffer.from('more'), false), /behind the last/)
  t.throws(() => createFrameSealer(sodium, key, place).seal(Buffer.alloc(FRAME_BYTES + 1), false), /too long/)
  const opener = createFrameOpener(sodium, { key, header: sealer.header, place })
  t.strictSame(opener.open(frame.subarray(4)), { bytes: Buffer.from('end'), final: true })
  t.equal(await refusalOf(() => opener.open(frame.subarray(4))), 'damaged')
  const cut = createFrameOpener(sodium, { key, header: sealer.header, place })
  t.equal(await refusalOf(() => cut.open(Buffer.alloc(16))), 'damaged')
  cut.close()
  t.equal(await refusalOf(() => cut.open(frame.subarray(4))), 'damaged')
  cut.close()
})

t.test('a row leaves nothing in the memory of libsodium', async (t) => {
  t.equal(await loadSodium(), sodium, 'loaded once')
  // Where the next state would stand: each that is not freed moves it on by 64 bytes.
  const next = () => {
    const { state } = sodium.crypto_secretstream_xchacha20poly1305_init_push(key)
    freeState(sodium, state)
    return Number(state)
  }
  const rows: Record<string, () => unknown> = {
    'sealed to the end': () => createFrameSealer(sodium, key, place).seal(Buffer.alloc(0), true),
    'closed before': () => createFrameSealer(sodium, key, place).close(),
    'closed twice': () => {
      const sealer = createFrameSealer(sodium, key, place)
      sealer.close()
      sealer.close()
    },
    'sealed and opened': async () => gather(open([await seal(Buffer.from('whole'))])),
    'left while it is sealed': async () => {
      for await (const _ of sealPayload(createFrameSealer(sodium, key, place), [])) break
    },
    'left while it is opened': async () => {
      for await (const _ of open([await seal(Buffer.alloc(2 * FRAME_BYTES))])) break
    },
    refused: async () => refusal((await seal(Buffer.from('cut'))).subarray(0, -1)),
  }
  for (const [what, run] of Object.entries(rows)) {
    await run()
    const before = next()
    for (let turn = 0; turn < 100; turn++) await run()
    t.ok(Math.abs(next() - before) < 1000, what)
  }
})
