// A stream whose writer died goes on where it stops: wherever that is, the reader gets a prefix and then the rest, and never a wrong byte.
import fc from 'fast-check'
import t from 'tap'
import { findInterruption } from '../../src/seal/interruption.ts'
import { createSegmentWriter, type SegmentParts, STRIDE_BYTES } from '../../src/seal/segment.ts'
import { sealingPair, sha256, split } from '../harness/seal.ts'
import { keysOf, readStream, sealStream, segmentsOf, takeApart, writerParts } from '../harness/seal-stream.ts'

const find = (stored: Buffer) =>
  findInterruption(async (at, target) => {
    if (target.length > 256 * 1024) throw new Error('nobody needs so much at once')
    return stored.copy(target, 0, at, at + target.length)
  }, stored.length)

/** What a worker does that was started again: cut off what is not whole, and go on with what the job says next. */
async function goOn(stored: Buffer, rest: Buffer, wish: Partial<SegmentParts> = {}) {
  const after = await find(stored)
  if (after === 'ended') return { stored, kept: undefined, ended: true }
  const more = sealStream(rest.length > 0 ? split(rest, [50_000]) : [], { ...wish, after })
  return { stored: Buffer.concat([stored.subarray(0, after.at), more]), kept: after.offset, ended: false }
}

t.test('interrupted at every byte of a short stream', async (t) => {
  const plain = Buffer.from('one two three four five')
  const stored = sealStream(split(plain, [4]))
  const rest = Buffer.from(' and the rest')
  for (let cut = 0; cut < stored.length; cut++) {
    const { stored: whole, kept = 0 } = await goOn(stored.subarray(0, cut), rest)
    const read = readStream(whole)
    const right = read.ended && read.bytes.equals(Buffer.concat([plain.subarray(0, kept), rest]))
    if (!right) t.fail(`cut at ${cut}`)
    if (kept === 0 && cut > 1000) t.fail(`all is lost at ${cut}`)
  }
  t.equal(await find(stored), 'ended')
  t.strictSame(await goOn(stored, rest), { stored, kept: undefined, ended: true })
})

t.test('interrupted anywhere in a long stream, and again, and again', async (t) => {
  const plain = Buffer.alloc(1_300_000, 'long output\n')
  const rest = plain.subarray(0, 600_000)
  const pairs = [sealingPair('reader'), ...Array.from({ length: 20 }, (_, index) => sealingPair(`reader ${index}`))]
  const stored = sealStream(split(plain, [40_000]), { recipients: keysOf(pairs.slice(0, 1)) })
  const near = takeApart(stored).flatMap(({ at }) => [at - 1, at, at + 1])
  const cut = fc.oneof(fc.integer({ min: 0, max: stored.length }), fc.constantFrom(...near))
  const again = fc.array(fc.integer({ min: 1, max: 600_000 }), { maxLength: 4 })
  await t.resolves(
    fc.assert(
      fc.asyncProperty(cut, again, fc.integer({ min: 1, max: 20 }), async (at, cuts, count) => {
        const recipients = keysOf(pairs.slice(0, count))
        let now = await goOn(stored.subarray(0, at), rest, { recipients })
        if (now.ended) return true
        let expected = Buffer.concat([plain.subarray(0, now.kept), rest])
        for (const less of cuts) {
          now = await goOn(now.stored.subarray(0, now.stored.length - less), rest, { recipients })
          if (now.kept !== undefined) expected = Buffer.concat([expected.subarray(0, now.kept), rest])
        }
        const read = readStream(now.stored, { named: () => true }, [30_000])
        return read.ended && read.bytes.equals(expected)
      }),
      { numRuns: 50 },
    ),
  )
})

t.test('what is known of the interruption', async (t) => {
  const stored = sealStream(split(Buffer.alloc(1_500_000, 'x'), [50_000]))
  const [first] = segmentsOf(stored)
  if (!first) throw new Error('a long stream has segments')
  const parts = takeApart(stored)
  const header = parts[0]?.bytes.length ?? 0
  t.strictSame(await find(Buffer.alloc(0)), { segment: 0, offset: 0, at: 0, previous: null })
  t.strictSame(await find(stored.subarray(0, header - 1)), { segment: 0, offset: 0, at: 0, previous: null })
  const open = await find(stored.subarray(0, header))
  const alone = { segment: 1, offset: 0, at: header, previous: sha256(stored.subarray(0, header)) }
  t.strictSame(open, alone, 'a header alone')
  const whole = { segment: 1, offset: 1_500_000 - behind(stored), at: STRIDE_BYTES, previous: sha256(first) }
  t.strictSame(await find(first), whole, 'a whole segment')
  t.strictSame(await find(stored.subarray(0, STRIDE_BYTES + 100)), whole, 'and half a header behind it')
})

t.test('a disk that lost power leaves zeros, which are no frames', async (t) => {
  const plain = Buffer.from('said before the light went out')
  const stored = sealStream(split(plain, [10]))
  const end = takeApart(stored).at(-1)?.at ?? 0
  for (const zeros of [1, 4, 5, 21, 1000, 5000]) {
    const { stored: whole, kept } = await goOn(Buffer.concat([stored.subarray(0, end), Buffer.alloc(zeros)]), plain)
    t.equal(kept, plain.length)
    t.ok(readStream(whole).bytes.equals(Buffer.concat([plain, plain])))
  }
  const stride = sealStream(split(Buffer.alloc(1_100_000), [50_000])).subarray(0, STRIDE_BYTES)
  const lost = await find(Buffer.concat([stride, Buffer.alloc(STRIDE_BYTES + 5)]))
  t.match(lost, { segment: 1, at: STRIDE_BYTES })
})

t.test('where a segment reaches over a multiple, any bytes can stand there', async (t) => {
  const recipients = keysOf(Array.from({ length: 64 }, (_, index) => sealingPair(`reader ${index}`)))
  const pairs = [sealingPair('reader 0')]
  // Room for 64 boxes up to the multiple, but for nothing behind them.
  const after = { segment: 1, offset: 900_000, at: 1_000_000, previous: sha256('') }
  const room = sealStream([Buffer.of(1)], { recipients, after }).length + 600
  const cut = sealStream(split(Buffer.alloc(1_030_000, 'a'), [300]), { recipients: keysOf(pairs) })
  const { stored } = await goOn(cut.subarray(0, STRIDE_BYTES - room), Buffer.alloc(700_000, 'b'), { recipients })
  const [, over] = segmentsOf(stored)
  t.ok(over && over.length > STRIDE_BYTES / 2, 'one segment goes on over it')
  // Whatever stands there: a header's bit with any length, and what follows is no JSON.
  for (const word of [0x8000_0000, 0x8000_0002, 0x8000_0400, 0x8006_1a80, 0x8fff_ffff, 0xc000_0010, 0, 0xffff_ffff]) {
    const odd = Buffer.from(stored.subarray(0, -100))
    odd.writeUInt32BE(word, STRIDE_BYTES)
    t.match(await find(odd), { segment: 2 }, word.toString(16))
  }
  t.equal(await find(stored), 'ended')
  t.ok(readStream(stored, { pairs, named: () => true }).ended)
})

t.test('an end that falls on a multiple is an end', async (t) => {
  // A segment over a multiple, and its last frame stops just there.
  const wish = { recipients: keysOf(Array.from({ length: 64 }, (_, index) => sealingPair(`reader ${index}`))) }
  const sealed = (at: number, size: number) =>
    sealStream([Buffer.alloc(size, 'z')], { ...wish, after: { segment: 1, offset: 0, at, previous: sha256('') } })
  const at = STRIDE_BYTES - sealed(STRIDE_BYTES - 30_000, 100).length
  const stored = sealed(at, 100)
  t.equal(at + stored.length, STRIDE_BYTES)
  const before = sealStream([Buffer.from('before')])
  t.equal(await find(Buffer.concat([before, Buffer.alloc(at - before.length), stored])), 'ended')
})

t.test('a stream that was cut at its cap does not grow beyond it', async (t) => {
  const capBytes = 20_000
  const full = createSegmentWriter(writerParts({ capBytes }))
  const { stored, taken } = full.seal(Buffer.alloc(30_000, 'c'))
  const bytes = Buffer.concat(stored)
  t.ok(taken < 30_000)
  const after = await find(bytes)
  if (after === 'ended') throw new Error('it has no end')
  const second = createSegmentWriter(writerParts({ capBytes, after }))
  t.strictSame(second.seal(Buffer.from('more')), { stored: [], taken: 0 })
  t.strictSame(second.end(), [], 'there is no room for another header')
  const roomy = createSegmentWriter(writerParts({ capBytes: 2 * capBytes, after }))
  const read = readStream(Buffer.concat([bytes, ...roomy.end()]))
  t.ok(read.ended)
  t.equal(read.bytes.length, taken)
})

t.test('a reader of the disk that gives less than it said', async (t) => {
  const stored = sealStream([Buffer.from('text')])
  await t.rejects(
    findInterruption(async () => 0, stored.length),
    /shorter/,
  )
})

/** Plaintext behind the first segment. */
function behind(stored: Buffer): number {
  const frames = takeApart(stored).filter(({ kind, at }) => kind === 'frame' && at >= STRIDE_BYTES)
  return frames.reduce((sum, { bytes }) => sum + bytes.length - 21, 0)
}
