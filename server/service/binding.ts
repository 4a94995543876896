// Bindings after pairing: list, show, revoke at once.
import type { BindingView, LadderBody } from '../../src/protocol/admin.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, ProjectId } from '../../src/protocol/id.ts'
import { PROTOCOL } from '../../src/protocol/version.ts'
import { stepWorker } from '../../src/state/worker.ts'
import type { BindingRow, LadderRow } from '../store/row.ts'
import type { Access } from './access.ts'
import { recordAudit } from './audit.ts'
import { saveWorker } from './change.ts'
import type { Core } from './core.ts'
import { projectByName } from './key.ts'
import { applyLeaseIn } from './lease.ts'
import type { Polls } from './poll.ts'
import { liftStop, viewStopOf } from './stop.ts'
import { viewWorker } from './view.ts'

export async function listBindings(core: Core, polls: Polls): Promise<{ items: BindingView[] }> {
  const rows = await core.store.read((tx) => tx.listBindings())
  return { items: rows.filter((row) => !isGone(row)).map((row) => viewBinding(core, polls, row)) }
}

export async function getBinding(core: Core, polls: Polls, id: BindingId): Promise<BindingView> {
  const row = await core.store.read((tx) => tx.getBinding(id))
  if (!row) throw new Refusal('not_found', `there is no binding ${id}`)
  return viewBinding(core, polls, row)
}

/** Of machines that came for one run nothing is listed once they left. */
export const isGone = ({ ephemeral, state }: BindingRow) => ephemeral && state === 'revoked'

export interface BindingParts {
  readonly core: Core
  readonly access: Access
  readonly polls: Polls
}

interface Revocation {
  readonly id: BindingId
  readonly by: string
  readonly note?: string
  /** Asked inside of the write. */
  readonly unless?: () => boolean
}

/** Its token opens nothing from the commit on, and every claim it holds is lost. A repeat changes nothing. */
export async function revokeBinding(
  { core, access, polls }: BindingParts,
  { id, by, note, unless = () => false }: Revocation,
): Promise<BindingView> {
  const row = await core.store.write(async (tx) => {
    const row = await tx.getBinding(id)
    if (!row) throw new Refusal('not_found', `there is no binding ${id}`)
    if (row.state === 'revoked' || unless()) return row
    const next: BindingRow = { ...row, state: 'revoked', revokedAt: core.clock.now() }
    await tx.updateBinding(next)
    await liftStop({ core, tx }, id, { by })
    for (const worker of await tx.listWorkers({ bindingId: id })) {
      await liftStop({ core, tx }, worker.id, { by })
      const law = stepWorker(worker.law, { type: 'revoke' }, core.clock.now())
      if (!('refused' in law)) await saveWorker({ core, tx }, { ...worker, law })
    }
    for (const { id: claimId } of core.live.ofBinding(id)) {
      const claim = await tx.getClaim(claimId)
      if (claim) await applyLeaseIn({ core, tx }, claim, { event: { type: 'revoke' }, note: 'its binding was revoked' })
    }
    await recordAudit(core, tx, { by, action: 'binding.revoke', target: id, ...(note === undefined ? {} : { note }) })
    tx.afterCommit(() => {
      access.setBinding(row, next)
      polls.forget(id)
      core.ladders.set(next)
      core.shares.forget(id)
      if (isGone(next)) core.fleet.leave(id)
    })
    return next
  })
  return viewBinding(core, polls, row)
}

/** As an operator names the projects; a ladder that adds nobody is none. Whoever names the binding's own project means something else than is said. */
export function readLadder(
  core: Core,
  own: ProjectId,
  { friends, public: isPublic }: LadderBody,
): LadderRow | undefined {
  const ids = new Set(friends.map((name) => projectByName(core, name)))
  if (ids.has(own)) {
    const says = `friends: ${core.projects.get(own)} is the binding's own project, whose jobs come first; name those that come behind it`
    throw new Refusal('invalid_field', says, { field: 'friends' })
  }
  return ids.size > 0 || isPublic ? { friends: [...ids], public: isPublic } : undefined
}

export const viewLadder = ({ projects }: Core, { friends, public: isPublic }: LadderRow): LadderBody => ({
  friends: friends.map((id) => projects.get(id) ?? id),
  public: isPublic,
})

/** Holds for what is handed out from now on. A repeat changes nothing. */
export async function putLadder(
  { core, access, polls }: BindingParts,
  asked: { readonly id: BindingId; readonly by: string; readonly body: LadderBody },
): Promise<BindingView> {
  const { id, by, body } = asked
  const row = await core.store.write(async (tx) => {
    const row = await tx.getBinding(id)
    if (!row) throw new Refusal('not_found', `there is no binding ${id}`)
    if (row.state === 'revoked') throw new Refusal('not_possible', `${id} is revoked`, { state: row.state })
    const ladder = readLadder(core, row.projectId, body)
    if (JSON.stringify(ladder) === JSON.stringify(row.ladder)) return row
    const { ladder: _, ...rest } = row
    const next: BindingRow = ladder ? { ...rest, ladder } : rest
    await tx.updateBinding(next)
    const note = ladder
      ? `friends ${body.friends.join(', ') || 'none'}${body.public ? '; public' : ''}`
      : 'its own project'
    await recordAudit(core, tx, { by, action: 'binding.ladder', target: id, note })
    tx.afterCommit(() => {
      access.setBinding(row, next)
      core.ladders.set(next)
      polls.replace(id)
    })
    return next
  })
  return viewBinding(core, polls, row)
}

export async function describeBinding(core: Core, polls: Polls, id: BindingId) {
  const row = await core.store.read((tx) => tx.getBinding(id))
  if (!row) throw new Refusal('not_found', `there is no binding ${id}`)
  return {
    binding_id: row.id,
    name: row.name,
    project: core.projects.get(row.projectId) ?? row.projectId,
    protocol: PROTOCOL,
    ...(row.ladder && { ladder: viewLadder(core, row.ladder) }),
    pond_key: core.keys.publicKey,
    workers: core.fleet.ofBinding(id).map((worker) => {
      const { state, name } = viewWorker(core, polls, worker)
      return { worker_id: worker.id, name, state }
    }),
  }
}

export function viewBinding(core: Core, polls: Polls, row: BindingRow): BindingView {
  const workers = core.fleet.ofBinding(row.id)
  return {
    id: row.id,
    name: row.name,
    project: core.projects.get(row.projectId) ?? row.projectId,
    state: row.state,
    online: row.state === 'active' && polls.isOnline(row.id),
    ephemeral: row.ephemeral,
    ladder: row.ladder && viewLadder(core, row.ladder),
    workers: workers.length,
    draining: workers.filter(({ drain }) => drain).length || undefined,
    cordon: viewStopOf(core, row.id),
    claims: core.live.ofBinding(row.id).size,
    created_at: row.createdAt,
    last_poll_at: polls.lastPollAt(row.id),
    token_expires_at: row.tokens.at(-1)?.expiresAt,
    revoked_at: row.revokedAt,
  }
}
