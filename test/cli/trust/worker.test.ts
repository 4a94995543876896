// Workers that replace their keys: a consumer that pinned the old ones follows what those signed, and nothing else.
import t from 'tap'
import type { WorkerView } from '../../../src/protocol/consumer.ts'
import type { FakeIo } from '../../harness/fake-io.ts'
import { createFakeIo, pond } from '../../harness/fake-io.ts'
import { createFakeWorker, type FakeWorker, rotateWorker } from '../../harness/fake-safe.ts'
import { labOf, makeConfidential, takeJob } from '../../harness/sealed-job.ts'

/** Submits a job, lets the worker do it, and reads its output; answers the exit code. */
async function readFrom(io: FakeIo, worker: FakeWorker): Promise<number> {
  t.equal(await pond(io, 'submit', '--idempotency-key', `${io.pond.jobs.size}`, '--', 'x'), 0)
  const job = await takeJob(io, [...io.pond.jobs.keys()].at(-1) ?? '', { worker })
  job.write('stdout', 'said\n')
  await job.finish()
  io.writes.length = 0
  return await pond(io, 'logs')
}

async function confidential(worker: FakeWorker): Promise<FakeIo> {
  const io = createFakeIo()
  await makeConfidential(io)
  io.pond.safe.workers = [worker.view]
  return io
}

async function trusted(io: FakeIo): Promise<readonly Record<string, unknown>[]> {
  io.writes.length = 0
  t.equal(await pond(io, 'trust', 'ls', '--json'), 0)
  const entries = io
    .printed()
    .out.trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return entries.filter(({ kind }) => kind === 'worker')
}

const lab = labOf()
const second = rotateWorker(lab, 'm')
const third = rotateWorker(second, 'n')

t.test('new keys that the pinned ones signed are taken, told of once, and the old output still opens', async (t) => {
  const io = await confidential(lab)
  t.equal(await readFrom(io, lab), 0)
  io.pond.safe.workers = [third.view]
  t.equal(await readFrom(io, third), 0)
  t.equal(io.printed().out, 'said\n')
  t.match(io.printed().err, `worker lab has new keys, signed by the ones that were trusted: ${third.view.fingerprint}`)
  t.equal(await readFrom(io, second), 0, 'a step between is as good')
  t.equal(await readFrom(io, lab), 0, 'and so are the first')
  t.notMatch(io.printed().err, /new keys/)
  t.match(await trusted(io), [
    { fingerprints: [third.view.fingerprint], former: [lab.view.fingerprint, second.view.fingerprint], checked: false },
  ])
  t.equal(await pond(io, 'trust', 'rm', 'worker', lab.view.fingerprint), 0)
  t.strictSame(await trusted(io), [], 'it goes as a whole')
})

t.test('what a person compared stays compared', async (t) => {
  const io = await confidential(lab)
  io.env.POND_TRUST = 'checked'
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  io.pond.safe.workers = [second.view]
  t.equal(await readFrom(io, second), 0)
  io.input = 'a value'
  io.pond.safe.workers = [third.view]
  io.writes.length = 0
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A', '--seal-to', 'lab'), 0, 'and is sealed to')
  t.match(io.printed().err, third.view.fingerprint)
  t.match(await trusted(io), [{ fingerprints: [third.view.fingerprint], checked: true }])
})

for (const [says, shown] of [
  ['nothing proves', { ...second.view, rotations: [] }],
  ['the old key signed for another worker', { ...second.view, id: labOf().view.id.replace(/.$/, 'z') }],
  ['a worker in quarantine shows', { ...second.view, state: 'quarantined' }],
] satisfies [string, WorkerView][]) {
  t.test(`keys that ${says} are not taken`, async (t) => {
    const io = await confidential(lab)
    t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
    io.env.POND_TRUST = 'checked'
    io.pond.safe.workers = [shown]
    t.equal(await readFrom(io, second), 1)
    t.match(io.printed().err, /not trusted here/)
    t.match(await trusted(io), [{ fingerprints: [lab.view.fingerprint] }])
  })
}

t.test('a key that was replaced leads nowhere else: whoever stole it cannot turn a consumer away', async (t) => {
  const io = await confidential(lab)
  t.equal(await readFrom(io, lab), 0)
  io.pond.safe.workers = [second.view]
  t.equal(await readFrom(io, second), 0)
  const thief = rotateWorker(lab, 'x')
  io.pond.safe.workers = [thief.view]
  t.equal(await readFrom(io, thief), 1)
  t.match(io.printed().err, /shows another key than the one that was pinned/)
  t.match(await trusted(io), [{ fingerprints: [second.view.fingerprint] }])
})

t.test('a worker that is first met behind a rotation is met as it is', async (t) => {
  const io = await confidential(createFakeWorker('z', lab.view))
  io.pond.safe.workers = [second.view]
  t.equal(await readFrom(io, second), 0)
  t.match(io.printed().err, /trusting worker lab from now on/)
})
