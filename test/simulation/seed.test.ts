// A hundred worlds, each from one seed: every law holds in all of them, a seed tells the same history again, and nothing asks the real world.
import t from 'tap'
import { harmless, setGuard } from './guard.ts'
import { replayCommand, simulate } from './simulation.ts'

const SEEDS = 100

t.test('every law holds, and the world comes in by parameter', async (t) => {
  const guard = setGuard()
  t.teardown(guard.release)
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violations } = await simulate(seed)
    if (violations.length > 0) t.fail(replayCommand(seed), { violations })
  }
  guard.release()
  t.strictSame(guard.caught, [], 'no product code asked the real clock or the real dice')
  t.strictSame(
    [...guard.byPackage.keys()].sort(),
    Object.keys(harmless).sort(),
    'and no package did for it, unless it may',
  )
})

t.test('a seed tells the same history again', async (t) => {
  const digests = new Set<string>()
  for (const seed of [3, 17, 58, 91]) {
    const first = await simulate(seed)
    const again = await simulate(seed)
    t.equal(again.digest, first.digest, `seed ${seed}`)
    t.equal(again.events, first.events)
    digests.add(first.digest)
  }
  t.equal(digests.size, 4, 'and another seed another one')
})

t.test('the guard catches product code that asks the real world', async (t) => {
  const { systemClock } = await import('../../src/system/clock.ts')
  const { systemRandom } = await import('../../src/system/random.ts')
  const guard = setGuard()
  t.teardown(guard.release)
  t.throws(() => systemClock.now(), /Date.now/)
  t.throws(() => systemClock.monotonic(), /performance.now/)
  t.throws(() => systemClock.after(1, () => {}), /setTimeout/)
  t.throws(() => systemRandom.bytes(1), /crypto.randomBytes/)
  t.throws(() => systemRandom.number(), /crypto.randomInt/)
  guard.release()
  t.equal(guard.caught.length, 5)
  t.ok(systemClock.now() > 0, 'and lets go again')
})
