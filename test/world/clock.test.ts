// The clock, randomness and the log that does nothing: what every loop and every wait stands on.
import { mock } from 'node:test'
import fc from 'fast-check'
import t from 'tap'
import { every, sleep, systemClock } from '../../src/system/clock.ts'
import { silentLog } from '../../src/system/log.ts'
import { createIdMaker, jitter, systemRandom } from '../../src/system/random.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

t.test('the real clock runs a timer once, and not when it was cancelled', async (t) => {
  const ran: string[] = []
  await new Promise<void>((resolve) => {
    const cancel = systemClock.after(0, () => ran.push('cancelled'))
    cancel()
    cancel()
    systemClock.after(1, () => {
      ran.push('ran')
      resolve()
    })
  })
  t.same(ran, ['ran'])
})

t.test('a wait beyond what Node can count does not fire at once', async (t) => {
  const cancel = systemClock.after(2 ** 40, () => t.fail('it fired'))
  await new Promise<void>((resolve) => systemClock.after(5, resolve))
  cancel()
})

t.test('a wait of a month ends after a month', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const monthMs = 30 * 24 * 3_600_000
  let ran = 0
  systemClock.after(monthMs, () => ran++)
  const cancel = systemClock.after(monthMs, () => t.fail('it was cancelled'))
  // Node's longest; the mocked time stands at the end of a tick for whatever is set in it.
  const longestMs = 2 ** 31 - 1
  mock.timers.tick(longestMs)
  mock.timers.tick(monthMs - longestMs - 1)
  t.equal(ran, 0)
  cancel()
  mock.timers.tick(1)
  t.equal(ran, 1)
  t.end()
})

t.test('the real clock does not run backwards', async (t) => {
  const first = systemClock.monotonic()
  t.ok(systemClock.monotonic() >= first)
  t.ok(Number.isInteger(systemClock.now()))
})

t.test('sleep ends with its time, or when its signal aborts', async (t) => {
  const clock = createVirtualClock()
  const stop = new AbortController()
  const ends: string[] = []
  const waits = [
    sleep(clock, 100).then(() => ends.push('time')),
    sleep(clock, 10_000, stop.signal).then(() => ends.push('abort')),
    sleep(clock, 10_000, AbortSignal.abort()).then(() => ends.push('aborted before')),
  ]
  await clock.advance(100)
  t.same(ends, ['aborted before', 'time'])
  stop.abort()
  await Promise.all(waits)
  t.same(ends, ['aborted before', 'time', 'abort'])
})

t.test('every waits for a run before the next, and stops', async (t) => {
  const clock = createVirtualClock()
  let runs = 0
  let release: () => void = () => {}
  const stop = every(clock, 10, () => {
    runs += 1
    return new Promise<void>((resolve) => {
      release = resolve
    })
  })
  await clock.advance(50)
  t.equal(runs, 1, 'a run that goes on lets its turns pass')
  release()
  await clock.advance(10)
  t.equal(runs, 2)
  release()
  stop()
  await clock.advance(100)
  t.equal(runs, 2)
})

t.test('ids sort by time, also within a millisecond, and are drawn from the given randomness', async (t) => {
  const clock = createVirtualClock()
  const make = createIdMaker(clock, createSeededRandom(1))
  const ids = [make(), make(), make()]
  await clock.advance(5)
  ids.push(make())
  t.same([...ids].sort(), ids)
  t.ok(ids.every((id) => /^[0-9a-hjkmnp-tv-z]{26}$/.test(id)))
  t.equal(createIdMaker(createVirtualClock(), createSeededRandom(1))(), ids[0], 'the same seed gives the same id')
})

t.test('jitter stays below its bound and the bound grows to its most', async (t) => {
  const wait = { baseMs: 1000, mostMs: 60_000 }
  fc.assert(
    fc.property(fc.nat(1000), (tries) => {
      const ms = jitter(systemRandom, tries, wait)
      return ms >= 0 && ms < Math.min(60_000, 1000 * 2 ** Math.min(tries, 30))
    }),
  )
  t.equal(jitter({ bytes: systemRandom.bytes, number: () => 0.5 }, 99, wait), 30_000)
})

t.test('the real randomness gives bytes and numbers in [0, 1)', async (t) => {
  t.equal(systemRandom.bytes(9).length, 9)
  for (let i = 0; i < 100; i++) t.ok(systemRandom.number() >= 0 && systemRandom.number() < 1)
})

t.test('the silent log says nothing', async (t) => {
  t.equal(silentLog.info('event'), undefined)
  t.equal(silentLog.warn('event'), undefined)
  t.equal(silentLog.error('event'), undefined)
})

t.test('random bytes come once, in the number asked for', async (t) => {
  const drawn = Array.from({ length: 2000 }, () => systemRandom.bytes(16))
  t.equal(new Set(drawn.map((bytes) => bytes.toString('hex'))).size, drawn.length)
  t.ok(
    drawn.every((bytes) => bytes.length === 16 && bytes.buffer.byteLength === 16),
    'none shares its memory',
  )
  const sizes = [0, 1, 4095, 4096, 4097, 20_000]
  t.strictSame(
    sizes.map((size) => systemRandom.bytes(size).length),
    sizes,
  )
  t.notOk(systemRandom.bytes(4096).equals(Buffer.alloc(4096)))
})
