// The law of quotas: what they take, when they take again, and what of a day is used.
import fc from 'fast-check'
import t from 'tap'
import {
  type Bucket,
  dayAfter,
  dayOf,
  filledInMs,
  judgeSubmit,
  levelOf,
  spentOf,
  standings,
} from '../../src/state/quota.ts'

const nothing = { queued: 0, cpuMs: 0, outputBytes: 0 }
const noon = Date.UTC(2026, 10, 22, 12)
const at = (monotonic = 0, now = noon) => ({ monotonic, now })

t.test('days are days of UTC', async (t) => {
  t.equal(dayOf(noon), Date.UTC(2026, 10, 22))
  t.equal(dayAfter(noon), Date.UTC(2026, 10, 23))
  t.equal(dayAfter(dayOf(noon)), Date.UTC(2026, 10, 23), 'midnight begins its day')
})

/** Jobs that are no arrays. */
const together = (jobs: number) => ({ jobs, submits: jobs })

t.test('so many may wait, and no more than that ever together', async (t) => {
  const quota = { queued: 10 }
  t.equal(judgeSubmit(quota, { ...nothing, queued: 9 }, { ...at(), ...together(1) }), undefined)
  t.match(judgeSubmit(quota, { ...nothing, queued: 9 }, { ...at(), ...together(2) }), {
    refused: 'later',
    used: 9,
    most: 10,
  })
  t.match(judgeSubmit(quota, nothing, { ...at(), ...together(11) }), { refused: 'never', name: 'queued', most: 10 })
  t.match(judgeSubmit({ submits_per_minute: 5 }, nothing, { ...at(), ...together(6) }), { refused: 'never', most: 5 })
})

t.test('an array waits as many and is submitted as one', async (t) => {
  const quota = { queued: 100, submits_per_minute: 2 }
  t.equal(judgeSubmit(quota, nothing, { ...at(), jobs: 100, submits: 1 }), undefined)
  t.match(judgeSubmit(quota, nothing, { ...at(), jobs: 101, submits: 1 }), { refused: 'never', name: 'queued' })
})

t.test('a bucket takes again what time filled it with, not a millisecond before', async (t) => {
  const quota = { submits_per_minute: 60 }
  const bucket = { level: 0, at: 0 }
  const judge = (ms: number, jobs: number) =>
    judgeSubmit(quota, { ...nothing, bucket }, { ...at(ms), ...together(jobs) })
  t.match(judge(0, 3), { refused: 'later', retryAfterMs: 3000, used: 60 })
  t.match(judge(2999, 3), { refused: 'later', retryAfterMs: 1 })
  t.equal(judge(3000, 3), undefined)
  t.equal(judge(10 * 60_000, 60), undefined)
  t.match(judge(10 * 60_000, 61), { refused: 'never' }, 'it holds a minute and no more')
})

t.test(
  'in no stretch of time more than a burst and what the rate brings, and a wait that was told is enough',
  async () => {
    const submits = fc.array(fc.record({ wait: fc.nat(20_000), jobs: fc.integer({ min: 1, max: 30 }) }), {
      maxLength: 60,
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), submits, (most, steps) => {
        const quota = { submits_per_minute: most }
        const taken: { readonly at: number; readonly jobs: number }[] = []
        let bucket: Bucket | undefined
        let now = 0
        for (const { wait, jobs } of steps) {
          now += wait
          const refusal = judgeSubmit(quota, { ...nothing, bucket }, { ...at(now), ...together(jobs) })
          if (refusal?.refused === 'later') {
            const later = at(now + refusal.retryAfterMs)
            if (judgeSubmit(quota, { ...nothing, bucket }, { ...later, ...together(jobs) })) return false
          }
          if (refusal) continue
          bucket = { level: levelOf(bucket, most, now) - jobs, at: now }
          taken.push({ at: now, jobs })
        }
        return taken.every((first, from) => {
          let sum = 0
          return taken.slice(from).every((one) => {
            sum += one.jobs
            return sum <= most + ((one.at - first.at) * most) / 60_000 + 1e-3
          })
        })
      }),
    )
  },
)

t.test('a budget that is used up refuses until the day ends; of several refusals the longest is told', async (t) => {
  const quota = { queued: 1, cpu_seconds_per_day: 10, output_bytes_per_day: 5 }
  const used = { ...nothing, queued: 1 }
  t.match(judgeSubmit(quota, used, { ...at(), ...together(1) }), { name: 'queued' })
  const spent = { ...used, cpuMs: 10_000 }
  t.match(judgeSubmit(quota, spent, { ...at(), ...together(1) }), {
    ...{ name: 'cpu_seconds_per_day', used: 10, most: 10, retryAfterMs: 12 * 3_600_000 },
  })
  t.equal(spentOf(quota, { ...nothing, cpuMs: 9999 }), undefined)
  t.equal(spentOf(quota, spent), 'cpu_seconds_per_day')
  t.equal(spentOf(quota, { ...nothing, outputBytes: 5 }), 'output_bytes_per_day')
  t.equal(judgeSubmit(quota, { ...nothing, outputBytes: 4 }, { ...at(), ...together(1) }), undefined)
})

t.test('each quota stands with what is left of it', async (t) => {
  const quota = { queued: 3, running: 1, submits_per_minute: 6, output_bytes_per_day: 100, priority_most: 2 }
  const used = { ...nothing, queued: 5, outputBytes: 30, bucket: { level: 2.5, at: 0 } }
  t.strictSame(standings(quota, used, at()), [
    { name: 'queued', most: 3, used: 5, left: 0 },
    { name: 'submits_per_minute', most: 6, used: 4, left: 2, wholeInMs: 35_000, windowMs: 60_000 },
    { name: 'output_bytes_per_day', most: 100, used: 30, left: 70, wholeInMs: 43_200_000, windowMs: 86_400_000 },
  ])
  t.equal(filledInMs(6, 6, 6), 0)
})
