// Fair share as a law: machine time goes by weight, whoever comes late begins beside the others, and nobody saves up turns.
import fc from 'fast-check'
import t from 'tap'
import { type Account, openAccount, rejoin, settle, settled, standingAt } from '../../src/state/share.ts'

const account = (usedMs: number, meanMs = 1000): Account => ({ usedMs, meanMs, turn: 0 })

/** One slot, given at each end to whoever stands lowest: what each had in the end. */
function share(weights: readonly number[], lengths: readonly (() => number)[], turns: number): readonly number[] {
  const accounts = weights.map((weight) => openAccount(0, weight, []))
  const had = weights.map(() => 0)
  for (let turn = 0; turn < turns; turn++) {
    const stands = accounts.map((one, index) => standingAt(one, weights[index] ?? 1, 0))
    const next = stands.indexOf(Math.min(...stands))
    const one = accounts[next]
    const ms = lengths[next]?.() ?? 0
    if (!one) throw new Error('somebody stands lowest')
    accounts[next] = settle(one, 1, ms)
    had[next] = (had[next] ?? 0) + ms
  }
  return had
}

t.test('over time each has its part by weight, however long its attempts are', async () => {
  const length = fc.integer({ min: 1, max: 5000 })
  const project = fc.record({ weight: fc.integer({ min: 1, max: 10_000 }), most: length })
  fc.assert(
    fc.property(fc.array(project, { minLength: 2, maxLength: 5 }), (projects) => {
      const weights = projects.map(({ weight }) => weight)
      const lengths = projects.map(
        ({ most }, index) =>
          () =>
            1 + ((index * 7919) % most),
      )
      const had = share(weights, lengths, 2000)
      // Nobody is ahead of another by more than its own longest attempt.
      const stands = had.map((ms, index) => ms / (weights[index] ?? 1))
      const slack = projects.map(({ weight, most }) => most / weight)
      return stands.every((mine, index) => stands.every((other) => mine - other <= (slack[index] ?? 0) + 1e-6))
    }),
  )
})

t.test('who comes late begins beside the others, and whoever was idle has saved nothing', async (t) => {
  const late = openAccount(50, 100, [account(5000, 200), account(6000, 400)])
  t.equal(settled(late, 100), 50)
  t.equal(late.meanMs, 300, 'its attempts are thought to be as long as those of the others')
  t.equal(openAccount(0, 1, []).meanMs, 1000)
  t.equal(rejoin(account(100), 50, 100).usedMs, 5000)
  t.equal(rejoin(account(9000), 50, 100).usedMs, 9000, 'what it had more than the others stays counted')
})

t.test('what runs counts as much as it is likely to take', async (t) => {
  t.equal(standingAt(account(1000, 500), 10, 4), 300)
  const after = settle(account(1000, 500), 4, 900)
  t.strictSame(after, { usedMs: 4600, meanMs: 600, turn: 0 })
  t.equal(settle(account(0, 1), 1, 0).meanMs, 1, 'an attempt of no time costs something all the same')
})
