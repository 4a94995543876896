// Artifacts of a job that is not trusted: what its globs mean, and what no trick of its own brings out.

import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, linkSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { collectArtifacts } from '../../src/orchestrator/artifact.ts'
import { createPrivacy } from '../../src/orchestrator/privacy.ts'
import type { ArtifactProblem } from '../../src/protocol/word.ts'
import { systemClock } from '../../src/system/clock.ts'
import { factsOf, workerSigner } from '../harness/claim-facts.ts'
import { createFakePond } from '../harness/fake-pond-client.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

interface Wish {
  readonly globs: readonly string[]
  readonly mostBytes?: number
  readonly secrets?: readonly string[]
  readonly problem?: ArtifactProblem
}

async function collect(work: string, { globs, mostBytes = 1000, secrets = [], problem }: Wish) {
  const random = createSeededRandom(1)
  const claim = factsOf(createFakePond({ clock: systemClock, random }).give())
  const privacy = await createPrivacy({ random, signer: workerSigner, claim, secrets })
  const taken: string[] = []
  const add = async (index: number, bytes: AsyncIterable<Buffer>) => {
    const parts: Buffer[] = []
    for await (const part of bytes) parts.push(part)
    taken[index] = Buffer.concat(parts).toString()
    return problem
  }
  const { signal } = new AbortController()
  return {
    reports: await collectArtifacts({ clock: systemClock, work, globs, mostBytes, privacy, add, signal }),
    taken,
  }
}

function folder(t: Test, files: Readonly<Record<string, string>>): string {
  const work = mkdtempSync(join(t.testdir(), 'w'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(work, path, '..'), { recursive: true })
    writeFileSync(join(work, path), text)
  }
  return work
}

t.test(
  'globs as people know them; each file once, in the order of its path; a glob without a file is told',
  async (t) => {
    const work = folder(t, { 'a.csv': 'a', 'b.txt': 'b', 'out/c.csv': 'c', 'out/deep/d.bin': 'd', '.hidden': 'h' })
    const { reports, taken } = await collect(work, { globs: ['*.csv', './out/**', 'no/*.such'] })
    t.same(reports, [
      { path: 'a.csv', stream: 'artifact/0' },
      { path: 'out/c.csv', stream: 'artifact/1' },
      { path: 'out/deep/d.bin', stream: 'artifact/2' },
      { path: 'no/*.such', problem: 'missing' },
    ])
    t.same(taken, ['a', 'c', 'd'])
  },
)

t.test(
  'what is too large, holds a secret or cannot be stored has its problem, and its neighbours arrive',
  async (t) => {
    const work = folder(t, { big: 'x'.repeat(2000), leak: 'the password is hunter2hunter2', ok: 'fine' })
    const { reports, taken } = await collect(work, { globs: ['*'], secrets: ['hunter2hunter2'] })
    t.same(reports, [
      { path: 'big', problem: 'too_large' },
      { path: 'leak', problem: 'withheld' },
      { path: 'ok', stream: 'artifact/0' },
    ])
    t.same(taken, ['fine'])
    t.same((await collect(work, { globs: ['ok'], problem: 'no_room' })).reports, [{ path: 'ok', problem: 'no_room' }])
  },
)

t.test('a secret in a name is taken out of it', async (t) => {
  const work = folder(t, { 'hunter2hunter2.log': 'x' })
  t.same((await collect(work, { globs: ['*'], secrets: ['hunter2hunter2'] })).reports, [
    { path: '[redacted].log', stream: 'artifact/0' },
  ])
})

t.test('a glob that takes years to try is given up, and what it would have found is told', async (t) => {
  const work = folder(t, { [`a${'a'.repeat(150)}`]: 'x', b: 'y' })
  const { reports, taken } = await collect(work, { globs: [`${'*a'.repeat(40)}b`, 'b'] })
  t.same(taken, [])
  t.same(reports[0], { problem: 'too_many' })
})

t.test('paths never outgrow the word that tells them', async (t) => {
  const work = folder(t, { ok: 'fine' })
  // Deeper than any path that the kernel takes, so it is made step by step.
  const script =
    'for (let i = 0; i < 20; i++) { fs.mkdirSync("d".repeat(250)); process.chdir("d".repeat(250)); fs.writeFileSync("f", "") }'
  execFileSync(process.execPath, ['-e', script], { cwd: work })
  const { reports } = await collect(work, { globs: ['**'] })
  execFileSync('rm', ['-rf', work])
  t.ok(reports.some(({ problem }) => problem === 'too_many'))
  t.ok(reports.every(({ path = '' }) => path.length <= 4096))
  const long = 'n'.repeat(250)
  const many = Object.fromEntries(
    Array.from({ length: 400 }, (_, i) => [`${long}/${long}/${long}/\u0001${i}${long.slice(9)}`, '']),
  )
  const { reports: all } = await collect(folder(t, many), { globs: ['**'] })
  t.ok(Buffer.byteLength(JSON.stringify(all)) < 2 * 1024 ** 2)
})

t.test('links, fifos and devices lead nowhere', async (t) => {
  const work = folder(t, { 'real/file': 'mine' })
  const outside = join(work, '..', 'outside')
  mkdirSync(outside)
  writeFileSync(join(outside, 'secret'), 'not yours')
  symlinkSync(join(outside, 'secret'), join(work, 'link'))
  symlinkSync(outside, join(work, 'folder'))
  symlinkSync('/proc/self', join(work, 'self'))
  execFileSync('mkfifo', [join(work, 'fifo')])
  const { reports, taken } = await collect(work, { globs: ['**'] })
  t.same(taken, ['mine'])
  t.same(
    reports.filter(({ problem }) => problem).map(({ path }) => path),
    ['fifo', 'folder', 'link', 'self'],
  )
})

t.test(
  'a hard link to a file of another user is not taken',
  { skip: process.getuid?.() !== 0 && 'takes two users' },
  async (t) => {
    const work = folder(t, {})
    const secret = join(work, '..', 'secret')
    writeFileSync(secret, 'not yours')
    chownSync(secret, 65534, 65534)
    linkSync(secret, join(work, 'mine'))
    t.same((await collect(work, { globs: ['*'] })).reports, [{ path: 'mine', problem: 'unreadable' }])
  },
)

t.test('names that redaction makes one stay two, also where one is a folder', async (t) => {
  const secret = 'sesame-open'
  const hex = Buffer.from(secret).toString('hex')
  const work = folder(t, { [`out/${secret}`]: 'first', [`out/${hex}/f`]: 'second' })
  const { reports } = await collect(work, { globs: ['out/**'], secrets: [secret] })
  t.same(reports.map(({ path }) => path).sort(), ['out/[redacted]/f', 'out/[redacted]~2'])
})

t.test('a folder that is not there, or cannot be looked into, leaves its globs missing', async (t) => {
  t.same((await collect('/nowhere/at/all', { globs: ['*'] })).reports, [{ path: '*', problem: 'missing' }])
  const work = folder(t, { 'shut/x': 'x', open: 'o' })
  chmodSync(join(work, 'shut'), 0)
  t.match((await collect(work, { globs: ['open'] })).taken, ['o'])
  chmodSync(join(work, 'shut'), 0o700)
})

t.test('files that are missing or too large never mask how the job ended', async (t) => {
  const rig = await createSwarmRig()
  rig.executor.work = t.testdir({ big: 'too large', small: 's' })
  await rig.start()
  const intent = rig.pond.give({ artifacts: ['*', 'no/*.such'] }, { limits: { stream_bytes: 1000, artifact_bytes: 4 } })
  await rig.clock.settle()
  rig.executor.processes[0]?.exit({ rc: 3 })
  await rig.clock.until(() => rig.pond.finalOf(intent.claim_id) !== undefined)
  t.match(rig.pond.finalOf(intent.claim_id), {
    cause: 'exit',
    rc: 3,
    artifacts: [
      { path: 'big', problem: 'too_large' },
      { path: 'small', stream: 'artifact/0' },
      { path: 'no/*.such', problem: 'missing' },
    ],
    streams: { 'artifact/0': { bytes: 1, end: 'complete' } },
  })
})

t.test('an artifact that found no room leaves none of itself, and its neighbour arrives whole', async (t) => {
  const rig = await createSwarmRig()
  rig.executor.work = t.testdir({ big: 'x'.repeat(1000), small: 's' })
  await rig.start()
  const limits = { stream_bytes: 1000, artifact_bytes: 1000 }
  const intent = rig.pond.give({ artifacts: ['*'] }, { limits })
  await rig.clock.settle()
  rig.disk.dice = () => 0.5
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  let kept: number | undefined
  rig.disk.fault = (operation, path) => {
    if (operation !== 'append') return undefined
    if (path.endsWith('artifact.1')) {
      void rig.disk.stat(path.replace(/1$/, '0')).then((file) => {
        kept = file?.sizeBytes
      })
    }
    return path.endsWith('artifact.0') ? full : undefined
  }
  rig.executor.processes[0]?.exit({ rc: 0 })
  await rig.clock.until(() => rig.pond.finalOf(intent.claim_id) !== undefined)
  t.equal(kept, 0, 'its room is free before the next is taken')
  t.match(rig.pond.finalOf(intent.claim_id), {
    cause: 'exit',
    rc: 0,
    artifacts: [
      { path: 'big', problem: 'no_room' },
      { path: 'small', stream: 'artifact/1' },
    ],
    streams: { 'artifact/0': { bytes: 0, produced: 1000, end: 'lost' }, 'artifact/1': { bytes: 1, end: 'complete' } },
  })
})
