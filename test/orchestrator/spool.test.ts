// A spool: whatever the process writes goes to the disk within a bounded memory, and is read again unchanged.
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { plainEncoder } from '../../src/orchestrator/encoder.ts'
import { createSpool, type Spool } from '../../src/orchestrator/spool.ts'
import { limit } from '../../src/protocol/limit.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

async function setUp(capBytes = 1e9) {
  const clock = createVirtualClock()
  const disk = createMemoryDisk()
  await disk.makeFolder('/s')
  const failures: unknown[] = []
  let order = 0
  const spool = createSpool({
    clock,
    encoder: plainEncoder(capBytes),
    open: () => disk.open('/s/stdout'),
    nextOrder: () => order++,
    grew() {},
    failed: (error) => failures.push(error),
  })
  return { clock, disk, spool, failures }
}

async function readAll(spool: Spool): Promise<Buffer> {
  const bytes = Buffer.alloc(spool.size())
  await spool.read(0, bytes)
  return bytes
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

t.test(
  'whatever the pieces and the cap: the beginning is kept, the tail does not overlap, the counts are true',
  async (t) => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(pieces, fc.integer({ min: 1, max: 3000 }), async (parts, cap) => {
        const { spool } = await setUp(cap)
        for (const part of parts) await spool.write(Buffer.from(part))
        await spool.end()
        const all = Buffer.concat(parts)
        const kept = all.subarray(0, cap)
        t.ok((await readAll(spool)).equals(kept))
        t.equal(spool.produced(), all.length)
        t.equal(await spool.sha256(kept.length), sha256(kept))
        const half = kept.length >> 1
        t.equal(await spool.sha256(half), sha256(kept.subarray(0, half)))
        const rest = all.length - kept.length
        t.ok(spool.tail(rest).equals(all.subarray(all.length - Math.min(rest, limit.tailBytes))))
        t.ok(spool.tail(rest + half).equals(all.subarray(all.length - Math.min(rest + half, limit.tailBytes))))
      }),
      { numRuns: 60 },
    )
  },
)

t.test('a slow disk: the process is told to wait before a megabyte is in memory', async (t) => {
  const { clock, disk, spool } = await setUp()
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  disk.gate = () => opened
  const piece = Buffer.alloc(64 * 1024, 'x')
  let taken = 1
  let wait = spool.write(piece)
  for (; !wait && taken < 100; taken++) wait = spool.write(piece)
  t.ok(taken * piece.length < 1.2 * 1024 * 1024, `${taken} pieces`)
  let released = false
  void Promise.resolve(wait).then(() => {
    released = true
  })
  await clock.settle()
  t.notOk(released)
  open()
  await clock.settle()
  t.ok(released)
  t.equal(spool.size(), taken * piece.length)
})

t.test('single bytes count for what they take in memory', async (t) => {
  const { disk, spool } = await setUp()
  disk.gate = () => new Promise(() => {})
  let count = 0
  while (!spool.write(Buffer.from('x'))) count++
  t.ok(count < 10_000, `${count} pieces`)
})

t.test('a full disk is told once, later bytes are counted and not kept', async (t) => {
  const { disk, spool, failures } = await setUp()
  disk.roomBytes = 5
  await spool.write(Buffer.from('0123456789'))
  await spool.end()
  spool.write(Buffer.from('more'))
  await spool.end()
  t.match(failures, [{ code: 'ENOSPC' }])
  t.equal(failures.length, 1)
  t.ok(spool.broken())
  t.equal(spool.size(), 5)
  t.equal(spool.produced(), 14)
  t.equal(await spool.sha256(5), sha256(Buffer.from('01234')))
})

t.test('marks stay few for a process that writes for days, and forget what was sent', async (t) => {
  const { clock, spool } = await setUp()
  for (let count = 0; count < 20_000; count++) {
    spool.write(Buffer.from('x'))
    if (count % 1000 === 0) await spool.end()
  }
  t.match(spool.mark(0), { order: 0 })
  const late = spool.mark(19_999).order
  t.ok(late > 19_000, `${late}`)
  spool.forget(15_000)
  t.ok(Math.abs(spool.mark(15_000).order - 15_000) < 64)
  t.ok(clock)
})

t.test('a spool that a former life left is hashed from its first byte, whatever is added to it', async (t) => {
  const clock = createVirtualClock()
  const disk = createMemoryDisk()
  await disk.makeFolder('/s')
  const file = await disk.open('/s/stdout')
  await file.append(Buffer.from('what was there, '))
  const spool = createSpool({
    clock,
    encoder: { encode: () => ({ stored: [], marks: [], taken: 0 }), end: () => [Buffer.from('and its end')] },
    open: () => disk.open('/s/stdout'),
    nextOrder: () => 0,
    grew() {},
    failed: (error) => t.fail(String(error)),
    resume: { file, leftOut: 0 },
  })
  await spool.end()
  t.equal(await spool.sha256(spool.size()), sha256(Buffer.from('what was there, and its end')))
})

t.test(
  'what was written is its own: its memory may be used again at once, and many bursts keep every byte',
  async (t) => {
    const { spool } = await setUp()
    const page = Buffer.alloc(64 * 1024)
    const all: Buffer[] = []
    for (let burst = 0; burst < 4; burst++) {
      for (let piece = 0; piece < 12; piece++) {
        // Long and short ones, more of them than wait at a time.
        const bytes = page.subarray(0, piece % 4 === 3 ? 100 : page.length - piece)
        bytes.fill(burst * 12 + piece)
        all.push(Buffer.from(bytes))
        const taken = spool.write(bytes)
        page.fill(0xff)
        if (piece % 2 === 1) await taken
      }
      await spool.read(0, Buffer.alloc(1))
    }
    await spool.end()
    const whole = Buffer.concat(all)
    t.ok((await readAll(spool)).equals(whole))
    t.equal(await spool.sha256(whole.length), sha256(whole))
    t.ok(spool.tail(limit.tailBytes).equals(whole.subarray(-limit.tailBytes)))
  },
)
