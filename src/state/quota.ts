// The law of quotas: what a project may still submit, and what of its day is used. Pure: counts and the time come in.
import type { Quota, QuotaName } from '../protocol/quota.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const SECOND_MS = 1000
/** Nobody knows when a job leaves the queue; a client adds its own patience. */
const QUEUE_RETRY_MS = 1000
/** Parts of a submit that are lost in sums of fractions. */
const NEARLY = 1e-6

/** The start of the day in UTC. */
export const dayOf = (now: number) => Math.floor(now / DAY_MS) * DAY_MS
export const dayAfter = (now: number) => dayOf(now) + DAY_MS

/** Submits that may come now. It fills up all the time, and holds a minute's worth. */
export interface Bucket {
  readonly level: number
  /** Of a clock that nobody sets. */
  readonly at: number
}

export function levelOf(bucket: Bucket | undefined, most: number, at: number): number {
  if (!bucket) return most
  return Math.min(most, bucket.level + (Math.max(0, at - bucket.at) * most) / MINUTE_MS)
}

/** When there will be room for so many. */
export const filledInMs = (level: number, most: number, wanted: number) =>
  Math.max(0, Math.ceil(((wanted - level) * MINUTE_MS) / most))

/** What a project used. */
export interface Used {
  /** Jobs that wait, those of writes under way among them. */
  readonly queued: number
  readonly bucket?: Bucket | undefined
  readonly cpuMs: number
  readonly outputBytes: number
}

export interface Moment {
  /** Of the wall. */
  readonly now: number
  /** Of a clock that nobody sets. */
  readonly monotonic: number
}

export interface Standing {
  readonly name: Exclude<QuotaName, 'running'>
  readonly most: number
  readonly used: number
  /** What is left for submits. */
  readonly left: number
  /** When it is whole again; undefined where nobody knows. */
  readonly wholeInMs?: number
  /** The time over which it is counted. */
  readonly windowMs?: number
}

/** The quotas that can refuse a submit, as they stand. */
export function standings(quota: Quota, used: Used, { now, monotonic }: Moment): readonly Standing[] {
  const all: Standing[] = []
  const dayLeft = { wholeInMs: dayAfter(now) - now, windowMs: DAY_MS }
  const add = (name: Standing['name'], count: number, more: Partial<Standing> = {}) => {
    const most = quota[name]
    if (most !== undefined) all.push({ name, most, used: count, left: Math.max(0, most - count), ...more })
  }
  add('queued', used.queued)
  const rate = quota.submits_per_minute
  if (rate !== undefined) {
    const level = Math.floor(levelOf(used.bucket, rate, monotonic) + NEARLY)
    const wholeInMs = filledInMs(levelOf(used.bucket, rate, monotonic), rate, rate)
    add('submits_per_minute', rate - level, { wholeInMs, windowMs: MINUTE_MS })
  }
  add('cpu_seconds_per_day', Math.floor(used.cpuMs / SECOND_MS), dayLeft)
  add('output_bytes_per_day', used.outputBytes, dayLeft)
  return all
}

/** `never`: so many are more than the quota takes at any time. `later`: in so many milliseconds, as far as anybody knows. */
export type Refusal =
  | { readonly refused: 'never'; readonly name: Standing['name']; readonly most: number }
  | {
      readonly refused: 'later'
      readonly name: Standing['name']
      readonly most: number
      readonly used: number
      readonly retryAfterMs: number
    }

export interface Asked extends Moment {
  /** That will wait, the elements of arrays each. */
  readonly jobs: number
  /** An array is one. */
  readonly submits: number
}

/** Whether so many jobs may be submitted together. Of several refusals the one that lasts longest is told. */
export function judgeSubmit(quota: Quota, used: Used, asked: Asked): Refusal | undefined {
  let worst: Extract<Refusal, { refused: 'later' }> | undefined
  for (const { name, most, used: count, left, wholeInMs = QUEUE_RETRY_MS } of standings(quota, used, asked)) {
    const needed = name === 'queued' ? asked.jobs : name === 'submits_per_minute' ? asked.submits : 1
    if (needed > most) return { refused: 'never', name, most }
    if (left >= needed) continue
    const level = levelOf(used.bucket, most, asked.monotonic)
    const retryAfterMs = name === 'submits_per_minute' ? filledInMs(level, most, needed) : wholeInMs
    if (!worst || retryAfterMs > worst.retryAfterMs) worst = { refused: 'later', name, most, used: count, retryAfterMs }
  }
  return worst
}

/** The budget of the day that is used up; undefined: none is. */
export function spentOf(quota: Quota, used: Pick<Used, 'cpuMs' | 'outputBytes'>): Standing['name'] | undefined {
  const { cpu_seconds_per_day: cpu = Infinity, output_bytes_per_day: output = Infinity } = quota
  if (used.cpuMs >= cpu * SECOND_MS) return 'cpu_seconds_per_day'
  return used.outputBytes >= output ? 'output_bytes_per_day' : undefined
}

export const hasBudget = ({ cpu_seconds_per_day, output_bytes_per_day }: Quota) =>
  cpu_seconds_per_day !== undefined || output_bytes_per_day !== undefined
