// Worlds, each from one seed: every law holds in all of them, a seed tells the same history again, and nothing asks the real world.
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { setGuard } from './guard.ts'
import { holdAll } from './seed-range.ts'
import { simulate } from './simulation.ts'

t.test('every law holds, and the world comes in by parameter', (t) => holdAll(t, { from: 1, to: 100 }))

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

t.test('and so does another process, by the command that replays it', async (t) => {
  const program = fileURLToPath(new URL('run.ts', import.meta.url))
  const { stdout } = await execa(process.execPath, ['--import=tsx', program, '--seed', '17'])
  t.match(stdout, `history ${(await simulate(17)).digest.slice(0, 16)}`)
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
