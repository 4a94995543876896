// What swarm says about a claim: words, chunks and telemetry, and how pond answers them.
import { z } from 'zod'
import { bytesCount, digest, isArtifact, queryInt, streamName, wallMs } from './field.ts'
import { claimId, jobId } from './id.ts'
import { workerCauses } from './job.ts'
import { limit } from './limit.ts'
import { dsse } from './sealed.ts'

const token = z.string().max(128)

/** How a stream ended: `complete` all is here, `capped` the cap cut it, `lost` the worker could not keep it. */
export const streamEnds = ['complete', 'capped', 'lost'] as const
export type StreamEnd = (typeof streamEnds)[number]

export const streamReport = z.strictObject({
  /** Bytes sent to pond. */
  bytes: bytesCount,
  /** Digest of the bytes sent. */
  sha256: digest,
  /** Bytes the process wrote. */
  produced: bytesCount,
  end: z.enum(streamEnds),
})
export type StreamReport = z.infer<typeof streamReport>

export const usage = z.strictObject({
  cpu_ms: z.number().min(0),
  max_rss_bytes: bytesCount,
  wall_ms: z.number().min(0),
  sampled: z.boolean(),
})

export type UsageReport = z.infer<typeof usage>

const message = z.string().max(limit.messageChars)

/**
 * Why a file is not there: its glob found nothing, it is above its limit, it holds a secret, it is no plain file of the job's own, there
 * are too many, the worker's disk is full.
 */
export const artifactProblems = ['missing', 'too_large', 'withheld', 'unreadable', 'too_many', 'no_room'] as const
export type ArtifactProblem = (typeof artifactProblems)[number]

export const artifactReport = z.strictObject({
  /** Its bytes; absent with a problem. */
  stream: streamName.refine(isArtifact, 'must be artifact/N').optional(),
  /** Below the job's folder, or the glob that found nothing. Absent in a confidential job: it stands in the sealed result. */
  path: z.string().min(1).max(4096).optional(),
  problem: z.enum(artifactProblems).optional(),
})
export type ArtifactReport = z.infer<typeof artifactReport>

/** What the two ways of sending a word share; in a batch the token stands in the word, alone in X-Claim-Token. */
const word = {
  claim_id: claimId,
  started_at: wallMs.optional(),
  ended_at: wallMs.optional(),
  rc: z.int().min(0).max(255).optional(),
  cause: z.enum(workerCauses).optional(),
  /** For people: why it was declined, why it could not start. */
  message: message.optional(),
  usage: usage.optional(),
  /** JSON text of `$POND_RESULT`; of a confidential job a sealed object that holds result, message and paths of artifacts. */
  result: z
    .string()
    .refine(
      (text) => new TextEncoder().encode(text).length <= limit.sealedInlineBytes,
      `must not be longer than ${limit.sealedInlineBytes} bytes`,
    )
    .refine(isJson, 'must be JSON text')
    .optional(),
  streams: z.partialRecord(streamName, streamReport).optional(),
  artifacts: z.array(artifactReport).max(limit.artifactsPerJob).optional(),
}

/** The worker's signed statement of what did run. Of a batch it may cover many words. */
const attestation = dsse.optional()

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const wordState = z.enum(['running', 'declined', 'final'])

/** What ended by itself says how. */
const exitHasCode = {
  check: (it: { cause?: string | undefined; rc?: number | undefined }) =>
    (it.cause !== 'exit' && it.cause !== 'signal') || it.rc !== undefined,
  says: { path: ['rc'], message: 'is needed with cause exit or signal' },
}

const finalHasCause = {
  check: (it: { state: string; cause?: string | undefined }) => it.state !== 'final' || it.cause !== undefined,
  says: { path: ['cause'], message: 'is needed in a final word' },
}

export const stateBody = z
  .strictObject({ state: wordState, ...word, attestation })
  .refine(finalHasCause.check, finalHasCause.says)
  .refine(exitHasCode.check, exitHasCode.says)
export const statesBody = z.strictObject({
  /** Slots that these words free may be filled in the reply. */
  refill: z.boolean().optional(),
  attestation,
  words: z
    .array(
      z
        .strictObject({ job_id: jobId, claim_token: token, state: wordState, ...word })
        .refine(finalHasCause.check, finalHasCause.says)
        .refine(exitHasCode.check, exitHasCode.says),
    )
    .min(1)
    .max(limit.wordsPerCall),
})
export type WordBody = z.infer<typeof stateBody>
export type BatchWord = z.infer<typeof statesBody>['words'][number]

export const outcomes = ['accepted', 'idempotent', 'conflict', 'stale', 'refused'] as const
export type Outcome = (typeof outcomes)[number]

export const outcomeReply = z.object({
  outcome: z.enum(outcomes),
  /** With `stale`: the claim lost only its lease, so its word and streams are kept beside the job. */
  kept: z.boolean().optional(),
  /** With `conflict`, `stale` and `refused`. */
  error: z
    .object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()), help: z.string() })
    .optional(),
})
export type OutcomeReply = z.infer<typeof outcomeReply>

export const chunkQuery = z.strictObject({
  claim: claimId,
  stream: streamName,
  offset: queryInt(0, Number.MAX_SAFE_INTEGER),
  /** Worker's wall clock in milliseconds when the first byte was read. */
  at: queryInt(0, Number.MAX_SAFE_INTEGER),
  /** Rises over all streams of the claim. */
  order: queryInt(0, Number.MAX_SAFE_INTEGER),
})
export type ChunkQuery = z.infer<typeof chunkQuery>
export const chunkReply = z.object({ committed: z.int() })
export type ChunkReply = z.infer<typeof chunkReply>

export const telemetryBody = z.strictObject({
  claim_id: claimId,
  events: z
    .array(
      z.strictObject({
        /** Unique within the claim; a repeat is dropped. */
        id: z.string().min(1).max(128),
        type: z.string().regex(/^[a-z][a-z0-9_.]{0,63}$/, 'must be 1 to 64 of a-z 0-9 _ .'),
        at: wallMs,
        data: z
          .record(z.string(), z.unknown())
          .refine((data) => isShallow(data, limit.eventDepth), `must not be nested deeper than ${limit.eventDepth}`)
          .optional(),
      }),
    )
    .min(1)
    .max(limit.eventsPerCall),
})

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1))
}
export type TelemetryBody = z.infer<typeof telemetryBody>
export const telemetryReply = z.object({ stored: z.int(), repeated: z.int(), dropped: z.int() })
