// The law of a job: what may happen to it in which state. Pure: no clock, no I/O, no randomness.
//
// A job waits for others, then in the queue. A claim takes it out; the claim's confirmation makes it run. From there a final word ends it, or its loss
// does, or either sends it back into the queue for another attempt. A terminal state absorbs whatever comes late: a person may adopt a late result, once, and
// the end stands all the same.
import type { Cause, FinalState, JobState } from '../protocol/job.ts'
import type { Tally } from './array.ts'
import { type Policy, retryAt } from './retry.ts'
import { notPossible, type Refused, refused, type Table } from './table.ts'

export interface Job {
  readonly state: JobState
  /** Claims ever made; the fence. It never falls. */
  readonly epoch: number
  /** Attempts that were confirmed. */
  readonly attempts: number
  readonly policy: Policy
  /** Of an array, which goes by a law of its own. */
  readonly array?: Tally
  /** The live claim: there exactly in `claimed` and `running`. */
  readonly claimId?: string
  /** Not to be claimed before this time. */
  readonly notBefore?: number
  readonly cancel?: { readonly at: number; readonly by: string }
  readonly end?: { readonly cause: Cause; readonly rc?: number; readonly at: number }
  /** What a person put beside the end: the late result of an attempt that was given up. */
  readonly adopted?: Adoption
  /** Workers that are passed over for this job, and until when. */
  readonly passedOver: Readonly<Record<string, number>>
}

/** The claim whose kept final word speaks for the job, and what that word said. */
export interface Adoption extends Verdict {
  readonly claimId: string
  readonly attempt: number
  readonly at: number
  readonly by: string
}

export interface Verdict {
  readonly cause: Cause
  readonly rc?: number
}

export interface JobEvents {
  /** The jobs it waits for ended well. */
  readonly release: object
  /** One of them did not. */
  readonly block: object
  readonly claim: { readonly claimId: string }
  readonly confirm: { readonly claimId: string }
  /** The claim gives it back unstarted: declined (then `passOver`) or never confirmed. */
  readonly giveBack: {
    readonly claimId: string
    readonly passOver?: { readonly workerId: string; readonly until: number }
  }
  readonly finish: { readonly claimId: string; readonly verdict: Verdict }
  readonly lose: { readonly claimId: string; readonly cause: 'worker_lost' | 'revoked' }
  readonly cancel: { readonly by: string }
  /** Its time to live is over. */
  readonly expire: object
  /** A person wants the late result of this claim to be the job's. */
  readonly adopt: Omit<Adoption, 'at'>
}
export type JobEvent = { readonly [E in keyof JobEvents]: { readonly type: E } & JobEvents[E] }[keyof JobEvents]

/** What to do after the commit. `wake`: a poll may now get it. `tell`: its worker must hear a directive. `ended`: whoever waits for it. */
export type Effect = 'wake' | 'tell' | 'ended'

export interface Step {
  readonly job: Job
  readonly cause?: Cause
  readonly effects: readonly Effect[]
}

export type JobRefusal = 'stale' | 'not_due' | 'unchanged'
type Answer = Step | Refused<JobRefusal>

export const jobTable: Table<Job, JobEvents, JobState, Answer> = {
  waiting: {
    release: { to: ['queued'], says: 'what it waits for ended well', step: (job) => queue(job) },
    block: {
      to: ['failed'],
      says: 'what it waits for did not',
      step: (job, _, now) => end(job, 'failed', { cause: 'dependency', at: now }),
    },
    cancel: { to: ['cancelled'], says: 'asked', step: (job, event, now) => cancelNow(job, event.by, now) },
    expire: {
      to: ['expired'],
      says: 'ttl_ms is over',
      step: (job, _, now) => end(job, 'expired', { cause: 'ttl', at: now }),
    },
  },
  queued: {
    claim: { to: ['claimed'], says: 'a poll with room took it', step: claim },
    cancel: { to: ['cancelled'], says: 'asked', step: (job, event, now) => cancelNow(job, event.by, now) },
    expire: {
      to: ['expired'],
      says: 'ttl_ms is over',
      step: (job, _, now) => end(job, 'expired', { cause: 'ttl', at: now }),
    },
  },
  claimed: {
    confirm: {
      to: ['running'],
      says: 'the worker has it',
      step: fenced((job) => ({ job: { ...job, state: 'running', attempts: job.attempts + 1 }, effects: [] })),
    },
    giveBack: {
      to: ['queued', 'cancelled'],
      says: 'declined, or not confirmed in time; no attempt is burned',
      step: fenced(giveBack),
    },
    finish: {
      to: ['succeeded', 'failed', 'cancelled', 'queued'],
      says: 'a final word that no other came before',
      step: fenced((job, event, now) => finish({ ...job, attempts: job.attempts + 1 }, event.verdict, now)),
    },
    lose: {
      to: ['queued', 'cancelled'],
      says: 'its lease lapsed before it was confirmed; no attempt is burned',
      step: fenced((job, event, now) => giveBack(job, event, now)),
    },
    cancel: { to: ['claimed'], says: 'the worker is told', step: recordCancel },
  },
  running: {
    finish: {
      to: ['succeeded', 'failed', 'cancelled', 'queued'],
      says: 'its final word; queued again if retry lists the cause',
      step: fenced((job, event, now) => finish(job, event.verdict, now)),
    },
    lose: {
      to: ['failed', 'cancelled', 'queued'],
      says: 'its lease lapsed or its binding was revoked',
      step: fenced((job, event, now) => lose(job, event.cause, now)),
    },
    cancel: { to: ['running'], says: 'the worker is told', step: recordCancel },
  },
  succeeded: { adopt: adoptIn('succeeded') },
  failed: { adopt: adoptIn('failed') },
  cancelled: { adopt: adoptIn('cancelled') },
  expired: { adopt: adoptIn('expired') },
}

/** Applies one event; an absent cell refuses with `not_possible`. */
export function stepJob(job: Job, event: JobEvent, now: number): Answer {
  const cell = jobTable[job.state][event.type]
  if (!cell) return notPossible
  return (cell.step as (job: Job, event: JobEvent, now: number) => Answer)(job, event, now)
}

export function newJob(policy: Policy, state: 'queued' | 'waiting'): Job {
  return { state, epoch: 0, attempts: 0, policy, passedOver: {} }
}

/** Wraps a cell that only the live claim may take: a word with a dead claim is stale. */
function fenced<Event extends { readonly claimId: string }>(step: (job: Job, event: Event, now: number) => Answer) {
  return (job: Job, event: Event, now: number): Answer =>
    job.claimId === event.claimId ? step(job, event, now) : refused('stale')
}

/** One adoption, for ever: two people who take different results for the job's would each believe to have the right one. */
function adoptIn(state: FinalState) {
  return {
    to: [state],
    says: 'a person takes a late result; the end stands',
    step(job: Job, { claimId, attempt, by, cause, rc }: JobEvents['adopt'], at: number): Answer {
      if (job.adopted) return job.adopted.claimId === claimId ? refused('unchanged') : notPossible
      return {
        job: { ...job, adopted: { claimId, attempt, by, at, cause, ...(rc === undefined ? {} : { rc }) } },
        effects: [],
      }
    },
  } as const
}

function claim(job: Job, event: JobEvents['claim'], now: number): Answer {
  if (job.notBefore !== undefined && job.notBefore > now) return refused('not_due')
  const { notBefore: _, ...rest } = job
  const claimed = { state: 'claimed', epoch: job.epoch + 1, claimId: event.claimId } as const
  // Not by spreading, here and below: a key that the spread object lacks costs a microsecond, this all of them a tenth of one.
  return { job: Object.assign({}, rest, claimed), effects: [] }
}

function queue(job: Job, notBefore?: number, cause?: Cause): Step {
  const { claimId: _claim, notBefore: _due, ...rest } = job
  return {
    job: { ...rest, state: 'queued', ...(notBefore === undefined ? {} : { notBefore }) },
    ...(cause ? { cause } : {}),
    effects: ['wake'],
  }
}

function end(job: Job, state: FinalState, end: NonNullable<Job['end']>): Step {
  const { claimId: _claim, notBefore: _due, ...rest } = job
  return { job: Object.assign({}, rest, { state, end }), cause: end.cause, effects: ['ended'] }
}

function cancelNow(job: Job, by: string, now: number): Step {
  return end({ ...job, cancel: { at: now, by } }, 'cancelled', { cause: 'cancelled', at: now })
}

function recordCancel(job: Job, event: JobEvents['cancel'], now: number): Answer {
  if (job.cancel) return refused('unchanged')
  return { job: { ...job, cancel: { at: now, by: event.by } }, effects: ['tell'] }
}

function giveBack(job: Job, event: Partial<JobEvents['giveBack']>, now: number): Step {
  if (job.cancel) return end(job, 'cancelled', { cause: 'cancelled', at: now })
  const still = Object.entries(job.passedOver).filter(([, until]) => until > now)
  if (event.passOver) still.push([event.passOver.workerId, event.passOver.until])
  return queue({ ...job, passedOver: Object.fromEntries(still) })
}

function finish(job: Job, verdict: Verdict, now: number): Step {
  if (verdict.cause === 'worker_lost') return lose(job, 'worker_lost', now)
  if (verdict.cause === 'exit' && verdict.rc === 0) return end(job, 'succeeded', { at: now, ...verdict })
  if (verdict.cause === 'cancelled' && job.cancel) return end(job, 'cancelled', { at: now, ...verdict })
  return retryOrFail(job, verdict, now)
}

function lose(job: Job, cause: 'worker_lost' | 'revoked', now: number): Step {
  if (job.cancel) return end(job, 'cancelled', { cause: 'cancelled', at: now })
  return retryOrFail(job, { cause }, now)
}

/** A cancel on record forbids another attempt; the word that beat it stands. */
function retryOrFail(job: Job, verdict: Verdict, now: number): Step {
  const due = job.cancel ? undefined : retryAt(job.policy, { cause: verdict.cause, used: job.attempts, now })
  return due === undefined ? end(job, 'failed', { at: now, ...verdict }) : queue(job, due, verdict.cause)
}
