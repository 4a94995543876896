// What a job tells of its progress: in batches, each event once, and never in the way of how it ends.
import t from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

async function running() {
  const rig = await createSwarmRig()
  await rig.start()
  const intent = rig.pond.give()
  await rig.clock.settle()
  const [process] = rig.executor.processes
  if (!process) throw new Error('the job was not started')
  return { ...rig, intent, process }
}

t.test('progress arrives in batches with ids that do not repeat; odd events keep their type as data', async (t) => {
  const { clock, pond, process } = await running()
  process.event({ type: 'model.call', tokens: 3 })
  process.event({ done: 0.5 })
  process.event({ type: 'No Such Type' })
  await clock.advance(300)
  t.equal(pond.calls.filter((name) => name === 'sendTelemetry').length, 1)
  t.match(pond.events, [
    { id: 'e1', type: 'model.call', data: { tokens: 3 } },
    { id: 'e2', type: 'progress', data: { done: 0.5 } },
    { id: 'e3', type: 'progress', data: { type: 'No Such Type' } },
  ])
})

t.test('progress that pond does not take never holds up the end', async (t) => {
  const { clock, pond, process, intent, lines } = await running()
  pond.fault = (name) => (name === 'sendTelemetry' ? refusal('internal') : undefined)
  for (let count = 0; count < 2000; count++) process.event({ count })
  process.event({ text: 'x'.repeat(limit.eventBytes) })
  process.exit()
  await clock.advance(2500)
  t.ok(pond.finalOf(intent.claim_id))
  t.match(
    lines.find((line) => line.event === 'events_dropped'),
    { fields: { count: 2001 } },
  )
})
