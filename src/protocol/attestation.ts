// What a worker states and signs about its claims: an in-toto Statement v1 whose subjects are the digests of the stored bytes.
import { z } from 'zod'
import { digest } from './field.ts'
import { claimId, jobId, workerId } from './id.ts'
import { workerCauses } from './job.ts'
import { limit } from './limit.ts'
import { streamEnds, usage } from './word.ts'

export const statementType = 'https://in-toto.io/Statement/v1'
export const predicateType = 'urn:pond-swarm:execution:v1'

/** One claim's part of a statement. */
export const executionFacts = z.strictObject({
  job: jobId,
  /** SHA-256 of the job's exact bytes, as the worker got them. */
  job_digest: digest,
  claim: claimId,
  epoch: z.int(),
  /** SHA-256 of the bundle's stored bytes. */
  bundle: digest.optional(),
  cause: z.enum(workerCauses),
  rc: z.int().min(0).max(255).optional(),
  started_at: z.int().min(0).optional(),
  ended_at: z.int().min(0).optional(),
  usage: usage.optional(),
  /** SHA-256 of the result as it was sent. */
  result: digest.optional(),
  /** How each stream ended; the digests of their stored bytes are the subjects `<claim>/<stream>`. */
  streams: z.record(z.string(), z.strictObject({ bytes: z.int().min(0), end: z.enum(streamEnds) })),
})
export type ExecutionFacts = z.infer<typeof executionFacts>

export const statement = z.strictObject({
  _type: z.literal(statementType),
  subject: z.array(z.strictObject({ name: z.string(), digest: z.strictObject({ sha256: digest }) })).min(1),
  predicateType: z.literal(predicateType),
  predicate: z.strictObject({
    worker: workerId,
    /** Of the program that ran the jobs. */
    version: z.string().max(64),
    executions: z.array(executionFacts).min(1).max(limit.wordsPerCall),
  }),
})
export type Statement = z.infer<typeof statement>
