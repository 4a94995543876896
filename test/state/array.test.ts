// Every cell of the law of an array, and its sums in whatever order things happen.
import fc from 'fast-check'
import t from 'tap'
import {
  type ArrayEvent,
  type ArrayJob,
  type ArrayStep,
  arrayTable,
  drawable,
  hasIndex,
  newTally,
  nextIndex,
  stepArray,
  type Tally,
  underWay,
  undrawn,
} from '../../src/state/array.ts'
import { newJob } from '../../src/state/job.ts'
import type { Policy } from '../../src/state/retry.ts'
import { checkLaw, type Row } from './cell.ts'

const now = 1000
const by = 'key:a'
const policy: Policy = {
  ...{ idempotent: false, onLost: 'fail', holdMs: 0 },
  ...{ retryOn: [], attempts: 1, backoffMs: 0 },
}
const none = { succeeded: 0, failed: 0, cancelled: 0, expired: 0 }
const tally = (more: Partial<Tally> = {}): Tally => ({ ...newTally(3, undefined), ...more })
const array = (state: ArrayJob['state'], more: Partial<Tally> = {}, job: Partial<ArrayJob> = {}): ArrayJob => ({
  ...newJob(policy, 'queued'),
  ...{ state, array: tally(more) },
  ...job,
})
const over = (state: ArrayJob['state']) => array(state, { ended: { ...none, succeeded: 3 }, next: 3 })

type Answer = ReturnType<typeof stepArray>
const to = (job: ArrayJob, effects: ArrayStep['effects'] = []): Answer => ({ job, effects })
const ended = (job: ArrayJob, end: NonNullable<ArrayJob['end']>): Answer => ({
  ...{ job: { ...job, end }, cause: end.cause },
  effects: ['ended'],
})
const cancel: ArrayEvent = { type: 'cancel', by }
const expire: ArrayEvent = { type: 'expire' }
const draw: ArrayEvent = { type: 'draw' }
const gather = (state: 'succeeded' | 'failed' | 'cancelled' | 'expired', rc?: number): ArrayEvent => ({
  type: 'gather',
  state,
  verdict: { cause: state === 'expired' ? 'ttl' : 'exit', ...(rc === undefined ? {} : { rc }) },
})
const asked = { cancel: { at: now, by } }
const ttl = { cause: 'ttl', at: now } as const
const gone = (state: 'failed' | 'cancelled' | 'expired', rest: number, next = 0) => ({
  ...{ next, dropped: rest },
  ended: { ...none, [state]: rest },
})

const rows: readonly Row<ArrayJob, ArrayEvent, Answer>[] = [
  {
    says: 'goes into the queue',
    given: array('waiting'),
    event: { type: 'release' },
    answer: to(array('queued'), ['wake']),
  },
  {
    says: 'all of it fails',
    given: array('waiting'),
    event: { type: 'block' },
    answer: ended(array('failed', { ...gone('failed', 3), first: { cause: 'dependency' } }), {
      cause: 'dependency',
      at: now,
    }),
  },
  ...(['waiting', 'queued'] as const).flatMap((state) => [
    {
      says: 'all of it is cancelled',
      given: array(state),
      event: cancel,
      answer: ended(array('cancelled', gone('cancelled', 3), asked), { cause: 'cancelled', at: now }),
    },
    {
      says: 'all of it expires',
      given: array(state),
      event: expire,
      answer: ended(array('expired', gone('expired', 3)), ttl),
    },
  ]),
  { says: 'the first', given: array('queued'), event: draw, answer: to(array('running', { next: 1 })) },
  { says: 'one more', given: array('running', { next: 2 }), event: draw, answer: to(array('running', { next: 3 })) },
  { says: 'no more', given: array('running', { next: 3 }), event: draw, answer: { refused: 'exhausted' } },
  {
    says: 'not so many at a time',
    given: array('running', { next: 1, maxParallel: 1 }),
    event: draw,
    answer: { refused: 'full' },
  },
  {
    says: 'one of several',
    given: array('running', { next: 2 }),
    event: gather('failed', 4),
    answer: to(array('running', { next: 2, ended: { ...none, failed: 1 }, first: { cause: 'exit', rc: 4 } }), ['tell']),
  },
  {
    says: 'the last, all well',
    given: array('running', { next: 3, ended: { ...none, succeeded: 2 } }),
    event: gather('succeeded', 0),
    answer: ended(over('succeeded'), { cause: 'exit', rc: 0, at: now }),
  },
  {
    says: 'the last, as the first that failed',
    given: array('running', { next: 3, ended: { ...none, failed: 2 }, first: { cause: 'oom', rc: 137 } }),
    event: gather('succeeded', 0),
    answer: ended(
      array('failed', { next: 3, ended: { ...none, failed: 2, succeeded: 1 }, first: { cause: 'oom', rc: 137 } }),
      { cause: 'oom', rc: 137, at: now },
    ),
  },
  {
    says: 'the last, and one was cancelled by itself',
    given: array('running', { next: 3, ended: { ...none, succeeded: 2 } }),
    event: gather('cancelled'),
    answer: ended(array('cancelled', { next: 3, ended: { ...none, succeeded: 2, cancelled: 1 } }), {
      cause: 'cancelled',
      at: now,
    }),
  },
  {
    says: 'the last, and one came too late',
    given: array('running', { next: 3, ended: { ...none, succeeded: 2 } }),
    event: gather('expired'),
    answer: ended(array('expired', { next: 3, ended: { ...none, succeeded: 2, expired: 1 } }), ttl),
  },
  {
    says: 'a word that beat the cancel stands',
    given: array('running', { next: 3, ended: { ...none, succeeded: 2 } }, asked),
    event: gather('succeeded'),
    answer: ended({ ...over('succeeded'), ...asked }, { cause: 'exit', rc: 0, at: now }),
  },
  {
    says: 'more than were drawn',
    given: array('running', { next: 1, ended: { ...none, failed: 1 } }),
    event: gather('failed'),
    answer: { refused: 'not_possible' },
  },
  {
    says: 'what was not drawn never is',
    given: array('running', { next: 2 }),
    event: cancel,
    answer: to(array('running', gone('cancelled', 1, 2), asked), ['tell']),
  },
  {
    says: 'nothing of it is under way',
    given: array('running', { next: 1, ended: { ...none, succeeded: 1 } }),
    event: cancel,
    answer: ended(array('cancelled', { next: 1, dropped: 2, ended: { ...none, succeeded: 1, cancelled: 2 } }, asked), {
      cause: 'cancelled',
      at: now,
    }),
  },
  { says: 'twice', given: array('running', {}, asked), event: cancel, answer: { refused: 'unchanged' } },
  {
    says: 'the rest expires',
    given: array('running', { next: 2 }),
    event: expire,
    answer: to(array('running', gone('expired', 1, 2)), ['tell']),
  },
  {
    says: 'and with it the array',
    given: array('running', { next: 2, ended: { ...none, succeeded: 2 } }),
    event: expire,
    answer: ended(array('expired', { next: 2, dropped: 1, ended: { ...none, succeeded: 2, expired: 1 } }), ttl),
  },
  {
    says: 'after one failed',
    given: array('running', { next: 1, ended: { ...none, failed: 1 }, first: { cause: 'exit', rc: 2 } }),
    event: expire,
    answer: ended(
      array('failed', {
        ...{ next: 1, dropped: 2, ended: { ...none, failed: 1, expired: 2 } },
        first: { cause: 'exit', rc: 2 },
      }),
      { cause: 'exit', rc: 2, at: now },
    ),
  },
  {
    says: 'after one was cancelled',
    given: array('running', { next: 1, ended: { ...none, cancelled: 1 } }),
    event: expire,
    answer: ended(array('cancelled', { next: 1, dropped: 2, ended: { ...none, cancelled: 1, expired: 2 } }), {
      cause: 'cancelled',
      at: now,
    }),
  },
  { says: 'all were drawn', given: array('running', { next: 3 }), event: expire, answer: { refused: 'unchanged' } },
]

t.test('every cell', async (t) => {
  checkLaw<ArrayJob, ArrayEvent, Answer>(t, {
    ...{ table: arrayTable, step: stepArray, now, rows },
    reached: (answer) => ('refused' in answer ? undefined : answer.job.state),
    subjects: (['waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'] as const).map((state) =>
      array(state, state === 'running' ? { next: 1 } : {}),
    ),
    events: [{ type: 'release' }, { type: 'block' }, cancel, expire, draw, gather('succeeded')],
    cells: {
      waiting: { release: ['queued'], block: ['failed'], cancel: ['cancelled'], expire: ['expired'] },
      queued: { draw: ['running'], cancel: ['cancelled'], expire: ['expired'] },
      running: {
        draw: ['running'],
        gather: ['running', 'succeeded', 'failed', 'cancelled', 'expired'],
        cancel: ['running', 'cancelled'],
        expire: ['running', 'expired', 'failed', 'cancelled'],
      },
      ...{ succeeded: {}, failed: {}, cancelled: {}, expired: {} },
    },
  })
})

t.test('whatever happens, nobody is counted twice, and the array ends with its last element', async () => {
  const event = fc.oneof<fc.Arbitrary<ArrayEvent>[]>(
    { weight: 6, arbitrary: fc.constant(draw) } as never,
    { weight: 3, arbitrary: fc.constantFrom(gather('succeeded'), gather('failed', 1), gather('cancelled')) } as never,
    { weight: 1, arbitrary: fc.constantFrom(cancel, expire) } as never,
  )
  const most = fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      most,
      fc.array(event, { maxLength: 80 }),
      (count, parallel, events) => {
        let job: ArrayJob = { ...newJob(policy, 'queued'), array: newTally(count, parallel) }
        for (const one of events) {
          const answer = stepArray(job, one, now)
          if ('refused' in answer) continue
          job = answer.job
          const { array: sums, end } = job
          const all = Object.values(sums.ended).reduce((sum, part) => sum + part, 0)
          const holds =
            underWay(sums) >= 0 &&
            underWay(sums) <= (parallel ?? count) &&
            all + underWay(sums) + undrawn(sums) === count &&
            drawable(sums) <= undrawn(sums) &&
            (end !== undefined) === (all === count)
          if (!holds) return false
        }
        return true
      },
    ),
  )
})

t.test('elements are drawn in the order of their indexes, from the first one on', async () => {
  const counts = { count: fc.integer({ min: 1, max: 20 }), from: fc.option(fc.nat(50), { nil: undefined }) }
  const property = fc.property(fc.record(counts), ({ count, from }) => {
    let job: ArrayJob = {
      ...array('queued'),
      array: { ...newTally(count, undefined), ...(from !== undefined && { from }) },
    }
    const first = from ?? 0
    for (let index = first; index < first + count; index++) {
      const has = [index, nextIndex(job.array), hasIndex(job.array, index)]
      if (has[0] !== has[1] || has[2] !== true) return false
      const answer = stepArray(job, draw, now)
      if ('refused' in answer) return false
      job = answer.job
    }
    const beyond = [first - 1, first + count].some((index) => hasIndex(job.array, index))
    return !beyond && undrawn(job.array) === 0 && underWay(job.array) === count
  })
  fc.assert(property)
})
