// One handler per route: from what was asked to the service that does it, and from its answer to a reply. No rule lives here.
import { Refusal } from '../../src/protocol/error.ts'
import { openApi } from '../../src/protocol/openapi.ts'
import type { BodyOf, ParamsOf, QueryOf, RouteName } from '../../src/protocol/route.ts'
import type { StopBody } from '../../src/protocol/stop.ts'
import { PROTOCOL } from '../../src/protocol/version.ts'
import type { OutcomeReply } from '../../src/protocol/word.ts'
import type { Identity } from '../service/access.ts'
import { adoptAttempt } from '../service/adopt.ts'
import { findArtifact, listArtifacts } from '../service/artifact.ts'
import { readAttestation } from '../service/attestation.ts'
import { listAudit } from '../service/audit.ts'
import * as binding from '../service/binding.ts'
import { dismissJob, listDead } from '../service/dead.ts'
import * as drain from '../service/drain.ts'
import * as enrollment from '../service/enrollment.ts'
import { followJob, followProject } from '../service/event.ts'
import * as job from '../service/job.ts'
import * as key from '../service/key.ts'
import * as order from '../service/order.ts'
import * as pairing from '../service/pairing.ts'
import type { Services } from '../service/pond.ts'
import { replayJob, replayJobs } from '../service/replay.ts'
import * as rotation from '../service/rotation.ts'
import { Parked } from '../service/session.ts'
import { readStats } from '../service/stats.ts'
import { openSignedJob, type Submission, submitJobs } from '../service/submit.ts'
import { hearTelemetry } from '../service/telemetry.ts'
import { readUsage } from '../service/usage.ts'
import { viewAttempt, viewJob } from '../service/view.ts'
import { explainJob } from '../service/why.ts'
import { hearWords } from '../service/word.ts'
import * as worker from '../service/worker.ts'
import { adminOf, bindingOf, byOf, claimTokenOf, projectOf, reachOf, scopeOf } from './caller.ts'
import {
  bytesReply,
  eventsReply,
  type HeldReply,
  heldReply,
  jsonReply,
  type PondReply,
  type PondRequest,
} from './message.ts'
import { idempotencyKeyOf, parseJob } from './parse.ts'
import { listChunks, readStream } from './stream.ts'

/** Of a call that does not say how many days it wants. */
const USAGE_DAYS = 7

export interface Asked<N extends RouteName> {
  readonly params: ParamsOf<N>
  readonly query: QueryOf<N>
  readonly body: BodyOf<N>
  readonly raw: unknown
  readonly identity: Identity
  readonly request: PondRequest
}

export type Handler<N extends RouteName> = (
  services: Services,
  asked: Asked<N>,
) => Promise<PondReply | (N extends 'poll' ? HeldReply : never)>

/** Routes that are served; the others hold their place. */
export const handlers: { readonly [N in RouteName]?: Handler<N> } = {
  pair: async ({ core, access }, { body, request }) =>
    jsonReply(200, await pairing.pair({ core, access }, body, request)),
  async poll({ polls }, { body, identity }) {
    const told = await polls.poll(bindingOf(identity), body)
    return told instanceof Parked ? heldReply(told, () => polls.leave(told)) : jsonReply(200, told)
  },
  async sendWords({ core, polls }, { body, identity }) {
    const words = body.words.map(({ job_id, claim_token, ...word }) => ({
      jobId: job_id,
      token: claim_token,
      body: word,
    }))
    const { attestation, refill } = body
    const batch = { words, attestation, refill }
    const { outcomes, intents } = await hearWords({ core, polls }, bindingOf(identity).bindingId, batch)
    return jsonReply(200, { outcomes, ...(intents.length > 0 && { intents }) })
  },
  async sendWord({ core, polls }, { params, body, identity, request }) {
    const { attestation, ...said } = body
    const word = { jobId: params.id, token: claimTokenOf(request), body: said }
    const {
      outcomes: [outcome],
    } = await hearWords({ core, polls }, bindingOf(identity).bindingId, { words: [word], attestation })
    if (!outcome) throw new Error('a word has an outcome')
    return wordReply(outcome)
  },
  async sendChunk({ streams }, { params, query, body, identity, request }) {
    const { bindingId } = bindingOf(identity)
    const caller = { bindingId, jobId: params.id, claimId: query.claim, token: claimTokenOf(request) }
    return jsonReply(200, await streams.append(caller, query, body))
  },
  async sendTelemetry({ core }, { params, body, identity, request }) {
    const { bindingId } = bindingOf(identity)
    const caller = { bindingId, jobId: params.id, claimId: body.claim_id, token: claimTokenOf(request) }
    return jsonReply(200, await hearTelemetry(core, caller, body))
  },
  sendSnapshot: async ({ snapshots }, { body, identity }) =>
    jsonReply(200, await snapshots.hear(bindingOf(identity), body)),
  async unpair(services, { identity }) {
    const { bindingId } = bindingOf(identity)
    await binding.revokeBinding(services, { id: bindingId, by: `binding:${bindingId}` })
    return jsonReply(200, {})
  },
  enroll: async ({ core }, { params, body, identity }) =>
    jsonReply(
      200,
      await enrollment.enroll(core, { bindingId: bindingOf(identity).bindingId, codeId: params.code_id, body }),
    ),
  rotate: async ({ core, access }, { body, identity }) =>
    jsonReply(200, await rotation.rotate({ core, access }, bindingOf(identity), body)),
  orchWhoami: async ({ core, polls }, { identity }) =>
    jsonReply(200, await binding.describeBinding(core, polls, bindingOf(identity).bindingId)),

  async submitJob({ core, polls }, { body, raw, identity, request }) {
    const batch = 'jobs' in body
    const idempotencyKey = idempotencyKeyOf(request)
    const rows = await submitJobs(
      { core, polls },
      {
        projectId: projectOf(core, identity, request),
        by: byOf(identity),
        jobs: jobsIn(body, raw),
        batch,
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      },
    )
    const [first] = rows
    if (batch || !first) return jsonReply(201, { items: rows.map((row) => viewJob(core, row)) })
    return jsonReply(201, viewJob(core, first), { location: `/v1/jobs/${first.id}` })
  },
  listJobs: async ({ core }, { query, identity, request }) =>
    jsonReply(200, await job.listJobs(core, scopeOf(core, identity, request), query)),
  async getJob({ core }, { params, query, identity, request }) {
    const asked = { scope: reachOf(identity), id: params.id, waitMs: query.wait_ms ?? 0, above: query.above }
    return jsonReply(200, await job.awaitJob(core, { ...asked, signal: request.signal() }))
  },
  async getJobSpec({ core }, { params, identity }) {
    await job.readJob(core, reachOf(identity), params.id)
    const spec = await core.store.read((tx) => tx.getSpec(params.id))
    return bytesReply(200, spec ?? new Uint8Array(), { 'content-type': 'application/json; charset=utf-8' })
  },
  async listTransitions({ core }, { params, identity }) {
    await job.readJob(core, reachOf(identity), params.id)
    const rows = await core.store.read((tx) => tx.listTransitions(params.id))
    const items = rows.map(({ jobId: _, from, claimId, ...row }) => ({ ...row, from: from ?? null, claim_id: claimId }))
    return jsonReply(200, { items })
  },
  async listAttempts({ core }, { params, identity }) {
    await job.readJob(core, reachOf(identity), params.id)
    const rows = await core.store.read((tx) => tx.listClaims(params.id))
    return jsonReply(200, { items: await Promise.all(rows.map((row) => viewAttempt(core, row))) })
  },
  async getResult({ core }, { params, identity }) {
    const row = await job.readJob(core, reachOf(identity), params.id)
    if (!row.law.end) throw new Refusal('not_final', `the job is ${row.law.state}`, { state: row.law.state })
    const claimId = row.resultClaimId
    const text = claimId && (await core.store.read((tx) => tx.getResult(claimId)))
    if (text === undefined) throw new Refusal('not_found', 'the job wrote no result', { reason: 'no_result' })
    return bytesReply(200, text, { 'content-type': 'application/json; charset=utf-8' })
  },
  explainJob: async (parts, { params, identity }) =>
    jsonReply(200, await explainJob(parts, { scope: reachOf(identity), id: params.id })),
  cancelJob: async ({ core }, { params, identity }) =>
    jsonReply(200, await job.cancelJob(core, { scope: reachOf(identity), id: params.id, by: byOf(identity) })),
  async cancelJobs({ core }, { body, identity, request }) {
    const projectId = projectOf(core, identity, request)
    return jsonReply(
      200,
      await job.cancelJobs(core, { projectId, label: job.parseLabel(body.label), by: byOf(identity) }),
    )
  },
  adoptAttempt: async ({ core }, { params, body, identity }) =>
    jsonReply(200, await adoptAttempt(core, { scope: reachOf(identity), id: params.id, by: byOf(identity), ...body })),
  listDead: async ({ core }, { query, identity, request }) =>
    jsonReply(200, await listDead(core, projectOf(core, identity, request), query)),
  dismissJob: async ({ core }, { params, identity }) =>
    jsonReply(200, await dismissJob(core, { scope: reachOf(identity), id: params.id, by: byOf(identity) })),
  async replayJob(parts, { params, identity }) {
    const made = await replayJob(parts, { scope: reachOf(identity), id: params.id, by: byOf(identity) })
    return jsonReply(201, made, { location: `/v1/jobs/${made.id}` })
  },
  async replayJobs({ core, polls }, { body, identity, request }) {
    const projectId = projectOf(core, identity, request)
    return jsonReply(200, await replayJobs({ core, polls }, { ...body, projectId, by: byOf(identity) }))
  },
  readStream: ({ core }, { params, query, identity, request }) =>
    readStream(core, { scope: reachOf(identity), jobId: params.id, name: params.name, query, request }),
  listChunks: async ({ core }, { params, query, identity }) =>
    jsonReply(200, await listChunks(core, { scope: reachOf(identity), jobId: params.id, name: params.name, query })),
  async followJob({ core }, { params, identity, request }) {
    const scope = reachOf(identity)
    await job.readJob(core, scope, params.id)
    const lastVersion = Number.parseInt(request.headers['last-event-id'] ?? '0', 10) || 0
    return eventsReply(followJob(core, { scope, id: params.id, lastVersion, signal: request.signal() }))
  },
  async followJobs({ core }, { query, identity, request }) {
    const label = query.label === undefined ? undefined : job.parseLabel(query.label)
    const projectId = projectOf(core, identity, request)
    return eventsReply(followProject(core, { projectId, label, signal: request.signal() }))
  },
  getAttestation: async ({ core }, { params, query, identity }) =>
    jsonReply(200, await readAttestation(core, { scope: reachOf(identity), jobId: params.id, attempt: query.attempt })),
  listArtifacts: async ({ core }, { params, query, identity }) =>
    jsonReply(200, await listArtifacts(core, { scope: reachOf(identity), jobId: params.id, attempt: query.attempt })),
  async readArtifact({ core }, { params, query, identity, request }) {
    const ask = { scope: reachOf(identity), jobId: params.id, attempt: query.attempt }
    const { name, attempt } = await findArtifact(core, ask, params.path)
    return await readStream(core, { ...ask, name, query: { ...query, attempt }, request })
  },
  listWorkers: async ({ core, polls }, { identity, request }) =>
    jsonReply(200, worker.listWorkers(core, polls, scopeOf(core, identity, request))),
  async getUsage({ core }, { query, identity, request }) {
    const { project, days = USAGE_DAYS } = query
    const named = project === undefined ? request : { headers: { 'pond-project': project } }
    return jsonReply(200, await readUsage(core, projectOf(core, identity, named), days))
  },
  whoami: async ({ core }, { identity }) => jsonReply(200, await describeCaller(core, identity)),

  createProject: async ({ core }, { body, identity }) =>
    jsonReply(201, await key.createProject(core, body, byOf(identity))),
  putWeight: async ({ core }, { params, body, identity }) =>
    jsonReply(200, await key.putWeight(core, { name: params.project, weight: body.weight, by: byOf(identity) })),
  listProjects: async ({ core }) => jsonReply(200, await key.listProjects(core)),
  setQuota: async ({ core }, { params, body, identity }) =>
    jsonReply(200, await key.setQuota(core, { project: params.project, quota: body, by: byOf(identity) })),
  createKey: async ({ core, access }, { body, identity }) =>
    jsonReply(201, await key.createKey({ core, access }, body, byOf(identity))),
  listKeys: async ({ core }) => jsonReply(200, await key.listKeys(core)),
  revokeKey: async ({ core, access }, { params, identity }) =>
    jsonReply(200, await key.revokeKey({ core, access }, params.id, byOf(identity))),
  async createPairingCode({ core }, { body, identity }) {
    const projectId = key.projectByName(core, body.project ?? key.DEFAULT_PROJECT)
    const asked = { ...body, projectId, by: adminOf(identity), expiresMs: body.expires_ms }
    return jsonReply(201, await pairing.createPairingCode(core, asked))
  },
  listPairingCodes: async ({ core }) => jsonReply(200, await pairing.listPairingCodes(core)),
  revokePairingCode: async ({ core }, { params, identity }) =>
    jsonReply(200, await pairing.revokePairingCode(core, params.id, adminOf(identity))),
  createEnrollmentCode: async ({ core }, { body, identity }) =>
    jsonReply(201, await enrollment.createEnrollmentCode(core, body, byOf(identity))),
  listEnrollmentCodes: async ({ core }) => jsonReply(200, await enrollment.listEnrollmentCodes(core)),
  revokeEnrollmentCode: async ({ core }, { params, identity }) =>
    jsonReply(200, await enrollment.revokeEnrollmentCode(core, params.id, byOf(identity))),
  drainWorker: async (services, { params, body, identity }) =>
    jsonReply(
      200,
      await drain.drainWorker(services, {
        ...{ id: params.id, by: byOf(identity) },
        ...{ deadlineMs: body.deadline_ms, note: body.note },
      }),
    ),
  drainBinding: async (services, { params, body, identity }) =>
    jsonReply(
      200,
      await drain.drainBinding(services, {
        ...{ id: params.id, by: byOf(identity) },
        ...{ deadlineMs: body.deadline_ms, note: body.note },
      }),
    ),
  cordonWorker: async (services, { params, body, identity }) =>
    jsonReply(200, await order.cordonWorker(services, params.id, orderOf(identity, body))),
  uncordonWorker: async (services, { params, identity }) =>
    jsonReply(200, await order.uncordonWorker(services, params.id, byOf(identity))),
  cordonBinding: async (services, { params, body, identity }) =>
    jsonReply(200, await order.cordonBinding(services, params.id, orderOf(identity, body))),
  uncordonBinding: async (services, { params, identity }) =>
    jsonReply(200, await order.uncordonBinding(services, params.id, byOf(identity))),
  pauseProject: async (services, { params, body, identity }) =>
    jsonReply(200, await order.pauseProject(services, params.name, orderOf(identity, body))),
  resumeProject: async (services, { params, identity }) =>
    jsonReply(200, await order.resumeProject(services, params.name, byOf(identity))),
  resumeWorker: async (services, { params, identity }) =>
    jsonReply(200, await drain.resumeWorker(services, { id: params.id, by: byOf(identity) })),
  reinstateWorker: async (services, { params, identity }) =>
    jsonReply(200, await worker.reinstateWorker(services, { id: params.id, by: byOf(identity) })),
  revokeWorker: async (services, { params, identity }) =>
    jsonReply(200, await worker.revokeWorker(services, { id: params.id, by: byOf(identity) })),
  rotatePondKey: async ({ core }, { identity }) => jsonReply(200, await rotation.rotatePondKey(core, byOf(identity))),
  listBindings: async ({ core, polls }) => jsonReply(200, await binding.listBindings(core, polls)),
  getBinding: async ({ core, polls }, { params }) => jsonReply(200, await binding.getBinding(core, polls, params.id)),
  putLadder: async (services, { params, body, identity }) =>
    jsonReply(200, await binding.putLadder(services, { id: params.id, by: byOf(identity), body })),
  revokeBinding: async (services, { params, identity }) =>
    jsonReply(200, await binding.revokeBinding(services, { id: params.id, by: byOf(identity) })),
  getStats: async (parts) => jsonReply(200, readStats(parts)),
  listAllWorkers: async ({ core, polls }) => jsonReply(200, worker.listWorkers(core, polls, 'all')),
  listAllJobs: async ({ core }, { query }) => jsonReply(200, await job.listJobs(core, 'all', query)),
  listAudit: async ({ core }, { query }) => jsonReply(200, await listAudit(core, query)),

  healthz: async () => jsonReply(200, {}),
  async readyz({ core }) {
    if ((await core.blobs.roomBytes()) <= 0) throw new Refusal('disk_full', 'there is no room left')
    await core.store.write(async () => {})
    return jsonReply(200, {})
  },
  openapi: async () => jsonReply(200, openApi()),
}

/** A signature is looked at before what it covers is parsed. */
function jobsIn(body: BodyOf<'submitJob'>, raw: unknown): Submission['jobs'] {
  if ('signed' in body) {
    const signed = openSignedJob(body.signed)
    return [{ spec: parseJob(signed.bytes, 'signed'), field: 'signed.', exact: signed }]
  }
  if (!('jobs' in body)) return [{ spec: body, field: '', raw }]
  const { jobs: raws } = raw as { readonly jobs: readonly unknown[] }
  return body.jobs.map((spec, index) => ({ spec, field: `jobs.${index}.`, raw: raws[index] }))
}

/** The status of a single word follows its outcome. */
function wordReply(outcome: OutcomeReply): PondReply {
  switch (outcome.outcome) {
    case 'accepted':
    case 'idempotent':
      return jsonReply(200, outcome)
    case 'conflict':
    case 'stale':
    case 'refused': {
      const { code, message, details } = outcome.error ?? { code: 'internal', message: 'refused', details: {} }
      throw new Refusal(code as Refusal['code'], message, {
        ...details,
        outcome: outcome.outcome,
        kept: outcome.kept ?? false,
      })
    }
    default:
      return outcome.outcome satisfies never
  }
}

const orderOf = (identity: Identity, { for_ms, note }: StopBody): order.Order => ({
  ...{ by: byOf(identity), forMs: for_ms, note },
})

async function describeCaller(core: Services['core'], identity: Identity) {
  if (identity.kind !== 'admin' && identity.kind !== 'key') throw new Error('the route is for keys')
  const row = await core.store.read((tx) => tx.getKey(identity.keyId))
  if (!row) throw new Refusal('unauthenticated', 'the key was removed')
  const { kind, id, name, project, scopes, expires_at } = key.viewKey(core, row)
  const { signer, sealing, proofs } = core.keys
  const pond = { signing_key: signer.publicKey, sealing_key: sealing[0].publicKey, proofs }
  return { kind: kind === 'admin' ? 'admin' : 'key', id, name, project, scopes, protocol: PROTOCOL, expires_at, pond }
}
