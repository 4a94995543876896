// The simulated parts keep the contracts of the real ones; otherwise a simulation would prove nothing.
import t from 'tap'
import { sleep } from '../../src/system/clock.ts'
import { blobSuite } from '../contract/blob.ts'
import { storeSuite } from '../contract/store.ts'
import { createMemoryDevice, openMemoryBlobs } from '../harness/memory-blobs.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
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

t.test('what was on its way to the disk when the power went lands nowhere', async (t) => {
  const disk = createMemoryDisk()
  const world = createVirtualClock()
  disk.gate = () => sleep(world, 2)
  await disk.makeFolder('/home')
  const file = await disk.open('/home/spool')
  const safe = file.append(Buffer.from('safe'))
  await world.advance(5)
  await safe
  await file.sync()
  const late = file.append(Buffer.from('late'))
  disk.powerCut()
  await Promise.all([t.rejects(late, { code: 'EIO' }), world.advance(5)])
  t.equal(String(await disk.read('/home/spool')), 'safe')
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
