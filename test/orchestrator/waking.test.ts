// A whole swarm that wakes: it says so, polls at once on new connections, believes no answer of before, asks again before it starts, and lets jobs go on.
import t from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

const HOUR = 3_600_000
/** A reply that a test holds back. */
function hold() {
  let arrive = () => {}
  const late = new Promise<void>((resolve) => {
    arrive = resolve
  })
  return { late, arrive: () => arrive() }
}

for (const [name, fallAsleep] of [
  ['stopped', 'jump'],
  ['suspended', 'setBack'],
] as const) {
  t.test(`${name} for an hour: it says so, is back at once, and its job goes on`, async (t) => {
    const { clock, pond, executor, lines, renewed, start } = await createSwarmRig()
    const { swarm } = await start()
    const { claim_id } = pond.give()
    await clock.advance(1000)
    const before = pond.polls.length
    clock[fallAsleep](fallAsleep === 'jump' ? HOUR : -HOUR)
    await clock.advance(1000)
    t.equal(lines.filter(({ event }) => event === 'woke').length, 1)
    t.equal(renewed(), 1, 'the connections of before are dead')
    t.ok(pond.polls.length > before)
    t.match(pond.polls.at(-1)?.have, [{ claim_id, state: 'running' }])
    t.notOk(executor.processes[0]?.ended)
    await clock.advance(30_000)
    t.equal(swarm.status().healthy, true)
    executor.processes[0]?.exit()
    await clock.advance(1000)
    t.match(pond.finalOf(claim_id), { cause: 'exit' })
  })
}

t.test(
  'a poll that was answered before the sleep is history: what it brought comes again, and starts once',
  async (t) => {
    const { clock, pond, executor, start } = await createSwarmRig()
    const { late, arrive } = hold()
    pond.deliver = (_, call) => ((call.body as { seq?: number } | undefined)?.seq === 1 ? late : undefined)
    await start()
    const { claim_id } = pond.give({ idempotent: true })
    await clock.settle()
    clock.jump(HOUR)
    arrive()
    await clock.advance(1000)
    t.equal(pond.polls[1]?.claim_key, pond.polls[0]?.claim_key, 'the old answer retired no key')
    t.equal(executor.processes.length, 1)
    executor.processes[0]?.exit()
    await clock.advance(1000)
    t.match(pond.finalOf(claim_id), { cause: 'exit' })
  },
)

t.test('an old answer does not bring back a claim that pond gave to another meanwhile', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const { late, arrive } = hold()
  pond.deliver = (_, call) => ((call.body as { seq?: number } | undefined)?.seq === 1 ? late : undefined)
  await start()
  const { claim_id } = pond.give({ idempotent: true })
  await clock.settle()
  clock.jump(HOUR)
  pond.void(claim_id)
  arrive()
  await clock.advance(10_000)
  t.equal(executor.processes.length, 0)
})

t.test('a confirmation of before the sleep starts nothing: pond is asked again', async (t) => {
  for (const isLost of [true, false]) {
    const { clock, pond, executor, start } = await createSwarmRig()
    await start()
    const { late, arrive } = hold()
    pond.deliver = (name) => (name === 'sendWords' && pond.words.length === 1 ? late : undefined)
    const { claim_id } = pond.give()
    await clock.settle()
    // Shorter than the time to confirm, as a lid that is closed and opened.
    clock.setBack(-(limit.confirmMs - 2000))
    if (isLost) pond.void(claim_id)
    arrive()
    await clock.advance(2000)
    t.equal(pond.words.filter(({ state }) => state === 'running').length, 2)
    t.equal(executor.processes.length, isLost ? 0 : 1)
  }
})

/** A job whose confirmation pond has accepted, while the machine falls asleep in the write of its journal: no timer and no answer tells of that. */
async function sleepInJournal() {
  const rig = await createSwarmRig()
  const { clock, disk, pond, start } = rig
  await start()
  const { late, arrive } = hold()
  disk.gate = () => late
  const { claim_id } = pond.give()
  await clock.settle()
  clock.setBack(-(limit.confirmMs - 2000))
  const wake = () => {
    disk.gate = () => undefined
    arrive()
    return clock.settle()
  }
  return { ...rig, claim_id, wake }
}

t.test('a sleep that ends in work of the disk is noticed before a start too: pond is asked again', async (t) => {
  for (const isLost of [true, false]) {
    const { pond, executor, claim_id, wake } = await sleepInJournal()
    t.equal(pond.words.length, 1)
    if (isLost) pond.void(claim_id)
    await wake()
    t.equal(pond.words.length, 2)
    t.equal(executor.processes.length, isLost ? 0 : 1)
  }
})

t.test('a claim that is dropped while pond is asked again starts nothing', async (t) => {
  const { clock, pond, executor, lines, claim_id, wake } = await sleepInJournal()
  const { late, arrive } = hold()
  pond.deliver = (name) => (name === 'sendWords' ? late : undefined)
  await wake()
  pond.direct({ type: 'drop', claim_id })
  await clock.settle()
  t.ok(lines.some(({ event }) => event === 'claim_dropped'))
  arrive()
  await clock.advance(2000)
  t.equal(pond.words.length, 2)
  t.equal(executor.processes.length, 0)
})

t.test('a sleep while its folder is prepared: pond is asked again before anything of it is started', async (t) => {
  for (const holds of [true, false]) {
    const { clock, pond, executor, start } = await createSwarmRig()
    const { late, arrive } = hold()
    executor.gate = () => late
    await start()
    const { claim_id } = pond.give()
    await clock.advance(1000)
    clock.jump(HOUR)
    await clock.advance(1000)
    if (!holds) pond.void(claim_id)
    const readyAt = clock.now()
    arrive()
    await clock.advance(1000)
    t.equal(executor.processes.length, holds ? 1 : 0)
    executor.processes[0]?.exit()
    await clock.advance(1000)
    const startedAt = pond.finalOf(claim_id)?.started_at
    if (holds)
      t.ok(startedAt !== undefined && startedAt >= readyAt, 'it started when all was ready, not before the sleep')
  }
})

t.test('the rules are looked at before a slot is offered: the hours of the owner may be over', async (t) => {
  const facts = { onMains: true }
  const rig = await createSwarmRig({ machine: { facts: async () => ({ ...facts }), hasBattery: async () => true } })
  const { clock, pond, disk, home, start } = rig
  await disk.replace(home.rulesPath, '{"mains_only": true}')
  await start()
  await clock.advance(1000)
  t.equal(pond.polls.at(-1)?.workers[0]?.free.slots, 2)
  const before = pond.polls.length
  facts.onMains = false
  clock.jump(HOUR)
  await clock.advance(0)
  t.ok(pond.polls.length > before)
  t.ok(pond.polls.slice(before).every(({ workers }) => workers[0]?.free.slots === 0))
})

t.test('a wall clock that is set back does no harm', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  await start()
  const { claim_id } = pond.give()
  await clock.advance(1000)
  clock.setBack(24 * HOUR)
  await clock.advance(60_000)
  t.notOk(executor.processes[0]?.ended)
  executor.processes[0]?.exit()
  await clock.advance(1000)
  t.match(pond.finalOf(claim_id), { cause: 'exit' })
})
