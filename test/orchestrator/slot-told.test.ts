// What a poll says of slots: each is free, or filled by a claim that it names as not ended. Pond frees the slot of an ended one by that poll, never by its last word.
import t from 'tap'
import { createSwarmRig } from '../harness/swarm-rig.ts'

const SLOTS = 2

t.test('at every moment of a job a poll counts its slot once', async (t) => {
  const rig = await createSwarmRig({ slots: SLOTS })
  const { pond, clock, executor } = rig
  const life = await rig.start()
  for (let job = 0; job < 8; job++) pond.give()
  for (let ended = 0; ended < 8; ended++) {
    await clock.until(() => executor.processes.length > ended, 60_000)
    const process = executor.processes[ended]
    process?.write('stdout', 'what is still to be gathered')
    process?.exit()
    // Each turn of what follows is a moment at which a poll may be due.
    for (let turn = 0; turn < 40; turn++) {
      const { free, claims } = life.swarm.status()
      const filling = claims.filter(({ state }) => state !== 'ended').length
      if (free + filling !== SLOTS) t.fail(`${free} free and ${filling} filled, ${turn} turns behind the end of a job`)
      await undefined
    }
  }
  t.equal(executor.processes.length, 8)
  life.swarm.drain()
  await clock.advance(60_000)
})
