// What a poll gave is started before the next poll, which waits for no start that takes its time.
import t from 'tap'
import { createSwarmRig } from '../harness/swarm-rig.ts'

t.test('the next poll comes once the job of the one before is there', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  executor.gate = () => opened
  await start()
  const polls = pond.polls.length
  const { claim_id } = pond.give({ idempotent: true })
  await clock.advance(5)
  t.equal(pond.polls.length, polls)
  open()
  await clock.settle()
  t.match(pond.polls.at(-1), { seq: polls + 1, have: [{ claim_id, state: 'running' }] })
})

t.test('a start that takes long, or never ends, holds no poll back', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  executor.gate = () => new Promise(() => {})
  await start()
  const polls = pond.polls.length
  const { claim_id } = pond.give({ idempotent: true })
  await clock.advance(9)
  t.equal(pond.polls.length, polls)
  await clock.advance(1)
  t.match(pond.polls.at(-1), { seq: polls + 1, have: [{ claim_id, state: 'accepted' }] })
})

t.test('what is declined has begun as far as it ever will', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  await start()
  const polls = pond.polls.length
  const { claim_id } = pond.give({ sandbox: { backend: 'vm' } as never })
  await clock.settle()
  t.match(pond.finalOf(claim_id) ?? pond.words.at(-1), { state: 'declined' })
  t.ok(pond.polls.length > polls)
})
