// Words and what they do to a job: four outcomes, decline, retry, cancel in each state, time to live.
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const cancel = (rig: PondRig, id: string) => rig.call('cancelJob', { params: { id }, body: {} })
const attempts = async (rig: PondRig, id: string) => (await rig.call('listAttempts', { params: { id } })).reply.items
const digest = (letter: string) => letter.repeat(64)

t.test('the four outcomes of a final word', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const intent = await box.start()
  t.match(await box.say(intent, { ...finalWord, result: '{"a":1}' }), { status: 200, reply: { outcome: 'accepted' } })
  t.match(await box.say(intent, { ...finalWord, result: '{"a":1}' }), { status: 200, reply: { outcome: 'idempotent' } })
  const other = await box.say(intent, { ...finalWord, rc: 3 })
  t.match(other, { status: 409, code: 'conflict', error: { details: { outcome: 'conflict' } } })
  t.match(await jobOf(rig, job.id), { state: 'succeeded', rc: 0, has_result: true })
  t.equal((await rig.call('getResult', { params: { id: job.id } })).bytes.toString(), '{"a":1}')
})

t.test('a late final word is kept beside the job, which it does not change', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig, { idempotent: true })
  const late = await box.start()
  await rig.clock.advance(limit.leaseMs + 2000)
  const next = await box.start()
  t.equal(next.epoch, 2)
  t.match(
    await box.send(late, { offset: 0, bytes: 'late' }),
    { reply: { committed: 4 } },
    'its own streams still take it',
  )
  const word = { ...finalWord, result: '"late"' }
  t.match(await box.say(late, word), { status: 410, code: 'stale', error: { details: { kept: true } } })
  t.match(await box.say(late, word), { code: 'stale', error: { details: { kept: true } } }, 'the same again')
  t.match(
    await box.say(late, { ...word, rc: 1 }),
    { code: 'stale', error: { details: { kept: false } } },
    'another is not',
  )
  t.equal((await box.send(late, { offset: 4, bytes: '!' })).code, 'claim_ended', 'its final word closed its streams')
  t.match(await jobOf(rig, job.id), { state: 'running', has_result: false })
  await box.say(next, finalWord)
  t.match(await attempts(rig, job.id), [
    { state: 'lost', orphan: true, rc: 0, streams: [{ name: 'stdout', bytes: 4 }] },
    { state: 'ended', orphan: false },
  ])
  t.equal((await rig.call('getResult', { params: { id: job.id } })).code, 'not_found')
})

t.test('a batch is one write; each word has its own outcome and disturbs no other', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (let count = 0; count < 3; count++) await submit(rig)
  const [a, b, c] = (await box.take(3)) as [Intent, Intent, Intent]
  const word = (intent: Intent, body: object) => {
    const { job_id, claim_id, claim_token } = intent
    return { job_id, claim_id, claim_token, ...body }
  }
  const words = [
    word(a, { state: 'running' }),
    word(a, finalWord),
    word({ ...b, claim_token: 'x' }, finalWord),
    word(c, { state: 'declined' }),
    word(c, { state: 'running' }),
    word(b, { ...finalWord, rc: 1 }),
  ]
  const { reply } = await rig.call('sendWords', { token: box.token, body: { words } })
  t.strictSame(
    reply.outcomes.map(({ outcome, error }) => error?.code ?? outcome),
    ['accepted', 'accepted', 'forbidden', 'accepted', 'stale', 'accepted'],
  )
  rig.storeFault = () => 'lose'
  t.match(await rig.call('sendWords', { token: box.token, body: { words } }), { status: 503, code: 'store_failing' })
})

t.test('a complete stream must be here to the last byte', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const intent = await box.start()
  await box.send(intent, { offset: 0, bytes: 'abc' })
  const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  const streams = (stdout: object) =>
    ({ ...finalWord, streams: { stdout: { bytes: 3, produced: 3, sha256, end: 'complete', ...stdout } } }) as never
  const lacks = { code: 'streams_incomplete', error: { details: { streams: { stdout: 3 } } } }
  t.match(await box.say(intent, streams({ bytes: 4, produced: 4 })), lacks, 'a byte is missing')
  t.match(await box.say(intent, streams({ sha256: digest('0') })), lacks, 'other bytes')
  t.match(await box.say(intent, streams({ produced: 9 })), lacks, 'more was produced')
  t.equal((await jobOf(rig, job.id)).state, 'running')
  t.match(await box.say(intent, streams({ bytes: 9, produced: 9, sha256: digest('0'), end: 'capped' })), {
    status: 200,
  })
})

t.test('a late word whose streams are not whole is asked for the rest before it is kept', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const late = await box.start()
  await box.send(late, { offset: 0, bytes: 'ab' })
  await rig.clock.advance(limit.leaseMs + 2000)
  t.match(await jobOf(rig, job.id), { state: 'failed', cause: 'worker_lost' })
  const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  const word = { ...finalWord, streams: { stdout: { bytes: 3, produced: 3, sha256, end: 'complete' } } } as never
  t.match(await box.say(late, word), {
    status: 409,
    code: 'streams_incomplete',
    error: { details: { streams: { stdout: 2 } } },
  })
  t.match(await attempts(rig, job.id), [{ orphan: false }], 'nothing is kept yet')
  t.match(await box.send(late, { offset: 2, bytes: 'c' }), { reply: { committed: 3 } })
  t.match(await box.say(late, word), { status: 410, code: 'stale', error: { details: { kept: true } } })
  t.match(await box.say(late, word), { code: 'stale', error: { details: { kept: true } } }, 'the same again')
  const stdout = { name: 'stdout', bytes: 3, end: 'complete' }
  t.match(await attempts(rig, job.id), [{ orphan: true, streams: [stdout] }])
  t.match(await jobOf(rig, job.id), { state: 'failed', cause: 'worker_lost' }, 'its end stands')
})

t.test('declined: no attempt is burned, and the worker is passed over for a while', async (t) => {
  const rig = await createPondRig(t)
  const [a, b] = [await pairMachine(rig, { letter: 'a' }), await pairMachine(rig, { letter: 'b' })]
  const job = await submit(rig)
  const [first] = (await a.take()) as [Intent]
  t.match(await a.say(first, { state: 'declined', message: 'closed on Sundays' }), { reply: { outcome: 'accepted' } })
  t.match(await jobOf(rig, job.id), { state: 'queued', attempts: 0 })
  t.strictSame(await a.take(), [])
  const [second] = (await b.take()) as [Intent]
  t.match(second, { job_id: job.id, epoch: 2, attempt: 1 })
  await b.say(second, { state: 'declined' })
  await rig.clock.advance(limit.passOverMs)
  t.match(await a.take(), [{ job_id: job.id, epoch: 3 }])
  const { items } = (await rig.call('listTransitions', { params: { id: job.id } })).reply
  t.match(items[2], { from: 'claimed', to: 'queued', note: 'closed on Sundays', by: `worker:${a.workerId}` })
})

t.test('refused by the owner of a worker: it is passed over for this job, and not held against it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (let count = 0; count < 4; count++) {
    const job = await submit(rig)
    const [intent] = await box.take()
    if (!intent) throw new Error('there is a job')
    const word = { state: 'declined', cause: 'refused', message: 'no games on this machine' } as const
    t.match(await box.say(intent, word), { reply: { outcome: 'accepted' } })
    const { reply } = await rig.call('listTransitions', { params: { id: job.id } })
    t.match(reply.items.at(-1), { to: 'queued', note: 'no games on this machine', by: /^worker:/ })
    t.strictSame(await box.take(), [], 'not this one again')
  }
  await rig.clock.advance(limit.passOverMs)
  t.strictSame(await box.take(), [], 'and not soon: each try would be a claim for nothing')
  t.equal(rig.pond.services.core.fleet.get(box.workerId)?.law.mishaps, 0)
})

t.test('declined by a worker that was restarted before it started the job: it is offered again at once', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const [first] = (await box.take()) as [Intent]
  t.match(await box.say(first, { state: 'declined', cause: 'worker_lost' }), { reply: { outcome: 'accepted' } })
  t.match(await jobOf(rig, job.id), { state: 'queued', attempts: 0 })
  t.match(await box.take(), [{ job_id: job.id, epoch: 2, attempt: 1 }])
})

t.test('retry: listed causes go back with a growing backoff, until the attempts are used up', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig, { retry: { on: ['exit'], attempts: 3, backoff_ms: 10_000 } })
  const fail = async () => box.say(await box.start(), { ...finalWord, rc: 7 })
  await fail()
  t.match(await jobOf(rig, job.id), { state: 'queued', attempts: 1, not_before: rig.clock.now() + 10_000 })
  t.strictSame(await box.take(), [])
  await rig.clock.advance(9000)
  await fail()
  t.match(await jobOf(rig, job.id), { not_before: rig.clock.now() + 20_000 })
  await rig.clock.advance(20_000)
  await fail()
  t.match(await jobOf(rig, job.id), { state: 'failed', cause: 'exit', rc: 7, attempts: 3 })
  const once = await submit(rig)
  await fail()
  t.match(await jobOf(rig, once.id), { state: 'failed', attempts: 1 }, 'exit only where it is listed')
  const drained = await submit(rig)
  await box.say(await box.start(), { state: 'final', cause: 'drained' })
  t.match(await jobOf(rig, drained.id), { state: 'queued', attempts: 1 }, 'drained by default')
})

t.test('a job that became due while the wall clock was set back is not forgotten', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig, { retry: { on: ['exit'], backoff_ms: 10_000 } })
  await box.say(await box.start(), { ...finalWord, rc: 1 })
  await rig.clock.advance(10_000)
  rig.clock.setBack(5000)
  t.strictSame(await box.take(), [])
  await rig.clock.advance(6000)
  t.match(await box.take(), [{ job_id: job.id }])
})

const reach: Readonly<Record<string, (rig: PondRig, box: Machine) => Promise<unknown>>> = {
  queued: async () => {},
  backoff: async (_, box) => box.say(await box.start(), { ...finalWord, rc: 1 }),
  claimed: async (_, box) => box.take(),
  running: async (_, box) => box.start(),
}

t.test('cancel in each state', async (t) => {
  for (const [state, go] of Object.entries(reach)) {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig)
    const job = await submit(rig, { idempotent: true, retry: { on: ['exit', 'worker_lost'] } })
    await go(rig, box)
    const live = state === 'claimed' || state === 'running'
    t.match(await cancel(rig, job.id), { status: 200, reply: { state: live ? state : 'cancelled' } }, state)
    await rig.clock.advance(limit.leaseMs + 2000)
    t.match(
      await jobOf(rig, job.id),
      { state: 'cancelled', cause: 'cancelled' },
      `${state}: nobody confirms, none is tried again`,
    )
    t.equal((await cancel(rig, job.id)).status, 200, 'a repeat')
    t.strictSame(await box.take(), [])
  }
})

t.test('a final word beats a pending cancel; a failure with a cancel on record is not tried again', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (const [rc, state] of [
    [0, 'succeeded'],
    [1, 'failed'],
  ] as const) {
    const job = await submit(rig, { retry: { on: ['exit'] } })
    const intent = await box.start()
    await cancel(rig, job.id)
    await box.say(intent, { ...finalWord, rc })
    t.match(await jobOf(rig, job.id), { state, cause: 'exit', rc })
    t.match(await cancel(rig, job.id), { code: 'not_possible', error: { details: { state } } })
  }
})

t.test('ttl: what waits too long expires, also behind a claim that came back', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const plain = await submit(rig, { ttl_ms: 5000 })
  await rig.clock.advance(4999)
  t.equal((await jobOf(rig, plain.id)).state, 'queued')
  await rig.clock.advance(1)
  t.match(await jobOf(rig, plain.id), { state: 'expired', cause: 'ttl' })
  const claimed = await submit(rig, { ttl_ms: 5000 })
  const [intent] = (await box.take()) as [Intent]
  await rig.clock.advance(6000)
  t.equal((await jobOf(rig, claimed.id)).state, 'claimed', 'somebody has it')
  await box.say(intent, { state: 'declined' })
  await rig.clock.advance(0)
  t.match(await jobOf(rig, claimed.id), { state: 'expired', cause: 'ttl' })
  const ran = await submit(rig, { ttl_ms: 5000 })
  const running = await box.start()
  await rig.clock.advance(9000)
  t.match(await box.say(running, finalWord), { reply: { outcome: 'accepted' } })
  t.equal((await jobOf(rig, ran.id)).state, 'succeeded', 'it bounds the wait, not the run')
  const failing = await submit(rig, { ttl_ms: 5000 })
  rig.storeFault = () => 'refuse'
  await rig.clock.advance(5000)
  rig.storeFault = () => undefined
  await rig.clock.advance(1000)
  t.equal((await jobOf(rig, failing.id)).state, 'expired', 'a failing store only delays it')
})

t.test('a failing store: what was taken out of the queue goes back, and its silence is not counted', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  await box.start()
  const job = await submit(rig)
  rig.storeFault = () => 'lose'
  t.strictSame(await box.take(2), [])
  t.equal((await rig.call('submitJob', { body: { command: ['x'] } })).code, 'store_failing')
  await rig.clock.advance(limit.leaseMs + 60_000)
  rig.storeFault = () => undefined
  t.match(await box.take(2), [{ job_id: job.id, epoch: 1 }])
  t.ok(rig.lines.some(({ event }) => event === 'claim.failed'))
  t.ok(rig.lines.some(({ event }) => event === 'sweep.failed'))
})
