// The reader against damage and against other programs: what is cut, flipped or thrown together never leaves the folder, and what is honest is read.
import { existsSync, lstatSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { create } from 'tar'
import { BundleError } from '../../src/bundle/error.ts'
import { unpack } from '../../src/bundle/unpack.ts'
import { type Lie, pax, sign, streamOf, tarEntry, tarOf } from '../harness/tar-writer.ts'

const sample = tarOf(
  { name: 'folder/', type: '5' },
  { name: 'folder/file', body: 'x'.repeat(700), mode: 0o755 },
  pax({ path: 'folder/\u00fc' }),
  { name: 'short', body: 'y' },
  { type: 'L', body: `${'long/'.repeat(30)}name\0` },
  { name: 'long', body: 'z' },
  { name: 'twin', type: '1', target: 'folder/file' },
  { name: 'link', type: '2', target: 'folder/../folder' },
)

/** True when it was unpacked. Everything else than a refusal that leaves nothing, or a tree that stays inside, throws. */
async function isSafe(top: string, bytes: Uint8Array, pieceBytes = 5000): Promise<boolean> {
  const out = join(top, 'out')
  try {
    await unpack(streamOf(bytes, pieceBytes), out)
  } catch (error) {
    if (!(error instanceof BundleError)) throw error
    if (readdirSync(top).length > 0) throw new Error('something is left', { cause: error })
    return false
  }
  for (const path of [out, ...walk(out)]) {
    const real = existsSync(path) ? realpathSync(path) : out
    if (real !== out && !real.startsWith(`${out}/`)) throw new Error(`${path} leads to ${real}`)
    if ((lstatSync(path).mode & 0o7000) !== 0) throw new Error(`${path} has special bits`)
  }
  rmSync(out, { recursive: true })
  if (readdirSync(top).length > 0) throw new Error('something was made beside it')
  return true
}

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    yield join(folder, entry.name)
    if (entry.isDirectory()) yield* walk(join(folder, entry.name))
  }
}

t.test('an archive that ends too early is refused, wherever it ends', async (t) => {
  const top = realpathSync(t.testdir({}))
  t.ok(await isSafe(top, sample), 'the whole one is not')
  const zipped = gzipSync(sample)
  const ends = (bytes: Buffer, step: number) =>
    Array.from({ length: Math.ceil(bytes.length / step) }, (_, at) => bytes.subarray(0, at * step))
  const cuts = [...ends(sample, 512), ...ends(sample, 53), ...ends(zipped, 1)]
  const read = []
  for (const cut of cuts) if (await isSafe(top, cut)) read.push(cut.length)
  t.strictSame(read, [])
})

t.test('any piece size reads the same', async (t) => {
  const top = realpathSync(t.testdir({}))
  for (const pieceBytes of [1, 3, 511, 512, 513, 100_000]) t.ok(await isSafe(top, sample, pieceBytes))
})

t.test('a flipped bit is refused or harmless', async (t) => {
  const top = realpathSync(t.testdir({}))
  let refused = 0
  const flip = (at: number, bit: number) => {
    const bytes = Buffer.from(sample)
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at)
    return bytes
  }
  for (let at = 0; at < sample.length; at += 11) if (!(await isSafe(top, flip(at, at % 8)))) refused++
  t.ok(refused > 200, `${refused} refused`)
})

t.test('a header changed by someone who can sign it is refused or harmless', async (t) => {
  const top = realpathSync(t.testdir({}))
  const heads = Array.from({ length: sample.length / 512 - 2 }, (_, at) => at * 512).filter(
    (at) => sample.toString('latin1', at + 257, at + 262) === 'ustar',
  )
  const change = fc.tuple(fc.constantFrom(...heads), fc.nat(511), fc.nat(255))
  let unpacked = 0
  const property = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
    const bytes = Buffer.from(sample)
    for (const [head, at, value] of changes) {
      bytes[head + at] = value
      sign(bytes.subarray(head, head + 512))
    }
    if (await isSafe(top, bytes)) unpacked++
  })
  await fc.assert(property, { numRuns: 500 })
  t.ok(unpacked > 0, `${unpacked} unpacked`)
})

t.test('entries thrown together are refused or stay inside', async (t) => {
  const top = realpathSync(t.testdir({}))
  const step = fc.constantFrom('a', 'b', 'c', '..', '.', '', 'A', '\u00e9', 'e\u0301')
  const path = fc
    .tuple(
      fc.array(fc.oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c') }, step), { maxLength: 4 }),
      fc.boolean(),
    )
    .map(([steps, up]) => (up ? ['..', ...steps] : steps).join('/'))
  const name = fc
    .array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1, maxLength: 3 })
    .map((it) => it.join('/'))
  const entry: fc.Arbitrary<Lie> = fc.record({
    name: fc.oneof({ weight: 20, arbitrary: name }, path),
    type: fc.constantFrom('0', '5', '5', '2', '2', '2'),
    target: path,
  })
  let unpacked = 0
  const property = fc.asyncProperty(fc.array(entry, { maxLength: 6 }), async (entries) => {
    const plain = entries.map((lie) =>
      tarEntry(lie.type === '2' ? lie : { name: lie.name ?? '', type: lie.type ?? '0' }),
    )
    if (await isSafe(top, tarOf(...plain))) unpacked++
  })
  await fc.assert(property, { numRuns: 500 })
  t.ok(unpacked > 30, `${unpacked} unpacked`)
})

t.test('records of an extended header are exact', async (t) => {
  const top = realpathSync(t.testdir({}))
  const records = (body: string) => tarOf({ type: 'x', body }, { name: 'a' })
  t.ok(await isSafe(top, records('9 path=b\n')))
  for (const body of [
    '8 path=b\n',
    '11 path=b\n',
    '09 path=b\n',
    '9path=b\n',
    '9 path=bx',
    '7 path\n',
    ' 9 path=b\n',
    '-9 path=b\n',
    '9 path=b\n\0',
    '9 path=b\n9 path=b\n',
    '99999999999 path=b\n',
  ]) {
    t.notOk(await isSafe(top, records(body)), JSON.stringify(body))
  }
})

t.test('what another program packed is read', async (t) => {
  const long = `${'d'.repeat(90)}/${'\u00fc'.repeat(60)}`
  const folder = t.testdir({
    in: {
      ['d'.repeat(90)]: { ['\u00fc'.repeat(60)]: '1' },
      run: '2',
      empty: {},
      sub: { file: 'x'.repeat(5000), up: t.fixture('symlink', '../run') },
    },
    out: {},
  })
  for (const options of [{}, { gzip: true }, { portable: true }]) {
    const packed = create({ ...options, cwd: join(folder, 'in') }, ['.'])
    const at = join(folder, 'out', Object.keys(options).join() || 'plain')
    t.match(await unpack(packed, at), { files: 3, bytes: 5002 })
    t.equal(lstatSync(join(at, long)).size, 1)
    t.equal(realpathSync(join(at, 'sub/up')), realpathSync(join(at, 'run')))
  }
})
