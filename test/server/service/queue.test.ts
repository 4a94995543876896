// Who stands where: first come first served within a priority, and only for workers that have what a job needs, in nobody's way.
import t, { type Test } from 'tap'
import { Choice, type Taken, type Taker } from '../../../server/service/choice.ts'
import { ownLadder } from '../../../server/service/ladder.ts'
import { type Waiting, waitingOf } from '../../../server/service/line.ts'
import { Queue } from '../../../server/service/queue.ts'
import { Shares } from '../../../server/service/share.ts'
import type { Sandbox } from '../../../src/protocol/field.ts'
import type { JobId } from '../../../src/protocol/id.ts'
import type { Means, Needs } from '../../../src/state/match.ts'
import type { Room } from '../../../src/state/room.ts'
import { bindingIdOf, jobIdOf, jobRow, projectIdOf, workerIdOf } from '../../contract/store-row.ts'
import { type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const project = projectIdOf(1)
const waiting = (number: number, more: Partial<Waiting> = {}): Waiting => ({ ...waitingOf(jobRow(number)), ...more })
const needing = (needs: Needs) => ({ needs: JSON.stringify(needs) })
const secret = needing({ secrets: true })
const room = (slots: number, more: Partial<Room> = {}): Room => ({
  ...{ slots, milliCpus: 4000, memoryBytes: 2 ** 30, diskBytes: 2 ** 30, gpus: [] },
  ...more,
})
const means: Means = { labels: { zone: 'a' }, resources: { slots: 10, cpus: 4 }, sandbox: 'uid', os: 'linux' }
const taker: Taker = {
  ...{ workerId: workerIdOf(1), bindingId: bindingIdOf(1), ladder: ownLadder(project) },
  ...{ means, room: room(10), ended: new Set(), now: 0 },
}
const idsOf = (jobs: readonly Taken[]) => jobs.map(({ job }) => job.id)

/** The queue and who chooses from it. */
function createQueue() {
  const queue = new Queue()
  const shares = new Shares(() => new Map())
  const choice = new Choice({ queue, shares, mayStart: () => Number.POSITIVE_INFINITY })
  return {
    add: (job: Waiting) => queue.add(job),
    remove: (job: Waiting) => queue.remove(job),
    size: (of: typeof project) => queue.size(of),
    putBack(taken: readonly Taken[]) {
      for (const { job, number } of taken) if (number !== undefined) queue.putBack({ job, number })
    },
    take: (one: Taker) => choice.take(one),
    hasFor: (one: Taker) => choice.hasFor(one),
    spare: (one: Taker) => choice.spare(one),
  }
}

t.test('all classes of a priority are one line, in the order in which jobs came', async (t) => {
  const queue = createQueue()
  for (const number of [1, 2, 3, 4, 5, 6]) queue.add(waiting(number, number % 3 === 0 ? secret : {}))
  queue.add(waiting(7, { priority: 9 }))
  queue.add(waiting(3, secret))
  t.equal(queue.size(project), 7)
  t.ok(queue.hasFor(taker))
  t.strictSame(idsOf(queue.take({ ...taker, room: room(4) })), [7, 1, 2, 3].map(jobIdOf))
  t.strictSame(idsOf(queue.take(taker)), [4, 5, 6].map(jobIdOf))
  t.equal(queue.size(project), 0)
  t.notOk(queue.hasFor(taker))
})

t.test('a worker that lacks something sees nothing of what asks for it', async (t) => {
  const queue = createQueue()
  for (const number of [1, 2, 3]) queue.add(waiting(number, secret))
  const open = { ...taker, means: { ...means, sandbox: 'none' as const } }
  t.notOk(queue.hasFor(open))
  t.strictSame(queue.take(open), [])
  queue.add(waiting(4))
  queue.add(waiting(5, needing({ labels: { zone: 'b' } })))
  t.ok(queue.hasFor(open))
  t.strictSame(idsOf(queue.take(open)), [jobIdOf(4)])
  queue.remove(waiting(2, secret))
  queue.remove(waiting(2, secret))
  t.equal(queue.size(project), 3)
  t.strictSame(idsOf(queue.take(taker)), [1, 3].map(jobIdOf))
})

t.test('what does not fit now lets what fits go by, and what is taken counts at once', async (t) => {
  const queue = createQueue()
  queue.add(waiting(1, needing({ cpus: 3 })))
  queue.add(waiting(2, needing({ cpus: 3 })))
  queue.add(waiting(3, needing({ cpus: 1 })))
  queue.add(waiting(4, needing({ cpus: 0.001 })))
  queue.add(waiting(5))
  const taken = queue.take(taker)
  t.strictSame(idsOf(taken), [1, 3, 5].map(jobIdOf))
  t.strictSame(
    taken.map(({ held }) => held),
    [{ cpus: 3 }, { cpus: 1 }, {}],
  )
  t.notOk(queue.hasFor({ ...taker, room: room(9, { milliCpus: 0 }) }))
  t.strictSame(idsOf(queue.take(taker)), [2, 4].map(jobIdOf))
})

t.test('a job that others overtook for long gets a worker that keeps what comes free', async (t) => {
  const queue = createQueue()
  const small = (number: number) => waiting(number, needing({ cpus: 1 }))
  queue.add(waiting(1, needing({ cpus: 4 })))
  for (const number of [2, 3, 4, 5]) queue.add(small(number))
  queue.add(waiting(6))
  const look = (now: number, milliCpus: number, more: Partial<Taker> = {}) =>
    idsOf(queue.take({ ...taker, room: room(2, { milliCpus }), now, ...more }))
  t.strictSame(look(0, 1000), [2, 6].map(jobIdOf), 'at first it is overtaken')
  t.strictSame(look(29_999, 1000), [jobIdOf(3)])
  t.strictSame(look(30_000, 1000), [], 'then this worker waits for it')
  t.notOk(queue.hasFor({ ...taker, room: room(2, { milliCpus: 3000 }), now: 30_000 }))
  queue.add(waiting(7))
  t.strictSame(look(40_000, 3000), [jobIdOf(7)], 'what needs nothing of that kind goes by')
  t.strictSame(look(40_000, 1000, { workerId: workerIdOf(2) }), [jobIdOf(4)], 'another worker goes on')
  t.ok(queue.hasFor({ ...taker, room: room(2), now: 50_000 }))
  t.strictSame(look(50_000, 4000), [jobIdOf(1)])
  t.strictSame(look(50_000, 1000), [jobIdOf(5)], 'and nothing is kept any more')
})

t.test('room is not kept for ever, nor for a job that is gone or for a worker that lost what it had', async (t) => {
  const queue = createQueue()
  const big = waiting(1, needing({ cpus: 4 }))
  const small = waiting(2, needing({ cpus: 1 }))
  const keeps = (now: number, more: Partial<Taker> = {}) => {
    const one = { ...taker, room: room(2, { milliCpus: 1000 }), now, ...more }
    queue.take(one)
    return queue.spare(one).milliCpus < 1000
  }
  queue.add(big)
  keeps(0)
  t.ok(keeps(30_000))
  t.notOk(keeps(30_000, { means: { ...means, resources: { slots: 1 } } }))
  t.ok(keeps(700_000), 'it is tried again')
  queue.remove(big)
  t.notOk(keeps(700_001))
  queue.add(small)
  t.strictSame(idsOf(queue.take(taker)), [jobIdOf(2)])
})

t.test('what was taken in vain stands where it stood', async (t) => {
  const queue = createQueue()
  for (const number of [1, 2, 3]) queue.add(waiting(number))
  const taken = queue.take({ ...taker, room: room(2) })
  queue.add(waiting(4))
  queue.putBack(taken)
  queue.putBack(taken)
  queue.putBack([{ job: waiting(9), held: {} }])
  t.equal(queue.size(project), 4)
  t.strictSame(idsOf(queue.take(taker)), [1, 2, 3, 4].map(jobIdOf))
})

t.test('thousands of kinds that do not fit cost one pass', async (t) => {
  const queue = createQueue()
  for (let number = 0; number < 5000; number++) queue.add(waiting(number, needing({ memory_bytes: 2 + number })))
  t.strictSame(
    queue.take({
      ...taker,
      means: { ...means, resources: { slots: 1, memory_bytes: 9999 } },
      room: room(9, { memoryBytes: 1 }),
    }),
    [],
  )
})

t.test('a job that the worker declined stands, and a priority that is none is a mistake', async (t) => {
  const queue = createQueue()
  queue.add(waiting(1, { passedOver: { [workerIdOf(1)]: 10 } }))
  t.strictSame(queue.take(taker), [])
  t.strictSame(queue.take({ ...taker, room: room(0), now: 10 }), [])
  t.strictSame(idsOf(queue.take({ ...taker, now: 10 })), [jobIdOf(1)])
  t.throws(() => queue.add(waiting(1, { priority: 10 })), /priority/)
})

/** A confidential job waits before anything else does. */
async function withConfidential(t: Test): Promise<{ rig: PondRig; box: Machine; id: JobId }> {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 4, silent: true })
  const row = jobRow(1, secret)
  await rig.store.write(async (tx) => {
    const [first] = await tx.listProjects()
    if (!first) throw new Error('there is no project')
    await tx.insertJob({ ...row, projectId: first.id }, Buffer.from('{"command":["true"]}'))
  })
  await rig.restart()
  return { rig, box, id: row.id }
}

async function tell(rig: PondRig, box: Machine, walls: { sandbox?: Sandbox; allow_unsandboxed?: boolean }) {
  const { sealing_key, signing_key } = box.paired.worker
  const worker = { worker_id: box.workerId, keys: { sealing_key, signing_key }, labels: {}, resources: { slots: 4 } }
  const told = { ...worker, inflight: 0, load: 0, version: '1', ...walls }
  const { status } = await rig.call('sendSnapshot', {
    token: box.token,
    body: { session: `session-${JSON.stringify(walls)}`, seq: 1, workers: [told] },
  })
  if (status >= 300) throw new Error(`a snapshot was answered ${status}`)
}

t.test('a confidential job waits for a worker with walls, and nothing waits behind it', async (t) => {
  const { rig, box, id } = await withConfidential(t)
  t.strictSame(await box.take(4), [], 'who has said nothing has no walls')
  await tell(rig, box, { sandbox: 'none' })
  const held = box.poll({ slots: 1, wait_ms: 50_000, claim_key: 'the key of the held' })
  await rig.clock.settle()
  const plain = await submit(rig)
  const { reply } = await held
  t.strictSame(
    reply.intents.map(({ job_id }) => job_id),
    [plain.id],
    'the one behind it comes at once',
  )
  const later = box.poll({ slots: 3, wait_ms: 50_000, claim_key: 'the key after that', have: box.have(reply.intents) })
  await rig.clock.settle()
  await tell(rig, box, { sandbox: 'bubblewrap' })
  t.strictSame(
    (await later).reply.intents.map(({ job_id }) => job_id),
    [id],
    'walls were built',
  )
})

t.test('or for an owner who takes it without', async (t) => {
  const { rig, box, id } = await withConfidential(t)
  await tell(rig, box, { sandbox: 'none', allow_unsandboxed: true })
  t.strictSame(
    (await box.take(4)).map(({ job_id }) => job_id),
    [id],
  )
  const { reply } = await rig.call('listAllWorkers')
  t.match(reply.items, [{ sandbox: 'none' }])
})
