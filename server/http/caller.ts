// Who calls: what a route asks of its caller's identity, and what it needs from it.
import { Refusal } from '../../src/protocol/error.ts'
import type { ProjectId } from '../../src/protocol/id.ts'
import type { Identity } from '../service/access.ts'
import type { Scope } from '../service/job.ts'
import * as key from '../service/key.ts'
import type { Services } from '../service/pond.ts'
import type { PondRequest } from './message.ts'

export function bindingOf(identity: Identity) {
  if (identity.kind !== 'binding') throw new Error('the route is for bindings')
  return identity
}

export function adminOf(identity: Identity) {
  if (identity.kind !== 'admin') throw new Error('the route is for admins')
  return identity.keyId
}

export function byOf(identity: Identity): string {
  switch (identity.kind) {
    case 'admin':
    case 'key':
      return `${identity.kind}:${identity.keyId}`
    case 'binding':
      return `binding:${identity.bindingId}`
    case 'nobody':
      return 'nobody'
    default:
      return identity satisfies never
  }
}

/** The jobs that a caller may reach by id. */
export function reachOf(identity: Identity): Scope {
  return identity.kind === 'key' ? identity.projectId : 'all'
}

/** The project that a call without an id is about: the key's own, or the one an admin names in Pond-Project. */
export function projectOf(
  core: Services['core'],
  identity: Identity,
  request: Pick<PondRequest, 'headers'>,
): ProjectId {
  const named = request.headers['pond-project']
  if (identity.kind !== 'key') return key.projectByName(core, named ?? key.DEFAULT_PROJECT)
  if (named !== undefined && core.projects.get(identity.projectId) !== named) {
    throw new Refusal('forbidden', `this key is not of project ${named}`, { field: 'pond-project' })
  }
  return identity.projectId
}

/** Lists are of one project, for an admin too; the admin's own routes list all. */
export function scopeOf(core: Services['core'], identity: Identity, request: PondRequest): Scope {
  return projectOf(core, identity, request)
}

export function claimTokenOf(request: PondRequest): string {
  const token = request.headers['x-claim-token']
  if (token === undefined) throw new Refusal('unauthenticated', 'this call needs the claim token as X-Claim-Token')
  return token
}
