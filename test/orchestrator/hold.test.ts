// The hold that adapts: below what cuts, half of what forgets, back to the whole, and never out of its bounds.
import fc from 'fast-check'
import t from 'tap'
import { adaptHold, HOLD_LEAST_MS, type Hold, type HoldEnd, wholeHold } from '../../src/orchestrator/hold.ts'
import { limit } from '../../src/protocol/limit.ts'

/** What lies between: it cuts, or forgets, a line that was quiet for so long. */
interface Between {
  readonly cutMs?: number
  readonly forgetMs?: number
}

/** How a poll through it ends. */
function endOf({ mostMs }: Hold, { cutMs, forgetMs }: Between): HoldEnd {
  if (cutMs !== undefined && mostMs >= cutMs) return { type: 'cut', ageMs: cutMs }
  // Polls ask for whole milliseconds.
  const waitMs = Math.floor(mostMs)
  if (forgetMs !== undefined && mostMs >= forgetMs) return { type: 'silent', waitMs }
  return { type: 'whole', waitMs }
}

function poll(between: Between, count: number, hold = wholeHold) {
  const ends: HoldEnd[] = []
  let now = hold
  for (let polls = 0; polls < count; polls++) {
    const end = endOf(now, between)
    ends.push(end)
    now = adaptHold(now, end)
  }
  return { hold: now, ends }
}

const cut = (ageMs: number): HoldEnd => ({ type: 'cut', ageMs })

t.test('a proxy that cuts at 30 s: two polls are cut, the third lives', (t) => {
  const { hold, ends } = poll({ cutMs: 30_000 }, 3)
  t.same(
    ends.map(({ type }) => type),
    ['cut', 'cut', 'whole'],
  )
  t.equal(hold.mostMs, 24_000)
  t.end()
})

t.test('it is tried longer again, and one cut of the known age is enough then', (t) => {
  const { ends } = poll({ cutMs: 30_000 }, 200)
  const cuts = ends.filter(({ type }) => type === 'cut').length
  t.ok(cuts > 2 && cuts <= 2 + 200 / 10, `${cuts} of 200 polls were cut`)
  t.notOk(ends.some(({ type }, at) => at > 2 && type === 'cut' && ends[at - 1]?.type === 'cut'))
  t.end()
})

t.test('cuts at other ages, or of young polls, are no rule', (t) => {
  const ages = [12_000, 30_000, 20_000, 40_000, 4000, 4000, 4000]
  t.equal(ages.reduce((hold, ageMs) => adaptHold(hold, cut(ageMs)), wholeHold).mostMs, limit.pollHoldMs)
  const near = [cut(30_000), cut(30_900)].reduce(adaptHold, wholeHold)
  t.equal(near.mostMs, 24_000, 'below the earlier one')
  t.end()
})

t.test('a NAT that forgets after 30 s: half of the hold, at once', (t) => {
  const { hold, ends } = poll({ forgetMs: 30_000 }, 2)
  t.same(
    ends.map(({ type }) => type),
    ['silent', 'whole'],
  )
  t.equal(hold.mostMs, 25_000)
  t.end()
})

t.test('a pond that is silent itself finds the hold as it was', (t) => {
  const { hold } = poll({ forgetMs: 0 }, 20)
  t.equal(hold.mostMs, limit.pollHoldMs)
  t.equal(adaptHold(hold, { type: 'early' }).silence, undefined)
  const adapted = poll({ cutMs: 30_000 }, 3).hold
  t.equal(poll({ forgetMs: 0 }, 3, adapted).hold.mostMs, 24_000, 'also one that had adapted')
  t.end()
})

t.test('polls that are shorter anyway tell nothing of the longest', (t) => {
  const adapted = poll({ cutMs: 30_000 }, 2).hold
  let hold = adapted
  for (let polls = 0; polls < 100; polls++) hold = adaptHold(hold, { type: 'whole', waitMs: 20_000 })
  t.equal(hold.mostMs, 24_000)
  t.end()
})

t.test('whatever happens, it stays in its bounds; when all is well again, it is whole again', (t) => {
  const waitMs = fc.integer({ min: 0, max: limit.pollHoldMs })
  // What is measured has parts of milliseconds; ages that lie near each other are what adapts the hold.
  const ageMs = fc.oneof(
    fc.double({ min: 0, max: limit.pollHoldMs, noNaN: true }),
    fc.constantFrom(30_003.217, 30_001.9),
  )
  const end: fc.Arbitrary<HoldEnd> = fc.oneof(
    fc.record({ type: fc.constant('whole' as const), waitMs }),
    fc.constant({ type: 'early' as const }),
    fc.record({ type: fc.constant('cut' as const), ageMs }),
    fc.record({ type: fc.constant('silent' as const), waitMs }),
  )
  fc.assert(
    fc.property(fc.array(end), (ends) => {
      const hold = ends.reduce(adaptHold, wholeHold)
      t.ok(hold.mostMs >= HOLD_LEAST_MS && hold.mostMs <= limit.pollHoldMs && Number.isInteger(hold.mostMs))
      t.equal(poll({}, 200, hold).hold.mostMs, limit.pollHoldMs)
    }),
  )
  t.end()
})

t.test(
  'through anything that cuts at one age from 6 s on, at most two polls of three are cut at first, and few later',
  (t) => {
    fc.assert(
      fc.property(fc.integer({ min: 6500, max: 49_000 }), (cutMs) => {
        const { ends } = poll({ cutMs }, 100)
        t.equal(ends[2]?.type, 'whole')
        t.ok(ends.filter(({ type }) => type === 'cut').length <= 13)
      }),
    )
    t.end()
  },
)
