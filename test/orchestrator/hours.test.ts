// Hours of a week as an owner writes them: what they mean at which moment, and what is no hours at all.
import fc from 'fast-check'
import t from 'tap'
import { isWithin, localTime, parseHours } from '../../src/orchestrator/hours.ts'

/** Sunday 22 November 2026 is day 0; local time, wherever this runs. */
const at = (day: number, hour: number, minute = 0) => new Date(2026, 10, 22 + day, hour, minute).getTime()
const [SUN, MON, TUE, FRI, SAT] = [0, 1, 2, 5, 6]

function within(text: string, now: number): boolean {
  const hours = parseHours(text)
  if (typeof hours === 'string') throw new Error(hours)
  return isWithin([hours], now)
}

t.test('what ends behind midnight belongs to the day on which it began', async (t) => {
  const nights = 'mon-fri 18:00-08:00'
  t.ok(within(nights, at(MON, 18)))
  t.notOk(within(nights, at(MON, 17, 59)))
  t.ok(within(nights, at(TUE, 7, 59)))
  t.notOk(within(nights, at(TUE, 8)))
  t.notOk(within(nights, at(MON, 7)), 'the night from Sunday is none of them')
  t.ok(within(nights, at(SAT, 7)), 'the night from Friday is')
  t.notOk(within(nights, at(SAT, 18)))
})

t.test('whole days, days in a row over the weekend, and times of every day', async (t) => {
  t.ok(within('sat,sun', at(SAT, 0)))
  t.ok(within('sat,sun', at(SUN, 23, 59)))
  t.notOk(within('sat,sun', at(FRI, 23, 59)))
  t.ok(within('fri-mon', at(SUN, 12)))
  t.notOk(within('fri-mon', at(TUE, 12)))
  t.ok(within('22:00-24:00', at(TUE, 23, 59)))
  t.notOk(within('22:00-24:00', at(TUE, 0)))
  t.ok(within('MON 9:00-17:00', at(MON, 9)), 'letters of any size, hours of one digit')
})

t.test('what is no hours is said in words', async (t) => {
  const bad = [
    '',
    'noon',
    'mon-',
    'mon-fri-sun',
    'mon 9-17',
    '9:00',
    '9:00-9:00',
    '24:00-08:00',
    '9:60-10:00',
    '8:00-24:01',
  ]
  for (const text of [...bad, 'mon 8:00-9:00 10:00-11:00', ',', 'mon,,tue'])
    t.match(parseHours(text), /are no hours; write/, text)
})

t.test('any moment is within its own hours or within the rest of the day', async (t) => {
  const minute = fc.integer({ min: 0, max: 1439 })
  const two = (count: number) => String(count).padStart(2, '0')
  const clock = (count: number) => `${two(Math.floor(count / 60))}:${two(count % 60)}`
  const law = fc.property(minute, minute, minute, (from, to, now) => {
    fc.pre(from !== to)
    const moment = at(TUE, 0, now)
    return within(`${clock(from)}-${clock(to)}`, moment) !== within(`${clock(to)}-${clock(from)}`, moment)
  })
  t.doesNotThrow(() => fc.assert(law))
})

t.test('a moment is shown as its owner reads a clock', async (t) => {
  t.equal(localTime(at(MON, 9, 5)), 'mon 09:05')
})
