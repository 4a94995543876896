// Workers that are shut out: other keys than the pinned ones, a person who looks, and a revocation that works at once.
import t from 'tap'
import { meansOf } from '../../../server/service/room.ts'
import type { WorkerRow } from '../../../server/store/row.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { haveOneClass } from '../../harness/hidden-class.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createEnrollment, enrollBody, workerKeys } from '../../harness/newcomer.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

let seq = 0
const show = ({ token, workerId }: Machine, rig: PondRig, told: object) => {
  const facts = { labels: {}, resources: { slots: 4 }, inflight: 0, load: 0, version: '1' }
  const worker = { worker_id: workerId, ...facts, ...told }
  return rig.call('sendSnapshot', { token, body: { session: 'session-1', seq: ++seq, workers: [worker] } })
}
const own = ({ paired }: Machine) => {
  const { sealing_key, signing_key } = paired.worker
  return { sealing_key, signing_key }
}
const shown = async (rig: PondRig, box: Machine) =>
  (await rig.call('listWorkers')).reply.items.find(({ id }) => id === box.workerId)
const print = (letter: string) => fingerprint(workerKeys(letter).sealing_key, workerKeys(letter).signing_key)
const keyChanges = async (rig: PondRig) =>
  (await rig.call('listAudit')).reply.items.filter(({ action }) => action === 'worker.key_changed')

t.test('other keys: quarantined, shown and audited; what it has is lost at once and goes to another', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const other = await pairMachine(rig, { letter: 'o' })
  const job = await submit(rig, { idempotent: true, retry: { backoff_ms: 0 } })
  const intent = await box.start()
  await box.send(intent, { offset: 0, bytes: 'seen' })
  const parked = box.poll({ slots: 1, wait_ms: 20_000, have: box.have([intent]) })
  await rig.clock.settle()
  await show(box, rig, { keys: workerKeys('x') })
  await rig.clock.settle()
  t.match((await parked).reply.directives, [{ type: 'drop', claim_id: intent.claim_id }])
  t.match(await shown(rig, box), { state: 'quarantined', shown_fingerprint: print('x'), ...own(box) })
  t.match(await jobOf(rig, job.id), { state: 'queued' })
  t.equal((await box.say(intent, finalWord)).code, 'stale')
  t.equal((await box.send(intent, { offset: 4, bytes: '!' })).code, 'stale')
  t.strictSame(await box.take(), [], 'nothing is granted to it')
  await other.say(await other.start(), finalWord)
  t.match(await jobOf(rig, job.id), { state: 'succeeded', worker: other.workerId })
  await show(box, rig, { keys: workerKeys('x') })
  t.match(await keyChanges(rig), [{ target: box.workerId, note: `shows ${print('x')}, pinned ${print('k')}` }])
  await show(box, rig, { keys: workerKeys('y') })
  t.equal((await keyChanges(rig)).length, 2, 'once for each')
  await show(box, rig, { keys: own(box) })
  t.match(await shown(rig, box), { state: 'quarantined', shown_fingerprint: print('y') }, 'until a person looks')
})

t.test(
  'silent for less than a lease of its class it is away, then offline; why it takes no jobs is shown while it is there',
  async (t) => {
    const rig = await createPondRig(t, { settings: { leaseMs: 60_000, awayMs: 120_000 } })
    const server = await pairMachine(rig)
    const laptop = await pairMachine(rig, { letter: 'l', class: 'laptop' })
    const states = async () => [(await shown(rig, server))?.state, (await shown(rig, laptop))?.state]
    t.strictSame(await states(), ['offline', 'offline'], 'neither was ever there')
    for (const box of [server, laptop]) void box.poll({ wait_ms: 1000 })
    await rig.clock.advance(1500)
    t.strictSame(await states(), ['online', 'online'])
    await rig.clock.advance(50_000)
    t.strictSame(await states(), ['away', 'away'])
    await rig.clock.advance(60_000)
    t.strictSame(await states(), ['offline', 'away'])
    await rig.clock.advance(60_000)
    t.strictSame(await states(), ['offline', 'offline'])
    void laptop.poll({ wait_ms: 1000 })
    await show(laptop, rig, {
      keys: own(laptop),
      class: 'laptop',
      state: 'paused',
      note: 'this machine runs on battery',
    })
    t.match(await shown(rig, laptop), { state: 'paused', note: 'this machine runs on battery', class: 'laptop' })
    await show(laptop, rig, { keys: own(laptop), class: 'laptop', state: 'ready' })
    const ready = await shown(rig, laptop)
    t.equal(ready?.state, 'online')
    t.equal(ready?.note, undefined)
  },
)

t.test('one that said that it leaves is offline at once, and back with its next poll', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const state = async () => (await shown(rig, box))?.state
  void box.poll({ wait_ms: 1000 })
  await rig.clock.advance(1500)
  void box.poll({ wait_ms: 0 })
  await rig.clock.advance(1)
  t.equal(await state(), 'online', 'it may only look')
  void box.poll({ wait_ms: 0, workers: [{ worker_id: box.workerId, free: { slots: 0 } }] })
  await rig.clock.advance(1)
  t.equal(await state(), 'offline')
  void box.poll({ wait_ms: 1000 })
  await rig.clock.advance(500)
  t.equal(await state(), 'online')
})

t.test('after its own restart pond calls a worker away that holds a claim', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const idle = await pairMachine(rig, { letter: 'i' })
  await submit(rig)
  await box.start()
  await rig.restart()
  t.equal((await shown(rig, box))?.state, 'away')
  t.equal((await shown(rig, idle))?.state, 'offline')
})

t.test('a person looked: it is trusted again under its pinned keys, until it shows others again', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await show(box, rig, { keys: workerKeys('x') })
  const reinstate = () => rig.call('reinstateWorker', { params: { id: box.workerId }, body: {} })
  const { reply } = await reinstate()
  t.match(reply, { state: 'offline', ...own(box) })
  t.equal(reply.shown_fingerprint, undefined)
  t.equal((await reinstate()).status, 200, 'a repeat')
  await submit(rig)
  await box.say(await box.start(), finalWord)
  await show(box, rig, { keys: workerKeys('x') })
  t.match(await shown(rig, box), { state: 'quarantined' })
  const actions = (await rig.call('listAudit')).reply.items.map(({ action }) => action)
  t.equal(actions.filter((action) => action === 'worker.reinstate').length, 1)
})

t.test('revoked: its claims are lost at once, for good; the other workers of the binding go on', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const code = await createEnrollment(rig, box)
  const enrolled = await rig.call('enroll', {
    ...{ token: box.token, params: { code_id: code.id }, body: enrollBody(code, box) },
  })
  const job = await submit(rig)
  const intent = await box.start()
  const revoke = () => rig.call('revokeWorker', { params: { id: box.workerId } })
  t.match((await revoke()).reply, { state: 'revoked' })
  t.match((await revoke()).reply, { state: 'revoked' }, 'a repeat')
  t.match(await jobOf(rig, job.id), { state: 'failed', cause: 'revoked' })
  t.equal((await box.say(intent, finalWord)).code, 'stale')
  t.match(await rig.call('reinstateWorker', { params: { id: box.workerId }, body: {} }), {
    code: 'not_possible',
    error: { details: { state: 'revoked' } },
  })
  const next = await submit(rig)
  t.strictSame(await box.take(), [])
  const workers = [{ worker_id: enrolled.reply.worker_id, free: { slots: 1 } }]
  t.match((await box.poll({ workers, claim_key: 'key-of-other' })).reply.intents, [{ job_id: next.id }])
  await rig.restart()
  t.match(await shown(rig, box), { state: 'revoked' })
})

t.test('a claim that is made in the same commit is lost with the others', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const parked = box.poll({ slots: 1, wait_ms: 20_000 })
  await rig.clock.settle()
  const [job] = await Promise.all([submit(rig, { idempotent: true }), show(box, rig, { keys: workerKeys('x') })])
  await rig.clock.settle()
  t.match(await jobOf(rig, job.id), { state: 'queued' })
  t.equal(rig.pond.services.core.live.size, 0)
  await rig.clock.advance(20_000)
  await parked
})

t.test(
  'from snapshot to snapshot a worker keeps its hidden classes, so that code made for it stays right',
  async (t) => {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig)
    const rows: WorkerRow[] = []
    // V8 takes another way for what ran a few times only.
    for (let told = 0; told < 60; told++) {
      await show(box, rig, { keys: own(box), load: told + 0.5, state: 'ready', class: 'server' })
      const row = rig.pond.services.core.fleet.get(box.workerId)
      if (row && told >= 30) rows.push(row)
    }
    const [first] = rows
    const report = first?.report
    if (!first || !report) throw new Error('a snapshot was to be heard')
    t.equal(new Set(rows).size, 30, 'each is a row of its own')
    t.ok(
      rows.every((row) => haveOneClass(row, first)),
      'its row',
    )
    t.ok(
      rows.every((row) => row.report && haveOneClass(row.report, report)),
      'its report',
    )
    t.ok(
      rows.every((row) => haveOneClass(meansOf(row), meansOf(first))),
      'what a match goes by',
    )
  },
)
