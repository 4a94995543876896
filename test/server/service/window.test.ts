// The last while of a flow of events: no count is lost, and a duration comes back nearly as it was.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { BINS, binOf, midOf, spreadOf, Window } from '../../../server/service/window.ts'

t.test('a duration is read back at most a 32nd off, and longer ones never as shorter', async () => {
  const duration = fc.oneof(
    fc.nat(5000),
    fc.maxSafeNat().map((ms) => ms % 2 ** 41),
  )
  fc.assert(
    fc.property(duration, duration, (one, other) => {
      assert.ok(Math.abs(midOf(binOf(one)) - one) <= one / 32)
      assert.ok(binOf(one) < BINS)
      if (one <= other) assert.ok(binOf(one) <= binOf(other))
    }),
  )
})

t.test('short ones are read back as they were, and what is longer than all counts as the longest', async (t) => {
  for (let ms = 0; ms < 32; ms++) t.equal(midOf(binOf(ms)), ms)
  for (let power = 5; power < 41; power++) t.equal(binOf(2 ** power), binOf(2 ** power - 1) + 1, `2 ** ${power}`)
  t.equal(binOf(2 ** 50), BINS - 1)
})

t.test('percentiles are those of all that was counted, by nearest rank', async () => {
  const lists = fc.array(fc.nat(10_000_000), { minLength: 1, maxLength: 300 })
  fc.assert(
    fc.property(lists, (list) => {
      const bins = new Float64Array(BINS)
      for (const ms of list) bins[binOf(ms)] = (bins[binOf(ms)] ?? 0) + 1
      const sorted = [...list].sort((one, other) => one - other)
      const rankOf = (part: number) => sorted[Math.ceil(part * list.length) - 1] ?? 0
      const spread = spreadOf(bins)
      assert.equal(spread?.count, list.length)
      assert.equal(spread?.p50, midOf(binOf(rankOf(0.5))))
      assert.equal(spread?.p95, midOf(binOf(rankOf(0.95))))
      assert.equal(spread?.p99, midOf(binOf(rankOf(0.99))))
    }),
  )
  assert.equal(spreadOf(new Float64Array(BINS)), undefined)
})

t.test('a window holds what is as old as it says, whatever the gaps', async () => {
  const event = fc.record({ gap: fc.nat(2000), column: fc.nat(2), count: fc.nat(100_000) })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const window = new Window(6000, 3)
      const all: { at: number; column: number; count: number }[] = []
      let at = 0
      for (const { gap, column, count } of events) {
        at += gap
        window.add(at, column, count)
        all.push({ at, column, count })
        const { from, sums } = window.sum(at)
        assert.ok(from >= at - 6000 && from < at - 5900 + 1)
        const young = all.filter((one) => one.at >= from)
        for (const index of [0, 1, 2]) {
          const exact = young.filter((one) => one.column === index).reduce((sum, one) => sum + one.count, 0)
          assert.equal(sums[index], exact)
        }
      }
    }),
  )
})
