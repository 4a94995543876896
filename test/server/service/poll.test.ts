// Polls: they park, wake, and say everything again until it is heard.
import t, { type Test } from 'tap'
import { defaultSettings } from '../../../server/service/parts.ts'
import { returnMsOf } from '../../../server/service/session.ts'
import { limit } from '../../../src/protocol/limit.ts'
import { PROTOCOL } from '../../../src/protocol/version.ts'
import { jobOf, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig } from '../../harness/pond.ts'

/** What a promise came to, without waiting for it. */
function watch<T>(promise: Promise<T>): { value?: T } {
  const seen: { value?: T } = {}
  void promise.then((value) => {
    seen.value = value
  })
  return seen
}

t.test('a poll is held until there is something, or its time is over', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { polls } = rig.pond.services
  const held = watch(box.poll({ wait_ms: 50_000 }))
  await rig.clock.advance(49_999)
  t.notOk(held.value)
  t.equal(polls.size, 1)
  await rig.clock.advance(1)
  t.match(held.value?.reply, {
    protocol: PROTOCOL,
    intents: [],
    directives: [],
    limits: { chunk_bytes: limit.chunkBytes },
  })
  const woken = watch(box.poll({ wait_ms: 50_000 }))
  await rig.clock.advance(10_000)
  const job = await submit(rig, { command: ['echo', 'ö'] })
  await rig.clock.settle()
  const [intent] = woken.value?.reply.intents ?? []
  t.match(intent, {
    job_id: job.id,
    worker_id: box.workerId,
    epoch: 1,
    attempt: 1,
    lease_ms: 90_000,
    confirm_ms: 15_000,
  })
  t.equal(Buffer.from(intent?.job ?? '', 'base64').toString(), '{"command":["echo","ö"]}', 'the exact bytes')
  t.equal(polls.size, 0)
})

t.test('a poll that holds claims is held for less, so that a cancel need not wait', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const intent = await box.start()
  const held = watch(box.poll({ wait_ms: 50_000, slots: 0, have: box.have([intent]) }))
  await rig.clock.advance(limit.pollHoldBusyMs - 1)
  t.notOk(held.value)
  await rig.clock.advance(1)
  t.ok(held.value)
})

t.test('a newer seq answers the older poll empty, and an older one is not read', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 4 })
  const older = watch(box.poll({ seq: 5, wait_ms: 50_000 }))
  await rig.clock.settle()
  const newer = watch(box.poll({ seq: 6, wait_ms: 50_000, slots: 0 }))
  await rig.clock.settle()
  t.strictSame(older.value?.reply.intents, [])
  const late = await box.poll({ seq: 4, wait_ms: 50_000, slots: 4 })
  t.strictSame(late.reply.intents, [], 'answered at once')
  await submit(rig)
  await rig.clock.settle()
  t.notOk(newer.value, 'the newest says that nothing is free')
  const again = watch(box.poll({ seq: 6, wait_ms: 50_000, slots: 0 }))
  await rig.clock.settle()
  t.ok(newer.value, 'the same poll once more takes the place of the first')
  t.notOk(again.value)
})

t.test('the same poll twice at once: both are answered', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig, { on_lost: 'hold', hold_ms: 1_000_000 })
  const intent = await box.start()
  await rig.clock.advance(100_000)
  const both = [1, 2].map(() => watch(box.poll({ seq: 9, wait_ms: 1000, slots: 0, have: box.have([intent]) })))
  await rig.clock.advance(1000)
  t.ok(both[0]?.value)
  t.ok(both[1]?.value, 'also while the renewal of a held claim is written')
})

t.test('a poll that is overtaken while it is being heard does not take the place of the newer one', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig, { on_lost: 'hold', hold_ms: 1_000_000 })
  const intent = await box.start()
  await rig.clock.advance(100_000)
  const older = watch(box.poll({ seq: 9, wait_ms: 5000, slots: 0, have: box.have([intent]) }))
  const newer = watch(box.poll({ seq: 10, wait_ms: 5000, slots: 0 }))
  await rig.clock.settle()
  t.ok(older.value)
  t.notOk(newer.value)
})

t.test('the same claim key gets the same intents again, a new one gets none of them', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  const [first] = await box.take(2)
  const workers = [{ worker_id: box.workerId, free: { slots: 2 } }]
  const again = await box.poll({ workers })
  t.strictSame(again.reply.intents, [first])
  const named = watch(box.poll({ workers, have: box.have(first ? [first] : []) }))
  const other = await box.take(2)
  t.strictSame(named.value?.reply.intents, [], 'what it names it has')
  t.strictSame(other, [], 'another key asks for other work')
  t.equal((await jobOf(rig, first?.job_id ?? '')).state, 'claimed')
})

t.test('never more intents than slots', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 3 })
  for (let count = 0; count < 10; count++) await submit(rig)
  const first = await box.take(2)
  t.equal(first.length, 2, 'what it says is free')
  t.equal((await box.take(2)).length, 0, 'two that it has not heard of fill what it says is free')
  t.equal(
    (await box.poll({ claim_key: 'other-key', slots: 9, have: box.have(first) })).reply.intents.length,
    1,
    'its slots in all',
  )
  const { items } = (await rig.call('listJobs', { query: { state: 'queued' } })).reply
  t.equal(items.length, 7)
})

t.test('two bindings share the work, none gets the other’s', async (t) => {
  const rig = await createPondRig(t)
  const [a, b] = [await pairMachine(rig, { letter: 'a' }), await pairMachine(rig, { letter: 'b' })]
  const polls = [watch(a.poll({ wait_ms: 9000 })), watch(b.poll({ wait_ms: 9000 }))]
  await rig.clock.settle()
  const { reply } = await rig.call('submitJob', {
    body: { jobs: [{ command: ['1'] }, { command: ['2'] }, { command: ['3'] }] },
  })
  await rig.clock.settle()
  const got = polls.map((poll) => poll.value?.reply.intents.map(({ job_id, worker_id }) => [job_id, worker_id]))
  const ids = 'items' in reply ? reply.items.map(({ id }) => id) : []
  t.strictSame(got, [[[ids[0], a.workerId]], [[ids[1], b.workerId]]])
})

t.test('priority first, then first come', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const made: string[] = []
  for (const priority of [1, 9, 5, 9]) made.push((await submit(rig, { priority })).id)
  const order = (await box.take(4)).map(({ job_id }) => made.indexOf(job_id))
  t.strictSame(order, [1, 3, 2, 0])
})

t.test('a second live session is a conflict on record; a session that left is not', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const first = watch(box.poll({ wait_ms: 5000 }))
  await rig.clock.settle()
  const second = await box.poll({ session: 'session-2', seq: 1 })
  t.match(second, { status: 409, code: 'session_conflict', headers: { 'retry-after': '1' } })
  t.notOk(first.value, 'the first goes on')
  const audit = (await rig.call('listAudit')).reply.items
  t.match(audit[0], { by: `binding:${box.bindingId}`, action: 'poll.session_conflict' })
  await rig.clock.advance(5000)
  const taken = watch(box.poll({ session: 'session-2', seq: 1, wait_ms: 5000 }))
  await rig.clock.advance(1)
  t.notOk(taken.value)
  t.match(await box.poll({ session: 'session-1', seq: 99 }), { code: 'session_conflict' })
})

t.test('a cancel is told at once, then only every few seconds, until it is obeyed', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const intent = await box.start()
  const ask = () => watch(box.poll({ slots: 0, wait_ms: 20_000, have: box.have([intent]) }))
  const waiting = ask()
  await rig.clock.settle()
  t.match((await rig.call('cancelJob', { params: { id: job.id }, body: {} })).reply, {
    state: 'running',
    cancel_requested_at: Number,
  })
  await rig.clock.settle()
  const cancel = { type: 'cancel', claim_id: intent.claim_id, job_id: job.id, note: /^admin:key_/ }
  t.match(waiting.value?.reply.directives, [cancel])
  const next = ask()
  await rig.clock.advance(4000)
  t.notOk(next.value, 'it does not spin')
  await rig.clock.advance(1000)
  t.match(next.value?.reply.directives, [cancel], 'but it is said again')
  await box.say(intent, { state: 'final', cause: 'cancelled', rc: 143 })
  const after = watch(box.poll({ slots: 0, wait_ms: 0, have: [{ claim_id: intent.claim_id, state: 'ended' }] }))
  await rig.clock.advance(0)
  t.strictSame(after.value?.reply.directives, [])
  t.match(await jobOf(rig, job.id), { state: 'cancelled', cause: 'cancelled', rc: 143 })
})

t.test('what is not its own is dropped, unless it has ended there', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const gone = [`clm_${'0'.repeat(26)}`, `clm_${'1'.repeat(26)}`] as const
  const { reply } = await box.poll({
    have: [
      { claim_id: gone[0] as never, state: 'accepted' },
      { claim_id: gone[1] as never, state: 'ended' },
    ],
  })
  t.strictSame(reply.directives, [{ type: 'drop', claim_id: gone[0] }])
})

t.test('a revoked binding: its poll is answered, its claims are lost, its token is worth nothing', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const fragile = await submit(rig)
  const sturdy = await submit(rig, { idempotent: true })
  const first = await box.start(1)
  const [second] = await box.take(2)
  const waiting = watch(box.poll({ slots: 0, wait_ms: 50_000, have: box.have([first]) }))
  await rig.clock.settle()
  const { reply } = await rig.call('revokeBinding', { params: { id: box.bindingId } })
  t.match(reply, { state: 'revoked', online: false, claims: 0 })
  await rig.clock.settle()
  t.ok(waiting.value)
  t.match(await jobOf(rig, fragile.id), { state: 'failed', cause: 'revoked' })
  t.match(await jobOf(rig, sturdy.id), { state: 'queued', attempts: 0 })
  t.equal(second?.job_id, sturdy.id)
  t.equal((await box.poll()).code, 'unauthenticated')
  t.match((await rig.call('listAllWorkers')).reply.items, [{ state: 'revoked' }])
})

t.test('a worker is online while it polls, and says itself whether it is paused', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const state = async () => (await rig.call('listWorkers')).reply.items[0]?.state
  t.equal(await state(), 'offline')
  const polled = box.poll({ wait_ms: 1000 })
  await rig.clock.settle()
  t.equal(await state(), 'online')
  await rig.clock.advance(1000)
  await polled
  await rig.clock.advance(limit.pollGraceMs + 29)
  t.equal(await state(), 'online')
  await rig.clock.advance(1)
  t.equal(await state(), 'away')
  const { sealing_key, signing_key } = box.paired.worker
  const worker = { worker_id: box.workerId, keys: { sealing_key, signing_key }, labels: {}, resources: { slots: 1 } }
  const told = { ...worker, inflight: 0, load: 0, version: '1', state: 'paused' }
  await rig.call('sendSnapshot', { token: box.token, body: { session: 's-12345678', seq: 1, workers: [told] } })
  void box.poll({ wait_ms: 1000 })
  await rig.clock.settle()
  t.equal(await state(), 'paused')
  await rig.clock.advance(1000)
  t.match((await rig.call('getBinding', { params: { id: box.bindingId } })).reply, {
    online: true,
    workers: 1,
    claims: 0,
  })
})

t.test('a caller that left is not answered with work', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const left = new AbortController()
  const polled = watch(box.poll({ wait_ms: 50_000, signal: left.signal }))
  await rig.clock.settle()
  left.abort()
  await rig.clock.settle()
  t.ok(polled.value)
  const job = await submit(rig)
  t.equal((await jobOf(rig, job.id)).state, 'queued')
  t.equal((await box.poll()).reply.intents.length, 1)
  await rig.clock.settle()
})

t.test('without room for output nothing is claimed, and a poll after there is room gets it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await submit(rig)
  rig.noRoom = true
  const held = watch(box.poll({ wait_ms: 1000 }))
  await rig.clock.advance(1000)
  t.match(held.value?.reply, { intents: [] })
  rig.noRoom = false
  t.equal((await box.poll({ wait_ms: 1000 })).reply.intents.length, 1)
})

t.test('many swarms spread their return over a part of the hold, and none is back after its lease', async (t) => {
  const most = (leaseMs: number, pollHoldMs: number, swarms: number) =>
    returnMsOf({ settings: { ...defaultSettings, leaseMs, pollHoldMs } }, swarms)
  t.equal(most(90_000, 50_000, 10), 300)
  t.equal(most(90_000, 50_000, 100_000), 30_000)
  t.equal(most(5000, 50_000, 100_000), 2500)
  t.equal(most(5001, 50_000, 100_000), 2500, 'in whole milliseconds, or no swarm could read the reply')
})

/** A machine that says which replies it heard, and what an operator sees of it. */
async function pairHearing(t: Test) {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const poll = (heard: number) => watch(box.poll({ protocol: 3, heard, wait_ms: 50_000 }))
  const facts = async () => (await rig.call('listAllWorkers')).reply.items[0]
  return { rig, poll, facts, state: async () => (await facts())?.state }
}

t.test('online is who hears: a fresh session is asked to show it, and then held', async (t) => {
  const { rig, poll, facts } = await pairHearing(t)
  const first = poll(0)
  await rig.clock.advance(499)
  t.notOk(first.value)
  t.match(await facts(), { state: 'offline', last_poll_at: undefined })
  await rig.clock.advance(1)
  t.match(first.value?.reply, { intents: [], directives: [], limits: { return_ms: 30 } })
  const second = poll(1)
  await rig.clock.settle()
  t.match(await facts(), { state: 'online', last_poll_at: rig.clock.now() })
  await rig.clock.advance(49_999)
  t.notOk(second.value)
  await rig.clock.advance(1)
  t.ok(second.value)
})

t.test(
  'who says late that it heard is online only as long as that reply tells, held for less, and not deaf',
  async (t) => {
    const { rig, poll, state } = await pairHearing(t)
    poll(0)
    await rig.clock.advance(500)
    await rig.clock.advance(40_000)
    const late = poll(1)
    await rig.clock.settle()
    t.equal(await state(), 'online')
    await rig.clock.advance(9_999)
    t.notOk(late.value)
    await rig.clock.advance(1)
    t.ok(late.value, 'its hold ends where that of a prompt one would')
    await rig.clock.advance(80_000)
    const job = await submit(rig)
    const tooLate = poll(2)
    await rig.clock.settle()
    t.not(await state(), 'online')
    t.equal(tooLate.value?.reply.intents[0]?.job_id, job.id, 'it hears, and gets what waits')
  },
)

t.test(
  'a worker whose polls come and that hears no reply is offline within hold and grace, and gets nothing',
  async (t) => {
    const { rig, poll, state } = await pairHearing(t)
    poll(0)
    await rig.clock.advance(500)
    poll(1)
    await rig.clock.advance(limit.pollHoldMs + limit.pollGraceMs - 1)
    poll(1)
    await rig.clock.settle()
    t.equal(await state(), 'online')
    await rig.clock.advance(1)
    t.not(await state(), 'online')
    poll(1)
    const job = await submit(rig)
    await rig.clock.advance(60_000)
    t.match(await jobOf(rig, job.id), { state: 'queued', attempts: 0 })
    const { reply } = await rig.call('listTransitions', { params: { id: job.id } })
    t.same(
      reply.items.map(({ to }) => to),
      ['queued'],
      'no claim was made and came back',
    )
    const heard = poll(4)
    await rig.clock.settle()
    t.equal(heard.value?.reply.intents[0]?.job_id, job.id, 'it hears again')
    t.equal(await state(), 'online')
  },
)

t.test('pond stops: each poll is answered with a time of its own to come back', async (t) => {
  const rig = await createPondRig(t)
  const boxes = await Promise.all(['a', 'b', 'c'].map((letter) => pairMachine(rig, { letter })))
  const polls = boxes.map((box) => watch(box.poll({ wait_ms: 50_000 })))
  await rig.clock.settle()
  rig.pond.services.polls.close()
  await rig.clock.settle()
  const waits = polls.map(({ value }) => value?.reply.directives[0])
  for (const wait of waits) t.match(wait, { type: 'slow_down' })
  t.ok(waits.every((wait) => wait?.wait_ms !== undefined && wait.wait_ms <= 90))
  t.equal(new Set(waits.map((wait) => wait?.wait_ms)).size, 3)
  const [late] = boxes
  const { reply } = (await late?.poll({ seq: 2, wait_ms: 50_000 })) ?? {}
  t.match(reply?.directives, [{ type: 'slow_down' }], 'and so is one that comes while it stops')
})
