// A job as a consumer writes it, and the closed lists of states and causes. Times in milliseconds, sizes in bytes.
import { z } from 'zod'
import { limit } from './limit.ts'

export const jobStates = [
  'waiting',
  'queued',
  'claimed',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
] as const
export type JobState = (typeof jobStates)[number]

export const finalStates = ['succeeded', 'failed', 'cancelled', 'expired'] as const
export type FinalState = (typeof finalStates)[number]

export function isFinal(state: JobState): state is FinalState {
  return (finalStates as readonly JobState[]).includes(state)
}

/** Why a job or an attempt ended, with the sentence the manual prints. */
export const causeTable = {
  exit: 'the process exited by itself; rc tells how',
  signal: 'a signal that nobody here sent ended the process; rc is 128 + its number',
  timeout: 'it ran longer than timeout_ms',
  cancelled: 'a consumer or operator cancelled it',
  ttl: 'it waited longer than ttl_ms',
  worker_lost: 'its worker fell silent for a full lease, or restarted',
  drained: 'its worker stopped before it was done',
  oom: 'the kernel killed a process of it for lack of memory, by the count of its cgroup (oom_kill)',
  disk_full: 'the worker had no room for its output',
  refused: 'the worker does not run such jobs',
  bad_signature: 'a signature did not match the pinned key',
  no_seal: 'its credential could not be sealed to the worker',
  bundle_rejected: 'its bundle was damaged or not safe to unpack',
  setup_failed: 'the process could not be started; rc is 125',
  output_lost: 'output that the job needs did not reach pond',
  budget: 'a budget of the project was used up',
  dependency: 'a job it waits for did not end well',
  revoked: 'its worker was shut out: revoked, or it showed other keys than the pinned ones',
} as const
export type Cause = keyof typeof causeTable
export const causes = Object.keys(causeTable) as [Cause, ...Cause[]]

/** Causes that only pond can know; no worker may name them. */
const pondCauses: readonly Cause[] = ['ttl', 'budget', 'dependency', 'revoked']
export const workerCauses = causes.filter((cause) => !pondCauses.includes(cause))

const noNul = (text: string) => !text.includes('\0')
const byteLength = (text: string) => new TextEncoder().encode(text).length

/** One argument, or the value of a variable. */
export const word = z
  .string()
  .refine(noNul, 'must not hold a NUL character')
  .refine((text) => byteLength(text) <= limit.wordBytes, `must not be longer than ${limit.wordBytes} bytes`)

/** Of a job's or a credential's variable. */
export const envName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,254}$/, 'must be a variable name: letters, digits and _, no digit first')
  .refine((name) => !name.startsWith('POND_'), 'must not start with POND_, which pond sets itself')

export const labelKey = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$/, 'must be 1 to 63 of a-z 0-9 . _ / -')
export const labels = z
  .record(labelKey, z.string().max(limit.labelValueChars).refine(noNul, 'must not hold a NUL character'))
  .refine((record) => Object.keys(record).length <= limit.labels, `must not have more than ${limit.labels} entries`)
export type Labels = Readonly<Record<string, string>>

const count = (least: number, most: number) => z.int().min(least).max(most)

const labelValue = z.string().max(limit.labelValueChars)
const labelNumber = z.number().min(-Number.MAX_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER)
const labelSpan = z
  .tuple([labelNumber, labelNumber])
  .refine(([least, most]) => least <= most, 'must be the least number, then the most')

/** What a label must be. `gte`, `lte` and `between` (both ends included) compare numbers, and a label whose text is none never fits; `exists` takes any value. */
export const labelNeed = z.union([
  labelValue,
  z.discriminatedUnion('op', [
    z.strictObject({ op: z.literal('eq'), value: labelValue }),
    z.strictObject({ op: z.literal('in'), value: z.array(labelValue).min(1).max(limit.labels) }),
    z.strictObject({ op: z.literal('gte'), value: labelNumber }),
    z.strictObject({ op: z.literal('lte'), value: labelNumber }),
    z.strictObject({ op: z.literal('between'), value: labelSpan }),
    z.strictObject({ op: z.literal('exists') }),
  ]),
])
export type LabelNeed = z.infer<typeof labelNeed>

/** What a machine may choose for itself: by key what its value must be, `*` for any key that is not named. */
export const allowedLabels = z
  .record(z.union([labelKey, z.literal('*')]), labelNeed)
  .refine((record) => Object.keys(record).length <= limit.labels, `must not have more than ${limit.labels} entries`)
export type AllowedLabels = Readonly<Record<string, LabelNeed>>

/** What a job asks of its worker: one that lacks any of it never gets the job. */
const requires = z.strictObject({
  labels: z
    .record(labelKey, labelNeed)
    .refine((record) => Object.keys(record).length <= limit.labels, `must not have more than ${limit.labels} entries`)
    .optional(),
  /** Of its own while it runs, to the thousandth. */
  cpus: z.number().min(0.001).max(4096).optional(),
  memory_bytes: count(1, Number.MAX_SAFE_INTEGER).optional(),
  /** Room for its folder while it runs. */
  disk_bytes: count(1, Number.MAX_SAFE_INTEGER).optional(),
  gpus: z
    .strictObject({
      count: count(1, 64),
      /** As the worker's driver names it, or a part of that: `A100`. Case does not count. */
      model: z.string().min(1).max(128).optional(),
      /** Each of them. */
      min_vram_bytes: count(1, Number.MAX_SAFE_INTEGER).optional(),
    })
    .optional(),
  /** As Node names it: `linux`, `darwin`. */
  os: z.string().min(1).max(32).optional(),
  /** As Node names it: `x64`, `arm64`. */
  arch: z.string().min(1).max(32).optional(),
  /** What keeps its jobs apart: `uid`, `bubblewrap`; `none` for a worker where nothing does. */
  sandbox: z.string().min(1).max(32).optional(),
})
export type Requires = z.infer<typeof requires>

const retry = z.strictObject({
  on: z.array(z.enum(causes)).max(causes.length).optional(),
  attempts: count(1, limit.attemptsMost).optional(),
  backoff_ms: count(0, limit.backoffMostMs).optional(),
})

/** A job as submitted. Its exact bytes are the RFC 8785 form of this object before any default; its digest is their SHA-256. */
export const jobSpec = z
  .strictObject({
    command: z.tuple([word.min(1)], word).refine((list) => list.length <= limit.commandWords, {
      message: `must not have more than ${limit.commandWords} words`,
    }),
    env: z
      .record(envName, word)
      .refine(
        (env) => Object.keys(env).length <= limit.envEntries,
        `must not have more than ${limit.envEntries} entries`,
      )
      .optional(),
    /** Text for stdin. */
    input: z
      .string()
      .refine((text) => byteLength(text) <= limit.inputBytes, `must not be longer than ${limit.inputBytes} bytes`)
      .optional(),
    labels: labels.optional(),
    requires: requires.optional(),
    /** What keeps the job apart; a key that its worker does not know is declined there. */
    sandbox: z
      .record(z.string().max(64), z.union([z.string().max(256), z.number(), z.boolean()]))
      .refine((record) => Object.keys(record).length <= 32, 'must not have more than 32 entries')
      .optional(),
    /** Name of a credential of the project. */
    credential: z.string().min(1).max(limit.nameChars).optional(),
    /** Digest of a bundle of the project: SHA-256 of its stored bytes. */
    bundle: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
      .optional(),
    /** `pond_recipient_…`: output is sealed to these and to nobody else. */
    recipients: z.array(z.string().max(128)).min(1).max(limit.recipients).optional(),
    /** Globs below the job's folder: `out/**`, `*.csv`. */
    artifacts: z.array(word.min(1).max(1024)).min(1).max(256).optional(),
    priority: count(0, 9).optional(),
    ttl_ms: count(1, limit.ttlMostMs).optional(),
    timeout_ms: count(1, limit.timeoutMostMs).optional(),
    retry: retry.optional(),
    on_lost: z.enum(['fail', 'rerun', 'hold']).optional(),
    hold_ms: count(1, limit.holdMostMs).optional(),
    idempotent: z.boolean().optional(),
    limits: z
      .strictObject({
        stream_bytes: count(1, limit.streamBytesMost).optional(),
        artifact_bytes: count(1, limit.artifactBytesMost).optional(),
      })
      .optional(),
    after: z
      .array(z.union([z.string(), z.strictObject({ job: z.string(), on: z.enum(['success', 'end']) })]))
      .max(1000)
      .optional(),
    /** So many of it as one array; each sees its place in `POND_ARRAY_INDEX`, from 0. */
    count: count(1, limit.arrayMost).optional(),
    /** Of an array, at a time. */
    max_parallel: count(1, limit.arrayMost).optional(),
  })
  .refine((job) => job.max_parallel === undefined || job.count !== undefined, {
    path: ['max_parallel'],
    message: 'is for arrays: it needs count',
  })
  .refine((job) => job.on_lost !== 'rerun' || job.idempotent === true, {
    path: ['on_lost'],
    message: 'may be rerun only with idempotent: true',
  })
  .refine((job) => !job.retry?.on?.includes('worker_lost') || job.idempotent === true, {
    path: ['retry', 'on'],
    message: 'may hold worker_lost only with idempotent: true',
  })
  .refine((job) => job.on_lost !== 'hold' || job.hold_ms !== undefined, {
    path: ['hold_ms'],
    message: 'is needed with on_lost: hold',
  })
export type JobSpec = z.infer<typeof jobSpec>

export const defaultPriority = 5

/** How far an array is: its elements by what became of them. */
export const tallyView = z.object({
  count: z.int(),
  /** The index of its first element, where that is not 0. */
  from: z.int().optional(),
  max_parallel: z.int().optional(),
  /** Not begun. */
  queued: z.int(),
  /** Claimed, running, or waiting for another attempt. */
  under_way: z.int(),
  succeeded: z.int(),
  failed: z.int(),
  cancelled: z.int(),
  expired: z.int(),
  /** Of those that ended: so many, behind all others, never began. */
  never_began: z.int().optional(),
})
export type TallyView = z.infer<typeof tallyView>
