// What an operator says and pond answers under /v1/admin.

import { z } from 'zod'
import { jobPage, jobQuery, workerList, workerView } from './consumer.ts'
import { name, queryInt, workerLabels } from './field.ts'
import { bindingId, codeId, keyId, workerId } from './id.ts'
import { allowedLabels } from './job.ts'
import { limit } from './limit.ts'
import { quota } from './quota.ts'
import { fingerprintText } from './sealed.ts'
import { defineRoutes, empty, nothing } from './shape.ts'
import { statsView } from './stats.ts'
import { stopView } from './stop.ts'

export const scopes = ['submit', 'read', 'credentials'] as const
export type Scope = (typeof scopes)[number]

const DAY = 24 * 60 * 60 * 1000

/** Of machines that serve several projects each gets its part by weight, against those that want them too. */
const weight = z.int().min(1).max(limit.weightMost)

export const projectBody = z.strictObject({ name, weight: weight.optional() })
export const weightBody = z.strictObject({ weight })
export const projectView = z.object({
  id: z.string(),
  name: z.string(),
  weight: z.int(),
  created_at: z.int(),
  /** None of its jobs is handed out. */
  pause: stopView.optional(),
  /** What is absent is not limited. */
  quota: z.object(quota.shape).optional(),
})
export type ProjectView = z.infer<typeof projectView>
export const projectList = z.object({ items: z.array(projectView) })

/** Whose jobs a binding takes behind those of its own project: its friends', by name, then everybody's. */
export const ladderBody = z.strictObject({
  friends: z.array(name).max(limit.friendsPerBinding),
  public: z.boolean(),
})
export type LadderBody = z.infer<typeof ladderBody>
const ladderView = z.object({ friends: z.array(z.string()), public: z.boolean() })

export const keyBody = z.strictObject({
  /** `admin` may do everything on this pond; `project` acts for one project. */
  kind: z.enum(['project', 'admin']).optional(),
  project: name.optional(),
  name: name.optional(),
  scopes: z.array(z.enum(scopes)).min(1).optional(),
  expires_ms: z
    .int()
    .min(1000)
    .max(3660 * DAY)
    .optional(),
})
export type KeyBody = z.infer<typeof keyBody>
export const keyView = z.object({
  id: z.string(),
  kind: z.enum(['project', 'admin']),
  name: z.string(),
  project: z.string().nullable(),
  scopes: z.array(z.string()),
  created_at: z.int(),
  expires_at: z.int().optional(),
  revoked_at: z.int().optional(),
})
export type KeyView = z.infer<typeof keyView>
export const keyList = z.object({ items: z.array(keyView) })
/** The token is shown this once. */
export const keyCreated = keyView.extend({ token: z.string() })
export type KeyCreated = z.infer<typeof keyCreated>

export const pairingBody = z.strictObject({
  project: name.optional(),
  uses: z.int().min(1).max(1000).optional(),
  expires_ms: z.int().min(1000).max(DAY).optional(),
  /** Of each worker that comes with it, with these values and no others. */
  labels: workerLabels.optional(),
  /** What such a worker may choose for itself. */
  allowed_labels: allowedLabels.optional(),
  ephemeral: z.boolean().optional(),
  ladder: ladderBody.optional(),
  /** The only worker keys that may pair with it. */
  fingerprint: fingerprintText.optional(),
})
export type PairingBody = z.infer<typeof pairingBody>
export const pairingView = z.object({
  id: z.string(),
  project: z.string(),
  uses_left: z.int(),
  tries_left: z.int(),
  labels: z.record(z.string(), z.string()),
  allowed_labels: allowedLabels.optional(),
  ephemeral: z.boolean(),
  /** Of the bindings that it makes. */
  ladder: ladderView.optional(),
  fingerprint: z.string().optional(),
  created_at: z.int(),
  expires_at: z.int(),
})
export type PairingView = z.infer<typeof pairingView>
export const pairingList = z.object({ items: z.array(pairingView) })
/** `code` is what a person types behind `swarm pair URL#`; it is shown this once. */
export const pairingCreated = pairingView.extend({ code: z.string() })

export const enrollmentBody = z.strictObject({
  binding: bindingId,
  expires_ms: z.int().min(1000).max(DAY).optional(),
  /** Of each worker that comes with it, with these values and no others. */
  labels: workerLabels.optional(),
  /** What such a worker may choose for itself. */
  allowed_labels: allowedLabels.optional(),
  /** The only keys that may enroll with it. */
  fingerprint: fingerprintText.optional(),
})
export type EnrollmentBody = z.infer<typeof enrollmentBody>
export const enrollmentView = z.object({
  id: z.string(),
  binding_id: z.string(),
  tries_left: z.int(),
  labels: z.record(z.string(), z.string()),
  allowed_labels: allowedLabels.optional(),
  fingerprint: z.string().optional(),
  created_at: z.int(),
  expires_at: z.int(),
})
export type EnrollmentView = z.infer<typeof enrollmentView>
export const enrollmentList = z.object({ items: z.array(enrollmentView) })
/** `code` is what is typed behind `swarm worker add`; it is shown this once. */
export const enrollmentCreated = enrollmentView.extend({ code: z.string() })

export const drainBody = z.strictObject({
  /** What still runs after this is stopped, and may be run again elsewhere; without it the jobs take their time. */
  deadline_ms: z.int().min(0).max(limit.holdMostMs).optional(),
  /** For the owner of the machine. */
  note: z.string().min(1).max(limit.labelValueChars).optional(),
})

export const pondKeyView = z.object({ signing_key: z.string(), sealing_key: z.string(), rotated_at: z.int() })
export type PondKeyView = z.infer<typeof pondKeyView>

export const bindingView = z.object({
  id: z.string(),
  name: z.string(),
  project: z.string(),
  state: z.enum(['active', 'revoked']),
  online: z.boolean(),
  /** It removes itself; then it is in no list any more. */
  ephemeral: z.boolean().optional(),
  /** Absent where it serves its own project alone. */
  ladder: ladderView.optional(),
  workers: z.int(),
  /** How many of them have an order to drain. */
  draining: z.int().optional(),
  /** None of them gets anything new. */
  cordon: stopView.optional(),
  claims: z.int(),
  created_at: z.int(),
  last_poll_at: z.int().optional(),
  /** When its newest token ends, unless it is replaced before. */
  token_expires_at: z.int().optional(),
  revoked_at: z.int().optional(),
})
export type BindingView = z.infer<typeof bindingView>
export const bindingList = z.object({ items: z.array(bindingView) })

export const auditView = z.object({
  id: z.string(),
  at: z.int(),
  by: z.string(),
  action: z.string(),
  target: z.string(),
  note: z.string().optional(),
})
export type AuditView = z.infer<typeof auditView>
export const auditPage = z.object({ items: z.array(auditView), next: z.string().nullable() })
export const auditQuery = z.strictObject({
  cursor: z.string().max(64).optional(),
  limit: queryInt(1, limit.listMost).optional(),
})

/** Its name or its id. */
export const projectParams = { project: name }
export const keyParams = { id: keyId }
export const bindingParams = { id: bindingId }
export const codeParams = { id: codeId }
export const workerParams = { id: workerId }

export const adminRoutes = defineRoutes({
  createProject: {
    method: 'POST',
    path: '/v1/admin/projects',
    caller: 'admin',
    says: 'Create a project.',
    body: projectBody,
    reply: projectView,
    status: 201,
  },
  listProjects: {
    method: 'GET',
    path: '/v1/admin/projects',
    caller: 'admin',
    says: 'List projects.',
    reply: projectList,
  },
  putWeight: {
    method: 'PUT',
    path: '/v1/admin/projects/{project}/weight',
    caller: 'admin',
    says: 'Set the part of a project of machines that serve several.',
    params: projectParams,
    body: weightBody,
    reply: projectView,
  },
  setQuota: {
    method: 'PUT',
    path: '/v1/admin/projects/{project}/quota',
    caller: 'admin',
    says: 'Set what a project may use, by its name or id; what is left out is not limited.',
    params: projectParams,
    body: quota,
    reply: projectView,
  },
  createKey: {
    method: 'POST',
    path: '/v1/admin/keys',
    caller: 'admin',
    says: 'Create a project key or an admin token; it is shown this once.',
    body: keyBody,
    reply: keyCreated,
    status: 201,
  },
  listKeys: { method: 'GET', path: '/v1/admin/keys', caller: 'admin', says: 'List keys.', reply: keyList },
  revokeKey: {
    method: 'DELETE',
    path: '/v1/admin/keys/{id}',
    caller: 'admin',
    says: 'Revoke a key at once.',
    params: keyParams,
    reply: keyView,
  },
  createPairingCode: {
    method: 'POST',
    path: '/v1/admin/pairing-codes',
    caller: 'admin',
    says: 'Create a pairing code; it is shown this once.',
    body: pairingBody,
    reply: pairingCreated,
    status: 201,
  },
  listPairingCodes: {
    method: 'GET',
    path: '/v1/admin/pairing-codes',
    caller: 'admin',
    says: 'List pairing codes that can still be used.',
    reply: pairingList,
  },
  revokePairingCode: {
    method: 'DELETE',
    path: '/v1/admin/pairing-codes/{id}',
    caller: 'admin',
    says: 'Take a pairing code back.',
    params: codeParams,
    reply: nothing,
  },
  listBindings: {
    method: 'GET',
    path: '/v1/admin/bindings',
    caller: 'admin',
    says: 'List bindings.',
    reply: bindingList,
  },
  getBinding: {
    method: 'GET',
    path: '/v1/admin/bindings/{id}',
    caller: 'admin',
    says: 'Show a binding.',
    params: bindingParams,
    reply: bindingView,
  },
  putLadder: {
    method: 'PUT',
    path: '/v1/admin/bindings/{id}/ladder',
    caller: 'admin',
    says: "Say whose jobs a binding takes behind those of its own project: its friends', then everybody's.",
    params: bindingParams,
    body: ladderBody,
    reply: bindingView,
  },
  revokeBinding: {
    method: 'DELETE',
    path: '/v1/admin/bindings/{id}',
    caller: 'admin',
    says: 'Revoke a binding at once; its claims are lost.',
    params: bindingParams,
    reply: bindingView,
  },
  listAllWorkers: {
    method: 'GET',
    path: '/v1/admin/workers',
    caller: 'admin',
    says: 'List the workers of every project.',
    reply: workerList,
  },
  listAllJobs: {
    method: 'GET',
    path: '/v1/admin/jobs',
    caller: 'admin',
    says: 'List the jobs of every project, newest first.',
    query: jobQuery,
    reply: jobPage,
  },
  listAudit: {
    method: 'GET',
    path: '/v1/admin/audit',
    caller: 'admin',
    says: 'The audit log, newest first.',
    query: auditQuery,
    reply: auditPage,
  },
  createEnrollmentCode: {
    method: 'POST',
    path: '/v1/admin/enrollment-codes',
    caller: 'admin',
    says: 'Create a code for a further worker of a binding; it is shown this once.',
    body: enrollmentBody,
    reply: enrollmentCreated,
    status: 201,
  },
  listEnrollmentCodes: {
    method: 'GET',
    path: '/v1/admin/enrollment-codes',
    caller: 'admin',
    says: 'List enrollment codes that can still be used.',
    reply: enrollmentList,
  },
  revokeEnrollmentCode: {
    method: 'DELETE',
    path: '/v1/admin/enrollment-codes/{id}',
    caller: 'admin',
    says: 'Take an enrollment code back.',
    params: codeParams,
    reply: nothing,
  },
  drainWorker: {
    method: 'POST',
    path: '/v1/admin/workers/{id}/drain',
    caller: 'admin',
    says: 'Give a worker nothing more, and tell it to finish what it has and to leave. A repeat can only bring the deadline forward.',
    params: workerParams,
    body: drainBody,
    reply: workerView,
  },
  resumeWorker: {
    method: 'POST',
    path: '/v1/admin/workers/{id}/resume',
    caller: 'admin',
    says: 'Take a drain back; a swarm that heard of it has to be started again.',
    params: workerParams,
    body: empty,
    reply: workerView,
  },
  reinstateWorker: {
    method: 'POST',
    path: '/v1/admin/workers/{id}/reinstate',
    caller: 'admin',
    says: 'End the quarantine of a worker; its pinned keys stay.',
    params: workerParams,
    body: empty,
    reply: workerView,
  },
  revokeWorker: {
    method: 'DELETE',
    path: '/v1/admin/workers/{id}',
    caller: 'admin',
    says: 'Shut a worker out at once; its claims are lost.',
    params: workerParams,
    reply: workerView,
  },
  rotatePondKey: {
    method: 'POST',
    path: '/v1/admin/pond-key',
    caller: 'admin',
    says: "Replace pond's own keys; the old one signs the new ones, and machines take them over by themselves.",
    body: empty,
    reply: pondKeyView,
  },
  getStats: {
    method: 'GET',
    path: '/v1/admin/stats',
    caller: 'admin',
    says: 'How much waits by requirement class, what runs, and how long it took.',
    reply: statsView,
  },
})
