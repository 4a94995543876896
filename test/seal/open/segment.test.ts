// Attacks on sealed streams by whoever stores them: nothing out of place is given out, and what is missing is never taken for the end.
import t from 'tap'
import { sealBox } from '../../../src/seal/box.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import {
  createSegmentReader,
  findSegment,
  HEADER_BYTES_MOST,
  type ReaderParts,
} from '../../../src/seal/open/segment.ts'
import type { SealReason } from '../../../src/seal/refusal.ts'
import { STRIDE_BYTES } from '../../../src/seal/segment.ts'
import { ids, refusalOf, sealingPair, sha256, signerOf, split, stream } from '../../harness/seal.ts'
import {
  forgeHeader,
  keysOf,
  reader,
  readerParts,
  readStream,
  sealStream,
  segmentsOf,
  takeApart,
  worker,
} from '../../harness/seal-stream.ts'

const plain = Buffer.from(Array.from({ length: 250_000 }, (_, line) => `line ${line}\n`).join('')).subarray(
  0,
  2_600_000,
)
const stored = sealStream(split(plain, [60_000]))
const [one, two, three] = segmentsOf(stored)
if (!one || !two || !three) throw new Error('three segments')
const short = sealStream([Buffer.from('first '), Buffer.from('second '), Buffer.from('third')])
const shortPlain = Buffer.from('first second third')

const refusal = (bytes: Uint8Array, wish: Partial<ReaderParts> = {}) => refusalOf(() => readStream(bytes, wish))

/** What a reader gave out until it refused, and whether it took the stream for ended. */
function readUntilRefused(
  bytes: Buffer,
  sizes: readonly number[],
): { given: Buffer; ended: boolean; refused: boolean } {
  const segments = createSegmentReader(readerParts())
  const given: Buffer[] = []
  try {
    for (const piece of split(bytes, sizes)) for (const opened of segments.push(piece)) given.push(opened.bytes)
    return { given: Buffer.concat(given), ended: segments.ended(), refused: false }
  } catch {
    return { given: Buffer.concat(given), ended: segments.ended(), refused: true }
  }
}

t.test('reordered, dropped, doubled', async (t) => {
  t.equal(await refusal(stored), undefined)
  const attacks: Readonly<Record<string, readonly Buffer[]>> = {
    'first and second swapped': [two, one, three],
    'second and third swapped': [one, three, two],
    'turned around': [three, two, one],
    'the first dropped': [two, three],
    'the middle dropped': [one, three],
    'first and middle dropped': [three],
    'the first twice': [one, one, two, three],
    'the middle twice': [one, two, two, three],
    'the last twice': [one, two, three, three],
    'the whole twice': [stored, stored],
    'a byte behind the end': [stored, Buffer.of(0)],
  }
  for (const [what, parts] of Object.entries(attacks)) {
    const attacked = Buffer.concat(parts)
    t.ok(await refusal(attacked), what)
    const { given, ended, refused } = readUntilRefused(attacked, [1000])
    t.ok(refused && given.equals(plain.subarray(0, given.length)), `${what}: a prefix at most`)
    t.notOk(ended, `${what}: no end`)
  }
})

t.test('truncated at every byte of a short stream', async (t) => {
  for (let length = 0; length < short.length; length++) {
    const { bytes, ended } = readStream(short.subarray(0, length))
    if (ended || !bytes.equals(shortPlain.subarray(0, bytes.length))) t.fail(`cut at ${length}`)
  }
  t.match(readStream(short), { ended: true })
})

t.test('truncated at and around every boundary of a long one', async (t) => {
  const cuts = takeApart(stored).flatMap(({ at, bytes }) => [at - 1, at, at + 1, at + 4, at + bytes.length - 1])
  for (const cut of cuts) {
    const { bytes, ended } = readStream(stored.subarray(0, Math.max(0, cut)))
    if (ended || !bytes.equals(plain.subarray(0, bytes.length))) t.fail(`cut at ${cut}`)
  }
  t.ok(cuts.length > 200)
})

t.test('truncated and closed with the end of another place', async (t) => {
  const end = takeApart(stored).at(-1)?.bytes ?? Buffer.alloc(0)
  const shortEnd = takeApart(short).at(-1)?.bytes ?? Buffer.alloc(0)
  for (const { at, kind } of takeApart(stored)) {
    if (kind === 'end' || at === 0) continue
    for (const last of [end, shortEnd]) {
      if ((await refusal(Buffer.concat([stored.subarray(0, at), last]))) !== 'damaged') t.fail(`the end at ${at}`)
    }
  }
})

t.test('frames of a segment dropped, swapped, doubled', async (t) => {
  const parts = takeApart(short).map(({ bytes }) => bytes)
  t.equal(parts.length, 5)
  for (let from = 1; from < parts.length; from++) {
    t.equal(await refusal(Buffer.concat(parts.toSpliced(from, 0, parts[from] ?? short))), 'damaged', `${from} twice`)
    if (from === parts.length - 1) continue
    t.equal(await refusal(Buffer.concat(parts.toSpliced(from, 1))), 'damaged', `${from} dropped`)
    const swapped = parts.with(from, parts[from + 1] ?? short).with(from + 1, parts[from] ?? short)
    t.equal(await refusal(Buffer.concat(swapped)), 'damaged', `${from} swapped with the next`)
  }
})

t.test('spliced from another claim, job, stream or version', async (t) => {
  const others = {
    'another claim': { stream: { ...stream, claim: ids.otherClaim } },
    'another job': { stream: { ...stream, job: ids.otherJob } },
    'another stream': { stream: { ...stream, stream: 'stderr' } },
    'the job of other bytes': { jobDigest: sha256('{"command":["false"]}') },
  }
  for (const [what, wish] of Object.entries(others)) {
    const segments = segmentsOf(sealStream(split(plain, [60_000]), wish))
    t.equal(await refusal(Buffer.concat(segments)), 'wrong_place', `all of ${what}`)
    for (let index = 0; index < 3; index++) {
      const spliced = [one, two, three].with(index, segments[index] ?? one)
      t.equal(await refusal(Buffer.concat(spliced)), 'wrong_place', `segment ${index} of ${what}`)
    }
  }
  const older = segmentsOf(sealStream(split(plain, [60_000])))
  t.equal(await refusal(Buffer.concat(older)), undefined, 'sealed twice, each is good by itself')
  for (let index = 0; index < 3; index++) {
    const spliced = [one, two, three].with(index, older[index] ?? one)
    t.equal(await refusal(Buffer.concat(spliced)), 'damaged', `segment ${index} of an older version`)
  }
})

t.test('trailers swapped', async (t) => {
  const other = sealStream(split(plain, [60_000]))
  const trailers = takeApart(stored).filter(({ kind }) => kind === 'trailer' || kind === 'end')
  const others = takeApart(other).filter(({ kind }) => kind === 'trailer' || kind === 'end')
  for (const [index, { at, bytes }] of trailers.entries()) {
    for (const replacement of [others[index]?.bytes, trailers[(index + 1) % 3]?.bytes]) {
      const swapped = [stored.subarray(0, at), replacement ?? one, stored.subarray(at + bytes.length)]
      t.equal(await refusal(Buffer.concat(swapped)), 'damaged', `trailer ${index}`)
    }
  }
})

t.test('the bits that anybody can set', async (t) => {
  for (const { at, kind } of takeApart(short)) {
    for (const bit of [0x8000_0000, 0x4000_0000, 0x2000_0000]) {
      const changed = Buffer.from(short)
      changed.writeUInt32BE((changed.readUInt32BE(at) ^ bit) >>> 0, at)
      const { ended, given } = readUntilRefused(changed, [])
      t.notOk(ended, `${bit.toString(16)} of the ${kind} at ${at}`)
      t.ok(given.equals(shortPlain.subarray(0, given.length)))
    }
  }
})

t.test('an interruption that nobody signed', async (t) => {
  // Pond drops the tail of a segment and says that it was interrupted there.
  const frames = takeApart(one)
  for (const keep of [1, 2, frames.length - 2, frames.length - 1]) {
    const cut = one.subarray(0, frames[keep]?.at)
    t.equal(await refusal(Buffer.concat([cut, two, three])), 'wrong_place', 'the next header says where it stands')
    const pond = signerOf('pond')
    const context = { ...stream, kind: 'segment', segment: 1, offset: 100, at: cut.length }
    const forged = forgeHeader(two, { context, previous: sha256(cut) })
    t.equal(await refusal(Buffer.concat([cut, forged])), 'bad_signature', "with the worker's old signature")
    const own = forgeHeader(two, { context, previous: sha256(cut), worker: pond.publicKey }, pond)
    t.equal(await refusal(Buffer.concat([cut, own])), 'untrusted', "with pond's own")
  }
  // A worker that was interrupted once: what stood before its mark cannot be cut shorter, nor anything be put there.
  const cut = one.subarray(0, frames[3]?.at)
  const offset = 2 * 60_000
  const after = { segment: 1, offset, at: cut.length, previous: sha256(cut) }
  const resumed = sealStream([Buffer.from('and on')], { after })
  const good = readStream(Buffer.concat([cut, resumed]))
  t.ok(good.ended && good.bytes.equals(Buffer.concat([plain.subarray(0, offset), Buffer.from('and on')])))
  t.equal(await refusal(Buffer.concat([one.subarray(0, frames[2]?.at), resumed])), 'wrong_place', 'one frame less')
  t.equal(await refusal(Buffer.concat([one.subarray(0, frames[4]?.at), resumed])), 'wrong_place', 'one frame more')
  t.equal(await refusal(Buffer.concat([one, resumed])), 'wrong_place')
  const again = sealStream(split(plain, [60_000])).subarray(0, cut.length)
  t.equal(await refusal(again), undefined, 'what was sealed another time')
  t.equal(await refusal(Buffer.concat([again, resumed])), 'damaged', 'is not what was interrupted')
  t.match(readStream(cut), { ended: false }, 'and without what follows there is no end')
})

t.test('a worker that was interrupted and has other keys now', async (t) => {
  const next = signerOf('the same worker later')
  const cut = one.subarray(0, takeApart(one)[3]?.at)
  const offset = 2 * 60_000
  const after = { segment: 1, offset, at: cut.length, previous: sha256(cut) }
  const both = Buffer.concat([cut, sealStream([Buffer.from('and on')], { after, signer: next })])
  const trusts = () => true
  t.equal(await refusal(both, { trusts }), 'damaged', 'as another trusted worker might do')
  const sameWorker = (before: string, behind: string) => before === worker.publicKey && behind === next.publicKey
  const read = readStream(both, { trusts, sameWorker })
  t.ok(read.ended && read.bytes.equals(Buffer.concat([plain.subarray(0, offset), Buffer.from('and on')])))
  t.equal(await refusal(both, { sameWorker }), 'untrusted', 'each is looked at')
})

t.test('headers that a worker would not sign, or that another did', async (t) => {
  const other = signerOf('other worker')
  const spy = sealingPair('spy')
  const capsule = {
    key: 'A'.repeat(43),
    context: { ...stream, kind: 'segment', segment: 0, offset: 0, at: 0 },
  } as const
  const text = headerOf(short)
  const added = [...text.boxes, sealBox(readerParts().sodium, spy.publicKey, capsule)]
  const trusting = { trusts: () => true }
  const cases: readonly (readonly [string, Buffer, SealReason, Partial<ReaderParts>?])[] = [
    ['no signature', withSignature(short, Buffer.alloc(64)), 'bad_signature'],
    ["another header's signature", withSignature(short, signatureOf(stored)), 'bad_signature'],
    ['a recipient added by pond', forgeHeader(short, { boxes: added }), 'bad_signature'],
    ['a recipient added by the worker', forgeHeader(short, { boxes: added }, worker), 'unnamed_recipient'],
    ['signed by another worker', forgeHeader(short, {}, other), 'bad_signature'],
    ['of another worker', forgeHeader(short, { worker: other.publicKey }, other), 'untrusted'],
    [
      'of a worker in the words of another',
      forgeHeader(short, { worker: other.publicKey }, worker),
      'bad_signature',
      trusting,
    ],
    ['of another job', forgeHeader(short, { job_digest: sha256('x') }, worker), 'wrong_place'],
    ['elsewhere', forgeHeader(short, { context: { ...text.context, at: STRIDE_BYTES } }, worker), 'wrong_place'],
    [
      'the first that is the second',
      forgeHeader(short, { context: { ...text.context, segment: 1 } }, worker),
      'damaged',
    ],
    ['the first that begins later', forgeHeader(short, { context: { ...text.context, offset: 9 } }, worker), 'damaged'],
    ['the first behind another', forgeHeader(short, { previous: sha256('x') }, worker), 'damaged'],
    ['of another format', forgeHeader(short, { format: 2 }, worker), 'damaged'],
    ['with a field too many', forgeHeader(short, { more: 1 }, worker), 'damaged'],
    ['in another form', forgeHeader(short, (bytes) => Buffer.concat([bytes, Buffer.from(' ')]), worker), 'damaged'],
    ['without boxes', forgeHeader(short, { boxes: [] }, worker), 'damaged'],
    ['with two boxes for one', forgeHeader(short, { boxes: [...text.boxes, ...text.boxes] }, worker), 'damaged'],
    [
      'for somebody else',
      sealStream([shortPlain], { recipients: keysOf([spy]) }),
      'not_for_you',
      { named: () => true },
    ],
  ]
  for (const [what, bytes, reason, wish] of cases) t.equal(await refusal(bytes, wish), reason, what)
  t.equal(await refusal(forgeHeader(short, {}, worker)), undefined, 'unchanged it is good')
  t.equal(await refusal(short, { named: () => false }), 'unnamed_recipient')
  const second = segmentsOf(sealStream(split(plain, [60_000]), { signer: other }))[1] ?? two
  const changed = forgeHeader(second, { previous: sha256(one) }, other)
  t.equal(await refusal(Buffer.concat([one, changed]), trusting), 'damaged', 'one worker writes a stream')
})

t.test('a length that nothing has is refused before its bytes come', async (t) => {
  for (const word of [0x8001_0001, 0xbfff_ffff, 0xffff_ffff, 0xc000_0100]) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(word)
    t.equal(await refusal(bytes), 'damaged', word.toString(16))
  }
  const header = short.subarray(0, takeApart(short)[1]?.at)
  for (const word of [0, 16, 65_554, 0x1fff_ffff, 0x4000_0000 + 65_554, 0x6000_0010]) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(word)
    t.equal(await refusal(Buffer.concat([header, bytes])), 'damaged', word.toString(16))
  }
  t.equal(await refusal(short.subarray(header.length)), 'damaged', 'a frame without a header')
})

t.test('reading starts at any segment, and finds it', async (t) => {
  const starts = [0, STRIDE_BYTES, 2 * STRIDE_BYTES]
  let peeks = 0
  const peek = async (at: number) => {
    peeks++
    return stored.subarray(at, at + HEADER_BYTES_MOST)
  }
  for (const [index, at] of starts.entries()) {
    const offset = segmentOffset([one, two, three][index] ?? one)
    const read = readStream(stored.subarray(at), { at }, [5000])
    t.ok(read.ended && read.bytes.equals(plain.subarray(offset)), `from segment ${index}`)
    t.equal(read.pieces[0]?.offset, offset)
    const find = (wish: number) => findSegment(readerParts(), peek, { size: stored.length, offset: wish })
    t.equal(await find(offset), at)
    t.equal(await find(offset + 1000), at)
    if (offset > 0) t.equal(await find(offset - 1), starts[index - 1])
  }
  t.equal(await findSegment(readerParts(), peek, { size: stored.length, offset: 10 ** 12 }), 2 * STRIDE_BYTES)
  t.equal(await findSegment(readerParts(), peek, { size: 0, offset: 0 }), 0)
  t.ok(peeks < 40)
  const reading = createSegmentReader(readerParts({ at: STRIDE_BYTES }))
  reading.push(two.subarray(0, 100))
  t.equal(reading.position(), STRIDE_BYTES + 100)
  t.equal(await refusal(two, { at: 0 }), 'wrong_place', 'not where it says that it is')
  t.equal(await refusal(three, { at: STRIDE_BYTES }), 'wrong_place')
})

t.test('a bad header on the way to a place only means reading from an earlier one', async (t) => {
  const damaged = Buffer.from(stored)
  damaged.fill(0xff, STRIDE_BYTES, STRIDE_BYTES + 8)
  const peek = async (at: number) => damaged.subarray(at, at + HEADER_BYTES_MOST)
  t.equal(await findSegment(readerParts(), peek, { size: stored.length, offset: segmentOffset(two) }), 0)
  t.equal(
    await findSegment(readerParts(), peek, { size: stored.length, offset: segmentOffset(three) }),
    2 * STRIDE_BYTES,
  )
  const broken = async () => Promise.reject(new Error('the network is gone'))
  await t.rejects(findSegment(readerParts(), broken, { size: stored.length, offset: 0 }), /network/)
})

t.test('a byte at a time is no slower than it must be, and says the same', async (t) => {
  const read = readStream(stored.subarray(0, 300_000), {}, [1])
  t.ok(read.bytes.length > 200_000 && read.bytes.equals(plain.subarray(0, read.bytes.length)))
  t.same(read.pieces, readStream(stored.subarray(0, 300_000)).pieces)
})

t.test('who named a recipient is asked about each of them', async (t) => {
  const second = sealingPair('second reader')
  const both = sealStream([shortPlain], { recipients: keysOf([reader, second]) })
  const named = (to: string) => [reader, second].some(({ publicKey }) => fingerprint(publicKey) === to)
  t.equal(await refusal(both), 'unnamed_recipient')
  t.equal(await refusal(both, { named }), undefined)
  t.equal(await refusal(both, { named, pairs: [second] }), undefined)
})

function headerOf(bytes: Buffer) {
  const length = bytes.readUInt32BE() & 0x1fff_ffff
  return JSON.parse(bytes.subarray(4, 4 + length).toString()) as {
    readonly boxes: readonly object[]
    readonly context: { readonly offset: number }
  }
}

const segmentOffset = (segment: Buffer) => headerOf(segment).context.offset

function signatureOf(bytes: Buffer): Buffer {
  const length = bytes.readUInt32BE() & 0x1fff_ffff
  return bytes.subarray(4 + length, 4 + length + 64)
}

function withSignature(bytes: Buffer, signature: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  signatureOf(changed).set(signature)
  return changed
}
