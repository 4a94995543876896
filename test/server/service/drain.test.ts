// Drain from pond's side: nothing is granted from the commit on, the worker is told until it obeys, and a new start after it left ends it.
import t from 'tap'
import type { SnapshotBody } from '../../../src/protocol/orch.ts'
import { PROTOCOL } from '../../../src/protocol/version.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

type Order = { readonly deadline_ms?: number; readonly note?: string }
const drain = (rig: PondRig, { workerId }: Machine, body: Order = {}) =>
  rig.call('drainWorker', { params: { id: workerId }, body })
const resume = (rig: PondRig, { workerId }: Machine) => rig.call('resumeWorker', { params: { id: workerId }, body: {} })
const view = async (rig: PondRig, { workerId }: Machine) =>
  (await rig.call('listWorkers')).reply.items.find(({ id }) => id === workerId)
const audited = async (rig: PondRig) =>
  (await rig.call('listAudit')).reply.items
    .filter(({ action }) => action === 'worker.drain' || action === 'worker.resume')
    .map(({ action, by, note }) => [action, by.split(':')[0], note])
    .reverse()

let seq = 1
async function tell(rig: PondRig, box: Machine, state: 'ready' | 'draining') {
  const { sealing_key, signing_key, labels, resources } = box.paired.worker
  const worker = { keys: { sealing_key, signing_key }, labels, resources, inflight: 0, load: 0, version: '0', state }
  const body: SnapshotBody = { session: box.session, seq: ++seq, workers: [{ worker_id: box.workerId, ...worker }] }
  await rig.call('sendSnapshot', { token: box.token, body })
}

t.test('it is told at once, with what is left of the deadline, and gets nothing more', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const polled = box.poll({ wait_ms: 20_000 })
  await rig.clock.advance(0)
  t.match((await drain(rig, box, { deadline_ms: 60_000, note: 'new disk' })).reply, {
    ...{ id: box.workerId, state: 'draining', note: 'new disk' },
    drain: { at: rig.clock.now(), deadline_at: rig.clock.now() + 60_000, note: 'new disk', heard: false },
  })
  const asked = { type: 'drain', worker_id: box.workerId, wait_ms: 60_000, note: 'new disk' }
  t.strictSame((await polled).reply.directives, [asked])
  const { id } = await submit(rig)
  t.strictSame(await box.take(3), [], 'though it offers slots')
  t.equal((await jobOf(rig, id)).state, 'queued')
  const other = await pairMachine(rig, { letter: 'o' })
  t.match(await other.take(), [{ job_id: id }], 'another worker does')
})

t.test('told again every few seconds until a snapshot of its session says that it drains', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const intent = await box.start()
  await drain(rig, box, { deadline_ms: 60_000 })
  const have = box.have([intent])
  const told = async () => {
    const polled = box.poll({ slots: 0, wait_ms: 6000, have })
    await rig.clock.advance(6000)
    return (await polled).reply.directives
  }
  t.match(await told(), [{ type: 'drain', wait_ms: 60_000 }])
  t.match(await told(), [{ type: 'drain', wait_ms: 53_000 + 1000 }], 'its reply may have been lost')
  await tell(rig, box, 'ready')
  t.match(await told(), [{ type: 'drain' }])
  await tell(rig, box, 'draining')
  t.strictSame(await told(), [])
  t.match(await view(rig, box), { state: 'draining', inflight: 1, drain: { heard: true } })
  await drain(rig, box, { deadline_ms: 10_000 })
  t.match((await told())[0], { type: 'drain', wait_ms: 10_000 }, 'a nearer deadline has to be heard anew')
  t.match(await box.say(intent, finalWord), { status: 200 }, 'what runs ends as ever')
})

t.test('a repeat brings the deadline forward or changes nothing', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const first = (await drain(rig, box, { deadline_ms: 60_000, note: 'a' })).reply.drain
  await rig.clock.advance(1000)
  t.strictSame((await drain(rig, box, { deadline_ms: 60_000 })).reply.drain, first)
  t.strictSame((await drain(rig, box)).reply.drain, first)
  t.match((await drain(rig, box, { deadline_ms: 1000 })).reply.drain, {
    ...first,
    deadline_at: rig.clock.now() + 1000,
  })
  t.match((await drain(rig, box, { note: 'b' })).reply.drain, { note: 'b', deadline_at: rig.clock.now() + 1000 })
  t.equal((await resume(rig, box)).reply.drain, undefined)
  t.equal((await resume(rig, box)).status, 200)
  t.strictSame(await audited(rig), [
    ['worker.drain', 'admin', 'a'],
    ['worker.drain', 'admin', undefined],
    ['worker.drain', 'admin', 'b'],
    ['worker.resume', 'admin', undefined],
  ])
})

t.test('taken back before it was heard, jobs come again at once', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await drain(rig, box)
  await submit(rig)
  t.strictSame(await box.take(), [], 'told')
  const polled = box.poll({ wait_ms: 4000, claim_key: 'claim-key-waiting' })
  await rig.clock.advance(10)
  await resume(rig, box)
  await rig.clock.advance(10)
  t.equal((await polled).reply.intents.length, 1)
})

t.test(
  'a swarm that was started again after it had heard and left works again, across a restart of pond',
  async (t) => {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig)
    await drain(rig, box)
    await box.take()
    await box.take(0)
    t.match(await view(rig, box), { drain: { heard: true } })
    await rig.restart()
    await submit(rig)
    t.strictSame(await box.take(), [], 'the same life gets nothing')
    await box.take(0)
    box.session = 'session-2'
    t.equal((await box.take()).length, 1, 'the next one does')
    t.equal((await view(rig, box))?.drain, undefined)
    t.strictSame((await audited(rig)).at(-1), ['worker.resume', 'binding', 'it was started again'])
  },
)

t.test('one that crashed in its drain is told again, and works again only after it left in order', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  await submit(rig)
  const intent = await box.start()
  const have = box.have([intent])
  await drain(rig, box)
  await box.poll({ slots: 0, have })
  await tell(rig, box, 'draining')
  void box.poll({ slots: 0, have })
  await rig.clock.advance(2000)
  t.match(await view(rig, box), { drain: { heard: true } })
  box.session = 'session-2'
  t.match((await box.poll({ slots: 1 })).reply, { intents: [], directives: [{ type: 'drain' }] }, 'restarted')
  await box.say(intent, finalWord)
  await box.take(0)
  box.session = 'session-3'
  t.equal((await box.take()).length, 1)
  t.equal((await view(rig, box))?.drain, undefined)
})

t.test('an order is heard when the poll says that its reply arrived, not by a full machine', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const have = box.have([await box.start()])
  await drain(rig, box)
  const polled = async (seq: number, heard: number) => {
    const poll = box.poll({ protocol: PROTOCOL, slots: 0, have, seq, heard, wait_ms: 6000 })
    await rig.clock.advance(6000)
    await poll
    return (await view(rig, box))?.drain?.heard
  }
  t.equal(await polled(100, 99), false, 'told')
  t.equal(await polled(101, 99), false, 'that reply was lost, and it is told again')
  t.equal(await polled(102, 101), true)
  await drain(rig, box, { deadline_ms: 60_000 })
  t.equal(await polled(103, 102), false, 'what changed has to be heard anew')
  t.equal(await polled(104, 103), true)
})

t.test('a late snapshot of a former life is not that the order was heard', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  box.session = 'session-2'
  await box.take()
  await drain(rig, box)
  await tell(rig, { ...box, session: 'session-1' }, 'draining')
  t.match(await view(rig, box), { drain: { heard: false } })
  t.match((await box.poll({ slots: 1 })).reply, { intents: [], directives: [{ type: 'drain' }] })
})

t.test('one that was away hears of it when it comes', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await box.take()
  await rig.clock.advance(3_600_000)
  t.match((await drain(rig, box, { deadline_ms: 60_000 })).reply, { state: 'offline', drain: { heard: false } })
  await rig.clock.advance(120_000)
  for (const session of ['session-2', 'session-3']) {
    box.session = session
    t.match((await box.poll({ slots: 2 })).reply.directives, [{ type: 'drain', wait_ms: 0 }], session)
  }
  t.match(await view(rig, box), { drain: { heard: false } }, 'that a reply was sent is not that it was heard')
})

t.test('a busy swarm whose slots are all taken has not heard by that alone', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const intent = await box.start()
  await drain(rig, box)
  void box.poll({ slots: 0, have: box.have([intent]), session: 'session-1' })
  await rig.clock.advance(1)
  box.session = 'session-2'
  t.match(
    (await box.poll({ slots: 1 })).reply.directives,
    [{ type: 'drain' }],
    'the first poll was the first to be told',
  )
})

t.test('an unknown worker, and one that was revoked', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const id = `wrk_${'0'.repeat(26)}`
  for (const name of ['drainWorker', 'resumeWorker'] as const) {
    t.equal((await rig.call(name, { params: { id }, body: {} })).code, 'not_found')
  }
  await rig.call('revokeWorker', { params: { id: box.workerId } })
  t.match(await drain(rig, box), { code: 'not_possible', error: { details: { state: 'revoked' } } })
})
