// What is sealed as it stands on the wire: bytes and keys have one text, and nobody has two boxes.
import t from 'tap'
import { publicKey } from '../../src/protocol/field.ts'
import { limit } from '../../src/protocol/limit.ts'
import { box, dsse, sealedInline, segmentHeader, segmentTrailer } from '../../src/protocol/sealed.ts'
import { ids, jobDigest, places, sealingPair } from '../harness/seal.ts'

const to = '0011-2233-4455-6677-8899-aabb-ccdd-eeff'
const inline = { format: 1, context: places.private, boxes: [{ to, box: 'AAAA' }], frames: 'AAAA' }
const takes = (frames: string) => sealedInline.safeParse({ ...inline, frames }).success
const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/']

t.test('of all texts that a lenient decoder takes for the same bytes, one is taken', async (t) => {
  for (const bytes of [Buffer.of(), Buffer.of(1), Buffer.of(1, 2), Buffer.of(1, 2, 3), Buffer.of(255, 254, 253, 252)]) {
    const text = bytes.toString('base64')
    const bare = text.replace(/=+$/, '')
    const last = alphabet.map((letter) => bare.slice(0, -1) + letter + text.slice(bare.length))
    const forms = [text, bare, `${bare}=`, `${bare}==`, `${text}=`, `${text}A`, ` ${text}`, `${text}\n`, ...last]
    const same = new Set(forms.filter((form) => Buffer.from(form, 'base64').equals(bytes)))
    t.strictSame([...same].filter(takes), [text])
    const short = bytes.toString('base64url')
    const wrong = [...same].filter((form) => form !== short)
    t.ok(box.safeParse({ to, box: short }).success)
    t.notOk(wrong.some((form) => box.safeParse({ to, box: form }).success))
  }
})

t.test('a key has one text', async (t) => {
  const key = sealingPair('reader').publicKey
  const letters = [...alphabet, '-', '_']
  const same = letters
    .map((letter) => key.slice(0, -1) + letter)
    .filter((text) => Buffer.from(text, 'base64url').equals(Buffer.from(key, 'base64url')))
  t.ok(same.length >= 4)
  t.strictSame(
    same.filter((text) => publicKey.safeParse(text).success),
    [key],
  )
})

t.test('boxes', async (t) => {
  const boxes = (count: number) => Array.from({ length: count }, (_, index) => ({ to: numbered(index), box: 'AAAA' }))
  const sealed = (all: unknown) => sealedInline.safeParse({ ...inline, boxes: all }).success
  const header = { format: 1, context: places.segment, job_digest: jobDigest, previous: null, worker: 'A'.repeat(43) }
  const heads = (all: unknown) => segmentHeader.safeParse({ ...header, boxes: all }).success
  for (const taken of [sealed, heads]) {
    t.ok(taken(boxes(1)))
    t.ok(taken(boxes(limit.recipients)))
    t.notOk(taken(boxes(limit.recipients + 1)))
    t.notOk(taken([]))
    t.notOk(
      taken([
        { to, box: 'AAAA' },
        { to, box: 'AAAB' },
      ]),
      'two for one key',
    )
  }
})

t.test('a trailer says one of two things', async (t) => {
  for (const good of [{ end: false }, { end: true, bytes: 0 }, { end: true, bytes: 1, sha256: jobDigest }]) {
    t.ok(segmentTrailer.safeParse(good).success)
  }
  for (const bad of [
    {},
    { end: true },
    { end: false, bytes: 1 },
    { end: true, bytes: -1 },
    { end: true, bytes: 0.5 },
  ]) {
    t.notOk(segmentTrailer.safeParse(bad).success, JSON.stringify(bad))
  }
})

t.test('a signature is signed by somebody', async (t) => {
  const signed = { payloadType: 'x', payload: 'AAAA', signatures: [{ keyid: 'A'.repeat(43), sig: 'A'.repeat(88) }] }
  t.ok(dsse.safeParse(signed).success)
  t.notOk(dsse.safeParse({ ...signed, signatures: [] }).success)
  t.notOk(dsse.safeParse({ ...signed, signatures: [{ keyid: ids.worker, sig: '' }] }).success)
})

const numbered = (index: number) => to.replace('0011', index.toString(16).padStart(4, '0'))
