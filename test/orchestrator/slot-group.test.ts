// Several workers in one swarm: each is offered, filled, told and drained for itself.
import t from 'tap'
import { resourcesOf } from '../../src/orchestrator/slot-group.ts'
import type { WorkerId } from '../../src/protocol/id.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { fakeWorkerId } from '../harness/fake-pond-client.ts'
import { bindingPair } from '../harness/signing-key.ts'
import { createSwarmRig, fakeBinding, fakeKeys } from '../harness/swarm-rig.ts'

const second = `wrk_${'1'.repeat(26)}` as WorkerId
const key = `${'B'.repeat(42)}A`
const signing = bindingPair('t')

async function started(options = {}) {
  const [first] = fakeBinding.workers
  const other = {
    worker_id: second,
    name: 'gpu',
    labels: { gpu: 'yes' },
    resources: { slots: 1 },
    keys: { sealing_key: key, signing_key: signing.publicKey },
  }
  const sealing = { publicKey: key, privateKey: key }
  const rig = await createSwarmRig({
    binding: { ...fakeBinding, workers: [first, other] },
    keys: { ...fakeKeys, workers: [fakeKeys.workers[0], { sealing, signing }] },
    ...options,
  })
  const life = await rig.start()
  return { ...rig, life }
}

t.test('each worker is offered with what it has free, and runs its own jobs in its own slots', async (t) => {
  const { clock, pond, executor, life } = await started()
  t.same(pond.polls[0]?.workers, [
    { worker_id: fakeWorkerId, free: { slots: 2 } },
    { worker_id: second, free: { slots: 1 } },
  ])
  for (let count = 0; count < 3; count++) pond.give({}, { worker_id: second })
  await clock.advance(1000)
  t.equal(executor.processes.length, 1, 'it takes no slot of its neighbour')
  pond.give()
  await clock.advance(1000)
  t.equal(executor.processes.length, 2)
  t.same(pond.polls.at(-1)?.workers, [
    { worker_id: fakeWorkerId, free: { slots: 1 } },
    { worker_id: second, free: { slots: 0 } },
  ])
  t.match(life.swarm.status(), {
    slots: 3,
    free: 1,
    workers: [
      { worker_id: fakeWorkerId, slots: 2, free: 1, state: 'ready' },
      { worker_id: second, name: 'gpu', slots: 1, free: 0, fingerprint: fingerprint(key, signing.publicKey) },
    ],
  })
  executor.processes[0]?.exit()
  await clock.advance(1000)
  t.equal(executor.processes.length, 3, 'and the next of its own')
  await clock.advance(30_000)
  t.match(pond.snapshots.at(-1)?.workers, [
    { worker_id: fakeWorkerId, inflight: 1, resources: { slots: 2 } },
    { worker_id: second, inflight: 1, labels: { gpu: 'yes' }, keys: { sealing_key: key }, resources: { slots: 1 } },
  ])
})

t.test('one worker is drained, the other goes on; with the last one the swarm ends', async (t) => {
  const { clock, pond, executor, life } = await started()
  pond.direct({ type: 'drain', worker_id: second })
  await clock.advance(5000)
  t.same(
    pond.polls.at(-1)?.workers.map(({ free }) => free.slots),
    [2, 0],
  )
  t.same(
    pond.snapshots.at(-1)?.workers.map(({ state }) => state),
    ['ready', 'draining'],
  )
  pond.give()
  await clock.advance(1000)
  t.equal(executor.processes.length, 1)
  pond.direct({ type: 'drain', worker_id: fakeWorkerId })
  executor.processes[0]?.exit()
  await clock.until(() => life.end !== undefined)
  t.match(life.end, { reason: 'drained' })
})

t.test(
  'a worker drained with a deadline stops its own jobs then, and no other; a nearer one counts, a later one does not',
  async (t) => {
    const { clock, pond, executor, life, lines } = await started()
    pond.give()
    pond.give({}, { worker_id: second })
    await clock.advance(1000)
    const [here, there] = executor.processes
    pond.direct({ type: 'drain', worker_id: second, wait_ms: 60_000, note: 'disk' })
    await clock.advance(1000)
    pond.direct({ type: 'drain', worker_id: second, wait_ms: 30_000 })
    await clock.advance(1000)
    pond.direct({ type: 'drain', worker_id: second, wait_ms: 90_000 })
    await clock.advance(28_000)
    t.same([here?.signals, there?.signals], [[], []])
    await clock.advance(1000)
    t.same([here?.signals, there?.signals], [[], ['TERM']])
    pond.direct({ type: 'drain', worker_id: fakeWorkerId })
    await clock.advance(600_000)
    t.same(here?.signals, [], 'the last worker takes its time')
    here?.exit()
    await clock.until(() => life.end !== undefined)
    t.match(life.end, { reason: 'drained' })
    const drains = lines.filter(({ event }) => event === 'worker_drain').map(({ fields }) => fields)
    t.match(drains, [{ worker_id: second, deadline_ms: 60_000, note: 'disk' }, { worker_id: fakeWorkerId }])
    t.equal(drains.length, 2, 'it is told once')
  },
)

t.test('with --once one job is asked for, whoever runs it', async (t) => {
  const { pond } = await started({ once: true })
  t.same(
    pond.polls[0]?.workers.map(({ free }) => free.slots),
    [1, 0],
  )
})

t.test('a job for a worker that is none of ours is declined', async (t) => {
  const { clock, pond, executor } = await started()
  const { intent } = { intent: pond.giveWithWords() }
  Object.assign(intent, { worker_id: `wrk_${'9'.repeat(26)}` })
  pond.give()
  await clock.settle()
  executor.processes[0]?.exit()
  await clock.advance(1000)
  t.match(pond.finalOf(intent.claim_id), { state: 'declined', message: /no such worker/ })
})

t.test('what the machine has is told as its own worker’s, and a job gets the devices that pond gave it', async (t) => {
  const rig = await createSwarmRig()
  rig.executor.gpus = [{ uuid: 'GPU-1', vram_bytes: 16 }, { uuid: 'GPU-2' }]
  await rig.start({ slots: 3 })
  await rig.clock.settle()
  t.match(rig.pond.snapshots.at(-1)?.workers, [{ resources: { slots: 3, cpus: 4, gpus: rig.executor.gpus } }])
  rig.pond.give({ requires: { gpus: { count: 1 } } }, { gpus: ['GPU-2'] })
  rig.pond.give()
  await rig.clock.settle()
  t.strictSame(
    rig.executor.processes.map(({ plan }) => plan.gpus),
    [['GPU-2'], undefined],
  )
})

t.test('an owner may offer a part of the machine', async (t) => {
  const { executor } = await createSwarmRig()
  executor.gpus = [{ uuid: 'GPU-1' }, { uuid: 'GPU-2' }]
  const offered = (gpus?: readonly string[]) =>
    resourcesOf({
      executor,
      host: { os: '', arch: '', version: '', load: () => 0, resources: { cpus: 2 }, ...(gpus && { gpus }) },
      options: { slots: 1 },
    })
  t.strictSame(offered(), { slots: 1, cpus: 2, gpus: executor.gpus })
  t.strictSame(offered(['GPU-2']), { slots: 1, cpus: 2, gpus: [{ uuid: 'GPU-2' }] })
  t.strictSame(offered(['none']), { slots: 1, cpus: 2 })
})
