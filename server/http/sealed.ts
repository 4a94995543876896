// Handlers of what is sealed: credentials, bundles and recipients of projects, what is handed out for a claim, and call keys. No rule lives here.
import type { Identity } from '../service/access.ts'
import * as credential from '../service/credential.ts'
import type { Services } from '../service/pond.ts'
import { getRecipients, type Owner, putRecipients } from '../service/recipient.ts'
import { readBundle, redeemBundle, type SealCaller, sealCredential, tokenForBundle } from '../service/seal.ts'
import { bindingOf, byOf, claimTokenOf, projectOf } from './caller.ts'
import type { Asked, Handler } from './handler.ts'
import { bytesReply, jsonReply, type PondReply, type PondRequest } from './message.ts'

export const sealedHandlers = {
  putCredential: async ({ core }, { params, body, identity, request }) =>
    jsonReply(
      200,
      await credential.putCredential(core, ownerOf(core, identity, request), { name: params.name, custody: body }),
    ),
  getCredential: async ({ core }, { params, identity, request }) =>
    jsonReply(200, await credential.getCredential(core, projectOf(core, identity, request), params.name)),
  listCredentials: async ({ core }, { identity, request }) =>
    jsonReply(200, await credential.listCredentials(core, projectOf(core, identity, request))),
  deleteCredential: async ({ core }, { params, identity, request }) =>
    jsonReply(200, await credential.deleteCredential(core, ownerOf(core, identity, request), params.name)),
  getRecipients: async ({ core }, { identity, request }) =>
    jsonReply(200, await getRecipients(core, projectOf(core, identity, request))),
  putRecipients: async ({ core }, { body, identity, request }) =>
    jsonReply(200, await putRecipients(core, ownerOf(core, identity, request), body.recipients)),

  createBundle: async ({ core, bundles }, { body, identity, request }) =>
    jsonReply(201, await bundles.create(ownerOf(core, identity, request), body)),
  async getBundle({ core, bundles }, { params, identity, request }) {
    const view = await bundles.get(projectOf(core, identity, request), params.digest)
    return jsonReply(200, view, { 'pond-committed': String(view.committed) })
  },
  putBundle: async ({ core, bundles }, { params, query, body, identity, request }) =>
    jsonReply(200, await bundles.put(ownerOf(core, identity, request), { ...params, ...query }, body)),
  sealBundle: async ({ core, bundles }, { params, body, identity, request }) =>
    jsonReply(200, await bundles.seal(ownerOf(core, identity, request), params.digest, body)),

  async agreeCallKey({ core, access }, { body, identity }) {
    const { bindingId, token } = bindingOf(identity)
    const signer = core.keys.signerFor(token.pondKey)
    return jsonReply(200, access.callKeys.agree({ bindingId, token, half: body.half, signer }))
  },
  seal: async ({ core }, asked) => jsonReply(200, await sealCredential(core, sealCallerOf(asked))),
  bundleToken: async ({ core }, asked) => jsonReply(200, await tokenForBundle(core, sealCallerOf(asked))),
  bundleRedeem: async ({ core }, asked) =>
    jsonReply(200, await redeemBundle(core, sealCallerOf(asked), asked.body.token)),
  async fetchBundle({ core }, { params, query, identity, request }): Promise<PondReply> {
    const claim = { jobId: query.job, claimId: query.claim, token: claimTokenOf(request) }
    const asked = { digest: params.digest, offset: query.offset ?? 0 }
    const { bytes, next, size } = await readBundle(core, { ...bindingOf(identity), ...claim }, asked)
    return bytesReply(200, bytes, {
      'pond-next-offset': String(next),
      'pond-end': next < size ? 'open' : 'complete',
    })
  },
} satisfies { readonly [N in SealedRoute]: Handler<N> }

type SealedRoute =
  | 'agreeCallKey'
  | 'putCredential'
  | 'getCredential'
  | 'listCredentials'
  | 'deleteCredential'
  | 'getRecipients'
  | 'putRecipients'
  | 'createBundle'
  | 'getBundle'
  | 'putBundle'
  | 'sealBundle'
  | 'seal'
  | 'bundleToken'
  | 'bundleRedeem'
  | 'fetchBundle'

function ownerOf(core: Services['core'], identity: Identity, request: PondRequest): Owner {
  return { projectId: projectOf(core, identity, request), by: byOf(identity) }
}

function sealCallerOf({
  body,
  identity,
  request,
}: Pick<Asked<'seal' | 'bundleRedeem'>, 'body' | 'identity' | 'request'>): SealCaller {
  const { job_id, claim_id, worker_id } = body
  const claim = { jobId: job_id, claimId: claim_id, workerId: worker_id, token: claimTokenOf(request) }
  const binding = bindingOf(identity)
  return { ...binding, ...claim, pondKey: binding.token.pondKey }
}
