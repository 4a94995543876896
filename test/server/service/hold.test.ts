// The ends of holds: each to the millisecond, and those of a crowd apart.
import t from 'tap'
import { type Held, Holds } from '../../../server/service/hold.ts'
import { createSeededRandom } from '../../harness/seeded-random.ts'
import { createVirtualClock } from '../../harness/virtual-clock.ts'

const HOLD_MS = 50_000

function open() {
  const clock = createVirtualClock()
  const ended: { readonly held: Held; readonly at: number }[] = []
  const holds = new Holds<Held>(clock, (held) => ended.push({ held, at: clock.monotonic() }))
  const random = createSeededRandom(1)
  const park = (holdMs: number) => {
    const held = { until: holds.endOf(holdMs, random) }
    holds.add(held)
    return held
  }
  return { clock, ended, holds, park }
}

t.test('each ends when its time is over, whatever came before it, and one that is deleted never', async (t) => {
  const { clock, ended, holds, park } = open()
  const all = [70, 10, 40, 160, 45, 0].map(park)
  const [late, , gone] = all
  if (!late || !gone) throw new Error('six were parked')
  holds.delete(gone)
  holds.delete(gone)
  await clock.advance(200)
  t.strictSame(
    ended.map(({ held, at }) => at - held.until),
    [0, 0, 0, 0, 0],
  )
  const rest = all.filter((held) => held !== gone)
  t.strictSame(
    ended.map(({ held }) => held.until),
    rest.map(({ until }) => until).sort((one, other) => one - other),
  )
  holds.delete(late)
  const [first, second] = [park(50), park(50)]
  holds.delete(first)
  await clock.advance(100)
  t.equal(ended.at(-1)?.held, second)
  t.equal(ended.length, 6)
})

t.test('of thousands that begin at once few end in one moment, none late and none much too early', async (t) => {
  const { clock, ended, park } = open()
  const count = 5000
  for (let index = 0; index < count; index++) park(HOLD_MS)
  const began = clock.monotonic()
  await clock.advance(HOLD_MS)
  t.equal(ended.length, count)
  const moments = new Map<number, number>()
  for (const { at } of ended) {
    const moment = Math.floor((at - began) / 1000)
    moments.set(moment, (moments.get(moment) ?? 0) + 1)
  }
  t.ok(Math.min(...moments.keys()) >= HOLD_MS * 0.00074, 'three quarters of a hold at least')
  t.ok(Math.max(...moments.values()) < count / 5, 'they are spread')
})

t.test('a few that begin at once all have their whole hold', async (t) => {
  const { clock, ended, park } = open()
  const began = clock.monotonic()
  for (let index = 0; index < 30; index++) park(HOLD_MS)
  await clock.advance(HOLD_MS)
  t.ok(ended.every(({ at }) => at === began + HOLD_MS))
  t.equal(ended.length, 30)
})
