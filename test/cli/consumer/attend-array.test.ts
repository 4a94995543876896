// What pond run says of an array: how far it is from time to time, where to look at its end.
import t from 'tap'
import { attendArray, describeTally } from '../../../src/cli/consumer/attend-array.ts'
import type { JobView } from '../../../src/protocol/consumer.ts'
import type { TallyView } from '../../../src/protocol/job.ts'
import { createVirtualClock } from '../../harness/virtual-clock.ts'

const tally = (more: Partial<TallyView>): TallyView => ({
  ...{ count: 10, queued: 0, under_way: 0 },
  ...{ succeeded: 0, failed: 0, cancelled: 0, expired: 0 },
  ...more,
})

t.test('sums in words', async (t) => {
  t.equal(describeTally(tally({ queued: 7, under_way: 2, succeeded: 1 })), '1 of 10 ended, 2 under way')
  t.equal(describeTally(tally({ succeeded: 7, failed: 2, expired: 1 })), '10 of 10 ended (2 failed, 1 expired)')
})

t.test('a line every few seconds, and the end always', async (t) => {
  const clock = createVirtualClock()
  const steps = [
    [0, { queued: 10 }],
    [4999, { queued: 8, under_way: 2 }],
    [1, { queued: 7, under_way: 2, succeeded: 1 }],
    [10, { queued: 6, under_way: 2, succeeded: 2 }],
    [0, { succeeded: 9, failed: 1 }],
  ] as const
  const told: string[] = []
  let at = 0
  const watch = {
    job: () => undefined,
    async until(test: (job: JobView) => boolean) {
      const [ms, sums] = steps[at] ?? steps[0]
      await clock.advance(ms)
      at += 1
      const job = { id: 'job_1', version: at, state: at === steps.length ? 'failed' : 'running', array: tally(sums) }
      t.ok(test(job as JobView))
      return job as JobView
    },
  }
  const note = async (text: string) => void told.push(text)
  t.equal((await attendArray({ clock, watch, note })).state, 'failed')
  t.strictSame(told, [
    'job_1: 1 of 10 ended, 2 under way',
    'job_1 failed: 10 of 10 ended (1 failed); pond ps --array job_1 --state failed',
  ])
})
