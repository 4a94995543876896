// A freed slot is told by a poll only when the last word of its job takes its time.
import t from 'tap'
import { createFreed } from '../../src/orchestrator/freed.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

t.test('each slot is told once, unless its word was heard in time', async (t) => {
  const clock = createVirtualClock()
  let told = 0
  const freed = createFreed({ clock, tell: () => told++ })
  freed.slot()
  freed.slot()
  freed.heard()
  await clock.advance(24)
  t.equal(told, 0)
  await clock.advance(1)
  t.equal(told, 1)
  freed.heard()
  freed.slot()
  await clock.advance(10)
  freed.slot()
  freed.heard()
  await clock.advance(1000)
  t.equal(told, 2, 'a word of a claim that held no slot takes nothing away from later ones')
})
