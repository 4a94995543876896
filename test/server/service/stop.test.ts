// The stops in memory: what holds from when to when, whichever way its write goes.
import t from 'tap'
import { Stops } from '../../../server/service/stop.ts'
import type { BindingId, WorkerId } from '../../../src/protocol/id.ts'
import { createVirtualClock } from '../../harness/virtual-clock.ts'

const worker = 'wrk_1' as WorkerId
const binding = 'bnd_1' as BindingId

function createStops() {
  const clock = createVirtualClock()
  const stops = new Stops(clock)
  const over: string[] = []
  stops.listen((targets) => over.push(...targets))
  const row = (lengthMs?: number) => ({
    ...{ target: worker, at: clock.now(), by: 'admin:key' },
    ...(lengthMs === undefined ? {} : { until: clock.now() + lengthMs }),
  })
  return { clock, stops, over, row }
}

t.test('it holds from the asking on, and until the last of its writes came to an end', async (t) => {
  const { stops, row } = createStops()
  t.equal(stops.holds(worker), false)
  stops.expect(worker)
  stops.expect(worker)
  t.equal(stops.holds(worker), true)
  t.equal(stops.get(worker), undefined, 'and is shown only once it is stored')
  t.equal(stops.holds(binding), false)
  stops.arrived(worker)
  t.equal(stops.holds(worker), true)
  stops.arrived(worker)
  t.equal(stops.holds(worker), false)
  stops.set(row())
  t.equal(stops.holds(worker), true)
  stops.delete(worker)
  t.equal(stops.holds(worker), false)
})

t.test('its time ends it, and is told once; one that was replaced ends at its new time', async (t) => {
  const { clock, stops, over, row } = createStops()
  stops.set(row(1000))
  stops.set(row(5000))
  await clock.advance(4999)
  t.strictSame([stops.holds(worker), over], [true, []])
  await clock.advance(1)
  t.strictSame([stops.holds(worker), over], [false, [worker]])
  stops.endLater(clock.now() + 10, [worker])
  await clock.advance(10)
  t.strictSame(over, [worker, worker], 'again, where its end could not be written')
  stops.set(row())
  stops.endLater(clock.now() + 10, [worker])
  await clock.advance(10)
  t.equal(over.length, 2, 'not of one that stands anew')
})

t.test('closed, it tells nothing more', async (t) => {
  const { clock, stops, over, row } = createStops()
  stops.set(row(1000))
  stops.close()
  await clock.advance(1000)
  t.strictSame(over, [])
  t.equal(clock.pending(), 0)
})
