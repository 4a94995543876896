// The disk adapter: the contract, then limits, modes and room. What faults and power cuts do is in stream-file.test.ts.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemDevice } from '../../../server/blob/device.ts'
import { type DiskBlobsOptions, openDiskBlobs } from '../../../server/blob/disk.ts'
import { FilePool } from '../../../server/blob/file-pool.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { appendAll, blobSuite, digest } from '../../contract/blob.ts'
import { FaultyDevice } from './fake-device.ts'

const key = { claimId: 'clm_01', name: 'stdout' }

function optionsFor(t: Test): DiskBlobsOptions {
  return { folder: join(t.testdir(), 'new', 'blobs'), reserveBytes: 0, clock: systemClock }
}

t.test('contract', async (t) => {
  const placeFor = (limits: Partial<DiskBlobsOptions>) => async (t: Test) => {
    const options = { ...optionsFor(t), ...limits }
    return {
      open: () => openDiskBlobs(options),
      openFull: () => openDiskBlobs({ ...options, reserveBytes: Number.MAX_SAFE_INTEGER }),
    }
  }
  t.test('as it comes', async (t) => blobSuite(t, placeFor({})))
  t.test('with nothing held', async (t) => blobSuite(t, placeFor({ openFiles: 0, heldStreams: 0 })))
})

t.test('hundreds of streams share a few open files', async (t) => {
  const device = new FaultyDevice()
  const blobs = await openDiskBlobs({ ...optionsFor(t), device, openFiles: 8, heldStreams: 20 })
  const keys = Array.from({ length: 300 }, (_, at) => ({
    claimId: `clm_${at >> 1}`,
    name: at % 2 ? 'stderr' : 'stdout',
  }))
  for (let turn = 0; turn < 3; turn++) {
    for (const key of keys) await appendAll(blobs, key, [Buffer.from(`${key.claimId} ${key.name} ${turn};`)])
    t.ok(device.openNow <= 8, `${device.openNow} open at rest`)
  }
  t.ok(device.openMost <= 8 + 4, `${device.openMost} open at most, folders included`)
  for (const { claimId, name } of keys) {
    const text = [0, 1, 2].map((turn) => `${claimId} ${name} ${turn};`).join('')
    if (String(await blobs.read({ claimId, name }, 0, 1e6)) !== text) t.fail(`${claimId} ${name}`)
  }
  await blobs.close()
  t.equal(device.openNow, 0, 'all are closed')
})

t.test('a file that is dropped while somebody reads it is closed when he is done', async (t) => {
  const device = new FaultyDevice()
  const pool = new FilePool(device, 4)
  const path = join(t.testdir(), 'file')
  const use = async () => {
    await pool.drop(path)
    t.equal(device.openNow, 1)
  }
  await pool.use(path, use, true)
  t.equal(device.openNow, 0)
})

t.test('an append costs one sync; the first one also its folders', async (t) => {
  const device = new FaultyDevice()
  const blobs = await openDiskBlobs({ ...optionsFor(t), device })
  device.calls.sync = 0
  await appendAll(blobs, key, [Buffer.from('first')])
  t.match(device.calls, { datasync: 1, sync: 3 }, 'claim, shard and root')
  await appendAll(blobs, key, [Buffer.from('second'), Buffer.from('third')])
  t.match(device.calls, { datasync: 3, sync: 3 })
  await blobs.close()
})

t.test('files are 0600 and folders 0700', async (t) => {
  const options = optionsFor(t)
  const blobs = await openDiskBlobs(options)
  await appendAll(blobs, { claimId: '../X', name: '../../y' }, [Buffer.from('a')])
  await blobs.close()
  const found = await readdir(options.folder, { recursive: true, withFileTypes: true })
  t.equal(found.length, 3, 'shard, claim, stream')
  for (const entry of found) {
    const { mode } = await stat(join(entry.parentPath, entry.name))
    t.match(entry.name, /^[a-z0-9%_-][a-z0-9%._-]*$/, 'no capital, no dot in front')
    t.equal(mode & 0o777, entry.isFile() ? 0o600 : 0o700, entry.name)
  }
})

t.test('names that no path can carry are refused', async (t) => {
  const blobs = await openDiskBlobs(optionsFor(t))
  for (const name of ['', 'x'.repeat(256), '/'.repeat(86), 'a\ud800']) await t.rejects(blobs.stat({ ...key, name }))
  await t.resolves(blobs.stat({ ...key, name: '/'.repeat(85) }))
  await blobs.close()
})

t.test('room is measured, believed for a second, and never below zero', async (t) => {
  let free = 1000
  let asked = 0
  let now = 0
  const device = {
    ...systemDevice,
    statfs: async () => {
      asked++
      return { bavail: free, bsize: 1 }
    },
  }
  const clock = { ...systemClock, monotonic: () => now }
  const blobs = await openDiskBlobs({ ...optionsFor(t), clock, device, reserveBytes: 400 })
  t.equal(await blobs.roomBytes(), 600)
  await appendAll(blobs, key, [Buffer.alloc(300)])
  t.equal(await blobs.roomBytes(), 260, 'what was appended is taken off, its header too')
  free = 100
  now = 999
  t.equal(await blobs.roomBytes(), 260)
  t.equal(asked, 1)
  now = 1000
  t.equal(await blobs.roomBytes(), 0)
  t.equal(asked, 2)
  await blobs.close()
})

t.test('200 MiB pass through in bounded memory', async (t) => {
  const options = optionsFor(t)
  const chunk = Buffer.alloc(256 * 1024, 'pond')
  let blobs = await openDiskBlobs(options)
  const before = process.memoryUsage().rss
  let most = 0
  for (let turn = 0; turn < 800; turn++) {
    await appendAll(blobs, key, [chunk])
    most = Math.max(most, process.memoryUsage().rss)
  }
  const grown = await blobs.sha256(key)
  await blobs.close()
  blobs = await openDiskBlobs(options)
  t.same(await blobs.stat(key), { committed: 800 * chunk.length, chunks: 800 })
  t.equal(await blobs.sha256(key), grown, 'hashed from the file as it was hashed while growing')
  for (let offset = 1000; offset < 800 * chunk.length; offset += chunk.length) {
    await blobs.read(key, offset, chunk.length)
    most = Math.max(most, process.memoryUsage().rss)
  }
  t.not(grown, digest(Buffer.alloc(0)))
  t.ok(most - before < 120 * 2 ** 20, `${Math.round((most - before) / 2 ** 20)} MiB more at the most`)
  await blobs.close()
})

t.test('an fsync that fails is fatal, told once; a full device is not', async (t) => {
  const device = new FaultyDevice()
  const told: unknown[] = []
  const blobs = await openDiskBlobs({ ...optionsFor(t), device, fatal: (error) => told.push(error) })
  device.fault = (call) => (call === 'write' ? { code: 'ENOSPC' } : undefined)
  await t.rejects(appendAll(blobs, key, [Buffer.from('one')]), { name: 'NoRoomError' })
  t.strictSame(told, [])
  device.fault = (call) => (call === 'datasync' ? { code: 'EIO' } : undefined)
  for (let tries = 0; tries < 2; tries++) {
    await t.rejects(appendAll(blobs, key, [Buffer.from('one')]), { name: 'BlobBrokenError' })
  }
  t.match(told, [{ name: 'BlobBrokenError', message: /could not be made durable/ }])
  t.equal(told.length, 1)
  await blobs.close()
})
