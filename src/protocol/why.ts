// Why a job waits, and why it ended: facts that pond has, never a guess.
import { z } from 'zod'
import { causes, jobStates, tallyView } from './job.ts'
import { standingView } from './quota.ts'
import { stopView } from './stop.ts'

/** Why a worker does not get a job now; each with what would change it. The first that holds is told, in this order. */
export const hindranceTable = {
  shut_out: ['is shut out', 'an operator looks at it: pond worker reinstate, or a new pairing'],
  offline: ['is not heard of', 'start swarm run on it, or look why it cannot reach pond'],
  away: ['is silent and may be asleep', 'wake it'],
  draining: ['is draining', 'start its swarm again when it is done'],
  cordoned: [
    'is cordoned',
    'its cordon ends, or an operator takes it back: pond worker uncordon, or pond binding uncordon',
  ],
  paused: ['is paused', 'its owner resumes it, or what its rules wait for comes'],
  lacks: ['does not have what the job requires', 'another worker, or a job that requires less'],
  passed_over: ['declined the job a while ago', 'the time for which it is passed over ends'],
  probation: ['had mishaps in a row and gets one job at a time', 'its pause ends, or what it runs goes well'],
  slowed: ['refused many jobs in a row and is asked about one a second', 'its owner welcomes such jobs'],
  busy: ['has no room for it', 'a job there ends'],
  quota: [
    'has room, and the project is at its quota',
    'a job of the project ends, its day ends, or an operator allows more',
  ],
  behind: ['has room, and other jobs come first', 'the jobs before it are taken'],
  next: ['has room and gets it at its next poll', 'nothing is needed'],
} as const satisfies Record<string, readonly [says: string, change: string]>
export type Hindrance = keyof typeof hindranceTable

export const hindrance = z.object({
  reason: z.string(),
  says: z.string(),
  /** What would change it. */
  change: z.string(),
  /** As a job names it: `os`, `labels.zone`, `gpus.count`, `slots`. With `lacks` and `busy`. */
  requirement: z.string().optional(),
  /** What the job asks for. */
  wants: z.unknown().optional(),
  /** What the worker has, or has free; absent where it tells nothing of the kind. */
  has: z.unknown().optional(),
  /** It ends by itself then. */
  until: z.int().optional(),
  /** Whose cordon it is. With `cordoned`. */
  of: z.enum(['worker', 'binding']).optional(),
  /** What its owner or an operator said. */
  note: z.string().optional(),
  /** The workers of which all this is true; the first of them by name. */
  count: z.int(),
  workers: z.array(z.object({ id: z.string(), name: z.string() })),
})

export const whyView = z.object({
  id: z.string(),
  state: z.enum(jobStates),
  /** All of it in one sentence. */
  says: z.string(),
  /** Of a job in the queue. */
  waiting: z
    .object({
      /** When it came into the queue, the last time. */
      since: z.int(),
      /** Jobs of the project that are offered before it. */
      ahead: z.int().optional(),
      /** There are more than `ahead` of them. */
      ahead_is_least: z.boolean().optional(),
      /** It is offered to nobody before: it was tried, and waits for its next attempt. */
      not_before: z.int().optional(),
      /** Nothing is offered while pond itself has no room for output. */
      pond_full: z.boolean().optional(),
      /** Nothing of the project is offered. */
      paused: stopView.optional(),
      /** Nothing of the project is handed out while it is at this quota. */
      quota: standingView.extend({ says: z.string(), change: z.string() }).optional(),
      workers: z.array(hindrance),
    })
    .optional(),
  /** Of an array: how far it is, and the most of it that may be under way. */
  array: tallyView.optional(),
  /** Of a job that waits for others: those that have not ended yet, and what each must come to. */
  after: z.array(z.object({ job: z.string(), on: z.enum(['success', 'end']), state: z.enum(jobStates) })).optional(),
  /** Of a job that somebody has. */
  held: z
    .object({
      worker: z.object({ id: z.string(), name: z.string() }),
      since: z.int(),
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
      /** Number of the signal, with the causes signal and oom. */
      signal: z.int().optional(),
      /** Who asked to cancel it, and when. */
      cancelled_by: z.string().optional(),
      cancel_requested_at: z.int().optional(),
      worker: z.object({ id: z.string(), name: z.string() }).optional(),
      started_at: z.int().optional(),
      max_rss_bytes: z.number().optional(),
      attempts: z.int(),
      /** The worker signed it. */
      attested: z.boolean(),
    })
    .optional(),
})
export type WhyView = z.infer<typeof whyView>
