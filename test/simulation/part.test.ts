// The simulated parts keep the contracts of the real ones; otherwise a simulation would prove nothing.
import t from 'tap'
import { blobSuite } from '../contract/blob.ts'
import { storeSuite } from '../contract/store.ts'
import { createMemoryDevice, openMemoryBlobs } from '../harness/memory-blobs.ts'
import { createMemoryDatabase, openMemoryStore } from '../harness/memory-store.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'
import { createLid } from './lid.ts'

t.test('the store in memory is a store', (t) => {
  storeSuite(t, (_, events) => openMemoryStore(createMemoryDatabase(), { clock: createVirtualClock(), events }))
  t.end()
})

t.test('the blobs in memory are blobs', (t) => {
  blobSuite(t, async () => {
    const device = createMemoryDevice()
    return {
      async open() {
        device.roomBytes = 1e12
        return openMemoryBlobs(device)
      },
      async openFull() {
        device.roomBytes = 0
        return openMemoryBlobs(device)
      },
    }
  })
  t.end()
})

t.test('under a closed lid what is measured stands still, and the wall goes on', async (t) => {
  const world = createVirtualClock()
  const lid = createLid(world)
  const wall = world.now()
  const fired: [string, number][] = []
  const { clock } = lid
  // Not a whole number, so that what is left of a wait may be lost to rounding.
  clock.after(1000 / 3, () => fired.push(['before', world.monotonic()]))
  clock.after(2000 / 3, () => fired.push(['after', world.monotonic()]))
  await world.advance(500)
  lid.close(70_000 / 3)
  await world.advance(10_000)
  t.ok(lid.isClosed())
  t.equal(clock.monotonic(), 500)
  t.equal(clock.now(), wall + 10_500)
  lid.close(600_000.1)
  await world.advance(700_000)
  t.notOk(lid.isClosed())
  t.match(fired, [
    ['before', 1000 / 3],
    ['after', Number],
  ])
  t.ok(
    Math.abs((fired[1]?.[1] ?? 0) - (10_500 + 600_000.1 + 500 / 3)) < 0.01,
    'what was left of it came when it was awake',
  )
  t.ok(Math.abs(clock.monotonic() - (world.monotonic() - 610_000.1)) < 0.01)
})
