// What swarm says and pond answers under /orch. Requests are strict; replies tolerate fields of a later version.

import { z } from 'zod'
import {
  bytesCount,
  digest,
  name,
  publicKey,
  queryInt,
  resources,
  sandboxes,
  wallMs,
  withoutLabels,
  workerClasses,
  workerLabels,
} from './field.ts'
import { bindingId, type ClaimId, claimId, codeId, type JobId, jobId, type WorkerId, workerId } from './id.ts'
import { limit } from './limit.ts'
import { callKeyBody, callKeyReply, rotateBody, rotateReply } from './renewal.ts'
import { dsse } from './sealed.ts'
import { defineRoutes, empty, nothing } from './shape.ts'
import { chunkQuery, chunkReply, outcomeReply, stateBody, statesBody, telemetryBody, telemetryReply } from './word.ts'

export const limits = z.object({
  chunk_bytes: z.int(),
  poll_hold_ms: z.int(),
  words_per_call: z.int(),
  /** In the reply to a poll: whoever lost pond comes back at a random moment of this time, so that not all do at once. */
  return_ms: z.int().optional(),
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
    /** What it says of itself beside what its code gives; the code has to allow it. */
    labels: workerLabels,
    without_labels: withoutLabels.optional(),
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
  /** Swarm asks for the next one when three quarters of its life are over. */
  token_expires_at: wallMs,
  protocol: z.int(),
  pond_key: publicKey,
  project: z.string(),
  /** The binding ends with the run of swarm that ends in order, or when pond has not heard of it for long. */
  ephemeral: z.boolean().optional(),
  /** Of the worker, those of its code with its own; an older pond does not tell. */
  labels: z.record(z.string(), z.string()).optional(),
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
  /** The `receipt` of the newest poll whose reply arrived. From step 3 on: without it none did. */
  heard: token.optional(),
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
  /** With a signed job: the DSSE signature over these bytes. */
  job_signature: z.object({ keyid: publicKey, sig: z.string() }).optional(),
  cred_request: z.object({ name: z.string(), project: z.string() }).optional(),
  source_bundle: z.object({ digest: z.string(), size: z.int(), token: z.string() }).optional(),
  /** The devices that are the job's own, by uuid. */
  gpus: z.array(z.string()).optional(),
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
  /** What the next poll names as `heard`; an older pond has none. */
  receipt: token.optional(),
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
        /** What it does not say counts as `none`. */
        sandbox: z.enum(sandboxes).optional(),
        /** Its owner takes jobs with secrets without a sandbox. */
        allow_unsandboxed: z.boolean().optional(),
        state: z.enum(['ready', 'paused', 'draining']).optional(),
        /** How long it may be silent before its claims are lost; what it does not say stays as it last said, `server` at first. Step 3. */
        class: z.enum(workerClasses).optional(),
        /** For people: why it takes no jobs. Step 3. */
        note: z.string().max(limit.noteChars).optional(),
      }),
    )
    .max(limit.workersPerBinding),
})
export type SnapshotBody = z.infer<typeof snapshotBody>

/** The job, its claim, and the worker that asks. */
const forClaim = { job_id: jobId, claim_id: claimId, worker_id: workerId }
export const sealBody = z.strictObject(forClaim)
/** A grant: signed by pond, its box sealed to the worker. */
export const sealReply = z.object({ sealed: dsse })

export const bundleTokenReply = z.object({ token })
export const redeemBody = z.strictObject({ ...forClaim, token })
export const redeemReply = z.object({
  /** A grant, as for a credential; the frames are at `href`. */
  sealed: dsse,
  digest,
  size: bytesCount,
  /** Ciphertext only. A path of pond's own, or a URL that is sent no token. */
  href: z.string().max(2048),
})
export const fetchBundleQuery = z.strictObject({
  job: jobId,
  claim: claimId,
  offset: queryInt(0, Number.MAX_SAFE_INTEGER).optional(),
})

/** Said by a further worker of a binding. Its MAC covers pond's and the binding's id too, so it is worth nothing elsewhere. */
export const enrollBody = z.strictObject({
  name,
  worker: z.strictObject({
    ...{ sealing_key: publicKey, signing_key: publicKey },
    ...{ labels: workerLabels, without_labels: withoutLabels.optional(), resources },
  }),
  /** HMAC-SHA-256 in hex, under the code's secret. */
  mac: digest,
})
export type EnrollBody = z.infer<typeof enrollBody>
export const enrollReply = z.object({
  worker_id: workerId,
  pond_key: publicKey,
  /** As in the reply to pairing: for people, the MAC is not over them. */
  labels: z.record(z.string(), z.string()).optional(),
  /** Pond's own HMAC over worker id and pond key: whoever stands between cannot say them. */
  mac: digest,
})
export type EnrollReply = z.infer<typeof enrollReply>

export const orchWhoami = z.object({
  binding_id: bindingId,
  name: z.string(),
  project: z.string(),
  /** Whose jobs come behind those of its project; absent where none do. */
  ladder: z.object({ friends: z.array(z.string()), public: z.boolean() }).optional(),
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
  agreeCallKey: {
    method: 'POST',
    path: '/orch/call-key',
    caller: 'binding',
    lasts: true,
    says: 'Agree on a key for calls, which costs less than signing each; it lives an hour, and in memory alone.',
    body: callKeyBody,
    reply: callKeyReply,
  },
  unpair: {
    method: 'POST',
    path: '/orch/unpair',
    caller: 'binding',
    lasts: true,
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
    caller: 'renewal',
    lasts: true,
    says: 'Replace the token, and keys signed by the ones they replace.',
    body: rotateBody,
    reply: rotateReply,
  },
  seal: {
    method: 'POST',
    path: '/orch/seal',
    caller: 'claim',
    lasts: true,
    says: "Get the credential of a claim's job, sealed to the worker's pinned key.",
    body: sealBody,
    reply: sealReply,
  },
  bundleToken: {
    method: 'POST',
    path: '/orch/bundle/token',
    caller: 'claim',
    lasts: true,
    says: "Get the token for a live claim's bundle once more.",
    body: sealBody,
    reply: bundleTokenReply,
  },
  bundleRedeem: {
    method: 'POST',
    path: '/orch/bundle/redeem',
    caller: 'claim',
    lasts: true,
    says: 'Turn a bundle token into a sealed key and a place to fetch from.',
    body: redeemBody,
    reply: redeemReply,
  },
  fetchBundle: {
    method: 'GET',
    path: '/orch/bundles/{digest}',
    caller: 'claim',
    lasts: true,
    says: "A piece of the stored bytes of a live claim's bundle, from an offset.",
    params: { digest },
    query: fetchBundleQuery,
    reply: 'bytes',
  },
  enroll: {
    method: 'POST',
    path: '/orch/enrollment/{code_id}/consumed',
    caller: 'binding',
    lasts: true,
    says: 'Add a further worker to the binding, with its own keys.',
    params: { code_id: codeId },
    body: enrollBody,
    reply: enrollReply,
  },
})
