// A retry storm after an outage: a thousand swarms come back to a pond that was away, and none of its seconds is much busier than when all is well.
import t from 'tap'
import { createCrowd } from '../harness/crowd.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const SWARMS = 1000
/** All that a loop knows of an outage is how often it failed, and its waits have long stopped growing by then. What is left of a day is skipped. */
const SETTLED_MS = 10 * MINUTE
/** Peak of one second against the mean of a quiet minute. */
const FACTOR = 3

const most = (rates: readonly number[]) => Math.max(...rates)
const mean = (rates: readonly number[]) => rates.reduce((sum, many) => sum + many, 0) / rates.length

for (const [says, awayMs, inOrder] of [
  ['killed, back after 5 s', 5 * SECOND, false],
  ['stopped in order, back after 5 s', 5 * SECOND, true],
  ['killed, back after 10 min', 10 * MINUTE, false],
  ['killed, back after 24 h, when every token is due', 24 * HOUR, false],
] as const) {
  t.test(`${SWARMS} swarms before a pond that is ${says}`, async (t) => {
    const crowd = createCrowd(SWARMS, createSeededRandom(7))
    await crowd.start(50 * SECOND)
    await crowd.advance(2 * MINUTE)
    const steady = mean(crowd.rates(crowd.now() - MINUTE))
    t.ok(steady > SWARMS / 50, `${steady.toFixed(1)} requests a second when all is well`)
    crowd.leave(inOrder)
    if (awayMs >= HOUR) crowd.renewAll()
    await crowd.advance(Math.min(awayMs, SETTLED_MS))
    crowd.leap(Math.max(0, awayMs - SETTLED_MS))
    crowd.comeBack()
    const backAt = crowd.now()
    await crowd.advance(5 * MINUTE)
    crowd.close()
    const rates = crowd.rates(backAt)
    t.comment(`steady ${steady.toFixed(1)}/s, peak ${most(rates)}/s`)
    t.ok(most(rates) <= FACTOR * steady, `${most(rates)} in the busiest second`)
    t.ok(mean(rates.slice(-60)) > 0.9 * steady, 'and all of them are back')
  })
}
