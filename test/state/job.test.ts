// Every cell of the job's law, row by row.
import t from 'tap'
import type { Cause } from '../../src/protocol/job.ts'
import { jobStates } from '../../src/protocol/job.ts'
import { type Effect, type Job, type JobEvent, jobTable, newJob, type Step, stepJob } from '../../src/state/job.ts'
import type { Policy } from '../../src/state/retry.ts'
import { checkLaw, type Row } from './cell.ts'

const now = 1_000_000
const by = 'key_a'
const policy: Policy = {
  idempotent: false,
  onLost: 'fail',
  holdMs: 0,
  retryOn: ['drained'],
  attempts: 3,
  backoffMs: 1000,
}
const rerun: Policy = { ...policy, idempotent: true, onLost: 'rerun' }
const asked = { at: now - 5, by }

const waiting = newJob(policy, 'waiting')
const queued = newJob(policy, 'queued')
const claimed: Job = { ...queued, state: 'claimed', epoch: 1, claimId: 'c1' }
const running: Job = { ...claimed, state: 'running', attempts: 1 }
const over = { epoch: 1, attempts: 1, policy, passedOver: {} }
const succeeded: Job = { ...over, state: 'succeeded', end: { cause: 'exit', rc: 0, at: 1 } }
const failed: Job = { ...over, state: 'failed', end: { cause: 'exit', rc: 3, at: 1 } }
const cancelled: Job = { ...over, state: 'cancelled', cancel: asked, end: { cause: 'cancelled', at: 1 } }
const expired: Job = { ...over, state: 'expired', end: { cause: 'ttl', at: 1 } }

type Answer = ReturnType<typeof stepJob>
const step = (job: Job, effects: readonly Effect[], cause?: Cause): Step =>
  cause === undefined ? { job, effects } : { job, cause, effects }
const stale: Answer = { refused: 'stale' }

const finish = (cause: Cause, rc?: number, claimId = 'c1'): JobEvent => ({
  type: 'finish',
  claimId,
  verdict: rc === undefined ? { cause } : { cause, rc },
})
const lose = (cause: 'worker_lost' | 'revoked', claimId = 'c1'): JobEvent => ({ type: 'lose', claimId, cause })
const cancel: JobEvent = { type: 'cancel', by }
const adopt = (claimId: string, more: { cause: Cause; rc?: number } = { cause: 'exit', rc: 0 }): JobEvent => ({
  type: 'adopt',
  ...{ claimId, attempt: 1, by },
  ...more,
})
const ended = ({ claimId: _, ...job }: Job, state: Job['state'], end: { cause: Cause; rc?: number }): Step =>
  step({ ...job, state, end: { ...end, at: now } }, ['ended'], end.cause)

const before: readonly Row<Job, JobEvent, Answer>[] = [
  { says: 'goes into the queue', given: waiting, event: { type: 'release' }, answer: step(queued, ['wake']) },
  {
    says: 'fails with its reason',
    given: waiting,
    event: { type: 'block' },
    answer: ended(waiting, 'failed', { cause: 'dependency' }),
  },
  {
    says: 'is cancelled at once',
    given: waiting,
    event: cancel,
    answer: ended({ ...waiting, cancel: { at: now, by } }, 'cancelled', { cause: 'cancelled' }),
  },
  { says: 'expires', given: waiting, event: { type: 'expire' }, answer: ended(waiting, 'expired', { cause: 'ttl' }) },
  {
    says: 'takes the next epoch',
    given: queued,
    event: { type: 'claim', claimId: 'c1' },
    answer: step(claimed, []),
  },
  {
    says: 'is due at the very millisecond, and the time is gone',
    given: { ...queued, epoch: 6, notBefore: now },
    event: { type: 'claim', claimId: 'c7' },
    answer: step({ ...queued, state: 'claimed', epoch: 7, claimId: 'c7' }, []),
  },
  {
    says: 'is not due a millisecond early',
    given: { ...queued, notBefore: now + 1 },
    event: { type: 'claim', claimId: 'c1' },
    answer: { refused: 'not_due' },
  },
  {
    says: 'is cancelled at once, due or not',
    given: { ...queued, notBefore: now + 9 },
    event: cancel,
    answer: ended({ ...queued, cancel: { at: now, by } }, 'cancelled', { cause: 'cancelled' }),
  },
  { says: 'expires', given: queued, event: { type: 'expire' }, answer: ended(queued, 'expired', { cause: 'ttl' }) },
]

const inHand: readonly Row<Job, JobEvent, Answer>[] = [
  { says: 'burns an attempt', given: claimed, event: { type: 'confirm', claimId: 'c1' }, answer: step(running, []) },
  {
    says: 'keeps the cancel on record',
    given: { ...claimed, cancel: asked },
    event: { type: 'confirm', claimId: 'c1' },
    answer: step({ ...running, cancel: asked }, []),
  },
  { says: 'hears no dead claim', given: claimed, event: { type: 'confirm', claimId: 'c0' }, answer: stale },
  {
    says: 'burns no attempt when it was not confirmed',
    given: claimed,
    event: { type: 'giveBack', claimId: 'c1' },
    answer: step({ ...queued, epoch: 1 }, ['wake']),
  },
  {
    says: 'passes the worker over, and forgets whom it passed over long enough',
    given: { ...claimed, passedOver: { w1: now, w2: now + 1 } },
    event: { type: 'giveBack', claimId: 'c1', passOver: { workerId: 'w3', until: now + 300 } },
    answer: step({ ...queued, epoch: 1, passedOver: { w2: now + 1, w3: now + 300 } }, ['wake']),
  },
  {
    says: 'ends cancelled if that was asked',
    given: { ...claimed, cancel: asked },
    event: { type: 'giveBack', claimId: 'c1' },
    answer: ended({ ...claimed, cancel: asked }, 'cancelled', { cause: 'cancelled' }),
  },
  { says: 'hears no dead claim', given: claimed, event: { type: 'giveBack', claimId: 'c0' }, answer: stale },
  {
    says: 'a final word stands for the confirmation that was lost',
    given: claimed,
    event: finish('exit', 0),
    answer: ended(running, 'succeeded', { cause: 'exit', rc: 0 }),
  },
  {
    says: 'fails',
    given: claimed,
    event: finish('setup_failed', 125),
    answer: ended(running, 'failed', { cause: 'setup_failed', rc: 125 }),
  },
  {
    says: 'is tried again if retry lists the cause',
    given: claimed,
    event: finish('drained'),
    answer: step({ ...queued, epoch: 1, attempts: 1, notBefore: now + 1000 }, ['wake'], 'drained'),
  },
  {
    says: 'ends cancelled if that was asked',
    given: { ...claimed, cancel: asked },
    event: finish('cancelled'),
    answer: ended({ ...running, cancel: asked }, 'cancelled', { cause: 'cancelled' }),
  },
  { says: 'hears no dead claim', given: claimed, event: finish('exit', 0, 'c0'), answer: stale },
  {
    says: 'burns no attempt',
    given: claimed,
    event: lose('worker_lost'),
    answer: step({ ...queued, epoch: 1 }, ['wake']),
  },
  {
    says: 'ends cancelled if that was asked',
    given: { ...claimed, cancel: asked },
    event: lose('revoked'),
    answer: ended({ ...claimed, cancel: asked }, 'cancelled', { cause: 'cancelled' }),
  },
  { says: 'hears no dead claim', given: claimed, event: lose('worker_lost', 'c0'), answer: stale },
  {
    says: 'is put on record',
    given: claimed,
    event: cancel,
    answer: step({ ...claimed, cancel: { at: now, by } }, ['tell']),
  },
  {
    says: 'the first stands',
    given: { ...claimed, cancel: asked },
    event: { type: 'cancel', by: 'key_b' },
    answer: { refused: 'unchanged' },
  },
]

const atWork: readonly Row<Job, JobEvent, Answer>[] = [
  {
    says: 'exit 0 is success',
    given: running,
    event: finish('exit', 0),
    answer: ended(running, 'succeeded', { cause: 'exit', rc: 0 }),
  },
  {
    says: 'exit 3 is not',
    given: running,
    event: finish('exit', 3),
    answer: ended(running, 'failed', { cause: 'exit', rc: 3 }),
  },
  {
    says: 'nor is an exit without a code',
    given: running,
    event: finish('exit'),
    answer: ended(running, 'failed', { cause: 'exit' }),
  },
  {
    says: 'nor is 0 with another cause',
    given: running,
    event: finish('output_lost', 0),
    answer: ended(running, 'failed', { cause: 'output_lost', rc: 0 }),
  },
  {
    says: 'exit is tried again if listed',
    given: { ...running, attempts: 2, policy: { ...policy, retryOn: ['exit'] } },
    event: finish('exit', 3),
    answer: step(
      { ...queued, epoch: 1, attempts: 2, policy: { ...policy, retryOn: ['exit'] }, notBefore: now + 2000 },
      ['wake'],
      'exit',
    ),
  },
  {
    says: 'the last attempt is the last',
    given: { ...running, attempts: 3 },
    event: finish('drained'),
    answer: ended({ ...running, attempts: 3 }, 'failed', { cause: 'drained' }),
  },
  {
    says: 'success beats a pending cancel',
    given: { ...running, cancel: asked },
    event: finish('exit', 0),
    answer: ended({ ...running, cancel: asked }, 'succeeded', { cause: 'exit', rc: 0 }),
  },
  {
    says: 'a failure beats it too, and is not tried again',
    given: { ...running, cancel: asked },
    event: finish('drained'),
    answer: ended({ ...running, cancel: asked }, 'failed', { cause: 'drained' }),
  },
  {
    says: 'ends cancelled if that was asked',
    given: { ...running, cancel: asked },
    event: finish('cancelled', 143),
    answer: ended({ ...running, cancel: asked }, 'cancelled', { cause: 'cancelled', rc: 143 }),
  },
  {
    says: 'a worker that cancels unasked has failed',
    given: running,
    event: finish('cancelled'),
    answer: ended(running, 'failed', { cause: 'cancelled' }),
  },
  {
    says: 'a worker may say itself that the attempt is lost',
    given: { ...running, cancel: asked },
    event: finish('worker_lost'),
    answer: ended({ ...running, cancel: asked }, 'cancelled', { cause: 'cancelled' }),
  },
  { says: 'hears no dead claim', given: running, event: finish('exit', 0, 'c0'), answer: stale },
  {
    says: 'fails by default',
    given: running,
    event: lose('worker_lost'),
    answer: ended(running, 'failed', { cause: 'worker_lost' }),
  },
  {
    says: 'names a revoked binding',
    given: running,
    event: lose('revoked'),
    answer: ended(running, 'failed', { cause: 'revoked' }),
  },
  {
    says: 'is run again where that does no harm',
    given: { ...running, policy: rerun },
    event: lose('revoked'),
    answer: step({ ...queued, epoch: 1, attempts: 1, policy: rerun, notBefore: now + 1000 }, ['wake'], 'revoked'),
  },
  {
    says: 'ends cancelled if that was asked',
    given: { ...running, policy: rerun, cancel: asked },
    event: lose('worker_lost'),
    answer: ended({ ...running, policy: rerun, cancel: asked }, 'cancelled', { cause: 'cancelled' }),
  },
  { says: 'hears no dead claim', given: running, event: lose('worker_lost', 'c0'), answer: stale },
  {
    says: 'is put on record',
    given: running,
    event: cancel,
    answer: step({ ...running, cancel: { at: now, by } }, ['tell']),
  },
  {
    says: 'the first stands',
    given: { ...running, cancel: asked },
    event: { type: 'cancel', by: 'key_b' },
    answer: { refused: 'unchanged' },
  },
]

const adopted = { claimId: 'c1', attempt: 1, by, at: now, cause: 'exit', rc: 0 } as const
const afterwards: readonly Row<Job, JobEvent, Answer>[] = [succeeded, failed, cancelled, expired].flatMap((given) => [
  { says: 'its end stands', given, event: adopt('c1'), answer: step({ ...given, adopted }, []) },
  { says: 'once more is the same', given: { ...given, adopted }, event: adopt('c1'), answer: { refused: 'unchanged' } },
  { says: 'the first stands', given: { ...given, adopted }, event: adopt('c2'), answer: { refused: 'not_possible' } },
])

t.test('every state and event', async (t) => {
  checkLaw(t, {
    table: jobTable,
    step: stepJob,
    reached: (answer) => ('job' in answer ? answer.job.state : undefined),
    now,
    subjects: [waiting, queued, claimed, running, succeeded, failed, cancelled, expired],
    events: [
      { type: 'release' },
      { type: 'block' },
      { type: 'claim', claimId: 'c1' },
      { type: 'confirm', claimId: 'c1' },
      { type: 'giveBack', claimId: 'c1' },
      finish('exit', 0),
      lose('worker_lost'),
      cancel,
      { type: 'expire' },
      adopt('c1'),
    ],
    cells: {
      waiting: { release: ['queued'], block: ['failed'], cancel: ['cancelled'], expire: ['expired'] },
      queued: { claim: ['claimed'], cancel: ['cancelled'], expire: ['expired'] },
      claimed: {
        confirm: ['running'],
        giveBack: ['queued', 'cancelled'],
        finish: ['succeeded', 'failed', 'cancelled', 'queued'],
        lose: ['queued', 'cancelled'],
        cancel: ['claimed'],
      },
      running: {
        finish: ['succeeded', 'failed', 'cancelled', 'queued'],
        lose: ['failed', 'cancelled', 'queued'],
        cancel: ['running'],
      },
      succeeded: { adopt: ['succeeded'] },
      failed: { adopt: ['failed'] },
      cancelled: { adopt: ['cancelled'] },
      expired: { adopt: ['expired'] },
    },
    rows: [...before, ...inHand, ...atWork, ...afterwards],
  })
  t.strictSame(Object.keys(jobTable), [...jobStates], 'the law and the wire name the same states')
})

t.test('an adoption without a code says only its cause', async (t) => {
  const { rc: _, ...rest } = adopted
  t.strictSame(
    stepJob(failed, adopt('c1', { cause: 'timeout' }), now),
    step({ ...failed, adopted: { ...rest, cause: 'timeout' } }, []),
  )
})
