// Intents: how a claim is told to its worker, in the reply to a poll or to words, and told again when that reply may be lost.
import { type BindingId, type ClaimId, elementOf } from '../../src/protocol/id.ts'
import type { Intent, PollBody } from '../../src/protocol/orch.ts'
import { bundleToken, claimToken } from '../../src/seal/token.ts'
import type { Core } from './core.ts'
import { leaseMsOf } from './lease.ts'
import type { JobPart, LiveClaim } from './live.ts'
import type { Told } from './room.ts'

const FOR_WORDS = 'words '

/** The claim key of what the reply to words brings to a session. */
export const keyForWords = (session: string) => FOR_WORDS + session

/** Live, unconfirmed claims that were made for this poll or for one of the same key whose reply was lost. */
export function intentsFor(core: Core, bindingId: BindingId, { body, have }: Told): Intent[] {
  return [...core.live.ofBinding(bindingId)].flatMap((claim) =>
    claim.claimKey === body.claim_key && claim.lease === 'granted' && !have.has(claim.id) ? intentOf(core, claim) : [],
  )
}

/** Of claims that were made for words, in the reply to them. */
export function intentsOf(core: Core, bindingId: BindingId, ids: readonly ClaimId[]): Intent[] {
  return ids.flatMap((id) => {
    const claim = core.live.get(id)
    return claim?.bindingId === bindingId && claim.claimKey.startsWith(FOR_WORDS) ? intentOf(core, claim) : []
  })
}

/**
 * What the reply to words brought is brought by this poll too if the worker has neither named nor confirmed it: that reply may be lost.
 * Another session is not asked, as for a poll's own claims: its former life may have started them.
 */
export function retell(core: Core, bindingId: BindingId, { body, have }: Told): void {
  for (const claim of core.live.ofBinding(bindingId)) {
    if (!wasForWords(claim, body) || claim.lease !== 'granted' || have.has(claim.id)) continue
    if (body.workers.some(({ worker_id }) => worker_id === claim.workerId)) claim.claimKey = body.claim_key
  }
}

/** Only words may have told of it, in this session. */
export const wasForWords = ({ claimKey }: LiveClaim, { session }: PollBody) => claimKey === keyForWords(session)

/** Always the same, so that of a live claim it is made once. */
export function tokenOf({ keys, live }: Core, { id, epoch }: Pick<LiveClaim, 'id' | 'epoch'>): string {
  const claim = live.get(id)
  if (claim?.epoch !== epoch) return claimToken(keys.tokenKey, id, epoch)
  claim.token ??= claimToken(keys.tokenKey, id, epoch)
  return claim.token
}

function intentOf(core: Core, claim: LiveClaim): Intent[] {
  const { settings } = core
  if (!claim.job) return []
  const element = elementOf(claim.jobId)
  return [
    {
      claim_id: claim.id,
      epoch: claim.epoch,
      claim_token: tokenOf(core, claim),
      worker_id: claim.workerId,
      lease_ms: leaseMsOf(core, claim.workerId),
      confirm_ms: settings.confirmMs,
      job_id: claim.jobId,
      attempt: claim.attempt,
      ...(element ? { array_index: element.index } : {}),
      job: claim.job.spec.toString('base64'),
      ...neededBy(core, claim, claim.job),
      ...(claim.held.gpus ? { gpus: [...claim.held.gpus] } : {}),
      limits: { stream_bytes: claim.streamBytes, artifact_bytes: claim.artifactBytes },
    },
  ]
}

/** What the worker asks for with names and tokens: no key and no value is in an intent. */
function neededBy(
  { keys, projects }: Core,
  { id, epoch, projectId }: LiveClaim,
  { credential, bundle, signature }: JobPart,
): Pick<Intent, 'job_signature' | 'cred_request' | 'source_bundle'> {
  const project = projects.get(projectId) ?? projectId
  return {
    ...(signature ? { job_signature: signature } : {}),
    ...(credential === undefined ? {} : { cred_request: { name: credential, project } }),
    ...(bundle ? { source_bundle: { ...bundle, token: bundleToken(keys.tokenKey, id, epoch) } } : {}),
  }
}
