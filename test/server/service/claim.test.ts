// Claims that are made in the very write that makes them possible: a submit for a waiting pool, a final word that frees a slot.
import t from 'tap'
import type { JobId } from '../../../src/protocol/id.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig, type StoreFault } from '../../harness/pond.ts'

/** Counts the writes from now on; each meets the next of these faults. */
function watchWrites(rig: PondRig, faults: StoreFault[] = []): { count: number } {
  const seen = { count: 0 }
  rig.storeFault = () => {
    seen.count++
    return faults.shift()
  }
  return seen
}

/** Parks a poll and notes the jobs that it is answered with. */
async function park(rig: PondRig, box: Machine, asked: Parameters<Machine['poll']>[0]) {
  const seen: { jobs?: readonly string[] } = {}
  void box.poll({ wait_ms: 50_000, ...asked }).then(({ reply }) => {
    seen.jobs = reply.intents.map(({ job_id }) => job_id)
  })
  await rig.clock.settle()
  return seen
}

const states = (rig: PondRig, jobs: readonly { readonly id: string }[]) =>
  Promise.all(jobs.map(async ({ id }) => (await jobOf(rig, id)).state))

const live = (rig: PondRig) => rig.pond.services.core.live.size

t.test('a job for a waiting pool is stored and claimed in one write, and its poll is answered first', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const told: string[] = []
  const polled = box.poll({ wait_ms: 50_000 }).finally(() => told.push('poll'))
  await rig.clock.settle()
  const writes = watchWrites(rig)
  const job = await submit(rig).finally(() => told.push('submit'))
  await rig.clock.settle()
  t.equal(writes.count, 1)
  t.strictSame(told, ['poll', 'submit'])
  t.match((await polled).reply.intents, [{ job_id: job.id, epoch: 1, attempt: 1 }])
  t.equal(job.state, 'queued', 'the reply shows what was submitted')
  const { reply } = await rig.call('listTransitions', { params: { id: job.id } })
  t.match(reply, {
    items: [
      { version: 1, to: 'queued' },
      { version: 2, from: 'queued', to: 'claimed', by: `worker:${box.workerId}` },
    ],
  })
})

t.test('submits that race for one slot: one gets it, the other waits', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const polled = await park(rig, box, { slots: 1 })
  const jobs = await Promise.all([submit(rig), submit(rig)])
  await rig.clock.settle()
  t.strictSame(polled.jobs, [jobs[0].id])
  t.strictSame(await states(rig, jobs), ['claimed', 'queued'])
})

t.test('a poll that comes in the same turn as many submits gets no more than it has room for', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (let count = 0; count < 3; count++) await submit(rig)
  const polled = box.poll({ wait_ms: 50_000, slots: 2 })
  await Promise.all(Array.from({ length: 5 }, () => submit(rig)))
  await rig.clock.settle()
  t.equal((await polled).reply.intents.length, 2)
  t.equal(live(rig), 2)
})

t.test('a submit that fails claims nothing, and the room is there for the next', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const polled = await park(rig, box, { slots: 1 })
  watchWrites(rig, ['lose'])
  const failed = await rig.call('submitJob', { body: { command: ['true'] } })
  await rig.clock.settle()
  t.equal(failed.code, 'store_failing')
  t.notOk(polled.jobs)
  t.equal(live(rig), 0)
  t.strictSame((await rig.call('listJobs')).reply.items, [])
  const writes = watchWrites(rig)
  const job = await submit(rig)
  await rig.clock.settle()
  t.strictSame(polled.jobs, [job.id])
  t.equal(writes.count, 1)
})

t.test('a key that was used before claims nothing anew', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const key = { 'idempotency-key': 'once' }
  const job = await submit(rig, {}, key)
  const intent = await box.start()
  await box.say(intent, finalWord)
  const polled = await park(rig, box, { slots: 1 })
  t.equal((await submit(rig, {}, key)).id, job.id)
  await rig.clock.settle()
  t.notOk(polled.jobs)
})

t.test('older jobs come first', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const older = await submit(rig)
  rig.noRoom = true
  const polled = await park(rig, box, { slots: 1 })
  t.notOk(polled.jobs, 'nothing is handed out while there is no room for its output')
  rig.noRoom = false
  const newer = await submit(rig)
  await rig.clock.settle()
  t.strictSame(polled.jobs, [older.id])
  t.strictSame(await states(rig, [older, newer]), ['claimed', 'queued'])
})

t.test('in a batch the highest priority comes first, and those of one priority in their order', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const polled = await park(rig, box, { slots: 2 })
  const jobs = [1, 9, 5, 9].map((priority) => ({ command: ['true'], priority }))
  const { reply } = await rig.call('submitJob', { body: { jobs } })
  await rig.clock.settle()
  const items = 'items' in reply ? reply.items : []
  t.strictSame(polled.jobs, [items[1]?.id, items[3]?.id])
  t.strictSame(await states(rig, items), ['queued', 'claimed', 'queued', 'claimed'])
})

t.test('what a worker passed over is offered to another, and does not block what comes behind it', async (t) => {
  const rig = await createPondRig(t)
  const [box, other] = [await pairMachine(rig), await pairMachine(rig, { letter: 'o' })]
  const older = await submit(rig)
  const [intent] = await box.take()
  if (intent) await box.say(intent, { state: 'declined' })
  const polled = await park(rig, box, { slots: 1, claim_key: 'another-key' })
  t.notOk(polled.jobs)
  const newer = await submit(rig)
  await rig.clock.settle()
  t.strictSame(polled.jobs, [newer.id])
  t.strictSame((await park(rig, other, { slots: 1 })).jobs, [older.id])
})

/** A box of one slot runs the first of two jobs; the slot is free again, which its next poll said, and the final word is to come. */
async function lastWordToCome(rig: PondRig, box: Machine) {
  const jobs = [await submit(rig), await submit(rig)] as const
  const intent = await box.start(1)
  const have = [{ claim_id: intent.claim_id as `clm_${string}` & typeof intent.claim_id, state: 'ended' as const }]
  const polled = await park(rig, box, { slots: 1, have, claim_key: 'another-key' })
  t.notOk(polled.jobs)
  return { intent, polled, next: jobs[1].id as JobId }
}

t.test('a final word and the claim of the next job are one write', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  const { intent, polled, next } = await lastWordToCome(rig, box)
  const writes = watchWrites(rig)
  t.equal((await box.say(intent, finalWord)).reply.outcome, 'accepted')
  await rig.clock.settle()
  t.strictSame(polled.jobs, [next])
  t.equal(writes.count, 1)
})

t.test('a claim whose write failed is tried again by itself', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  watchWrites(rig, ['lose'])
  const polled = await park(rig, box, { slots: 1 })
  t.notOk(polled.jobs)
  t.equal(live(rig), 0)
  await rig.clock.advance(1000)
  t.strictSame(polled.jobs, [job.id])
})

t.test('a final word that is not stored frees nothing; said again it does', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  const { intent, polled, next } = await lastWordToCome(rig, box)
  watchWrites(rig, ['lose'])
  t.equal((await box.say(intent, finalWord)).code, 'store_failing')
  await rig.clock.settle()
  t.notOk(polled.jobs)
  t.strictSame(await states(rig, [{ id: intent.job_id }, { id: next }]), ['running', 'queued'])
  t.equal(live(rig), 1)
  t.equal((await box.say(intent, finalWord)).reply.outcome, 'accepted')
  await rig.clock.settle()
  t.strictSame(polled.jobs, [next])
})

t.test('a repeated final word frees no slot twice', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  const { intent, polled } = await lastWordToCome(rig, box)
  await submit(rig)
  await Promise.all([box.say(intent, finalWord), box.say(intent, finalWord)])
  await rig.clock.settle()
  t.equal(polled.jobs?.length, 1)
  t.equal(live(rig), 1)
})

t.test('after the third mishap the next claim waits for the pause', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  for (let count = 0; count < 2; count++) {
    await submit(rig)
    await box.say(await box.start(1), { state: 'final', cause: 'setup_failed', rc: 125 })
  }
  const { intent, polled } = await lastWordToCome(rig, box)
  await box.say(intent, { state: 'final', cause: 'setup_failed', rc: 125 })
  await rig.clock.settle()
  t.notOk(polled.jobs, 'on probation')
  await rig.clock.advance(60_000)
  t.ok(polled.jobs)
})
