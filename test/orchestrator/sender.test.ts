// One stream on its way to pond: chunks by offset, corrections, caps and outages. The spool below it is the real one.
import t from 'tap'
import type { CallError } from '../../src/client/contract.ts'
import { createSender } from '../../src/orchestrator/sender.ts'
import { createSpool } from '../../src/orchestrator/spool.ts'
import { limit } from '../../src/protocol/limit.ts'
import { silentLog } from '../../src/system/log.ts'
import { createFakePond, refusal } from '../harness/fake-pond-client.ts'
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
    capBytes,
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

t.test('a chunk gap while the next chunk is already read: that one is not sent in its place', async (t) => {
  const { clock, pond, claim, spool, start, stream } = await setUp()
  const bytes = random(4 * limit.chunkBytes)
  await spool.write(bytes)
  await spool.settled()
  const tried: unknown[] = []
  pond.fault = (_, { query }) => {
    tried.push(query?.offset)
    if (tried.length === 2) pond.forgetStream(claim.claim_id, 'stdout', 100)
    return undefined
  }
  const sent = start().finish()
  await clock.advance(1000)
  t.same(await sent, { end: 'sent', committed: bytes.length })
  t.ok(stream().equals(bytes))
  const chunk = limit.chunkBytes
  t.same(tried, [0, chunk, 100, 100 + chunk, 100 + 2 * chunk, 100 + 3 * chunk])
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
  await spool.settled()
  spool.read = async () => {
    throw new Error('EIO')
  }
  await clock.advance(1000)
  t.match(await sender.finish(), { end: 'lost', committed: 0 })
  t.ok(disk)
})
