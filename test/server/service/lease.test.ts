// Leases run in listening time, and what is lost goes where the job says.
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import { aKey, finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const why = async (rig: PondRig, id: string) =>
  (await rig.call('listTransitions', { params: { id } })).reply.items.at(-1)
const attempts = async (rig: PondRig, id: string) => (await rig.call('listAttempts', { params: { id } })).reply.items

/** A poll that names these claims, answered or parked: its heartbeat counts either way. */
async function beat(rig: PondRig, box: Machine, intents: Parameters<Machine['have']>[0]) {
  void box.poll({ slots: 0, wait_ms: 0, have: box.have(intents) })
  await rig.clock.advance(0)
}

t.test('a running job is lost after a full lease of silence, not before', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  await rig.clock.advance(500)
  await box.start()
  await rig.clock.advance(limit.leaseMs - 1)
  t.equal((await jobOf(rig, job.id)).state, 'running')
  await rig.clock.advance(1001)
  t.match(await jobOf(rig, job.id), { state: 'failed', cause: 'worker_lost' })
  t.match(await why(rig, job.id), { by: 'pond', from: 'running', note: /full lease/ })
})

t.test('every accepted word renews the lease', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const intent = await box.start()
  const words: readonly (() => Promise<unknown>)[] = [
    () => beat(rig, box, [intent]),
    () => box.say(intent, { state: 'running' }),
    () => box.send(intent, { offset: 0, bytes: 'x' }),
    () =>
      rig.call('sendTelemetry', {
        token: box.token,
        params: { id: job.id },
        headers: { 'x-claim-token': intent.claim_token },
        body: { claim_id: intent.claim_id, events: [{ id: 'e', type: 'progress', at: 1 }] },
      }),
  ]
  for (const word of words) {
    await rig.clock.advance(80_000)
    await word()
  }
  await rig.clock.advance(80_000)
  t.equal((await jobOf(rig, job.id)).state, 'running')
  const thief = await pairMachine(rig, { letter: 't' })
  await beat(rig, thief, [intent])
  await rig.clock.advance(12_000)
  t.equal((await jobOf(rig, job.id)).state, 'failed', 'the word of another binding does not')
})

t.test('a pond that was asleep loses nothing', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  await box.start()
  const { core } = rig.pond.services
  await rig.clock.advance(60_000)
  const heard = core.listening.now()
  rig.clock.jump(3_600_000)
  await rig.clock.advance(20_000)
  t.match(core.listening.now() - heard, 20_000)
  t.equal((await jobOf(rig, job.id)).state, 'running')
  await rig.clock.advance(11_000)
  t.equal((await jobOf(rig, job.id)).state, 'failed', 'silence while it listens still counts')
  t.ok(rig.lines.some(({ event }) => event === 'sweep.absent'))
})

t.test('a claim that is not confirmed goes back, and burns no attempt', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const [intent] = await box.take()
  await rig.clock.advance(limit.confirmMs - 1)
  t.equal((await jobOf(rig, job.id)).state, 'claimed')
  await rig.clock.advance(1001)
  t.match(await jobOf(rig, job.id), { state: 'queued', attempts: 0 })
  if (!intent) throw new Error('it was claimed')
  t.match(await box.say(intent, { state: 'running' }), { status: 410, code: 'stale' })
  const again = await box.start()
  t.match(again, { job_id: job.id, epoch: 2, attempt: 1 })
})

t.test('on_lost', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 5 })
  const rows = [
    [{}, { state: 'failed', cause: 'worker_lost', attempts: 1 }],
    [
      { on_lost: 'rerun', idempotent: true },
      { state: 'queued', attempts: 1 },
    ],
    [
      { idempotent: true, retry: { on: [] } },
      { state: 'failed', cause: 'worker_lost' },
    ],
    [
      { idempotent: true, retry: { attempts: 1 } },
      { state: 'failed', cause: 'worker_lost' },
    ],
    [{ on_lost: 'hold', hold_ms: 60_000 }, { state: 'running' }],
  ] as const
  const ids: string[] = []
  for (const [job] of rows) ids.push((await submit(rig, job as object)).id)
  const intents = await box.take(rows.length)
  for (const intent of intents) await box.say(intent, { state: 'running' })
  t.equal(intents.length, rows.length)
  await rig.clock.advance(limit.leaseMs + 1000)
  for (const [index, [job, wanted]] of rows.entries()) {
    t.match(await jobOf(rig, ids[index] ?? ''), wanted, JSON.stringify(job))
  }
})

t.test('hold: the worker may come back, and is lost when the hold is over', async (t) => {
  for (const comesBack of [true, false]) {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig)
    const job = await submit(rig, { on_lost: 'hold', hold_ms: 600_000 })
    const intent = await box.start()
    await rig.clock.advance(limit.leaseMs + 1000)
    t.match(await attempts(rig, job.id), [{ state: 'held' }])
    await rig.clock.advance(598_000)
    t.equal((await jobOf(rig, job.id)).state, 'running')
    if (comesBack) await beat(rig, box, [intent])
    await rig.clock.advance(2000)
    if (comesBack) {
      t.match(await attempts(rig, job.id), [{ state: 'confirmed' }])
      t.equal((await box.say(intent, finalWord)).reply.outcome, 'accepted')
    } else t.match(await jobOf(rig, job.id), { state: 'failed', cause: 'worker_lost' })
  }
})

t.test('a hold that runs out while pond is down waits until the worker could have come back', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig, { on_lost: 'hold', hold_ms: 10_000 })
  const intent = await box.start()
  await rig.clock.advance(limit.leaseMs + 1000)
  t.match(await attempts(rig, job.id), [{ state: 'held' }])
  await rig.restart()
  await rig.clock.advance(60_000)
  t.equal((await jobOf(rig, job.id)).state, 'running')
  await beat(rig, box, [intent])
  t.match(await attempts(rig, job.id), [{ state: 'confirmed' }])
})

t.test('most bindings silent at once: the fault is near pond, so expiry waits', async (t) => {
  const rig = await createPondRig(t)
  const boxes = await Promise.all(['a', 'b', 'c', 'd'].map((letter) => pairMachine(rig, { letter })))
  const held = []
  for (const box of boxes) {
    await submit(rig)
    held.push({ box, intent: await box.start() })
  }
  const states = async () => (await rig.call('listJobs')).reply.items.map(({ state }) => state)
  await rig.clock.advance(limit.leaseMs + 5000)
  t.strictSame(new Set(await states()), new Set(['running']))
  t.ok(
    rig.lines.some(({ event }) => event === 'lease.most_silent'),
    'and an alarm says so',
  )
  for (const { box, intent } of held.slice(1)) await beat(rig, box, [intent])
  await rig.clock.advance(1000)
  t.strictSame((await states()).sort(), ['failed', 'running', 'running', 'running'], 'the one that stayed silent')
})

t.test('what a lost claim held stays leased until the worker says that it is free', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  for (const [job, directives] of [
    [{}, []],
    [{ idempotent: true }, [{ type: 'drop' }]],
  ] as const) {
    const { id } = await submit(rig, job)
    const lost = await box.start()
    await rig.clock.advance(limit.leaseMs + 1000)
    const next = await submit(rig, { priority: 9 })
    const polled = box.poll({ claim_key: `key-behind-${id}`, slots: 1, wait_ms: 0, have: box.have([lost]) })
    await rig.clock.advance(0)
    t.match(
      (await polled).reply,
      { intents: [], directives },
      'it drops what another attempt will do, and may finish the rest',
    )
    t.equal((await polled).reply.directives.length, directives.length)
    const [intent] = await box.take(1)
    t.equal(intent?.job_id, next.id, 'and then it gets the next')
    if (intent) await box.say(intent, finalWord)
  }
})

t.test('three mishaps in a row bring probation: one claim at a time, with a growing pause', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (let count = 0; count < 4; count++) await submit(rig)
  for (let count = 0; count < 3; count++) {
    const [intent] = await box.take()
    if (intent) await box.say(intent, { state: 'declined', message: 'no' })
  }
  await submit(rig)
  const waiting = box.poll({ claim_key: 'paused-key', slots: 2, wait_ms: 9000 })
  const queued = async () => (await rig.call('listJobs', { query: { state: 'queued' } })).reply.items.length
  await rig.clock.advance(999)
  t.equal(await queued(), 5, 'a pause')
  await rig.clock.advance(1)
  const [only, ...more] = (await waiting).reply.intents
  t.ok(only)
  t.strictSame(more, [], 'one at a time')
  if (!only) return
  await box.say(only, { state: 'running' })
  await box.say(only, finalWord)
  await submit(rig)
  t.equal((await box.take(2)).length, 2, 'trusted again')
})

t.test('a worker that takes no more for now declines without a mishap, and is offered the job again', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  for (let count = 0; count < 4; count++) {
    const [intent] = await box.take()
    t.match(intent, { job_id: id })
    if (intent) await box.say(intent, { state: 'declined', cause: 'drained', message: 'paused' })
  }
  t.match(await jobOf(rig, id), { state: 'queued', attempts: 0 })
})

t.test(
  'a snapshot never pins: another key quarantines, an unknown worker is refused, an older one is ignored',
  async (t) => {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig)
    const other = await pairMachine(rig, { letter: 'o' })
    const { sealing_key, signing_key } = box.paired.worker
    const worker = { worker_id: box.workerId, keys: { sealing_key, signing_key }, labels: {}, resources: { slots: 2 } }
    const told = { ...worker, inflight: 0, load: 0.5, version: '1' }
    const send = (seq: number, more: object = {}) =>
      rig.call('sendSnapshot', {
        token: box.token,
        body: { session: 'session-1', seq, workers: [{ ...told, ...more }] },
      })
    const shown = async () => (await rig.call('listAllWorkers')).reply.items.find(({ id }) => id === box.workerId)
    t.equal((await send(2)).status, 200)
    t.match(await shown(), { slots: 2, load: 0.5 })
    await send(1, { load: 9 })
    t.match(await shown(), { load: 0.5 })
    t.match(await send(3, { worker_id: other.workerId }), {
      code: 'invalid_field',
      error: { details: { field: 'workers.0.worker_id' } },
    })
    rig.storeFault = () => 'lose'
    t.equal((await send(3, { load: 3 })).code, 'store_failing')
    rig.storeFault = () => undefined
    await send(3, { load: 3 })
    t.match(await shown(), { load: 3 }, 'what was not stored counts when it comes again')
    await send(4, { keys: { sealing_key: aKey('x'), signing_key } })
    t.match(await shown(), { state: 'quarantined', sealing_key })
    await submit(rig)
    t.strictSame(await box.take(), [])
    const audit = (await rig.call('listAudit')).reply.items
    t.match(audit[0], { action: 'worker.key_changed', target: box.workerId })
  },
)

t.test('a laptop may be away for longer than a server, and its intent says how long', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { class: 'laptop' })
  const job = await submit(rig)
  const { lease_ms } = await box.start()
  t.equal(lease_ms, limit.awayMs)
  await rig.clock.advance(limit.awayMs - 1)
  t.equal((await jobOf(rig, job.id)).state, 'running')
  await rig.clock.advance(1001)
  t.match(await jobOf(rig, job.id), { state: 'failed', cause: 'worker_lost' })
})

t.test('where a whole lease is longer than that of a laptop, a laptop has it too', async (t) => {
  const rig = await createPondRig(t, { settings: { leaseMs: 60_000, awayMs: 1000 } })
  const box = await pairMachine(rig, { class: 'laptop' })
  await submit(rig)
  t.equal((await box.start()).lease_ms, 60_000)
})
