// The step that a swarm speaks: never ahead of its pond, up again with it, and never below what is served.
import t from 'tap'
import { createDialect } from '../../src/orchestrator/dialect.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

const refusedWith = (protocol: unknown) => ({ code: 'upgrade_required', details: { protocol } })

t.test('nothing new is said before pond told that it knows it', async (t) => {
  const dialect = createDialect()
  t.equal(dialect.protocol(), PROTOCOL)
  t.notOk(dialect.speaks(OLDEST_PROTOCOL))
  dialect.learned(PROTOCOL + 1)
  t.equal(dialect.protocol(), PROTOCOL, 'a later pond serves our step')
  t.ok(dialect.speaks(PROTOCOL))
  t.notOk(dialect.speaks(PROTOCOL + 1))
})

t.test('an older pond is spoken to in its own step, until it is brought up to date', async (t) => {
  const dialect = createDialect()
  t.ok(dialect.stepDown(refusedWith(OLDEST_PROTOCOL)))
  t.equal(dialect.protocol(), OLDEST_PROTOCOL)
  t.notOk(dialect.speaks(PROTOCOL))
  t.notOk(dialect.stepDown(refusedWith(OLDEST_PROTOCOL)), 'it refuses its own step: nothing helps')
  dialect.learned(PROTOCOL)
  t.ok(dialect.speaks(PROTOCOL))
})

t.test('a pond that was replaced by an older one trips over a field first', async (t) => {
  const dialect = createDialect()
  dialect.learned(PROTOCOL)
  t.ok(dialect.stepDown({ code: 'unknown_field', details: { field: 'heard' } }))
  t.equal(dialect.protocol(), PROTOCOL - 1)
})

t.test('what no step of ours mends is not tried', async (t) => {
  for (const step of [OLDEST_PROTOCOL - 1, PROTOCOL, PROTOCOL + 1, 'two', undefined]) {
    t.notOk(createDialect().stepDown(refusedWith(step)), String(step))
  }
  t.notOk(createDialect().stepDown({ code: 'invalid_field', details: { protocol: OLDEST_PROTOCOL } }))
})

t.test('a swarm steps down and polls on', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  pond.protocol = OLDEST_PROTOCOL
  const life = await start()
  pond.give()
  await clock.advance(1000)
  t.equal(executor.processes.length, 1)
  t.notOk(life.end)
  t.same(
    pond.polls.map(({ protocol }) => protocol),
    pond.polls.map(() => OLDEST_PROTOCOL),
    'only polls that it understood',
  )
  pond.protocol = PROTOCOL
  executor.processes[0]?.exit()
  await clock.advance(60_000)
  t.equal(pond.polls.at(-1)?.protocol, PROTOCOL, 'and up again')
})
