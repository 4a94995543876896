// What an operator allows a project, and what the project used of it. A day is a day of UTC.
import { z } from 'zod'
import { name, queryInt } from './field.ts'
import { finalStates } from './job.ts'

/** The largest whole number that a structured header field may hold. */
const QUOTA_MOST = 999_999_999_999_999
const amount = z.int().min(1).max(QUOTA_MOST).optional()

/** What is absent is not limited. */
export const quota = z.strictObject({
  /** Jobs that wait: for a worker, for their time or for others. */
  queued: amount,
  /** Claims at once. */
  running: amount,
  /** Jobs submitted; so many may come together. */
  submits_per_minute: amount,
  /** Of the processes whose ends were heard that day. */
  cpu_seconds_per_day: amount,
  /** Of the streams and artifacts of the attempts whose ends were heard that day. */
  output_bytes_per_day: amount,
  /** The highest priority that its jobs may ask for. */
  priority_most: z.int().min(0).max(9).optional(),
})
export type Quota = Readonly<z.infer<typeof quota>>

/** What is counted, with the sentence that a person reads: `says` completes "the project …", `change` what would change it. */
export const quotaTable = {
  queued: { says: 'has as many jobs waiting as it may', change: 'a job of the project leaves the queue' },
  running: { says: 'runs as many jobs as it may', change: 'a job of the project ends' },
  submits_per_minute: { says: 'submits more jobs a minute than it may', change: 'time passes' },
  cpu_seconds_per_day: { says: 'used its CPU time of the day', change: 'the day ends, in UTC' },
  output_bytes_per_day: { says: 'wrote its output of the day', change: 'the day ends, in UTC' },
} as const
export type QuotaName = keyof typeof quotaTable
export const quotaNames = Object.keys(quotaTable) as readonly QuotaName[]

/** One of them, as it stands now. */
export const standingView = z.object({
  name: z.string(),
  most: z.int(),
  used: z.int(),
  /** When it is as if nothing were used. */
  until: z.int().optional(),
})
export type StandingView = z.infer<typeof standingView>

/** With days, the most that one call looks back. */
export const USAGE_DAYS_MOST = 31
export const usageQuery = z.strictObject({
  /** Today and the days before it. */
  days: queryInt(1, USAGE_DAYS_MOST).optional(),
  /** With an admin token: which project. */
  project: name.optional(),
})

const usedView = z.object({
  /** `2026-11-22`, in UTC. */
  day: z.string(),
  /** Jobs that ended that day, by state. */
  ended: z.partialRecord(z.enum(finalStates), z.int()),
  /** Of all attempts of these jobs. */
  cpu_ms: z.int(),
  /** Bytes of their streams and artifacts. */
  output_bytes: z.int(),
  /** How long their processes ran. */
  run_ms: z.int(),
  /** More jobs ended that day than one call counts. */
  is_least: z.boolean().optional(),
})
export const projectUsage = z.object({
  project: z.string(),
  at: z.int(),
  /** Jobs that wait: for a worker, for their time or for others. */
  queued: z.int(),
  /** Live claims. */
  running: z.int(),
  /** What counts against the project's quotas. */
  quotas: z.array(standingView),
  priority_most: z.int().optional(),
  /** Today first. */
  days: z.array(usedView),
})
export type ProjectUsage = z.infer<typeof projectUsage>
