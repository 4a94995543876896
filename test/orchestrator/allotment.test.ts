// Room on this machine: pond counts it before it gives, and where a reply comes so late that pond has counted it twice, the later job waits here.
import t from 'tap'
import { createAllotment, heldBy, type TakeRoom } from '../../src/orchestrator/allotment.ts'
import { nothing } from '../../src/state/room.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

/** Asks for room, and tells whether it is there. */
async function ask(take: TakeRoom, held: Parameters<TakeRoom>[0], signal = new AbortController().signal) {
  const asked: { giveBack?: () => void } = {}
  void take(held, signal).then((giveBack) => Object.assign(asked, { giveBack }))
  await Promise.resolve()
  return asked
}

t.test('what does not fit beside the others waits until it does, and one alone never waits', async (t) => {
  const take = createAllotment({ slots: 4, cpus: 2, memory_bytes: 100, gpus: [{ uuid: 'GPU-0' }, { uuid: 'GPU-1' }] })
  const first = await ask(take, { cpus: 1.5, gpus: ['GPU-0'] })
  const cpu = await ask(take, { cpus: 0.501 })
  const gpu = await ask(take, { gpus: ['GPU-0'] })
  const other = await ask(take, { cpus: 0.5, memory_bytes: 100, gpus: ['GPU-1'] })
  const memory = await ask(take, { memory_bytes: 1 })
  t.ok(first.giveBack && other.giveBack)
  t.notOk(cpu.giveBack ?? gpu.giveBack ?? memory.giveBack)
  first.giveBack?.()
  first.giveBack?.()
  await Promise.resolve()
  t.ok(cpu.giveBack && gpu.giveBack)
  t.notOk(memory.giveBack)
  for (const { giveBack } of [other, cpu, gpu]) giveBack?.()
  await Promise.resolve()
  memory.giveBack?.()
  t.ok((await ask(take, { cpus: 64 })).giveBack, 'pond knows best what the machine has')
})

t.test('who is not wanted any more waits no longer, and holds nothing', async (t) => {
  const take = createAllotment({ slots: 4, cpus: 1 })
  const first = await ask(take, { cpus: 1 })
  const ending = new AbortController()
  const second = await ask(take, { cpus: 1 }, ending.signal)
  ending.abort()
  await Promise.resolve()
  t.ok(second.giveBack)
  first.giveBack?.()
  t.ok((await ask(take, { cpus: 1 })).giveBack)
  t.ok((await ask(take, { cpus: 1 }, ending.signal)).giveBack, 'nor whoever comes too late')
})

t.test('a job without needs holds nothing', (t) => {
  t.equal(heldBy({ command: ['true'] }, {}), nothing)
  t.strictSame(heldBy({ command: ['true'], requires: { cpus: 1, os: 'linux' } }, { gpus: ['GPU-0'] }), {
    ...{ cpus: 1, gpus: ['GPU-0'] },
  })
  t.end()
})

t.test('a claim that pond took back and that comes late never runs beside the one that has its room', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 2 })
  await start()
  const job = { idempotent: true, requires: { cpus: 3 } }
  const late = pond.give(job)
  const next = pond.give(job)
  const plain = pond.give({ idempotent: true })
  await clock.advance(1000)
  const living = () => executor.processes.filter(({ ended }) => !ended).map(({ plan }) => plan.claimId)
  t.strictSame(living(), [late.claim_id], 'the machine has 4 cpus')
  executor.processes[0]?.exit()
  await clock.advance(1000)
  t.strictSame(living(), [next.claim_id, plain.claim_id])
})

t.test('one that waits for room is dropped, cancelled and drained as any other', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 4 })
  const { swarm } = await start()
  const job = { idempotent: true, requires: { cpus: 3 } }
  pond.give(job)
  const cancelled = pond.give(job)
  await clock.advance(1000)
  pond.direct({ type: 'cancel', claim_id: cancelled.claim_id })
  await clock.advance(1000)
  t.match(pond.finalOf(cancelled.claim_id), { cause: 'cancelled' })
  t.equal(executor.processes.length, 1)
  swarm.cancelAll()
  await clock.advance(60_000)
  t.equal(clock.pending(), 0, 'nothing is left waiting')
})
