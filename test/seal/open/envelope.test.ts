// Envelopes from the one who seals to the one who opens, over pond and past it: each opens in its place, for its claim, by its signer, and nowhere else.
import fc from 'fast-check'
import t from 'tap'
import type { Context, SealedInline } from '../../../src/protocol/sealed.ts'
import { custody, custodyDetached, dsse, grant, payloadType, sealedInline } from '../../../src/protocol/sealed.ts'
import { openBox, sealBox, sealBoxes } from '../../../src/seal/box.ts'
import { canonicalBytes } from '../../../src/seal/canonical.ts'
import { openDsse, signDsse } from '../../../src/seal/dsse.ts'
import {
  grantSealed,
  grantSigned,
  readCustody,
  readCustodyDetached,
  requireOpenable,
  type SealWish,
  sealDetached,
  sealInline,
  signSealed,
} from '../../../src/seal/envelope.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { FRAME_BYTES } from '../../../src/seal/frame.ts'
import { type Expected, openGrant, openInline, openOwn } from '../../../src/seal/open/envelope.ts'
import { openPayload } from '../../../src/seal/open/frame.ts'
import { systemRandom } from '../../../src/system/random.ts'
import {
  bound,
  gather,
  ids,
  places,
  refusalOf,
  sealingPair,
  sha256,
  signerOf,
  sodium,
  split,
} from '../../harness/seal.ts'

const pond = { pair: sealingPair('pond'), signer: signerOf('pond') }
const worker = sealingPair('worker')
const consumer = signerOf('consumer')
const reader = sealingPair('reader')
const secret = Buffer.from('{"env":{"TOKEN":"hunter2"}}')
const signedPlace = { ...places.credential, signer: consumer.publicKey }

function wish(context: Context, ...recipients: readonly string[]): SealWish {
  return { sodium, random: systemRandom, context, recipients }
}

const toPond = () => sealInline(wish(places.credential, pond.pair.publicKey), secret)
const toWorker = async () => signSealed(await sealInline(wish(signedPlace, worker.publicKey), secret), consumer)

const granting = {
  sodium,
  pairs: [pond.pair],
  place: places.credential,
  sealingKey: worker.publicKey,
  bound,
  signer: pond.signer,
}
const expected: Expected = {
  sodium,
  pairs: [worker],
  pondKey: pond.signer.publicKey,
  bound,
  place: places.credential,
}

t.test('sealed to oneself, at the edges of a frame', async (t) => {
  for (const size of [0, 1, FRAME_BYTES, FRAME_BYTES + 1]) {
    const payload = Buffer.alloc(size, 'z')
    const sealed = sealedInline.parse(await sealInline(wish(places.private, reader.publicKey), payload))
    t.ok((await openOwn(sodium, sealed, { pairs: [reader], place: places.private })).equals(payload))
  }
})

t.test('each of many recipients opens it with whatever pair it still has', async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 64 }), fc.nat(), fc.uint8Array(), async (count, pick, payload) => {
        const pairs = Array.from({ length: count }, (_, index) => sealingPair(`reader ${index}`))
        const sealed = await sealInline(wish(places.private, ...pairs.map(({ publicKey }) => publicKey)), payload)
        const mine = pairs[pick % count] ?? reader
        const opened = await openOwn(sodium, sealedInline.parse(sealed), {
          pairs: [reader, mine],
          place: places.private,
        })
        return opened.equals(payload)
      }),
      { numRuns: 15 },
    ),
  )
})

t.test('who is named twice gets one box, and nobody is no recipient', async (t) => {
  const twice = await sealInline(wish(places.private, reader.publicKey, reader.publicKey), secret)
  t.equal(twice.boxes.length, 1)
  await t.rejects(sealInline(wish(places.private), secret), /nobody/)
})

t.test('nothing is sealed to a key that anybody opens', async (t) => {
  const low = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ]
  const capsule = { key: Buffer.alloc(32, 1).toString('base64url'), context: places.private }
  for (const hex of low) {
    const key = Buffer.from(hex, 'hex').toString('base64url')
    t.equal(await refusalOf(() => sealBoxes(sodium, [reader.publicKey, key], capsule)), 'bad_key', hex)
  }
  const box = sealBox(sodium, reader.publicKey, capsule)
  const zeroed = Buffer.concat([Buffer.alloc(32), Buffer.from(box.box, 'base64url').subarray(32)]).toString('base64url')
  const sealed = { context: places.private, boxes: [{ ...box, box: zeroed }] }
  const opening = { pairs: [reader], place: places.private }
  t.equal(await refusalOf(() => openBox(sodium, sealed, opening)), 'damaged', 'nor opened from one')
})

t.test('what a box must say', async (t) => {
  const key = Buffer.alloc(32, 1).toString('base64url')
  const place = places.private
  const opening = { pairs: [reader], place }
  const boxed = (content: unknown) => {
    const bytes = Buffer.isBuffer(content) ? content : canonicalBytes(content)
    const box = sodium.crypto_box_seal(bytes, Buffer.from(reader.publicKey, 'base64url'))
    const boxes = [{ to: fingerprint(reader.publicKey), box: Buffer.from(box).toString('base64url') }]
    return refusalOf(() => openBox(sodium, { context: place, boxes }, opening))
  }
  t.equal(await boxed({ key, context: place }), undefined)
  t.equal(await boxed({ key, context: { ...place, claim: ids.otherClaim } }), 'wrong_place')
  t.equal(await boxed({ key, context: place, bound }), 'wrong_place', 'bound to a claim where none is expected')
  for (const wrong of [
    { context: place },
    { key: key.slice(1), context: place },
    { key: `${key.slice(0, -1)}F`, context: place },
    { key, context: place, more: 1 },
    { key, context: { ...place, more: 1 } },
    { key, context: { kind: 'other' } },
    Buffer.from(JSON.stringify({ context: place, key }, undefined, 1)),
    Buffer.from('text'),
    Buffer.alloc(0),
  ]) {
    t.equal(await boxed(wrong), 'damaged', JSON.stringify(wrong))
  }
  const box = sealBox(sodium, reader.publicKey, { key, context: place })
  const mismatched = { publicKey: reader.publicKey, privateKey: worker.privateKey }
  const sealed = { context: place, boxes: [box] }
  t.equal(await refusalOf(() => openBox(sodium, sealed, { ...opening, pairs: [mismatched] })), 'damaged')
  t.equal(await refusalOf(() => openBox(sodium, sealed, { ...opening, pairs: [worker] })), 'not_for_you')
  t.equal(await refusalOf(() => openBox(sodium, sealed, { ...opening, pairs: [] })), 'not_for_you')
})

t.test('inside and outside name the same place', async (t) => {
  const sealed = await toPond()
  const moved = { ...sealed, context: { ...places.credential, project: 'other' } }
  const opening = { pairs: [pond.pair], place: places.credential }
  requireOpenable(sodium, sealed, opening)
  t.equal(await refusalOf(() => requireOpenable(sodium, moved, opening)), 'wrong_place')
  const there = { ...opening, place: moved.context }
  t.equal(await refusalOf(() => requireOpenable(sodium, moved, there)), 'wrong_place', "A's envelope under project B")
  t.equal(await refusalOf(() => requireOpenable(sodium, sealed, there)), 'wrong_place')
  t.equal(await refusalOf(() => requireOpenable(sodium, sealed, { ...opening, pairs: [worker] })), 'not_for_you')
})

t.test('a recipient whom the consumer did not name', async (t) => {
  const sealed = await sealInline(wish(places.private, reader.publicKey, worker.publicKey), secret)
  const opening = { pairs: [reader], place: places.private }
  const named =
    (...keys: readonly string[]) =>
    (to: string) =>
      keys.some((key) => fingerprint(key) === to)
  const both = named(reader.publicKey, worker.publicKey)
  t.ok((await openOwn(sodium, sealed, { ...opening, named: both })).equals(secret))
  const one = named(reader.publicKey)
  t.equal(await refusalOf(() => openOwn(sodium, sealed, { ...opening, named: one })), 'unnamed_recipient')
})

t.test('detached: sealed while it is read, known by digest and size', async (t) => {
  const payload = Buffer.alloc(3 * FRAME_BYTES + 5, 'archive ')
  const sealing = sealDetached(wish(places.bundle, pond.pair.publicKey), toAsync(split(payload, [1000])))
  t.throws(() => sealing.finish(), /not all of it/)
  const first = await sealing.frames.next()
  t.throws(() => sealing.finish(), /not all of it/)
  const frames = Buffer.concat([first.value ?? Buffer.alloc(0), await gather(sealing.frames)])
  const sealed = sealing.finish()
  t.match(sealed, { digest: sha256(frames), size: frames.length })
  t.strictSame(custodyDetached.parse({ sealed }), { sealed })
  t.strictSame(readCustodyDetached({ sealed }), { sealed })
  const granted = dsse.parse(grantSealed({ ...granting, place: places.bundle }, sealed))
  const { content, sealed: got } = openGrant({ ...expected, place: places.bundle }, granted)
  t.match(got, { digest: sealed.digest, size: sealed.size })
  t.ok((await gather(openPayload(sodium, content, split(frames, [777])))).equals(payload))
  t.equal(await refusalOf(() => openInline(sodium, got, content)), 'damaged', 'its frames are elsewhere')
})

t.test('pond custody: over pond to one worker for one claim', async (t) => {
  const { sealed } = readCustody(custody.parse({ sealed: await toPond() })) as { sealed: SealedInline }
  const granted = dsse.parse(grantSealed(granting, sealed))
  const opened = openGrant(expected, granted)
  t.ok((await openInline(sodium, opened.sealed, opened.content)).equals(secret))
  t.strictSame(grant.parse(JSON.parse(Buffer.from(granted.payload, 'base64').toString())).bound, bound)
  t.equal(opened.sealed.boxes.length, 1, "pond's own box stays with pond")
  t.notOk(granted.payload.includes(secret.toString('base64')))

  const refusal = (other: Partial<Expected>) => refusalOf(() => openGrant({ ...expected, ...other }, granted))
  t.equal(await refusal({ bound: { ...bound, claim: ids.otherClaim } }), 'wrong_place')
  t.equal(await refusal({ bound: { ...bound, job: ids.otherJob } }), 'wrong_place')
  t.equal(await refusal({ bound: { ...bound, worker: ids.otherWorker } }), 'wrong_place')
  t.equal(await refusal({ place: { ...places.credential, name: 'other' } }), 'wrong_place')
  t.equal(await refusal({ place: { ...places.credential, project: 'other' } }), 'wrong_place')
  t.equal(await refusal({ place: places.bundle }), 'wrong_place')
  t.equal(await refusal({ pondKey: consumer.publicKey }), 'bad_signature', 'a grant by somebody else')
  t.equal(await refusal({ pairs: [reader] }), 'not_for_you')
  t.equal(await refusal({ pairs: [reader, worker] }), undefined, 'also with an older pair')
})

t.test('a grant put together by pond from boxes of other claims', async (t) => {
  const sealed = await toPond()
  const other = openDsse(
    grantSealed({ ...granting, bound: { ...bound, claim: ids.otherClaim } }, sealed),
    payloadType.grant,
    pond.signer.publicKey,
  )
  const stale = grant.parse(JSON.parse(other.toString()))
  const forged = (value: unknown) => signDsse(payloadType.grant, canonicalBytes(value), pond.signer)
  const refusal = (value: unknown) => refusalOf(() => openGrant(expected, forged(value)))
  t.equal(await refusal({ ...stale, bound }), 'wrong_place', 'the box names the other claim')
  t.equal(await refusal({ bound, sealed }), 'not_for_you', 'as it came')
  const plain = await sealInline(wish(places.credential, worker.publicKey), secret)
  t.equal(await refusal({ bound, sealed: plain }), 'wrong_place', 'a box that names no claim')
  t.equal(await refusal({ bound }), 'damaged')
  t.equal(await refusal('text'), 'damaged')
})

t.test('client custody: past pond, for a job that the same key signed', async (t) => {
  const signed = await toWorker()
  const read = readCustody(custody.parse({ signed }))
  t.equal(read.signer, consumer.publicKey)
  const granted = dsse.parse(grantSigned(pond.signer, bound, signed))
  const opened = openGrant({ ...expected, jobSigner: consumer.publicKey }, granted)
  t.ok((await openInline(sodium, opened.sealed, opened.content)).equals(secret))

  const refusal = (other: Partial<Expected>) =>
    refusalOf(() => openGrant({ ...expected, jobSigner: consumer.publicKey, ...other }, granted))
  t.equal(await refusal({ jobSigner: undefined }), 'bad_signature', 'nobody signed the job')
  t.equal(await refusal({ jobSigner: pond.signer.publicKey }), 'bad_signature', 'somebody else signed it')
  t.equal(await refusal({ place: { ...places.credential, name: 'other' } }), 'wrong_place')
  t.equal(await refusal({ bound: { ...bound, claim: ids.otherClaim } }), 'wrong_place')
  t.equal(await refusal({ pairs: [reader] }), 'not_for_you')
  const opening = { ...granting, place: signedPlace }
  t.equal(await refusalOf(() => grantSealed(opening, read.sealed)), 'not_for_you', 'pond cannot open it')
})

t.test('a signature cannot be left off, put on, or be by another than the place names', async (t) => {
  const inline = await sealInline(wish(signedPlace, worker.publicKey), secret)
  t.equal(await refusalOf(() => readCustody({ sealed: inline })), 'bad_signature', 'left off')
  const plain = await toPond()
  t.equal(await refusalOf(() => readCustody({ signed: signSealed(plain, consumer) })), 'bad_signature', 'put on')
  t.equal(await refusalOf(() => readCustody({ signed: signSealed(inline, signerOf('other')) })), 'bad_signature')
  const hidden = await sealInline(wish(places.private, worker.publicKey), secret)
  t.equal(await refusalOf(() => readCustody({ signed: signSealed(hidden, consumer) })), 'bad_signature')
  const typed = signDsse(payloadType.job, canonicalBytes(inline), consumer)
  t.equal(await refusalOf(() => readCustody({ signed: typed })), 'bad_signature', 'signed as something else')
  const spaced = signDsse(payloadType.sealed, Buffer.from(JSON.stringify(inline, undefined, 1)), consumer)
  t.equal(await refusalOf(() => readCustody({ signed: spaced })), 'damaged', 'in another form')
  t.equal(await refusalOf(() => readCustody({ signed: { ...spaced, signatures: [] } })), 'bad_signature')
  t.equal(await refusalOf(() => readCustodyDetached({ signed: signSealed(inline, consumer) })), 'damaged')
})

async function* toAsync<T>(source: Iterable<T>): AsyncGenerator<T> {
  yield* source
}
