// The list of due times: whatever order things are added in, each is told once, not early, and the earliest first.
import fc from 'fast-check'
import t from 'tap'
import { DueList } from '../../../server/service/due.ts'
import { createVirtualClock } from '../../harness/virtual-clock.ts'

t.test('told once, on time, earliest first', async () => {
  const step = fc.record({ inMs: fc.integer({ min: -5, max: 40 }), thenMs: fc.integer({ min: 0, max: 10 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = createVirtualClock()
      const start = clock.now()
      const told: { at: number; now: number }[] = []
      const list = new DueList<number>(clock, (values) => told.push(...values.map((at) => ({ at, now: clock.now() }))))
      const added: { at: number; now: number }[] = []
      for (const { inMs, thenMs } of steps) {
        added.push({ at: clock.now() + inMs, now: Math.max(clock.now(), clock.now() + inMs) })
        list.add(clock.now() + inMs, clock.now() + inMs)
        await clock.advance(thenMs)
      }
      await clock.advance(100)
      const byTime = (left: { at: number; now: number }, right: typeof left) =>
        left.now - right.now || left.at - right.at
      const print = (list: typeof told) => list.map(({ at, now }) => `${at - start}@${now - start}`).join(' ')
      if (print([...told].sort(byTime)) !== print(added.sort(byTime)))
        throw new Error(`${print(told)} | ${print(added)}`)
      if (told.some((it, index) => it.now < (told[index - 1]?.now ?? 0))) throw new Error('out of order')
    }),
    { numRuns: 30 },
  )
})

t.test('closed, it tells nothing; a clock set back only delays', async (t) => {
  const clock = createVirtualClock()
  const told: string[] = []
  const list = new DueList<string>(clock, (values) => told.push(...values))
  list.add(clock.now() + 10, 'a')
  clock.setBack(20)
  await clock.advance(10)
  t.strictSame(told, [])
  await clock.advance(20)
  t.strictSame(told, ['a'])
  list.add(clock.now() + 10, 'b')
  list.close()
  await clock.advance(100)
  t.strictSame(told, ['a'])
  t.equal(clock.pending(), 0)
})
