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

interface Storm {
  readonly awayMs: number
  readonly inOrder?: boolean
  readonly isBusy?: boolean
  readonly owed?: number
}

const most = (rates: readonly number[]) => Math.max(...rates)
const mean = (rates: readonly number[]) => rates.reduce((sum, many) => sum + many, 0) / rates.length

/** `owed`: calls that each swarm makes until they are heard, such as a renewal, a chunk and a last word. */
for (const [says, { awayMs, inOrder = false, isBusy = false, owed = 0 }] of Object.entries<Storm>({
  'killed, back after 5 s': { awayMs: 5 * SECOND },
  'stopped in order, back after 5 s': { awayMs: 5 * SECOND, inOrder: true },
  'killed, back after 10 min': { awayMs: 10 * MINUTE },
  'killed, back after 10 min, when each has a job, output and a last word': {
    awayMs: 10 * MINUTE,
    isBusy: true,
    owed: 2,
  },
  'killed, back after 24 h, when every token is due': { awayMs: 24 * HOUR, owed: 1 },
})) {
  t.test(`${SWARMS} swarms before a pond that is ${says}`, async (t) => {
    const crowd = createCrowd(SWARMS, createSeededRandom(7), { isBusy })
    await crowd.start(50 * SECOND)
    await crowd.advance(2 * MINUTE)
    const steady = mean(crowd.rates(crowd.now() - MINUTE))
    t.ok(steady > SWARMS / 50, `${steady.toFixed(1)} requests a second when all is well`)
    crowd.leave(inOrder)
    for (let call = 0; call < owed; call++) crowd.oweAll()
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
