// One stream on its way to pond: chunks by offset, corrections, caps and outages. The spool below it is the real one.
import t from 'tap'
import type { CallError } from '../../src/client/contract.ts'
import { plainEncoder } from '../../src/orchestrator/encoder.ts'
import { createSender } from '../../src/orchestrator/sender.ts'
import { createSpool } from '../../src/orchestrator/spool.ts'
import { limit } from '../../src/protocol/limit.ts'
import { sleep } from '../../src/system/clock.ts'
import { silentLog } from '../../src/system/log.ts'
import { createFakePond, type FakePond, refusal } from '../harness/fake-pond-client.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

async function setUp(capBytes = 1e9) {
  const clock = createVirtualClock()
  const random = createSeededRandom(2)
  const disk = createMemoryDisk()
  await disk.makeFolder('/s')
  const pond = createFakePond({ clock, random })
  const claim = pond.give()
  const abort = new AbortController()
  const failures: unknown[] = []
  let order = 0
  let grew = () => {}
  const spool = createSpool({
    clock,
    encoder: plainEncoder(capBytes),
    open: () => disk.open('/s/stdout'),
    nextOrder: () => order++,
    grew: () => grew(),
    failed: (error) => failures.push(error),
  })
  const start = (from = 0) => {
    const { signal } = abort
    const sender = createSender({
      client: pond.client,
      clock,
      log: silentLog,
      claim,
      name: 'stdout',
      spool,
      from,
      signal,
    })
    grew = () => sender.grew()
    return sender
  }
  const stream = () => pond.stream(claim.claim_id, 'stdout')
  return { clock, disk, pond, claim, abort, failures, spool, start, stream }
}

const random = (bytes: number) => createSeededRandom(bytes).bytes(bytes)

t.test('few bytes wait a moment for more; a whole chunk does not wait', async (t) => {
  const { clock, pond, spool, start, stream } = await setUp()
  start()
  spool.write(Buffer.from('a'))
  await clock.advance(100)
  spool.write(Buffer.from('b'))
  t.equal(stream().length, 0)
  await clock.advance(100)
  t.equal(stream().toString(), 'ab')
  t.equal(pond.chunks.length, 1)
  spool.write(Buffer.alloc(limit.chunkBytes))
  await clock.settle()
  t.equal(stream().length, limit.chunkBytes + 2, 'no time passed')
})

t.test('all of it arrives in chunks of at most 256 KiB, each with the time and order of its first byte', async (t) => {
  const { clock, pond, spool, start, stream } = await setUp()
  const sender = start()
  const bytes = random(3 * limit.chunkBytes + 17)
  for (let at = 0; at < bytes.length; at += 65_536) {
    await spool.write(bytes.subarray(at, at + 65_536))
    await clock.advance(1)
  }
  const sent = sender.finish()
  await clock.settle()
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.ok(stream().equals(bytes))
  t.ok(pond.chunks.every((chunk) => chunk.length <= limit.chunkBytes))
  t.same(
    pond.chunks.map((chunk) => chunk.order),
    [0, 4, 8, 12],
  )
})

t.test('a chunk gap: pond lost what it had, and gets it again from there', async (t) => {
  const { clock, pond, claim, spool, start, stream } = await setUp()
  const sender = start()
  spool.write(Buffer.from('0123456789'))
  await clock.advance(250)
  pond.forgetStream(claim.claim_id, 'stdout', 4)
  spool.write(Buffer.from('abc'))
  const sent = sender.finish()
  await clock.advance(250)
  t.same(await sent, { end: 'sent', committed: 13 })
  t.equal(stream().toString(), '0123456789abc')
})

t.test('a chunk gap while others are under way: what follows goes one by one', async (t) => {
  const { clock, pond, claim, spool, start, stream } = await setUp()
  const bytes = random(4 * limit.chunkBytes)
  await spool.write(bytes)
  await spool.end()
  const tried: unknown[] = []
  pond.fault = (_, { query }) => {
    tried.push(query?.offset)
    if (tried.length === 3) pond.forgetStream(claim.claim_id, 'stdout', 100)
    return undefined
  }
  const sent = start().finish()
  await clock.advance(1000)
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.ok(stream().equals(bytes))
  const chunk = limit.chunkBytes
  const [one, two, three] = [chunk, 2 * chunk, 3 * chunk]
  t.same(tried.slice(0, 4), [0, one, two, three], 'the first alone, then together')
  t.same(tried.slice(4), [one, 100, 100 + one, 100 + two, 100 + three], 'the furthest answer first, then the exact one')
})

/** Holds back the first try of a chunk that starts there, until called. */
function holdBack(pond: Pick<FakePond, 'fault'>, offset: number): () => void {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let met = false
  pond.fault = async (_, { query }) => {
    if (met || query?.offset !== offset) return undefined
    met = true
    await held
    return undefined
  }
  return release
}

const offsets = (pond: FakePond) => pond.chunks.map(({ offset }) => offset / limit.chunkBytes)

t.test('several chunks are under way at once, no more than four', async (t) => {
  const { clock, pond, spool, start, stream } = await setUp()
  const bytes = random(9 * limit.chunkBytes)
  await spool.write(bytes)
  await spool.end()
  let now = 0
  let most = 0
  pond.fault = async (name) => {
    if (name !== 'sendChunk') return undefined
    most = Math.max(most, ++now)
    await sleep(clock, 50)
    now--
    return undefined
  }
  const sent = start().finish()
  await clock.advance(120)
  t.equal(pond.chunks.length, 5, 'one, then four in the time of one')
  await clock.advance(1000)
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.equal(most, 4)
  t.ok(stream().equals(bytes))
})

t.test('a chunk that comes after the one behind it: no byte is lost, none twice', async (t) => {
  const { clock, pond, spool, start, stream } = await setUp()
  const bytes = random(6 * limit.chunkBytes)
  await spool.write(bytes)
  await spool.end()
  const release = holdBack(pond, limit.chunkBytes)
  const sent = start().finish()
  await clock.advance(100)
  t.same(offsets(pond), [0], 'the others were ahead')
  release()
  await clock.advance(1000)
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.ok(stream().equals(bytes))
  t.same(offsets(pond), [0, 1, 2, 3, 4, 5])
})

t.test('the reply to one of several chunks is lost: only that one is said again', async (t) => {
  const { clock, pond, spool, start, stream } = await setUp()
  const bytes = random(5 * limit.chunkBytes)
  await spool.write(bytes)
  await spool.end()
  const tried: number[] = []
  pond.fault = (_, { query }) => {
    const place = Number(query?.offset) / limit.chunkBytes
    tried.push(place)
    return place === 1 && tried.filter((it) => it === 1).length === 1 ? 'lost' : undefined
  }
  const sent = start().finish()
  await clock.advance(60_000)
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.ok(stream().equals(bytes))
  t.same([...tried].sort(), [0, 1, 1, 2, 3, 4])
  t.same(offsets(pond), [0, 1, 2, 3, 4], 'the repeat is no second copy')
})

t.test('pond falls back to an older state under several chunks: they are sent again from exactly there', async (t) => {
  const { clock, pond, claim, spool, start, stream } = await setUp()
  const bytes = random(8 * limit.chunkBytes)
  await spool.write(bytes)
  await spool.end()
  let count = 0
  pond.deliver = () => {
    if (++count === 4) pond.forgetStream(claim.claim_id, 'stdout', limit.chunkBytes + 7)
  }
  const sent = start().finish()
  await clock.advance(60_000)
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.ok(stream().equals(bytes))
})

t.test('a lost reply: the repeat is no second copy', async (t) => {
  const { clock, pond, spool, start, stream } = await setUp()
  const sender = start()
  let lost = 0
  pond.fault = (name) => (name === 'sendChunk' && lost++ < 3 ? 'lost' : undefined)
  spool.write(Buffer.from('once'))
  const sent = sender.finish()
  await clock.advance(120_000)
  t.same(await sent, { end: 'sent', committed: 4 })
  t.equal(stream().toString(), 'once')
})

t.test('after a restart the first repeat tells where pond stands', async (t) => {
  const { clock, pond, spool, start, stream } = await setUp()
  const before = start()
  const bytes = random(2 * limit.chunkBytes)
  await spool.write(bytes)
  await clock.advance(250)
  await before.finish()
  const count = pond.chunks.length
  const sent = start(0).finish()
  await clock.settle()
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.equal(pond.chunks.length, count, 'nothing was stored again')
  t.ok(stream().equals(bytes))
})

t.test('how a stream ends when pond takes no more', async (t) => {
  const cases: [CallError, string][] = [
    [refusal('stream_full'), 'full'],
    [refusal('claim_ended'), 'lost'],
    [refusal('stale'), 'lost'],
    [refusal('forbidden'), 'lost'],
    [refusal('chunk_gap', { committed: 99 }), 'lost'],
    [refusal('chunk_gap', { committed: 0 }), 'lost'],
    [refusal('chunk_gap'), 'lost'],
  ]
  for (const [error, end] of cases) {
    const { clock, pond, spool, start } = await setUp()
    pond.fault = () => error
    spool.write(Buffer.from('text'))
    const sent = start().finish()
    await clock.advance(1000)
    t.match(await sent, { end }, error.code)
  }
})

t.test('swarm ends during an outage: the rest is unsent, and nothing hangs', async (t) => {
  const { clock, pond, spool, start, abort } = await setUp()
  pond.fault = () => refusal('unreachable')
  spool.write(Buffer.from('text'))
  const sent = start().finish()
  await clock.advance(10_000)
  abort.abort()
  t.same(await sent, { end: 'unsent', committed: 0 })
  t.equal(clock.pending(), 0)
})

t.test('a spool that cannot be read is lost, not retried forever', async (t) => {
  const { clock, disk, spool, start } = await setUp()
  const sender = start()
  spool.write(Buffer.from('text'))
  await spool.end()
  spool.read = async () => {
    throw new Error('EIO')
  }
  await clock.advance(1000)
  t.match(await sender.finish(), { end: 'lost', committed: 0 })
  t.ok(disk)
})
