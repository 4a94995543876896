// A deadline only comes nearer.
import t from 'tap'
import { createDeadline } from '../../src/orchestrator/deadline.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

t.test('the nearest of all that were asked for counts, once', async (t) => {
  const clock = createVirtualClock()
  let over = 0
  const deadline = createDeadline(clock, () => over++)
  deadline.bring(Number.POSITIVE_INFINITY)
  deadline.bring(1000)
  deadline.bring(500)
  deadline.bring(800)
  await clock.advance(499)
  t.equal(over, 0)
  await clock.advance(1)
  t.equal(over, 1)
  await clock.advance(1000)
  t.equal(over, 1)
})

t.test('closed, it never comes', async (t) => {
  const clock = createVirtualClock()
  const deadline = createDeadline(clock, () => t.fail('it came'))
  deadline.bring(10)
  deadline.close()
  await clock.advance(20)
})
