// Every field and every byte of a sealed stream, changed: by whoever stores it, by another worker, and by the worker itself.
import t from 'tap'
import { canonicalBytes } from '../../../src/seal/canonical.ts'
import { createFrameSealer } from '../../../src/seal/frame.ts'
import { END_BIT, TRAILER_BIT } from '../../../src/seal/segment.ts'
import { mutateBytes, mutateValue } from '../../harness/mutation.ts'
import { places, refusalOf, signerOf, sodium } from '../../harness/seal.ts'
import { forgeHeader, type Read, readStream, sealStream, takeApart, worker } from '../../harness/seal-stream.ts'
import { createSeededRandom } from '../../harness/seeded-random.ts'

const random = createSeededRandom(1)
const plain = Buffer.from('first second third')
const stored = sealStream([plain.subarray(0, 6), plain.subarray(6)], { random })
const parts = takeApart(stored)
const length = stored.readUInt32BE() & 0x1fff_ffff
const header: unknown = JSON.parse(stored.subarray(4, 4 + length).toString())

/** Refused, or never ended: a length that grew makes a reader wait for bytes that do not come. */
async function isCaught(bytes: Buffer): Promise<boolean> {
  let read: Pick<Read, 'bytes' | 'ended'> = { bytes: Buffer.alloc(0), ended: false }
  const reason = await refusalOf(() => {
    read = readStream(bytes)
  })
  return reason !== undefined || (!read.ended && read.bytes.equals(plain.subarray(0, read.bytes.length)))
}

t.test('unchanged it is read', async (t) => {
  t.notOk(await isCaught(stored))
  t.ok(readStream(stored).bytes.equals(plain))
})

t.test('every bit of every byte', async (t) => {
  let caught = 0
  for (let at = 0; at < stored.length; at++) {
    for (const bit of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const changed = Buffer.from(stored)
      changed[at] = (changed[at] ?? 0) ^ (1 << bit)
      if (await isCaught(changed)) caught++
      else t.fail(`bit ${bit} of byte ${at}`)
    }
  }
  t.equal(caught, 8 * stored.length)
})

t.test('a byte more or less, anywhere', async (t) => {
  for (let at = 0; at < stored.length; at++) {
    const less = Buffer.concat([stored.subarray(0, at), stored.subarray(at + 1)])
    const more = Buffer.concat([stored.subarray(0, at), Buffer.of(0), stored.subarray(at)])
    if (!((await isCaught(less)) && (await isCaught(more)))) t.fail(`byte ${at}`)
  }
})

t.test('every field of the header, with the old signature, by another worker, and by the worker itself', async (t) => {
  const caught = { old: 0, other: 0, own: 0 }
  for (const { what, value } of mutateValue(header)) {
    const change = () => canonicalBytes(value)
    if (await isCaught(forgeHeader(stored, change))) caught.old++
    else t.fail(`${what}, with the old signature`)
    if (await isCaught(forgeHeader(stored, change, signerOf('other')))) caught.other++
    else t.fail(`${what}, by another worker`)
    if (await isCaught(forgeHeader(stored, change, worker))) caught.own++
    else t.fail(`${what}, by the worker itself`)
  }
  t.strictSame(caught, { old: 289, other: 289, own: 289 })
})

t.test('every field and byte of the trailer, sealed again by who has the content key', async (t) => {
  const key = createSeededRandom(1).bytes(32)
  const head = parts[0]?.bytes.subarray(0, -24) ?? stored
  const sealed = (trailer: Uint8Array, bits: number) => {
    const sealer = createFrameSealer(sodium, key, places.segment)
    const frames = [sealer.seal(plain, false), sealer.seal(trailer, true)]
    frames[1]?.writeUInt32BE((bits | (frames[1]?.readUInt32BE() ?? 0)) >>> 0)
    return Buffer.concat([head, sealer.header, ...frames])
  }
  const end = TRAILER_BIT | END_BIT
  const good = takeApart(stored).at(-1)
  t.equal(good?.kind, 'end')
  const trailer = { end: true, bytes: plain.length }
  t.notOk(await isCaught(sealed(canonicalBytes(trailer), end)), 'so it is made')
  let caught = 0
  const sha256 = '0'.repeat(64)
  for (const { what, value } of [...mutateValue(trailer), ...mutateValue({ ...trailer, sha256 })]) {
    for (const bits of [end, TRAILER_BIT]) {
      // Who has the key may leave off the digest, and so say less: the digest of the plaintext is for whoever gets it whole.
      if (JSON.stringify(value) === JSON.stringify(trailer)) continue
      if (await isCaught(sealed(canonicalBytes(value), bits))) caught++
      else t.fail(what)
    }
  }
  t.equal(caught, 150)
  for (const { what, value } of mutateBytes(canonicalBytes(trailer))) t.ok(await isCaught(sealed(value, end)), what)
  for (const bits of [0, TRAILER_BIT, END_BIT]) t.ok(await isCaught(sealed(canonicalBytes(trailer), bits)))
  t.ok(await isCaught(sealed(canonicalBytes({ end: false }), TRAILER_BIT)), 'a segment that stops before its place')
})
