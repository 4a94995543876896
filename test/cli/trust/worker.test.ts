// Workers that replace their keys: a consumer that pinned the old ones follows what those signed, and nothing else.
import t from 'tap'
import { changeTrust, workerKey } from '../../../src/cli/trust/store.ts'
import type { WorkerView } from '../../../src/protocol/consumer.ts'
import { canonicalBytes } from '../../../src/seal/canonical.ts'
import { createFakeIo, drive, type FakeIo, pond, startPond, waitFor } from '../../harness/fake-io.ts'
import { fakeId } from '../../harness/fake-pond.ts'
import { createFakeWorker, type FakeWorker, rotateWorker } from '../../harness/fake-safe.ts'
import { jsonReply, reply } from '../../harness/http-reply.ts'
import { clientHomeOf, labOf, makeConfidential, takeJob } from '../../harness/sealed-job.ts'

/** Submits a job and lets the worker do it; answers its id. */
async function runOn(io: FakeIo, worker: FakeWorker): Promise<string> {
  await io.clock.advance(1000)
  t.equal(await pond(io, 'submit', '--idempotency-key', `${io.pond.jobs.size}`, '--', 'x'), 0)
  const id = [...io.pond.jobs.keys()].at(-1) ?? ''
  const job = await takeJob(io, id, { worker })
  job.write('stdout', 'said\n')
  await job.finish()
  io.writes.length = 0
  const spec = io.pond.calls.filter(({ name }) => name === 'submitJob').at(-1)?.body
  const attestation = io.pond.answers.getAttestation
  const others = io.pond.intercept
  io.pond.intercept = (call) => {
    if (call.params.id !== id) return others?.(call)
    if (call.name === 'getAttestation') return jsonReply(attestation)
    return call.name === 'getJobSpec' ? reply(200, JSON_TYPE, canonicalBytes(spec)) : undefined
  }
  return id
}

const JSON_TYPE = { 'content-type': 'application/json' }

/** The exit code of reading the output of a fresh job on the worker. */
const readFrom = async (io: FakeIo, worker: FakeWorker) => await pond(io, 'logs', await runOn(io, worker))

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

t.test('new keys that the pinned ones signed are taken, and told of once', async (t) => {
  const io = await confidential(lab)
  t.equal(await readFrom(io, lab), 0)
  const before = [await runOn(io, lab), await runOn(io, second)]
  io.pond.safe.workers = [third.view]
  t.equal(await readFrom(io, third), 0)
  t.equal(io.printed().out, 'said\n')
  t.match(io.printed().err, `worker lab has new keys, signed by the ones that were trusted: ${third.view.fingerprint}`)
  io.writes.length = 0
  for (const id of before) t.equal(await pond(io, 'logs', id), 0, 'what older ones signed still opens')
  t.notMatch(io.printed().err, /new keys/)
  t.match(await trusted(io), [
    { fingerprints: [third.view.fingerprint], former: [lab.view.fingerprint, second.view.fingerprint], checked: false },
  ])
  t.equal(await pond(io, 'trust', 'rm', 'worker', lab.view.fingerprint), 0)
  t.strictSame(await trusted(io), [], 'it goes as a whole')
})

t.test(
  'a key that was replaced does not speak for a job that is younger: whoever stole it says nothing new',
  async (t) => {
    const io = await confidential(lab)
    t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
    const older = await runOn(io, lab)
    io.pond.safe.workers = [second.view]
    t.equal(await readFrom(io, second), 0)
    const younger = await runOn(io, lab)
    t.equal(await pond(io, 'logs', younger), 1)
    t.match(io.printed().err, /not trusted here/)
    t.equal(await pond(io, 'verify', younger), 1)
    t.match(
      io.printed().out,
      /NOT PROVED.* worker: that key was replaced on .*, and the job is not known here as older/,
    )
    io.writes.length = 0
    t.equal(await pond(io, 'verify', older), 0)
    t.match(
      io.printed().out,
      /worker: that key was checked by you, and was replaced on .* after this job was submitted/,
    )
  },
)

t.test('verify follows too', async (t) => {
  const io = await confidential(lab)
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  io.pond.safe.workers = [second.view]
  t.equal(await pond(io, 'verify', await runOn(io, second)), 0)
  t.match(io.printed().out, /worker: that key is signed by one that was checked by you/)
})

t.test('what a person compared stays compared, by the name that it had', async (t) => {
  const io = await confidential(lab)
  io.env.POND_TRUST = 'checked'
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  io.pond.safe.workers = [second.view]
  t.equal(await readFrom(io, second), 0)
  io.input = 'a value'
  io.pond.safe.workers = [{ ...third.view, name: 'prod' }]
  io.writes.length = 0
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A', '--seal-to', 'lab'), 0, 'and is sealed to')
  t.match(io.printed().err, third.view.fingerprint)
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A', '--seal-to', 'prod'), 1)
  t.match(await trusted(io), [{ name: 'lab', fingerprints: [third.view.fingerprint], checked: true }])
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 1, 'pond calls it otherwise')
  t.equal(await pond(io, 'trust', 'worker', 'prod', '--yes'), 0)
  t.match(await trusted(io), [{ name: 'prod', former: [lab.view.fingerprint, second.view.fingerprint] }])
})

const foreign = rotateWorker({ ...lab, view: { ...lab.view, id: fakeId('wrk', 7) } }, 'm')
for (const [says, shown] of [
  ['nothing proves', { ...second.view, rotations: [] }],
  ['the old key signed for another worker', { ...foreign.view, id: lab.view.id }],
  ['a worker in quarantine shows', { ...second.view, state: 'quarantined' }],
  ['a worker that is revoked shows', { ...second.view, state: 'revoked' }],
] satisfies [string, WorkerView][]) {
  t.test(`keys that ${says} are not taken`, async (t) => {
    const io = await confidential(lab)
    t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
    io.pond.safe.workers = [shown]
    t.equal(await readFrom(io, second), 1)
    t.match(io.printed().err, /not trusted here/)
    t.match(await trusted(io), [{ fingerprints: [lab.view.fingerprint], former: [] }])
  })
}

t.test('nor does one that is first met so count for anything', async (t) => {
  for (const state of ['quarantined', 'revoked']) {
    const io = await confidential({ ...lab, view: { ...lab.view, state } })
    t.equal(await readFrom(io, lab), 1)
    t.strictSame(await trusted(io), [])
  }
})

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

for (const [says, change, kept] of [
  ['followed elsewhere', (io: FakeIo) => follow(io), [{ fingerprints: [second.view.fingerprint] }]],
  ['taken back', (io: FakeIo) => pond(io, 'trust', 'rm', 'worker', 'lab'), []],
] as const) {
  t.test(`what was pinned when a verb began, and was ${says} while it waited, leads nowhere`, async (t) => {
    const io = await confidential(lab)
    io.env.POND_TRUST = 'checked'
    t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
    const going = startPond(io, 'run', '--', 'make')
    await waitFor(io, () => io.pond.jobs.size > 0)
    t.equal(await change(io), 0)
    const thief = rotateWorker(lab, 'x')
    io.pond.safe.workers = [thief.view]
    const job = await takeJob(io, [...io.pond.jobs.keys()][0] ?? '', { worker: thief })
    job.write('stdout', 'forged')
    await job.finish()
    t.equal(await drive(io, going.code), 1)
    t.notMatch(io.printed().out, 'forged')
    t.match(await trusted(io), kept)
  })
}

/** Another program sees the new keys first. */
async function follow(io: FakeIo): Promise<number> {
  io.pond.safe.workers = [second.view]
  return await pond(io, 'verify', await runOn(io, second))
}

t.test('a worker that is first met behind a rotation is met as it is', async (t) => {
  const io = await confidential(createFakeWorker('z', lab.view))
  io.pond.safe.workers = [second.view]
  t.equal(await readFrom(io, second), 0)
  t.match(io.printed().err, /trusting worker lab from now on/)
})

t.test('two names of one pond are two pins, which do not meet', async (t) => {
  const io = await confidential(lab)
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  const { sealing_key, signing_key } = second.view
  const there = { id: lab.view.id, name: 'lab', pond: 'https://other.example', sealing_key, signing_key, former: [] }
  await changeTrust({ home: clientHomeOf(io), clock: io.clock }, (before) => ({
    ...before,
    workers: {
      ...before.workers,
      [workerKey('https://other.example', lab.view.id)]: { ...there, checked: false, at: 1 },
    },
  }))
  io.env.POND_TRUST = 'checked'
  io.pond.safe.workers = [second.view]
  t.equal(await readFrom(io, second), 0)
  t.match(await trusted(io), [{ checked: true, fingerprints: [second.view.fingerprint] }, { checked: false }])
})
