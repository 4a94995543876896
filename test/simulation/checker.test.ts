// The proof of the checker: each planted bug is caught by the law that it breaks, in the world of its recorded seed.
import t from 'tap'
import { bugs } from './bug.ts'
import { invariantOf, invariants, nameOf } from './invariant.ts'
import { simulate } from './simulation.ts'

for (const [name, { law, seed, storm = {}, plant }] of Object.entries(bugs)) {
  t.test(name, async (t) => {
    const { violations } = await simulate(seed, { plant: plant(), storm })
    t.ok(
      violations.some((violation) => violation.startsWith(`${nameOf(law)} `)),
      `${law} is broken`,
      { violations: violations.slice(0, 5) },
    )
    t.strictSame((await simulate(seed, { storm })).violations, [], 'and holds without the bug')
  })
}

t.test('each invariant has a law, and a bug that one of its laws catches', async (t) => {
  const proved = new Set(Object.values(bugs).map(({ law }) => invariantOf(law)))
  for (const [id, { laws }] of Object.entries(invariants)) {
    t.ok(laws.length > 0, `${id} is watched`)
    t.ok(proved.has(id as keyof typeof invariants), `${id} is proved`)
  }
})
