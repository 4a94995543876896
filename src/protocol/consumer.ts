// What consumers say and pond answers under /v1. Times are wall milliseconds since the Unix epoch, sizes bytes.

import { z } from 'zod'
import { digest, gpu, queryInt, sandboxes, streamName, workerClasses } from './field.ts'
import { jobId } from './id.ts'
import { causes, jobSpec, jobStates, tallyView } from './job.ts'
import { limit } from './limit.ts'
import { projectUsage, usageQuery } from './quota.ts'
import { dsse } from './sealed.ts'
import { defineRoutes, empty } from './shape.ts'
import { cordonView } from './stop.ts'
import { whyView } from './why.ts'
import { streamEnds } from './word.ts'

/** One job, or a batch that is stored whole or not at all. */
export const submitBatch = z.strictObject({ jobs: z.array(jobSpec).min(1).max(limit.batchJobs) })

/** A job that its consumer signed: the payload is the job's exact bytes. */
export const submitSigned = z.strictObject({ signed: dsse })

export const usageView = z.object({
  cpu_ms: z.number(),
  max_rss_bytes: z.number(),
  wall_ms: z.number(),
  sampled: z.boolean(),
})

export const jobView = z.object({
  id: z.string(),
  project: z.string(),
  state: z.enum(jobStates),
  /** Rises with every change; the id of the job's events. */
  version: z.int(),
  /** Of an array. */
  array: tallyView.optional(),
  /** Of an element: its array, and its place there. */
  array_id: z.string().optional(),
  array_index: z.int().optional(),
  /** SHA-256 of the job's exact bytes. */
  digest,
  command: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
  priority: z.int(),
  /** What it asks of its worker, where it asks for anything. */
  requires: z.record(z.string(), z.unknown()).optional(),
  /** Where one job is asked for: those that it still waits for. */
  after: z.array(z.object({ job: z.string(), on: z.enum(['success', 'end']) })).optional(),
  idempotent: z.boolean(),
  /** Attempts that were confirmed so far. */
  attempts: z.int(),
  created_at: z.int(),
  not_before: z.int().optional(),
  expires_at: z.int().optional(),
  started_at: z.int().optional(),
  ended_at: z.int().optional(),
  cancel_requested_at: z.int().optional(),
  worker: z.string().optional(),
  cause: z.enum(causes).optional(),
  rc: z.int().optional(),
  message: z.string().optional(),
  usage: usageView.optional(),
  has_result: z.boolean(),
  /** Its output is sealed to these (`pond_recipient_…`); empty: pond can read it. */
  recipients: z.array(z.string()),
  credential: z.string().optional(),
  bundle: z.string().optional(),
  /** Ed25519 key of who signed the job. */
  signer: z.string().optional(),
  /** The worker signed what did run. */
  attested: z.boolean(),
  /** A late result that a person took for the job's: what is asked without `attempt` is of this one. State, cause and rc of the job stand. */
  adopted: z
    .object({
      attempt: z.int(),
      /** `key` or `admin`, and an id behind a colon. */
      by: z.string(),
      at: z.int(),
      cause: z.enum(causes),
      rc: z.int().optional(),
    })
    .optional(),
  /** The job that it runs once more, and the one that runs it once more. */
  replay_of: z.string().optional(),
  replayed_by: z.string().optional(),
  /** When it was taken out of the dead letters. */
  dismissed_at: z.int().optional(),
})
export type JobView = z.infer<typeof jobView>

export const jobPage = z.object({ items: z.array(jobView), next: z.string().nullable() })
export const jobBatch = z.object({ items: z.array(jobView) })

export const transitionView = z.object({
  version: z.int(),
  at: z.int(),
  from: z.enum(jobStates).nullable(),
  to: z.enum(jobStates),
  /** Who caused it: `consumer`, `admin`, `worker`, `pond`, and an id behind a colon. */
  by: z.string(),
  cause: z.enum(causes).optional(),
  note: z.string().optional(),
  claim_id: z.string().optional(),
})
export const transitionList = z.object({ items: z.array(transitionView) })

export const streamView = z.object({
  name: z.string(),
  bytes: z.int(),
  produced: z.int().optional(),
  sha256: z.string().optional(),
  end: z.enum(streamEnds).optional(),
})

export const attemptView = z.object({
  claim_id: z.string(),
  attempt: z.int(),
  epoch: z.int(),
  /** The lease's state: granted, confirmed, held, ended, lost, returned or revoked. */
  state: z.string(),
  worker: z.string(),
  worker_name: z.string(),
  claimed_at: z.int(),
  confirmed_at: z.int().optional(),
  started_at: z.int().optional(),
  ended_at: z.int().optional(),
  cause: z.enum(causes).optional(),
  rc: z.int().optional(),
  message: z.string().optional(),
  usage: usageView.optional(),
  streams: z.array(streamView),
  /** True for the result of a claim that had lost its lease: kept beside the job, which it did not change. */
  orphan: z.boolean(),
})
export type AttemptView = z.infer<typeof attemptView>
export const attemptList = z.object({ items: z.array(attemptView) })

/** `key=value`. */
export const cancelBody = z.strictObject({ label: z.string().max(400) })
export const cancelReply = z.object({
  /** Jobs that ended at once, because nobody had them. */
  cancelled: z.int(),
  /** Jobs whose workers are told. */
  asked: z.int(),
})

export const jobQuery = z.strictObject({
  /** Instead of jobs, the elements of this array that have begun. */
  array: jobId.optional(),
  state: z.enum(jobStates).optional(),
  /** `key=value`. */
  label: z.string().max(400).optional(),
  cursor: z.string().max(64).optional(),
  limit: queryInt(1, limit.listMost).optional(),
})
export const waitQuery = z.strictObject({
  wait_ms: queryInt(0, limit.waitMs).optional(),
  /** With `wait_ms`: return as soon as the version is above this, instead of at the end. */
  above: queryInt(0, Number.MAX_SAFE_INTEGER).optional(),
})
export const streamQuery = z.strictObject({
  /** Defaults to the adopted attempt, else the latest. */
  attempt: queryInt(1, 1_000_000).optional(),
  offset: queryInt(0, Number.MAX_SAFE_INTEGER).optional(),
  wait_ms: queryInt(0, limit.waitMs).optional(),
  follow: z.enum(['0', '1']).optional(),
})
export const streamParams = { name: streamName }
/** With the chunks' own marks: where each starts and when the worker read it. */
export const chunkList = z.object({
  items: z.array(z.object({ offset: z.int(), length: z.int(), at: z.int(), order: z.int() })),
})

export const eventQuery = z.strictObject({ label: z.string().max(400).optional() })

/** One server-sent event: `id` is the job's version, `event` is `job` or `telemetry`, `data` this object as JSON. */
export const jobEvent = z.object({ job_id: z.string(), version: z.int(), state: z.enum(jobStates) })

export const workerView = z.object({
  id: z.string(),
  name: z.string(),
  binding_id: z.string(),
  project: z.string(),
  /** online, paused, cordoned, draining, away (silent, and its claims are still waited for), offline, quarantined or revoked. */
  state: z.string(),
  /** For people: why it takes no jobs. */
  note: z.string().optional(),
  /** server or laptop; a laptop may be away for longer. */
  class: z.enum(workerClasses).optional(),
  sealing_key: z.string(),
  signing_key: z.string(),
  /** Short form of both keys, the same on both ends. */
  fingerprint: z.string(),
  /** What made these keys of older ones, oldest first, each signed by the key that it replaced; not all, where there were many. */
  rotations: z.array(dsse).optional(),
  labels: z.record(z.string(), z.string()),
  /** Keys of the labels that an operator gave it; the others are its own word. An older pond does not tell. */
  granted_labels: z.array(z.string()).optional(),
  slots: z.int(),
  /** What it has in all, beside its slots. */
  cpus: z.number().optional(),
  memory_bytes: z.int().optional(),
  disk_bytes: z.int().optional(),
  gpus: z.array(gpu).optional(),
  inflight: z.int(),
  load: z.number().optional(),
  version: z.string().optional(),
  os: z.string().optional(),
  arch: z.string().optional(),
  executor: z.string().optional(),
  /** An operator's order to leave; it ends when the worker that heard of it and left is started again. */
  drain: z
    .object({
      at: z.int(),
      by: z.string(),
      /** What still runs then is stopped. */
      deadline_at: z.int().optional(),
      note: z.string().optional(),
      heard: z.boolean(),
    })
    .optional(),
  /** An operator lets it have nothing new; what it runs goes on. */
  cordon: cordonView.optional(),
  /** Keys it showed that are not the pinned ones. */
  shown_fingerprint: z.string().optional(),
  /** uid, bubblewrap or none. */
  sandbox: z.enum(sandboxes).optional(),
  /** Its owner takes jobs with secrets without a sandbox. */
  allow_unsandboxed: z.boolean().optional(),
  last_poll_at: z.int().optional(),
})
export type WorkerView = z.infer<typeof workerView>
export const workerList = z.object({ items: z.array(workerView) })

export const consumerWhoami = z.object({
  kind: z.enum(['admin', 'key']),
  id: z.string(),
  name: z.string(),
  project: z.string().nullable(),
  scopes: z.array(z.string()),
  protocol: z.int(),
  expires_at: z.int().optional(),
  /** Pond's own keys: what consumers pin. */
  pond: z.object({
    signing_key: z.string(),
    sealing_key: z.string(),
    /** A rotation of kind `pond` that names both, signed by the signing key, then by each key before it that is still known. */
    proofs: z.array(dsse),
  }),
})

const job = { id: jobId }

export const consumerRoutes = defineRoutes({
  submitJob: {
    method: 'POST',
    path: '/v1/jobs',
    caller: 'submit',
    says: 'Submit one job (201 and Location), {signed: …}, or {jobs: […]}, all or nothing. Idempotency-Key is honoured for 7 days.',
    body: z.union([jobSpec, submitBatch, submitSigned]),
    reply: z.union([jobView, jobBatch]),
    status: 201,
  },
  listJobs: {
    method: 'GET',
    path: '/v1/jobs',
    caller: 'read',
    says: 'List jobs, newest first.',
    query: jobQuery,
    reply: jobPage,
  },
  getJob: {
    method: 'GET',
    path: '/v1/jobs/{id}',
    caller: 'read',
    says: 'Show a job; with wait_ms wait for its end.',
    params: job,
    query: waitQuery,
    reply: jobView,
  },
  getJobSpec: {
    method: 'GET',
    path: '/v1/jobs/{id}/spec',
    caller: 'read',
    says: "The job's exact bytes.",
    params: job,
    reply: 'bytes',
  },
  listTransitions: {
    method: 'GET',
    path: '/v1/jobs/{id}/transitions',
    caller: 'read',
    says: 'Every change of state: when, from, to, by whom, why.',
    params: job,
    reply: transitionList,
  },
  listAttempts: {
    method: 'GET',
    path: '/v1/jobs/{id}/attempts',
    caller: 'read',
    says: 'Every claim of the job with its streams.',
    params: job,
    reply: attemptList,
  },
  getResult: {
    method: 'GET',
    path: '/v1/jobs/{id}/result',
    caller: 'read',
    says: 'The JSON that the job wrote to $POND_RESULT; 425 until the job ended.',
    params: job,
    reply: 'bytes',
  },
  cancelJob: {
    method: 'POST',
    path: '/v1/jobs/{id}/cancel',
    caller: 'submit',
    says: 'Cancel: at once if nobody runs it, else the worker is told.',
    params: job,
    body: empty,
    reply: jobView,
  },
  cancelJobs: {
    method: 'POST',
    path: '/v1/cancellations',
    caller: 'submit',
    says: 'Cancel every job of the project that has this label and has not ended.',
    body: cancelBody,
    reply: cancelReply,
  },
  readStream: {
    method: 'GET',
    path: '/v1/jobs/{id}/streams/{name}',
    caller: 'read',
    says: 'Bytes of a stream from an offset; follow=1 keeps going until the attempt ended.',
    params: { ...job, ...streamParams },
    query: streamQuery,
    reply: 'bytes',
  },
  listChunks: {
    method: 'GET',
    path: '/v1/jobs/{id}/streams/{name}/chunks',
    caller: 'read',
    says: 'Where the chunks of a stream start and when the worker read them.',
    params: { ...job, ...streamParams },
    query: streamQuery,
    reply: chunkList,
  },
  followJob: {
    method: 'GET',
    path: '/v1/jobs/{id}/events',
    caller: 'read',
    says: "Server-sent events of one job; the ids are the job's versions.",
    params: job,
    reply: 'events',
  },
  followJobs: {
    method: 'GET',
    path: '/v1/events',
    caller: 'read',
    says: "Server-sent events of the project's jobs, filtered by label.",
    query: eventQuery,
    reply: 'events',
  },
  listWorkers: {
    method: 'GET',
    path: '/v1/workers',
    caller: 'read',
    says: 'The workers that serve the project, with keys and fingerprints.',
    reply: workerList,
  },
  whoami: {
    method: 'GET',
    path: '/v1/whoami',
    caller: 'read',
    says: 'What this token is and may do.',
    reply: consumerWhoami,
  },
  explainJob: {
    method: 'GET',
    path: '/v1/jobs/{id}/why',
    caller: 'read',
    says: 'Why the job waits, worker by worker, or how it ended.',
    params: job,
    reply: whyView,
  },
  getUsage: {
    method: 'GET',
    path: '/v1/usage',
    caller: 'read',
    says: 'What the project used, day by day, and how its quotas stand.',
    query: usageQuery,
    reply: projectUsage,
  },
})
