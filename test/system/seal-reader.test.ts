// The second reader of the sealed format, Python with libsodium and none of our code, opens the golden vectors and what is sealed now, and refuses what we refuse.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { findInterruption } from '../../src/seal/interruption.ts'
import { STRIDE_BYTES } from '../../src/seal/segment.ts'
import { mutateBytes, mutateValue, sample } from '../harness/mutation.ts'
import { jobDigest, sealingPair, sha256, split, stream } from '../harness/seal.ts'
import { keysOf, readStream, sealStream, segmentsOf, takeApart, worker } from '../harness/seal-stream.ts'
import { listFiles, root } from '../tidy/source.ts'
import { makeEnvelopeCases, makeKeyCases, makeSignedCases, makeStreamCases } from '../vector/make-seal.ts'
import { isRight, outcomeOf, type SealCase, sealCase } from '../vector/seal-case.ts'

const folder = mkdtempSync(join(tmpdir(), 'pond-seal-reader-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

/** What the reader says of these files, the last line first. */
function read(...paths: readonly string[]): { readonly code: number | null; readonly says: readonly string[] } {
  // Debian's own: another Python first in the path knows no package of apt.
  const { status, stdout, stderr } = spawnSync('/usr/bin/python3', ['test/vector/reader.py', ...paths], { cwd: root })
  if (stderr.length > 0) process.stderr.write(stderr)
  return { code: status, says: stdout.toString().trim().split('\n').toReversed() }
}

let files = 0
function write(cases: readonly SealCase[]): string {
  const path = join(folder, `${files++}.json`)
  writeFileSync(path, JSON.stringify({ cases }))
  return path
}

/** Both readers say of each case what it says of itself. */
async function agree(t: Test, cases: readonly SealCase[]): Promise<void> {
  const refused = cases.filter((one) => one.refused).length
  t.strictSame(read(write(cases)), { code: 0, says: [`${cases.length - refused} opened, ${refused} refused, 0 wrong`] })
  const wrong: string[] = []
  for (const one of cases) if (!(await isRight(one))) wrong.push(one.what)
  t.strictSame(wrong, [])
}

t.test('it opens the golden vectors', async (t) => {
  const vectors = listFiles('test/vector/seal').filter((path) => path.endsWith('.json'))
  t.strictSame(read(...vectors), { code: 0, says: ['22 opened, 64 refused, 0 wrong'] })
})

t.test('it opens what is sealed now', async (t) => {
  const made = [makeKeyCases(), await makeEnvelopeCases(), makeSignedCases(), await makeStreamCases()]
  await agree(t, made.flat())
})

const reader = sealingPair('reader')
const recipients = Array.from({ length: 3 }, (_, index) => sealingPair(`reader ${index}`))
const base = {
  kind: 'stream',
  stream,
  job_digest: jobDigest,
  workers: [worker.publicKey],
  named: keysOf([reader, ...recipients]).map((key) => fingerprint(key)),
  pairs: [reader],
}

function streamCase(what: string, stored: Buffer, other: object): SealCase {
  const file = join(folder, `${files++}.stored`)
  writeFileSync(file, stored)
  return sealCase.parse({ ...base, what, file, ...other })
}

t.test('a stream of several MiB: whole, from each segment, cut, and interrupted anywhere', async (t) => {
  const plain = Buffer.from(Array.from({ length: 500_000 }, (_, line) => `${line}\n`).join(''))
  const stored = sealStream(split(plain, [100_000, 7, 30_000]), { recipients: keysOf([reader, ...recipients]) })
  t.ok(stored.length > 3 * STRIDE_BYTES)
  const cases = [streamCase('whole', stored, { sha256: sha256(plain) })]
  for (const pair of recipients) cases.push(streamCase('for others', stored, { sha256: sha256(plain), pairs: [pair] }))
  for (let at = 0, index = 0; at < stored.length; at += STRIDE_BYTES, index++) {
    const { bytes } = readStream(stored.subarray(at), { at, named: () => true })
    cases.push(streamCase(`from segment ${index}`, stored.subarray(at), { at, sha256: sha256(bytes) }))
  }
  const boundaries = takeApart(stored).map(({ at }) => at)
  for (const cut of sample(boundaries.length, 12).flatMap((index) => [
    boundaries[index] ?? 0,
    (boundaries[index] ?? 0) + 5,
  ])) {
    const { bytes } = readStream(stored.subarray(0, cut), { named: () => true })
    cases.push(streamCase(`cut at ${cut}`, stored.subarray(0, cut), { sha256: sha256(bytes), ended: false }))
    const after = await findInterruption(
      async (at, target) => stored.copy(target, 0, at, Math.min(cut, at + target.length)),
      cut,
    )
    if (after === 'ended') throw new Error('it was cut')
    const more = sealStream([plain.subarray(0, 60_000)], { after })
    const whole = Buffer.concat([stored.subarray(0, after.at), more])
    const expected = Buffer.concat([plain.subarray(0, after.offset), plain.subarray(0, 60_000)])
    cases.push(streamCase(`interrupted at ${cut}`, whole, { sha256: sha256(expected) }))
  }
  const segments = segmentsOf(stored)
  for (let index = 0; index < segments.length; index++) {
    cases.push(
      streamCase(`segment ${index} twice`, Buffer.concat(segments.toSpliced(index, 0, segments[index] ?? stored)), {
        refused: true,
      }),
    )
    if (index + 1 < segments.length)
      cases.push(streamCase(`segment ${index} dropped`, Buffer.concat(segments.toSpliced(index, 1)), { refused: true }))
  }
  await agree(t, cases)
})

t.test('it refuses every change of a field that we refuse', async (t) => {
  const made = [...(await makeEnvelopeCases()), ...makeSignedCases()]
  // Of two boxes or signatures one is for somebody else, who alone can tell that it was changed.
  const alone = made.filter(
    (one) => !one.refused && ['sealed', 'custody', 'grant', 'signed', 'attestation'].includes(one.kind),
  )
  const short = alone.filter((one) => JSON.stringify(one).length < 20_000 && !/second|too|^inline$/.test(one.what))
  const cases = short.flatMap((one) => [...changesOf(one)])
  t.equal(cases.length, 1390, 'changes; fewer would be a weaker test')
  await agree(t, cases)
})

function changesOf(one: SealCase): readonly SealCase[] {
  const { opens: _, sha256: __, ...rest } = one
  return (['sealed', 'custody', 'signed'] as const).flatMap((name) => {
    if (!(name in rest)) return []
    const original = (rest as unknown as Record<string, unknown>)[name]
    return [...mutateValue(original)].map(({ what, value }) =>
      sealCase.parse({ ...rest, what: `${one.what}: ${what}`, [name]: value, refused: true }),
    )
  })
}

t.test('of a stream with a byte changed, both read as far as the other', async (t) => {
  const [whole] = (await makeStreamCases()).filter((one) => one.kind === 'stream')
  if (whole?.kind !== 'stream') throw new Error('there are streams')
  const { opens: _, ...rest } = whole
  const cases: SealCase[] = []
  for (const { what, value } of mutateBytes(Buffer.from(whole.stored ?? '', 'base64'), 2000)) {
    const bytes = { ...rest, what, stored: value.toString('base64'), ended: false }
    const opened = await outcomeOf(bytes)
    cases.push(opened ? { ...bytes, opens: opened.toString('base64') } : { ...bytes, refused: true })
  }
  t.ok(cases.length > 1900)
  await agree(t, cases)
})

t.test('it can fail, and says where', async (t) => {
  const [good] = makeKeyCases()
  if (!good) throw new Error('there are keys')
  const { code, says } = read(write([{ ...good, opens: 'AAAA' }]))
  t.equal(code, 1)
  t.match(says, ['1 opened, 0 refused, 1 wrong', /^wrong: .*: key text: a recipient$/])
  t.equal(read(write([])).code, 1, 'nothing read is nothing proved')
})

t.test('the reader stays small', async (t) => {
  const lines = readFileSync(join(root, 'test', 'vector', 'reader.py'), 'utf8')
    .trimEnd()
    .split('\n')
  t.ok(lines.length <= 365, `${lines.length} lines`)
  t.strictSame(
    lines.filter((line) => line.length > 120),
    [],
  )
})
