// What swarm says and pond answers under /orch. Requests are strict; replies tolerate fields of a later version.

import { z } from 'zod'
import { bytesCount, digest, name, publicKey, resources, wallMs, workerLabels } from './field.ts'
import { bindingId, type ClaimId, claimId, codeId, type JobId, jobId, type WorkerId, workerId } from './id.ts'
import { limit } from './limit.ts'
import { defineRoutes, empty, nothing } from './shape.ts'
import { chunkQuery, chunkReply, outcomeReply, stateBody, statesBody, telemetryBody, telemetryReply } from './word.ts'

export const limits = z.object({
  chunk_bytes: z.int(),
  poll_hold_ms: z.int(),
  words_per_call: z.int(),
})
export type Limits = z.infer<typeof limits>

export const pairBody = z.strictObject({
  /** The id inside the printed code; its secret never travels. */
  code: codeId,
  name,
  protocol: z.int(),
  binding_key: publicKey,
  worker: z.strictObject({
    sealing_key: publicKey,
    signing_key: publicKey,
    labels: workerLabels,
    resources,
  }),
  /** HMAC-SHA-256 in hex, under the code's secret, over the RFC 8785 form of this body without `mac`. */
  mac: digest,
})
export type PairBody = z.infer<typeof pairBody>

export const pairReply = z.object({
  binding_id: bindingId,
  worker_id: workerId,
  token: z.string(),
  protocol: z.int(),
  pond_key: publicKey,
  project: z.string(),
  limits,
})
export type PairReply = z.infer<typeof pairReply>

/** `accepted`: in hand, nothing started. `running`: started. `ended`: over, its last words on their way. */
export const haveStates = ['accepted', 'running', 'ended'] as const
export type HaveState = (typeof haveStates)[number]

export const free = z.strictObject({
  slots: z.int().min(0).max(limit.slotsPerWorker),
  cpus: z.number().min(0).optional(),
  memory_bytes: bytesCount.optional(),
  gpus: z.array(z.string().max(128)).max(64).optional(),
})

const token = z.string().max(128)

export const pollBody = z.strictObject({
  protocol: z.int(),
  /** One per life of a swarm process. */
  session: token.min(8),
  /** Rises with each poll of a session; only the newest is read. */
  seq: z.int().min(1),
  /** New after each reply that brought intents; the same key gets the same live intents again. */
  claim_key: token.min(8),
  wait_ms: z.int().min(0).max(limit.pollHoldMs),
  workers: z.array(z.strictObject({ worker_id: workerId, free })).max(limit.workersPerBinding),
  /** The slot of a job that is running here may be filled as soon as its final word is accepted, in the reply to this poll. */
  refill: z.boolean().optional(),
  have: z
    .array(z.strictObject({ claim_id: claimId, state: z.enum(haveStates), started_at: wallMs.optional() }))
    .max(limit.havePerPoll),
})
export type PollBody = z.infer<typeof pollBody>

export const intent = z.object({
  claim_id: claimId,
  /** Rises with every claim of the job. */
  epoch: z.int(),
  claim_token: z.string(),
  worker_id: workerId,
  lease_ms: z.int(),
  confirm_ms: z.int(),
  job_id: jobId,
  /** Counts from 1; a claim that was never confirmed does not count. */
  attempt: z.int(),
  array_index: z.int().optional(),
  /** Base64 of the job's exact bytes. */
  job: z.string(),
  job_signature: z.string().optional(),
  cred_request: z.object({ name: z.string(), project: z.string() }).optional(),
  source_bundle: z.object({ digest: z.string(), size: z.int(), token: z.string() }).optional(),
  limits: z.object({ stream_bytes: z.int(), artifact_bytes: z.int() }),
})
export type Intent = z.infer<typeof intent>

export const statesReply = z.object({
  outcomes: z.array(outcomeReply),
  /** Where `refill` was asked for. */
  intents: z.array(intent).optional(),
})

export const directive = z.object({
  type: z.enum(['cancel', 'drop', 'drain', 'rotate', 'slow_down']).or(z.string()),
  claim_id: claimId.optional(),
  job_id: jobId.optional(),
  worker_id: workerId.optional(),
  /** For people: who asked, and why. */
  note: z.string().optional(),
  wait_ms: z.int().optional(),
})
export interface Directive {
  readonly type: 'cancel' | 'drop' | 'drain' | 'rotate' | 'slow_down'
  readonly claim_id?: ClaimId
  readonly job_id?: JobId
  readonly worker_id?: WorkerId
  readonly note?: string
  readonly wait_ms?: number
}

export const pollReply = z.object({
  protocol: z.int(),
  intents: z.array(intent),
  directives: z.array(directive),
  limits,
})
export type PollReply = z.infer<typeof pollReply>

export const snapshotBody = z.strictObject({
  session: token.min(8),
  seq: z.int().min(1),
  workers: z
    .array(
      z.strictObject({
        worker_id: workerId,
        keys: z.strictObject({ sealing_key: publicKey, signing_key: publicKey }),
        labels: workerLabels,
        resources,
        inflight: z.int().min(0),
        /** One-minute load average. */
        load: z.number().min(0),
        version: z.string().max(64),
        os: z.string().max(32).optional(),
        arch: z.string().max(32).optional(),
        /** Executor and the rung of its kill ladder. */
        executor: z.string().max(64).optional(),
        state: z.enum(['ready', 'paused', 'draining']).optional(),
      }),
    )
    .max(limit.workersPerBinding),
})
export type SnapshotBody = z.infer<typeof snapshotBody>

export const orchWhoami = z.object({
  binding_id: bindingId,
  name: z.string(),
  project: z.string(),
  protocol: z.int(),
  pond_key: publicKey,
  workers: z.array(z.object({ worker_id: workerId, name: z.string(), state: z.string() })),
})

const job = { id: jobId }

export const orchRoutes = defineRoutes({
  pair: {
    method: 'POST',
    path: '/orch/pair',
    caller: 'pair',
    says: 'Pair this machine with a printed code.',
    body: pairBody,
    reply: pairReply,
  },
  poll: {
    method: 'POST',
    path: '/orch/poll',
    caller: 'binding',
    says: 'Ask for intents and directives; held until there are some. The heartbeat.',
    body: pollBody,
    reply: pollReply,
  },
  sendWords: {
    method: 'POST',
    path: '/orch/states',
    caller: 'binding',
    says: 'Send words about many claims; each has its own outcome.',
    body: statesBody,
    reply: statesReply,
  },
  sendWord: {
    method: 'POST',
    path: '/orch/jobs/{id}/state',
    caller: 'claim',
    says: 'Send one word about a claim.',
    params: job,
    body: stateBody,
    reply: outcomeReply,
  },
  sendChunk: {
    method: 'POST',
    path: '/orch/jobs/{id}/chunk',
    caller: 'claim',
    says: 'Append raw bytes to a stream at an offset.',
    params: job,
    query: chunkQuery,
    body: 'bytes',
    reply: chunkReply,
  },
  sendTelemetry: {
    method: 'POST',
    path: '/orch/jobs/{id}/telemetry',
    caller: 'claim',
    says: 'Send progress and telemetry events, idempotent by event id.',
    params: job,
    body: telemetryBody,
    reply: telemetryReply,
  },
  sendSnapshot: {
    method: 'POST',
    path: '/orch/workers/snapshot',
    caller: 'binding',
    says: 'Tell what the workers are and how loaded; never pins a key.',
    body: snapshotBody,
    reply: nothing,
  },
  unpair: {
    method: 'POST',
    path: '/orch/unpair',
    caller: 'binding',
    says: 'Revoke this binding from its own side.',
    body: empty,
    reply: nothing,
  },
  orchWhoami: {
    method: 'GET',
    path: '/orch/whoami',
    caller: 'binding',
    says: 'Tell the binding, its scope and its workers.',
    reply: orchWhoami,
  },
  rotate: {
    method: 'POST',
    path: '/orch/rotate',
    caller: 'binding',
    says: 'Replace keys and token, signed by the old key.',
    reply: 'json',
    reserved: true,
  },
  seal: {
    method: 'POST',
    path: '/orch/seal',
    caller: 'binding',
    says: "Get a credential sealed to the worker's pinned key.",
    reply: 'json',
    reserved: true,
  },
  bundleToken: {
    method: 'POST',
    path: '/orch/bundle/token',
    caller: 'binding',
    says: "Get a token for a live claim's bundle.",
    reply: 'json',
    reserved: true,
  },
  bundleRedeem: {
    method: 'POST',
    path: '/orch/bundle/redeem',
    caller: 'binding',
    says: 'Turn a bundle token into a sealed key and a place to fetch from.',
    reply: 'json',
    reserved: true,
  },
  enroll: {
    method: 'POST',
    path: '/orch/enrollment/{code_id}/consumed',
    caller: 'binding',
    says: 'Add a further worker to the binding.',
    params: { code_id: z.string().max(64) },
    reply: 'json',
    reserved: true,
  },
})
