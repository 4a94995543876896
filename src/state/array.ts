// The law of an array: many jobs that were submitted as one. Its elements are drawn one after the other and go by the law of a job; the array counts how they
// end, and ends with the last of them. Pure.
import type { FinalState, JobState } from '../protocol/job.ts'
import type { Effect, Job, JobEvents, Verdict } from './job.ts'
import { notPossible, type Refused, refused, type Table } from './table.ts'

export interface Tally {
  readonly count: number
  /** The index of its first element; absent: 0. */
  readonly from?: number
  /** The most that may be under way at a time. */
  readonly maxParallel?: number
  /** So many were drawn, in the order of their indexes. */
  readonly next: number
  /** Elements that will never be drawn; they count as ended too. */
  readonly dropped: number
  /** How elements ended. */
  readonly ended: Readonly<Record<FinalState, number>>
  /** How the first one ended that failed, and its index, which is absent where all that was left failed at once. */
  readonly first?: Verdict & { readonly index?: number }
}

export interface ArrayJob extends Job {
  readonly array: Tally
}

export interface ArrayEvents extends Pick<JobEvents, 'release' | 'block' | 'cancel' | 'expire'> {
  /** Somebody has room for one more. */
  readonly draw: object
  /** One ended. */
  readonly gather: { readonly state: FinalState; readonly verdict: Verdict; readonly index?: number }
}
export type ArrayEvent = { readonly [E in keyof ArrayEvents]: { readonly type: E } & ArrayEvents[E] }[keyof ArrayEvents]

export interface ArrayStep {
  readonly job: ArrayJob
  readonly cause?: Verdict['cause']
  readonly effects: readonly Effect[]
}

type ArrayRefusal = 'exhausted' | 'full' | 'unchanged'
type Answer = ArrayStep | Refused<ArrayRefusal>
/** Its elements are claimed, it is not. */
export type ArrayState = Exclude<JobState, 'claimed'>

export function newTally(count: number, maxParallel: number | undefined): Tally {
  return {
    ...{ count, next: 0, dropped: 0 },
    ...(maxParallel === undefined ? {} : { maxParallel }),
    ended: { succeeded: 0, failed: 0, cancelled: 0, expired: 0 },
  }
}

const sum = ({ succeeded, failed, cancelled, expired }: Tally['ended']) => succeeded + failed + cancelled + expired

/** Drawn and not ended. */
export const underWay = ({ next, dropped, ended }: Tally) => next - (sum(ended) - dropped)

/** Neither drawn nor dropped. */
export const undrawn = ({ count, next, dropped }: Tally) => count - next - dropped

/** The index of the element that is drawn next. */
export const nextIndex = ({ from = 0, next }: Tally) => from + next

/** Whether one of its elements has this index. */
export const hasIndex = ({ from = 0, count }: Tally, index: number) => index >= from && index < from + count

/** How many more may be drawn now. */
export const drawable = (tally: Tally) =>
  Math.max(0, Math.min(undrawn(tally), (tally.maxParallel ?? tally.count) - underWay(tally)))

export const arrayTable: Table<ArrayJob, ArrayEvents, ArrayState, Answer> = {
  waiting: {
    release: {
      to: ['queued'],
      says: 'what it waits for ended well',
      step: (job) => ({ job: { ...job, state: 'queued' }, effects: ['wake'] }),
    },
    block: {
      to: ['failed'],
      says: 'what it waits for did not',
      step: (job, _, now) => end(drop(job, 'failed', { cause: 'dependency' }), now),
    },
    cancel: { to: ['cancelled'], says: 'asked', step: cancel },
    expire: { to: ['expired'], says: 'ttl_ms is over', step: expire },
  },
  queued: {
    draw: { to: ['running'], says: 'a poll with room took its first element', step: draw },
    cancel: { to: ['cancelled'], says: 'asked', step: cancel },
    expire: { to: ['expired'], says: 'ttl_ms is over', step: expire },
  },
  running: {
    draw: { to: ['running'], says: 'a poll with room took one more', step: draw },
    gather: {
      to: ['running', 'succeeded', 'failed', 'cancelled', 'expired'],
      says: 'an element ended; with the last one the array does',
      step: gather,
    },
    cancel: {
      to: ['running', 'cancelled'],
      says: 'what was not drawn never is; the workers of the others are told',
      step: cancel,
    },
    expire: {
      to: ['running', 'expired', 'failed', 'cancelled'],
      says: 'what was not drawn in time never is',
      step: expire,
    },
  },
  succeeded: {},
  failed: {},
  cancelled: {},
  expired: {},
}

/** Applies one event; an absent cell refuses with `not_possible`. */
export function stepArray(job: ArrayJob, event: ArrayEvent, now: number): Answer {
  const row = arrayTable[job.state as ArrayState]
  const cell = row[event.type]
  if (!cell) return notPossible
  return (cell.step as (job: ArrayJob, event: ArrayEvent, now: number) => Answer)(job, event, now)
}

function draw(job: ArrayJob): Answer {
  const { array } = job
  if (undrawn(array) < 1) return refused('exhausted')
  if (drawable(array) < 1) return refused('full')
  return { job: { ...job, state: 'running', array: { ...array, next: array.next + 1 } }, effects: [] }
}

function gather(job: ArrayJob, event: ArrayEvents['gather'], now: number): Answer {
  if (underWay(job.array) < 1) return notPossible
  return endIfDone(count(job, { ...event, by: 1 }), now)
}

function cancel(job: ArrayJob, { by }: ArrayEvents['cancel'], now: number): Answer {
  if (job.cancel) return refused('unchanged')
  return endIfDone({ ...drop(job, 'cancelled', { cause: 'cancelled' }), cancel: { at: now, by } }, now)
}

function expire(job: ArrayJob, _: object, now: number): Answer {
  if (undrawn(job.array) < 1) return refused('unchanged')
  return endIfDone(drop(job, 'expired', { cause: 'ttl' }), now)
}

/** What was not drawn ends so. */
function drop(job: ArrayJob, state: FinalState, verdict: Verdict): ArrayJob {
  const rest = undrawn(job.array)
  const counted = count(job, { state, verdict, by: rest })
  return { ...counted, array: { ...counted.array, dropped: counted.array.dropped + rest } }
}

function count(
  job: ArrayJob,
  { state, verdict, index, by }: ArrayEvents['gather'] & { readonly by: number },
): ArrayJob {
  const { array } = job
  const ended = { ...array.ended, [state]: array.ended[state] + by }
  const failed = { ...verdict, ...(index === undefined ? {} : { index }) }
  const first = array.first ?? (state === 'failed' && by > 0 ? failed : undefined)
  return { ...job, array: { ...array, ended, ...(first ? { first } : {}) } }
}

function endIfDone(job: ArrayJob, now: number): ArrayStep {
  return sum(job.array.ended) < job.array.count ? { job, effects: ['tell'] } : end(job, now)
}

/** All well, or asked for, or as the first that failed. */
function end(job: ArrayJob, now: number): ArrayStep {
  const { ended, count, first } = job.array
  const state = stateOf(ended, count, job.cancel !== undefined)
  const verdict: Verdict = verdictOf(state, first)
  return { job: { ...job, state, end: { ...verdict, at: now } }, cause: verdict.cause, effects: ['ended'] }
}

function stateOf(ended: Tally['ended'], count: number, isCancelled: boolean): FinalState {
  if (ended.succeeded === count) return 'succeeded'
  if (isCancelled) return 'cancelled'
  if (ended.failed > 0) return 'failed'
  return ended.cancelled > 0 ? 'cancelled' : 'expired'
}

function verdictOf(state: FinalState, first: Tally['first']): Verdict {
  switch (state) {
    case 'succeeded':
      return { cause: 'exit', rc: 0 }
    case 'cancelled':
      return { cause: 'cancelled' }
    case 'expired':
      return { cause: 'ttl' }
    case 'failed': {
      const { index: _, ...verdict } = first ?? { cause: 'exit' as const }
      return verdict
    }
    default:
      return state satisfies never
  }
}
