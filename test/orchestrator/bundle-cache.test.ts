// The cache of bundles: fetched once, whoever asks; damage is seen; what is in use stays, what rests longest goes first.
import { createHash } from 'node:crypto'
import t from 'tap'
import {
  type BundleWish,
  CACHE_AGE_MS,
  CACHE_BYTES_MOST,
  openBundleCache,
} from '../../src/orchestrator/bundle-cache.ts'
import { silentLog } from '../../src/system/log.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

const folder = '/h/bundles'

async function setUp() {
  const clock = createVirtualClock()
  const disk = createMemoryDisk()
  const cache = await openBundleCache({ clock, disk, log: silentLog, folder })
  const offsets: number[] = []
  const bundle = (text: string, more: Partial<BundleWish> = {}) => {
    const bytes = Buffer.from(text)
    const wish: BundleWish = {
      digest: createHash('sha256').update(bytes).digest('hex'),
      sizeBytes: bytes.length,
      async piece(offset) {
        offsets.push(offset)
        return bytes.subarray(offset, offset + 4)
      },
      signal: new AbortController().signal,
    }
    return { ...wish, ...more }
  }
  const names = async () => (await disk.list(folder)).map((name) => name.slice(0, 6)).sort()
  return { clock, disk, cache, offsets, bundle, names }
}

async function all(source: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const bytes of source) parts.push(bytes)
  return Buffer.concat(parts).toString()
}

t.test('many at once: one fetches, all read', async (t) => {
  const { cache, bundle, offsets } = await setUp()
  const held = await Promise.all([1, 2, 3].map(() => cache.take(bundle('0123456789'))))
  t.same(await Promise.all(held.map((it) => all(it.read()))), ['0123456789', '0123456789', '0123456789'])
  t.same(offsets, [0, 4, 8])
  for (const it of held) await it.release()
})

t.test('who gives up in the middle leaves the rest to the next', async (t) => {
  const { cache, bundle, offsets, names } = await setUp()
  const abort = new AbortController()
  const wish = bundle('0123456789')
  const first = cache.take({
    ...wish,
    signal: abort.signal,
    piece: (offset) => (offset < 4 ? wish.piece(offset) : Promise.reject(new Error('the claim is void'))),
  })
  const second = cache.take(wish)
  await t.rejects(first, /void/)
  const held = await second
  t.same(offsets, [0, 4, 8], 'no byte twice')
  t.equal(await all(held.read()), '0123456789')
  await held.release()
  const alone = bundle('another', { piece: () => Promise.reject(new Error('gone')) })
  await t.rejects(cache.take(alone), /gone/)
  t.same(await names(), [wish.digest.slice(0, 6)], 'a draft that nobody goes on with is removed')
})

t.test('who waits for another need not wait for its end', async (t) => {
  const { cache, bundle } = await setUp()
  const wish = bundle('0123456789')
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const abort = new AbortController()
  const first = cache.take({ ...wish, piece: (offset) => gate.then(() => wish.piece(offset)) })
  const second = cache.take({ ...wish, signal: abort.signal })
  abort.abort(new Error('cancelled'))
  await t.rejects(second, /cancelled/)
  await t.rejects(cache.take({ ...wish, signal: abort.signal }), /cancelled/)
  open()
  await (await first).release()
})

t.test('a damaged one is dropped and fetched once more; what pond has damaged is refused', async (t) => {
  const { disk, cache, bundle, offsets, names } = await setUp()
  const wish = bundle('0123456789')
  for (const damage of ['0123456780', '01234', '']) {
    await (await cache.take(wish)).release()
    offsets.length = 0
    await disk.replace(`${folder}/${wish.digest}`, damage)
    const held = await cache.take(wish)
    t.equal(await all(held.read()), '0123456789')
    t.same(offsets, [0, 4, 8])
    await held.release()
  }
  const wrong = { ...bundle('abc'), digest: '0'.repeat(64) }
  for (const piece of [wrong.piece, async () => Buffer.alloc(0), async () => Buffer.alloc(4)])
    await t.rejects(cache.take({ ...wrong, piece }), { name: 'BundleDamagedError' })
  t.equal((await names()).length, 1)
})

t.test('what rests longest goes first, never what is in use', async (t) => {
  const { clock, disk, cache, bundle, names } = await setUp()
  const [a, b, c] = [bundle('aaaa'), bundle('bbbb'), bundle('cccc')]
  const used = await cache.take(a)
  for (const wish of [b, c]) {
    await clock.advance(1000)
    await (await cache.take(wish)).release()
  }
  // Only the sizes matter: the next one would take all but a few bytes of the cache's share.
  const huge = bundle('d', { sizeBytes: CACHE_BYTES_MOST - 4 })
  await t.rejects(cache.take({ ...huge, piece: () => Promise.reject(new Error('enough')) }), /enough/)
  t.same(await names(), [a, c].map(({ digest }) => digest.slice(0, 6)).sort())
  disk.roomBytes = 3
  await t.rejects(cache.take(bundle('eeee')), { code: 'ENOSPC' })
  t.same(await names(), [a.digest.slice(0, 6)], 'a full disk takes them all')
  t.equal(await all(used.read()), 'aaaa')
  disk.roomBytes = 1e12
  await (await cache.take(b)).release()
  await cache.shrink()
  t.same(await names(), [a.digest.slice(0, 6)])
  await used.release()
  await used.release()
  await clock.advance(CACHE_AGE_MS + 1)
  await (await cache.take(b)).release()
  t.same(await names(), [b.digest.slice(0, 6)], 'and so does age')
})

t.test('one that is asked for while it is removed is fetched again', async (t) => {
  const { clock, disk, bundle, offsets } = await setUp()
  let letGo = () => {}
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  /** Removes slowly: at the latest when somebody looks into the file. */
  const slow = new Proxy(disk, {
    get(target, name: keyof typeof disk) {
      if (name === 'remove') return (path: string) => gate.then(() => target.remove(path))
      if (name === 'open') letGo()
      const value: unknown = target[name]
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const wish = bundle('0123456789')
  await disk.replace(`${folder}/${wish.digest}`, '0123456789')
  const cache = await openBundleCache({ clock, disk: slow, log: silentLog, folder })
  const shrunk = cache.shrink()
  await clock.settle()
  const taken = cache.take(wish)
  await clock.settle()
  letGo()
  await shrunk
  const held = await taken
  t.equal(await all(held.read()), '0123456789')
  t.same(offsets, [0, 4, 8])
  await held.release()
})

t.test('what is fetched survives a power cut whole or not at all, and drafts go at the start', async (t) => {
  const { clock, disk, cache, bundle, names } = await setUp()
  const wish = bundle('0123456789')
  await (await cache.take(wish)).release()
  await disk.replace(`${folder}/${'1'.repeat(64)}.part`, 'half')
  disk.powerCut()
  await openBundleCache({ clock, disk, log: silentLog, folder })
  t.same(await names(), [wish.digest.slice(0, 6)])
  t.equal((await disk.read(`${folder}/${wish.digest}`))?.toString(), '0123456789')
  const broken = bundle('abcd')
  disk.fault = (operation) => (operation === 'sync' ? new Error('EIO') : undefined)
  await t.rejects(cache.take(broken), /EIO/)
  t.same(await names(), [wish.digest.slice(0, 6)])
})
