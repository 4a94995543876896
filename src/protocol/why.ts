// Why a job waits, and why it ended: facts that pond has, never a guess.
import { z } from 'zod'
import { causes, jobStates, tallyView } from './job.ts'
import { standingView } from './quota.ts'
import { stopView } from './stop.ts'

/** Why a worker does not get a job now: of one worker, of several, and what would change it. The nearest to running it first. */
export const hindranceTable = {
  next: ['has room and gets it at its next poll', 'have room and one gets it at its next poll', 'nothing is needed'],
  behind: ['has room, and other jobs come first', 'have room, and other jobs come first', 'those before it are taken'],
  open: ['has room', 'have room', 'its turn comes'],
  kept: [
    'keeps what is free for a job that was overtaken for long',
    'keep what is free for jobs that were overtaken for long',
    'that job got its room there, or the time for which it is kept ends',
  ],
  busy: ['has no room for it', 'have no room for it', 'a job there ends'],
  probation: [
    'had mishaps in a row (it did not confirm, declined or could not start what it got) and gets one job at a time',
    'had mishaps in a row (they did not confirm, declined or could not start what they got) and get one job at a time',
    'its pause ends, or what it runs goes well',
  ],
  slowed: [
    'refused many jobs in a row and is asked about one a second',
    'refused many jobs in a row and are asked about one a second',
    'the second passes; its owner changes what it takes: swarm rules',
  ],
  quota: ['has room, and the project is at its quota', 'have room, and the project is at its quota', ''],
  passed_over: [
    'declined the job',
    'declined the job',
    'another worker comes, or a job that asks for what it serves; it is asked again when that time is over',
  ],
  refused: [
    "declined the job by its owner's rules",
    "declined the job by their owners' rules",
    'another worker comes, or its owner changes its rules (swarm rules); it is asked again when that time is over',
  ],
  paused: ['is paused', 'are paused', 'its owner resumes it, or what its rules wait for comes'],
  cordoned: ['is cordoned', 'are cordoned', 'the cordon ends, or an operator takes it back: '],
  draining: ['is draining', 'are draining', 'its swarm is started again when it is done'],
  away: ['is silent and may be asleep', 'are silent and may be asleep', 'it is woken'],
  offline: ['is not heard of', 'are not heard of', 'swarm run is started on it, or reaches pond again'],
  lacks: [
    'does not have what the job requires',
    'do not have what the job requires',
    'another worker comes, or a job that requires less',
  ],
  shut_out: ['is shut out', 'are shut out', 'an operator reinstates it (pond worker reinstate), or it is paired anew'],
} as const satisfies Record<string, readonly [one: string, several: string, change: string]>
export type Hindrance = keyof typeof hindranceTable
export const hindrances = Object.keys(hindranceTable) as readonly Hindrance[]

const named = z.object({ id: z.string(), name: z.string() })

/** What comes before a job: of one job, of several. A worker goes by these rules, in this order; `array` stands within a job's own place. */
export const precedenceTable = {
  own: ["job of the worker's own project comes first", "jobs of the worker's own project come first"],
  friends: ["job of the worker's friends comes first", "jobs of the worker's friends come first"],
  priority: ['job of a higher priority comes first', 'jobs of a higher priority come first'],
  turn: ['job of another project takes turns with it', 'jobs of other projects take turns with it'],
  earlier: ['job came earlier', 'jobs came earlier'],
  array: ['element of its array comes first', 'elements of its array come first'],
} as const
export type Precedence = keyof typeof precedenceTable

const precedence = z.object({
  by: z.string(),
  says: z.string(),
  /** Elements of arrays count each. */
  jobs: z.int(),
  /** There are more of them. */
  is_least: z.boolean().optional(),
  /** With `turn`: of how many other projects they are, and of how many of these the turn is before as they stand now. */
  projects: z.int().optional(),
  first: z.int().optional(),
})

export const hindrance = z.object({
  reason: z.string(),
  says: z.string(),
  /** What would change it. */
  change: z.string(),
  /** As a job names it: `os`, `labels.zone`, `gpus.count`, `slots`. With `lacks` and `busy`. */
  requirement: z.string().optional(),
  /** What the job asks for. */
  wants: z.unknown().optional(),
  /** What the worker has, or has free; absent where it tells nothing of the kind, and where several have different amounts. */
  has: z.unknown().optional(),
  /** Of several: from the least to the most, where they are numbers. */
  has_least: z.number().optional(),
  has_most: z.number().optional(),
  /** Of several: the first of the different values; null stands for none. */
  has_some: z.array(z.unknown()).optional(),
  /** It ends by itself then; of several the first. */
  until: z.int().optional(),
  /** Of several the last. */
  until_most: z.int().optional(),
  /** Whose cordon it is. With `cordoned`. */
  of: z.enum(['worker', 'binding']).optional(),
  /** Mishaps in a row; of several the most. With `probation`. */
  mishaps: z.int().optional(),
  /** What its owner, an operator or, with the word by which it declined, the worker said. */
  note: z.string().optional(),
  /** Of several that said different things: the first of these. */
  notes: z.array(z.string()).optional(),
  /** What comes before the job there. */
  before: z.array(precedence).optional(),
  /** The workers of which all this is true; the first of them by name. */
  count: z.int(),
  workers: z.array(named),
})

export const whyView = z.object({
  id: z.string(),
  state: z.enum(jobStates),
  /** All of it in one sentence. */
  says: z.string(),
  /** What would change it. Of a job that has not ended. */
  change: z.string().optional(),
  /** Of a job in the queue. */
  waiting: z
    .object({
      /** When it came into the queue, the last time. */
      since: z.int(),
      /** Jobs that come before it at the worker `at`, elements of arrays each; where no worker could take it, those that require the same. */
      ahead: z.int().optional(),
      /** There may be more than `ahead` of them. */
      ahead_is_least: z.boolean().optional(),
      /** What they are. */
      before: z.array(precedence).optional(),
      /** Of the workers that could take it, the one where the fewest come before it. */
      at: named.optional(),
      /** Of an element that has not begun: so many of its array are under way, and no more may be. */
      max_parallel: z.object({ most: z.int(), under_way: z.int() }).optional(),
      /** Of an array all of which has begun: an element that waits, about which the rest is told, and how many do. */
      element: z.object({ job: z.string(), count: z.int(), is_least: z.boolean().optional() }).optional(),
      /** It is offered to nobody before: it was tried, and waits for its next attempt. */
      not_before: z.int().optional(),
      /** What its last attempt came to. */
      tried: z
        .object({
          cause: z.enum(causes),
          means: z.string(),
          at: z.int(),
          by: z.string(),
          note: z.string().optional(),
          attempt: z.int(),
          rc: z.int().optional(),
          worker: named.optional(),
        })
        .optional(),
      /** Nothing is offered while pond itself has no room for output. */
      pond_full: z.boolean().optional(),
      /** Nothing of the project is offered. */
      paused: stopView.optional(),
      /** Nothing of the project is handed out while it is at this quota. */
      quota: standingView.extend({ says: z.string(), change: z.string() }).optional(),
      /** The nearest to running it first. */
      workers: z.array(hindrance),
      /** Workers of which nothing is told here, for there are so many reasons. */
      rest: z.int().optional(),
    })
    .optional(),
  /** Of an array: how far it is, and the most of it that may be under way. */
  array: tallyView.optional(),
  /** Of a job that waits for others: those that have not ended yet, and what each must come to. */
  after: z.array(z.object({ job: z.string(), on: z.enum(['success', 'end']), state: z.enum(jobStates) })).optional(),
  /** Of a job that somebody has. */
  held: z
    .object({
      worker: named,
      since: z.int(),
      /** `granted`: it has not confirmed it yet. `held`: it fell silent, and pond waits for it until `until`. */
      lease: z.enum(['granted', 'confirmed', 'held']).optional(),
      until: z.int().optional(),
      /** Who asked to cancel it. */
      cancelled_by: z.string().optional(),
      /** How long pond has not heard of it, in milliseconds. */
      silent_ms: z.int(),
      /** How long that may be before the attempt counts as lost. */
      lease_ms: z.int(),
    })
    .optional(),
  /** Of a job that ended. */
  ended: z
    .object({
      cause: z.enum(causes),
      /** What the cause means. */
      means: z.string(),
      at: z.int(),
      /** Whose word it was: `worker`, `pond`, `key` or `admin`, and an id behind a colon. */
      by: z.string(),
      /** What was said with that word. */
      note: z.string().optional(),
      rc: z.int().optional(),
      /** The signal that `rc` stands for. With the cause signal the process ended by it; else by it, or with the code that stands for it. */
      signal: z.int().optional(),
      /** Who asked to cancel it, and when. */
      cancelled_by: z.string().optional(),
      cancel_requested_at: z.int().optional(),
      worker: named.optional(),
      started_at: z.int().optional(),
      /** How long its process ran, and how long it had waited, in milliseconds. With ttl and timeout `limit_ms` is what it was allowed. */
      ran_ms: z.number().optional(),
      waited_ms: z.int().optional(),
      limit_ms: z.int().optional(),
      max_rss_bytes: z.number().optional(),
      /** What it asked for. */
      memory_bytes: z.int().optional(),
      /** Of an array: the element that failed first. */
      first: z.object({ job: z.string().optional(), cause: z.enum(causes), rc: z.int().optional() }).optional(),
      attempts: z.int(),
      /** The worker signed it. */
      attested: z.boolean(),
    })
    .optional(),
})
export type WhyView = z.infer<typeof whyView>
