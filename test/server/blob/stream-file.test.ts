// What survives: torn tails, flipped bits, full and failing devices, power cuts at every call.
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { BlobBrokenError, type Blobs, NoRoomError } from '../../../server/blob/contract.ts'
import { openDiskBlobs } from '../../../server/blob/disk.ts'
import { APPEND_FILE_BYTES_MOST, encodeHeader, HEADER_BYTES } from '../../../server/blob/frame.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { appendAll, chunkAt, digest } from '../../contract/blob.ts'
import { FaultyDevice, MemoryDevice } from './fake-device.ts'

const key = { claimId: 'clm_01', name: 'stdout' }
const pieces = ['first', 'the second', 'last'].map((text) => Buffer.from(text))
const whole = Buffer.concat(pieces)
/** The file's length up to the last frame. */
const lastAt = HEADER_BYTES * 2 + 15
const fileBytes = HEADER_BYTES * 3 + 19

function openIn(folder: string, device?: FaultyDevice, heldStreams = 100): Promise<Blobs> {
  return openDiskBlobs({ folder, reserveBytes: 0, clock: systemClock, heldStreams, ...(device && { device }) })
}

/** A closed store with one stream of three chunks. */
async function written(t: Test): Promise<{ folder: string; path: string; bytes: Buffer }> {
  const folder = t.testdir()
  const blobs = await openIn(folder)
  await appendAll(blobs, key, pieces)
  await blobs.close()
  const file = (await readdir(folder, { recursive: true, withFileTypes: true })).find((entry) => entry.isFile())
  const path = join(file?.parentPath ?? '', file?.name ?? '')
  const bytes = await readFile(path)
  t.equal(bytes.length, fileBytes)
  return { folder, path, bytes }
}

/** Opens, expects exactly `expected`, and that the stream goes on from there. */
async function expectCommitted(t: Test, folder: string, expected: { bytes: Buffer; chunks: number; why: string }) {
  const { bytes, chunks, why } = expected
  const blobs = await openIn(folder)
  t.same(await blobs.stat(key), { committed: bytes.length, chunks }, why)
  t.equal(await blobs.sha256(key), digest(bytes), why)
  await appendAll(blobs, key, [Buffer.from('more')])
  await blobs.close()
  const again = await openIn(folder)
  t.same(await again.read(key, 0, 100), Buffer.concat([bytes, Buffer.from('more')]), why)
  await again.close()
}

const twoChunks = { bytes: whole.subarray(0, 15), chunks: 2 }

t.test('the last frame cut anywhere leaves the one before', async (t) => {
  const { folder, path, bytes } = await written(t)
  for (let length = lastAt; length < fileBytes; length++) {
    await writeFile(path, bytes)
    await truncate(path, length)
    await expectCommitted(t, folder, { ...twoChunks, why: `cut at ${length}` })
  }
})

t.test('any bit flipped in the last frame leaves the one before', async (t) => {
  const { folder, path, bytes } = await written(t)
  for (let bit = lastAt * 8; bit < fileBytes * 8; bit += 3) {
    const flipped = Buffer.from(bytes)
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    await writeFile(path, flipped)
    await expectCommitted(t, folder, { ...twoChunks, why: `bit ${bit}` })
  }
})

t.test('one append of several chunks, cut or spoilt anywhere: whole chunks before that place stay', async (t) => {
  const { folder, path, bytes } = await written(t)
  const ends = [0, HEADER_BYTES + 5, lastAt, fileBytes]
  const expect = (place: number) => {
    const chunks = ends.findLastIndex((end) => end <= place)
    return { bytes: Buffer.concat(pieces.slice(0, chunks)), chunks }
  }
  for (let place = 0; place < fileBytes; place += 5) {
    await writeFile(path, bytes.subarray(0, place))
    await expectCommitted(t, folder, { ...expect(place), why: `cut at ${place}` })
    const spoilt = Buffer.from(bytes)
    spoilt.writeUInt8(spoilt.readUInt8(place) ^ 16, place)
    await writeFile(path, spoilt)
    await expectCommitted(t, folder, { ...expect(place), why: `spoilt at ${place}` })
  }
})

t.test('garbage behind the last frame is cut off', async (t) => {
  const { folder, path, bytes } = await written(t)
  const more = HEADER_BYTES + 4
  const rests = [
    Buffer.concat([Buffer.alloc(more), encodeHeader(chunkAt(23, 'old')), Buffer.from('old')]),
    Buffer.from('x'),
    Buffer.alloc(5000),
    bytes.subarray(lastAt),
    bytes.subarray(0, 60),
    Buffer.alloc(APPEND_FILE_BYTES_MOST, 7),
  ]
  for (const [at, rest] of rests.entries()) {
    await writeFile(path, Buffer.concat([bytes, rest]))
    await expectCommitted(t, folder, { bytes: whole, chunks: 3, why: `rest ${at}` })
  }
  await writeFile(path, bytes.subarray(0, 7))
  const blobs = await openIn(folder)
  t.same(await blobs.list(key.claimId), [], 'a file without a whole frame is no stream')
  await blobs.close()
  await expectCommitted(t, folder, { bytes: Buffer.alloc(0), chunks: 0, why: 'not even the first' })
})

t.test('damage that no torn write explains is told, and nothing is cut', async (t) => {
  const { folder, path, bytes } = await written(t)
  const damaged = Buffer.concat([bytes, Buffer.alloc(APPEND_FILE_BYTES_MOST + 1)])
  await writeFile(path, damaged)
  const blobs = await openIn(folder)
  await t.rejects(blobs.stat(key), BlobBrokenError)
  await t.rejects(blobs.append(key, [chunkAt(19, 'x')]), BlobBrokenError)
  t.same(await blobs.list(key.claimId), ['stdout'])
  t.ok((await readFile(path)).equals(damaged))
  await blobs.remove(key.claimId)
  t.same(await blobs.stat(key), { committed: 0, chunks: 0 })
  await blobs.close()
})

t.test('a header that goes bad under a reader is told', async (t) => {
  const { folder, path, bytes } = await written(t)
  const blobs = await openIn(folder)
  await blobs.stat(key)
  bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20)
  await writeFile(path, bytes)
  await t.rejects(blobs.read(key, 0, 3), BlobBrokenError)
  await blobs.close()
})

t.test('a full device', async (t) => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    for (const chunksBefore of [0, 3]) {
      const device = new FaultyDevice()
      const blobs = await openIn(t.testdir(), device)
      const before = pieces.slice(0, chunksBefore)
      await appendAll(blobs, key, before)
      let writes = 0
      device.fault = (call) => (call !== 'write' ? undefined : writes++ === 0 ? { short: 41 } : { code })
      await t.rejects(appendAll(blobs, key, [Buffer.from('too much')]), NoRoomError)
      t.same(device.fired, ['write short', `write ${code}`])
      t.same(await blobs.stat(key), { committed: Buffer.concat(before).length, chunks: chunksBefore })
      t.same(await blobs.list(key.claimId), chunksBefore ? ['stdout'] : [])
      device.fault = () => undefined
      await appendAll(blobs, key, [Buffer.from('fits')])
      const now = Buffer.concat([...before, Buffer.from('fits')])
      t.equal(await blobs.sha256(key), digest(now), 'the stream goes on')
      t.same(await blobs.read(key, 0, 100), now)
      await blobs.close()
    }
  }
})

t.test('writes that take a few bytes at a time', async (t) => {
  const device = new FaultyDevice()
  const blobs = await openIn(t.testdir(), device)
  device.fault = (call) => (call === 'write' ? { short: 7 } : undefined)
  await appendAll(blobs, key, pieces)
  t.ok(device.fired.length >= fileBytes / 7)
  t.same(await blobs.read(key, 0, 100), whole)
  await blobs.close()
})

t.test('a write that fails is taken back', async (t) => {
  const device = new FaultyDevice()
  const blobs = await openIn(t.testdir(), device)
  await appendAll(blobs, key, pieces)
  device.fault = (call) => (call === 'write' ? { code: 'EIO' } : undefined)
  await t.rejects(appendAll(blobs, key, [Buffer.from('lost')]), { code: 'EIO' })
  t.same(device.fired, ['write EIO'])
  device.fault = () => undefined
  await appendAll(blobs, key, [Buffer.from('!')])
  t.same(await blobs.read(key, 0, 100), Buffer.concat([whole, Buffer.from('!')]))
  await blobs.close()
})

for (const [name, spoilt] of Object.entries({
  'its data cannot be synced': { call: 'datasync', code: 'EIO', before: 3 },
  'room runs out in the sync': { call: 'datasync', code: 'ENOSPC', before: 3 },
  'its folder cannot be synced': { call: 'sync', code: 'EIO', before: 0 },
})) {
  t.test(`a stream is broken until a restart when ${name}`, async (t) => {
    const folder = t.testdir()
    const device = new FaultyDevice()
    const other = { ...key, name: 'stderr' }
    const blobs = await openIn(folder, device, 1)
    await appendAll(blobs, other, [Buffer.from('fine')])
    const before = pieces.slice(0, spoilt.before)
    await appendAll(blobs, key, before)
    device.fault = (call) => (call === spoilt.call && device.fired.length === 0 ? { code: spoilt.code } : undefined)
    await t.rejects(appendAll(blobs, key, [Buffer.from('lost')]), BlobBrokenError)
    t.same(device.fired, [`${spoilt.call} ${spoilt.code}`])
    await appendAll(blobs, other, [Buffer.from(' too')])
    t.equal(String(await blobs.read(other, 0, 100)), 'fine too', 'another stream goes on')
    const { datasync } = device.calls
    await t.rejects(appendAll(blobs, key, [Buffer.from('lost')]), BlobBrokenError, 'also when the device is well again')
    t.equal(device.calls.datasync, datasync, 'the sync is not tried again')
    t.same(await blobs.read(key, 0, 100), Buffer.concat(before), 'the acknowledged prefix is served')
    t.equal(await blobs.sha256(key), digest(Buffer.concat(before)))
    await blobs.close()
    const fresh = await openIn(folder)
    const committed = await fresh.read(key, 0, 100)
    t.ok(committed.equals(Buffer.concat(before)) || committed.equals(Buffer.concat([...before, Buffer.from('lost')])))
    await appendAll(fresh, key, [Buffer.from('on')])
    await fresh.close()
  })
}

t.test('a stream that cannot be synced when it is loaded tells nobody what it holds', async (t) => {
  const { folder } = await written(t)
  const device = new FaultyDevice()
  const blobs = await openIn(folder, device)
  device.fault = (call) => (call === 'datasync' && device.fired.length === 0 ? { code: 'EIO' } : undefined)
  await t.rejects(blobs.stat(key), BlobBrokenError)
  await t.rejects(blobs.stat(key), BlobBrokenError)
  t.same(device.fired, ['datasync EIO'])
  t.equal(device.calls.datasync, 1)
  await blobs.close()
})

t.test('a cut that fails breaks the stream and names both failures', async (t) => {
  const device = new FaultyDevice()
  const blobs = await openIn(t.testdir(), device)
  await appendAll(blobs, key, pieces)
  device.fault = (call) => (call === 'write' || call === 'truncate' ? { code: 'EIO' } : undefined)
  await t.rejects(appendAll(blobs, key, [Buffer.from('x')]), { name: 'BlobBrokenError', cause: { errors: [{}, {}] } })
  t.same(device.fired, ['write EIO', 'truncate EIO'])
  await blobs.close()
})

t.test('too many open files pass', async (t) => {
  const { folder } = await written(t)
  const device = new FaultyDevice()
  const blobs = await openIn(folder, device)
  device.fault = (call) => (call === 'open' ? { code: 'EMFILE' } : undefined)
  await t.rejects(blobs.stat(key), { code: 'EMFILE' })
  device.fault = () => undefined
  t.match(await blobs.stat(key), { committed: 19 })
  await blobs.close()
})

t.test('a power cut at any call takes nothing that was acknowledged', async (t) => {
  const draws = fc.infiniteStream(fc.nat(999).map((draw) => draw / 1000))
  const life = fc.record({
    calls: fc.nat(60),
    sizes: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 8 }),
  })
  let cuts = 0
  let lost = 0
  const property = fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 6 }), draws, async (lives, draws) => {
    const device = new MemoryDevice()
    const draw = () => draws.next().value ?? 0
    let acknowledged: Buffer = Buffer.alloc(0)
    for (const { calls, sizes } of lives) {
      device.callsLeft = calls
      let attempted = acknowledged
      let wholes = [acknowledged.length]
      try {
        const blobs = await openDiskBlobs({ folder: '/data/blobs', reserveBytes: 0, clock: systemClock, device })
        const { committed } = await blobs.stat(key)
        acknowledged = await blobs.read(key, 0, committed)
        for (const size of sizes) {
          const piece = Buffer.alloc(size, 1 + Math.floor(draw() * 255))
          const cuts = [0, Math.floor(size / 3), size].filter((cut, index, all) => cut !== all[index - 1])
          attempted = Buffer.concat([acknowledged, piece])
          wholes = cuts.map((cut) => acknowledged.length + cut)
          const start = acknowledged.length
          const chunks = cuts.slice(1).map((cut, index) => ({
            ...chunkAt(start + (cuts[index] ?? 0), ''),
            bytes: piece.subarray(cuts[index], cut),
          }))
          await blobs.append(key, chunks)
          acknowledged = attempted
        }
      } catch {
        cuts++
      }
      device.cutPower(draw)
      const blobs = await openDiskBlobs({ folder: '/data/blobs', reserveBytes: 0, clock: systemClock, device })
      const found = await blobs.read(key, 0, 10_000)
      const whole = wholes.includes(found.length) && found.equals(attempted.subarray(0, found.length))
      if (!whole && !found.equals(acknowledged)) return false
      if (!found.equals(attempted)) lost++
      if ((await blobs.sha256(key)) !== digest(found)) return false
      acknowledged = found
      await blobs.close()
    }
    return true
  })
  await fc.assert(property, { numRuns: 600 })
  t.ok(cuts > 50, `${cuts} cuts`)
  t.ok(lost > 20, `${lost} unacknowledged chunks went`)
})

t.test('a power cut does not bring back what was removed', async (t) => {
  for (const draw of [0, 0.9]) {
    const device = new MemoryDevice()
    const options = { folder: '/data/blobs', reserveBytes: 0, clock: systemClock, device }
    const blobs = await openDiskBlobs(options)
    await appendAll(blobs, key, pieces)
    await blobs.remove(key.claimId)
    device.cutPower(() => draw)
    const again = await openDiskBlobs(options)
    t.same(await again.list(key.claimId), [])
  }
})
