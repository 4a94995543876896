// Room: a poll is filled up to what its worker said, and again where a final word says that a slot came free.
import { deepStrictEqual as deepEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { type Told, takerOf } from '../../../server/service/room.ts'
import type { ClaimId } from '../../../src/protocol/id.ts'
import type { JobSpec } from '../../../src/protocol/job.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { nothing } from '../../../src/state/room.ts'
import { claimIdOf, claimRow, jobIdOf } from '../../contract/store-row.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

/** Two jobs run, more wait, and the poll that names the two is held. */
async function full(rig: PondRig, box: Machine, { refill }: { readonly refill: boolean }) {
  const running: Intent[] = []
  for (let jobs = 0; jobs < 5; jobs++) await submit(rig, { idempotent: true })
  running.push(...(await box.take(2)))
  for (const intent of running) await box.say(intent, { state: 'running' })
  const replies: (readonly Intent[])[] = []
  const hold = () => {
    const poll = box.poll({
      claim_key: 'the key of the held',
      wait_ms: 20_000,
      slots: 0,
      have: box.have(running),
      refill,
    })
    void poll.then(({ reply }) => {
      replies.push(reply.intents)
      const claims = reply.directives.filter(({ claim_id }) => claim_id !== undefined)
      t.strictSame(claims, [], 'nothing is said of a claim whose end was heard')
    })
    return rig.clock.settle()
  }
  await hold()
  const [one, other] = running
  if (!one || !other) throw new Error('two jobs were to run')
  return { one, other, replies }
}

t.test('a final word fills its slot in the reply to the held poll, where that allows it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, replies } = await full(rig, box, { refill: true })
  await box.say(one, finalWord)
  await rig.clock.settle()
  t.equal(replies.length, 1)
  t.equal(replies[0]?.length, 1, 'one slot, one job')
})

t.test('without the poll’s word for it a slot stays empty until the next poll', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, replies } = await full(rig, box, { refill: false })
  await box.say(one, finalWord)
  await rig.clock.settle()
  t.strictSame(replies, [])
})

t.test('a claim that died without a final word may be running still: its slot is not filled', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, other, replies } = await full(rig, box, { refill: true })
  await box.say(one, { state: 'declined', message: 'no' }).catch(() => {})
  await rig.clock.settle()
  t.strictSame(replies, [], 'a running job is not declined')
  await box.say(other, finalWord)
  await rig.clock.settle()
  t.equal(replies.flat().length, 1)
})

t.test('a slot is filled once, however often its word is said', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, replies } = await full(rig, box, { refill: true })
  await Promise.all([1, 2, 3].map(() => box.say(one, finalWord)))
  await rig.clock.settle()
  t.equal(replies.flat().length, 1)
  t.equal(rig.pond.services.core.live.ofBinding(box.bindingId).size, 2)
})

t.test('a slot that came free while nothing waited is filled by the next submit', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  await submit(rig)
  const intent = await box.start()
  const poll = box.poll({ claim_key: 'another key', wait_ms: 20_000, slots: 0, have: box.have([intent]), refill: true })
  await rig.clock.settle()
  await box.say(intent, finalWord)
  const job = await submit(rig)
  const { reply } = await poll
  t.match(reply.intents, [{ job_id: job.id }])
  t.equal(reply.intents.length, 1)
})

t.test('words that ask for it bring the next jobs themselves, and the held poll stays held', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, other, replies } = await full(rig, box, { refill: true })
  const [third, ...none] = await box.end([one], { refill: true })
  if (!third) throw new Error('one slot, one job')
  t.strictSame(none, [])
  t.equal((await box.end([other, third], { refill: true })).length, 2, 'also the slot of a job that no poll has named')
  t.strictSame(replies, [])
  t.equal(rig.pond.services.core.live.ofBinding(box.bindingId).size, 2)
  t.strictSame(await box.end([third], { refill: true }), [], 'nothing for a word that was heard before')
})

t.test('what a lost reply to words brought is brought by the next poll, and not to who names it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, other } = await full(rig, box, { refill: true })
  const brought = await box.end([one, other], { refill: true })
  const [known, lost] = brought
  if (!known || !lost) throw new Error('two slots, two jobs')
  const poll = async (intents: readonly Intent[]) => {
    const polled = box.poll({ claim_key: 'the next key', wait_ms: 1000, slots: 0, have: box.have(intents) })
    await rig.clock.advance(1000)
    return (await polled).reply.intents.map(({ claim_id }) => claim_id)
  }
  t.strictSame(await poll([known]), [lost.claim_id])
  t.strictSame(await poll([known]), [lost.claim_id], 'again under the same key')
  t.strictSame(await poll(brought), [])
})

t.test('another life of a swarm is not brought what words brought: the former one may have started it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one } = await full(rig, box, { refill: true })
  const brought = await box.end([one], { refill: true })
  t.equal(brought.length, 1)
  const latest = box.poll({ slots: 0, wait_ms: 0, have: box.have(brought) })
  await rig.clock.advance(1)
  await latest
  box.session = 'session-2'
  const polled = box.poll({ slots: 0, wait_ms: 1000 })
  await rig.clock.advance(1000)
  t.strictSame((await polled).reply.intents, [])
})

t.test('a cancel reaches a job that only words have brought', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  await submit(rig)
  await submit(rig)
  const first = await box.start()
  const poll = (have: readonly Intent[]) =>
    box.poll({ claim_key: 'the next key', wait_ms: 20_000, slots: 0, have: box.have(have), refill: true })
  const held = poll([first])
  await rig.clock.settle()
  const [intent] = await box.end([first], { refill: true })
  if (!intent) throw new Error('there was a job to bring')
  await rig.call('cancelJob', { params: { id: intent.job_id } })
  const directive = { type: 'cancel', claim_id: intent.claim_id }
  t.match((await held).reply.directives, [directive])
  // It may have been on its way before the job was known there.
  const next = poll([intent])
  await rig.clock.settle()
  t.match((await next).reply.directives, [directive])
})

t.test('a cancel reaches what was confirmed before any poll named it, and bothers no other session', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  for (let jobs = 0; jobs < 2; jobs++) await submit(rig)
  const first = await box.start()
  const poll = (key: string, have: readonly Intent[]) =>
    box.poll({ claim_key: key, wait_ms: 20_000, slots: 0, have: box.have(have), refill: true })
  const held = poll('the next key', [first])
  await rig.clock.settle()
  const [intent] = await box.end([first], { refill: true })
  if (!intent) throw new Error('there was a job to bring')
  await box.say(intent, { state: 'running' })
  const sentBefore = poll('the next key', [])
  await rig.clock.settle()
  t.strictSame((await held).reply.directives, [])
  await rig.call('cancelJob', { params: { id: intent.job_id } })
  t.match((await sentBefore).reply, { intents: [], directives: [{ type: 'cancel', claim_id: intent.claim_id }] })
  box.session = 'session-2'
  const job = await submit(rig)
  const other = box.poll({ claim_key: 'of another life', wait_ms: 20_000, slots: 0 })
  let answered = false
  void other.finally(() => {
    answered = true
  })
  await rig.clock.advance(1000)
  t.notOk(answered, 'held')
  t.match(await rig.call('getJob', { params: { id: job.id } }), { reply: { state: 'queued' } })
})

t.test('no words bring a job to a binding that has not polled, or not allowed it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, other, replies } = await full(rig, box, { refill: false })
  t.strictSame(await box.end([one], { refill: true }), [])
  rig.pond.services.polls.forget(box.bindingId)
  t.strictSame(await box.end([other], { refill: true }), [])
  t.strictSame(replies.flat(), [])
})

const has = {
  cpus: 2,
  memory_bytes: 100,
  disk_bytes: 1000,
  gpus: [{ uuid: 'GPU-a' }, { uuid: 'GPU-b', vram_bytes: 80 }],
}
const gpu = { requires: { gpus: { count: 1 } } }

t.test('a job gets devices of its own, and who finds none free waits, in nobody’s way', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 9, has })
  const jobs = [await submit(rig, gpu), await submit(rig, gpu), await submit(rig, gpu), await submit(rig)]
  const [first, second, plain, ...none] = await box.take(9)
  if (!first || !second || !plain) throw new Error('three fit')
  t.strictSame(none, [])
  t.strictSame([first.gpus, second.gpus, plain.gpus], [['GPU-a'], ['GPU-b'], undefined])
  t.equal(plain.job_id, jobs[3]?.id)
  for (const intent of [first, second]) await box.say(intent, { state: 'running' })
  await box.say(second, finalWord)
  const [third] = await box.take(9)
  t.match(third, { job_id: jobs[2]?.id, gpus: ['GPU-b'] }, 'the device of the one that ended')
})

t.test(
  'what a lost claim held is free only when its worker names it no more, also to another life of pond',
  async (t) => {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig, { slots: 9, has })
    await submit(rig, { requires: { cpus: 1.5 }, on_lost: 'rerun', idempotent: true })
    const lost = await box.start(9)
    await rig.clock.advance(200_000)
    const again = async (have: readonly Intent[]) => {
      const polled = box.poll({ slots: 9, wait_ms: 0, claim_key: `key ${Math.random()}`, have: box.have(have) })
      await rig.clock.settle()
      return (await polled).reply.intents.map(({ job_id }) => job_id)
    }
    t.strictSame(await again([lost]), [], 'it may run still')
    await rig.restart()
    t.strictSame(await again([lost]), [])
    t.strictSame(await again([]), [lost.job_id])
  },
)

t.test('disk is leased with the claim, and what is offered less than is held gives nothing', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 9, has })
  const jobs = []
  for (const disk_bytes of [600, 600, 400]) jobs.push(await submit(rig, { requires: { disk_bytes } }))
  const [large, small, ...none] = await box.take(9)
  if (!large || !small) throw new Error('two fit')
  t.strictSame([large.job_id, small.job_id, none], [jobs[0]?.id, jobs[2]?.id, []])
  for (const intent of [large, small]) await box.say(intent, { state: 'running' })
  const { sealing_key, signing_key, labels } = box.paired.worker
  const worker = {
    worker_id: box.workerId,
    keys: { sealing_key, signing_key },
    labels,
    inflight: 2,
    load: 0,
    version: '1',
  }
  const tell = (seq: number, disk_bytes: number) => {
    const body = { session: 'session-1', seq, workers: [{ ...worker, resources: { slots: 9, disk_bytes } }] }
    return rig.call('sendSnapshot', { token: box.token, body })
  }
  await tell(1, 700)
  await box.say(small, finalWord)
  t.strictSame(await box.take(9), [], 'others took some, and 600 are held')
  await box.say(large, finalWord)
  t.match(await box.take(9), [{ job_id: jobs[1]?.id }])
  await tell(2, 599)
  const { id } = await submit(rig, { requires: { disk_bytes: 600 } })
  const { waiting } = (await rig.call('explainJob', { params: { id } })).reply
  t.match(waiting?.workers, [{ reason: 'lacks', requirement: 'disk_bytes', wants: 600, has: 599 }])
})

t.test('polls and submits at once never give more than there is', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 9, has })
  const other = await pairMachine(rig, { letter: 'm', name: 'other', slots: 9, has: { cpus: 1 } })
  const polls = [box, other].map((machine) => machine.poll({ slots: 9, wait_ms: 20_000, claim_key: 'key of both' }))
  await rig.clock.settle()
  await Promise.all(Array.from({ length: 8 }, () => submit(rig, { requires: { cpus: 0.75 } })))
  await rig.clock.settle()
  const given = (await Promise.all(polls)).map(({ reply }) => reply.intents.length)
  t.strictSame(given, [2, 1])
  t.equal(rig.pond.services.core.live.size, 3)
})

t.test('what is counted once and kept is what a recount gives, whatever happens to claims', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 6 })
  const { core } = rig.pond.services
  const [workerId, { bindingId }] = [box.workerId, box]
  const rowOf = (number: number) =>
    claimRow(number, { bindingId, workerId, held: number % 2 === 0 ? nothing : { memory_bytes: number } })
  const comingOf = (number: number) => ({
    job: { id: jobIdOf(number), projectId: rowOf(number).projectId },
    held: nothing,
  })
  const ids = fc.integer({ min: 1, max: 6 })
  const act = fc.record({
    what: fc.constantFrom('add', 'end', 'lose', 'linger', 'told', 'expect', 'arrived', 'forget'),
    id: ids,
  })
  const tellOf = (have: readonly ClaimId[]): Told => ({
    body: {
      ...{ protocol: 1, session: 'session-1', seq: 1, claim_key: 'claim-key-1', wait_ms: 0, refill: true, have: [] },
      workers: [{ worker_id: workerId, free: { slots: 4 } }],
    },
    have: new Set(have),
    filling: new Map(have.map((id) => [id, workerId])),
  })
  const acts = {
    add: (id: number) => void (core.live.get(claimIdOf(id)) ?? core.live.add(rowOf(id), 0)),
    end: (id: number) => core.live.remove(claimIdOf(id), false),
    lose: (id: number) => core.live.remove(claimIdOf(id), true),
    linger: (id: number) => core.live.linger(rowOf(id), 'leave'),
    told: (id: number) => core.live.reconcile(workerId, new Set([claimIdOf(id)])),
    expect: (id: number) => core.live.expect(workerId, comingOf(id)),
    arrived: (id: number) => core.live.arrived(workerId, comingOf(id)),
    forget: () => core.live.forget(workerId),
  }
  const none = new Set<ClaimId>()
  const property = fc.property(fc.array(act, { maxLength: 40 }), fc.array(ids, { maxLength: 4 }), (steps, have) => {
    const told = tellOf(have.map(claimIdOf))
    for (const { what, id } of steps) {
      acts[what](id)
      const kept = takerOf(core, told, { workerId, ended: none })
      deepEqual(kept, takerOf(core, { ...told }, { workerId, ended: none }))
      takerOf(core, told, { workerId, ended: none })
    }
  })
  t.doesNotThrow(() => fc.assert(property))
})

t.test('a job shows what it asked for, and what follows from its other fields is not among it', async (t) => {
  const rig = await createPondRig(t)
  const requires: JobSpec['requires'] = { labels: { tier: { op: 'between', value: [1, 2] } }, cpus: 2, sandbox: 'uid' }
  const { id } = await submit(rig, { requires, sandbox: { backend: 'uid', network: 'none' } })
  t.strictSame((await jobOf(rig, id)).requires, requires)
  t.equal((await jobOf(rig, (await submit(rig, { sandbox: { backend: 'uid' } })).id)).requires, undefined)
  t.equal((await jobOf(rig, (await submit(rig)).id)).requires, undefined)
})
