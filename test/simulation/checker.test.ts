// The proof of the checker: each planted bug is caught by the invariant that it breaks, in a storm that brings it out.
import t from 'tap'
import { bugs } from './bug.ts'
import { type InvariantId, invariants } from './invariant.ts'
import { simulate } from './simulation.ts'

for (const [name, { breaks, seed = 1, storm, plant }] of Object.entries(bugs)) {
  t.test(name, async (t) => {
    const isEnough = (violations: readonly string[]) => violations.some((it) => it.startsWith(`${breaks} `))
    const { violations } = await simulate(seed, { plant: plant(), storm, isEnough })
    t.ok(isEnough(violations), `${breaks} is broken`, { violations: violations.slice(0, 5) })
  })
}

t.test('without a bug all holds in the same storms', async (t) => {
  const worlds = new Map(Object.values(bugs).map(({ seed = 1, storm }) => [storm, seed]))
  for (const [storm, seed] of worlds) t.strictSame((await simulate(seed, { storm })).violations, [])
})

t.test('each invariant has a law, and a bug that one of its laws catches', async (t) => {
  const proved = new Set(Object.values(bugs).map(({ breaks }) => breaks))
  for (const [id, { laws }] of Object.entries(invariants)) {
    t.ok(laws.length > 0, `${id} is watched`)
    t.ok(proved.has(id as InvariantId), `${id} is proved`)
  }
})
