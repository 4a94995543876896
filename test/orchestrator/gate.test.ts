// The gate of a whole swarm: rules that change while it runs, a pause that outlives it, commands that are not welcome, and a broken file.
import t from 'tap'
import type { MachineFacts } from '../../src/system/machine.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

async function ruled(rules: unknown = {}) {
  const facts: { -readonly [K in keyof MachineFacts]: MachineFacts[K] } = { onMains: true, loadPerCore: 0 }
  const machine = { facts: async () => ({ ...facts }), hasBattery: async () => true }
  const rig = await createSwarmRig({ machine })
  const rule = (value: unknown) =>
    rig.disk.replace(rig.home.rulesPath, typeof value === 'string' ? value : JSON.stringify(value))
  await rule(rules)
  const kept = async () => JSON.parse((await rig.disk.read(rig.home.rulesPath))?.toString() ?? 'null') as unknown
  return { ...rig, facts, rule, kept }
}

t.test(
  'the plug is pulled: no slot is offered within seconds, what runs goes on, pond hears why; plugged in: jobs come',
  async (t) => {
    const { clock, pond, executor, facts, start, lines } = await ruled({ mains_only: true })
    const { swarm } = await start()
    await clock.advance(1000)
    pond.give()
    await clock.settle()
    facts.onMains = false
    await clock.advance(7000)
    t.match(swarm.status(), { state: 'paused', note: /on battery/, free: 0 })
    t.ok(pond.polls.at(-1)?.workers.every(({ free }) => free.slots === 0))
    t.match(pond.snapshots.at(-1)?.workers[0], { state: 'paused', note: /on battery/ })
    t.notOk(executor.processes[0]?.ended)
    pond.give()
    await clock.advance(60_000)
    t.equal(executor.processes.length, 1)
    facts.onMains = true
    await clock.advance(6000)
    t.equal(executor.processes.length, 2)
    t.equal(swarm.status().note, undefined)
    t.strictSame(
      lines.filter(({ event }) => event === 'closed' || event === 'opened').map(({ event }) => event),
      ['closed', 'opened'],
    )
  },
)

t.test(
  'rules that were written take effect at once when swarm is told, and by themselves in a few seconds',
  async (t) => {
    const { clock, rule, start } = await ruled()
    const { swarm } = await start()
    await rule({ projects: ['other'] })
    t.equal(swarm.status().state, 'ready')
    await swarm.lookAtRules()
    t.match(swarm.status(), { state: 'paused', note: /does not serve the project default/ })
    await rule({})
    await clock.advance(5000)
    t.equal(swarm.status().state, 'ready')
  },
)

t.test('a command that is not welcome is declined with the reason, and the worker is offered others', async (t) => {
  const { clock, pond, executor, start } = await ruled({ commands: ['true'] })
  await start()
  const other = pond.give({ command: ['rm', '-rf', '/'] })
  pond.give()
  await clock.settle()
  t.match(pond.finalOf(other.claim_id), {
    state: 'declined',
    cause: 'refused',
    message: /does not run the command "rm"/,
  })
  t.equal(executor.processes.length, 1)
})

t.test('a pause is kept: the next life is paused too and says so, until it is resumed; other rules stay', async (t) => {
  const { clock, pond, kept, start, lines } = await ruled({ max_load: 4 })
  const first = await start()
  await first.swarm.pause()
  t.same(await kept(), { max_load: 4, paused: true })
  first.die()
  lines.length = 0
  const { swarm } = await start()
  t.match(swarm.status(), { state: 'paused', note: /paused by its owner/ })
  t.match(
    lines.find(({ event }) => event === 'closed'),
    { fields: { message: /paused by its owner/ } },
  )
  pond.give()
  await clock.advance(10_000)
  t.equal(pond.polls.at(-1)?.workers[0]?.free.slots, 0)
  await swarm.resume()
  t.same(await kept(), { max_load: 4 })
  t.equal(swarm.status().state, 'ready')
})

t.test('orders that follow each other closely: the last one stays', async (t) => {
  const { clock, kept, start } = await ruled()
  const { swarm } = await start()
  await Promise.all([swarm.pause(), swarm.resume(), swarm.pause()])
  await clock.advance(5000)
  t.same(await kept(), { paused: true })
  t.equal(swarm.status().state, 'paused')
})

t.test('a pause that cannot be kept holds until this run ends, and whoever asked hears it', async (t) => {
  const { clock, disk, kept, start } = await ruled()
  const { swarm } = await start()
  disk.fault = (operation) => (operation === 'replace' ? new Error('ENOSPC') : undefined)
  await t.rejects(swarm.pause(), /ENOSPC/)
  t.equal(swarm.status().state, 'paused')
  await clock.advance(20_000)
  t.equal(swarm.status().state, 'paused', 'the next look does not take it back')
  t.same(await kept(), {})
  disk.fault = () => undefined
  await swarm.resume()
  t.equal(swarm.status().state, 'ready')
})

t.test(
  'a file that breaks later leaves the last good rules and says so once; at the start it is refused',
  async (t) => {
    const { clock, disk, home, lines, rule, start } = await ruled({ mains_only: true, paused: true })
    const life = await start()
    await rule('{"mains_only": tr')
    await clock.advance(20_000)
    t.equal(life.swarm.status().state, 'paused')
    t.strictSame(lines.filter(({ event }) => event === 'rules_broken').length, 1)
    await t.rejects(life.swarm.resume(), /no JSON/, 'what the owner was writing is not overwritten')
    t.match((await disk.read(home.rulesPath))?.toString(), /tr$/)
    await rule({ paused: 'yes' })
    life.die()
    const next = await start()
    t.match(next.failed, { name: 'RulesError', message: /^paused: / })
  },
)

t.test(
  'the disk fills up: no slot is offered and pond hears why; with room again jobs come by themselves',
  async (t) => {
    const { clock, disk, pond, executor, start } = await ruled()
    const { swarm } = await start()
    disk.roomBytes = 1000
    await clock.advance(7000)
    t.match(swarm.status(), { state: 'paused', note: /disk/, free: 0 })
    t.ok(pond.polls.at(-1)?.workers.every(({ free }) => free.slots === 0))
    t.match(pond.snapshots.at(-1)?.workers[0], { state: 'paused', note: /disk/ })
    pond.give()
    await clock.advance(60_000)
    t.equal(executor.processes.length, 0)
    disk.roomBytes = 1e9
    await clock.advance(6000)
    t.equal(executor.processes.length, 1)
    t.equal(swarm.status().state, 'ready')
  },
)
