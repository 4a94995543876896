// The simulated parts keep the contracts of the real ones; otherwise a simulation would prove nothing.
import t from 'tap'
import { blobSuite } from '../contract/blob.ts'
import { storeSuite } from '../contract/store.ts'
import { createMemoryDevice, openMemoryBlobs } from '../harness/memory-blobs.ts'
import { createMemoryDatabase, openMemoryStore } from '../harness/memory-store.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

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
