// Projects, and the keys that open them.
import type { KeyBody, KeyCreated, KeyView, ProjectView } from '../../src/protocol/admin.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { KeyId, ProjectId } from '../../src/protocol/id.ts'
import type { Quota } from '../../src/protocol/quota.ts'
import { hashToken, makeToken } from '../../src/seal/token.ts'
import { dayOf, hasBudget } from '../../src/state/quota.ts'
import { defaultWeight } from '../../src/state/share.ts'
import type { KeyRow, ProjectRow } from '../store/row.ts'
import type { Access } from './access.ts'
import { recordAudit } from './audit.ts'
import type { Write } from './change.ts'
import { type Core, mirrorProject } from './core.ts'
import { setUse } from './quota.ts'
import { viewStopOf } from './stop.ts'

export const DEFAULT_PROJECT = 'default'

export async function createProject(
  core: Core,
  { name, weight }: { readonly name: string; readonly weight?: number | undefined },
  by: string,
): Promise<ProjectView> {
  const row = await core.store.write(async (tx) => {
    if (await tx.findProject(name)) throw new Refusal('exists', `there is a project ${name} already`, { field: 'name' })
    return await insertProject({ core, tx }, { name, by, weight })
  })
  return viewProject(core, row)
}

async function insertProject(
  { core, tx }: Write,
  asked: { readonly name: string; readonly by: string; readonly weight?: number | undefined },
): Promise<ProjectRow> {
  const { name, by, weight = defaultWeight } = asked
  const row: ProjectRow = { id: `prj_${core.newId()}` as ProjectId, name, weight, createdAt: core.clock.now() }
  await tx.insertProject(row)
  await recordAudit(core, tx, { by, action: 'project.create', target: row.id, note: name })
  tx.afterCommit(() => mirrorProject(core, row))
  return row
}

/** From the next turn on. A repeat changes nothing. */
export async function putWeight(
  core: Core,
  { name, weight, by }: { readonly name: string; readonly weight: number; readonly by: string },
): Promise<ProjectView> {
  const row = await core.store.write(async (tx) => {
    const row = await tx.findProject(name)
    if (!row) throw new Refusal('not_found', `there is no project ${name}`, { field: 'project' })
    if (row.weight === weight) return row
    const next = { ...row, weight }
    await tx.updateProject(next)
    await recordAudit(core, tx, { by, action: 'project.weight', target: row.id, note: `${row.weight} to ${weight}` })
    tx.afterCommit(() => mirrorProject(core, next))
    return next
  })
  return viewProject(core, row)
}

export async function listProjects(core: Core): Promise<{ items: ProjectView[] }> {
  const rows = await core.store.read((tx) => tx.listProjects())
  return { items: rows.map((row) => viewProject(core, row)) }
}

export function viewProject(core: Core, { id, name, weight, quota, createdAt }: ProjectRow): ProjectView {
  return { id, name, weight, quota: quota && { ...quota }, created_at: createdAt, pause: viewStopOf(core, id) }
}

/** The whole of it is replaced. A repeat changes nothing. */
export async function setQuota(
  core: Core,
  { project, quota, by }: { readonly project: string; readonly quota: Quota; readonly by: string },
): Promise<ProjectView> {
  const text = JSON.stringify(quota)
  const row = await core.store.write(async (tx) => {
    const row = (await tx.getProject(project as ProjectId)) ?? (await tx.findProject(project))
    if (!row) throw new Refusal('not_found', `there is no project ${project}`, { field: 'project' })
    if (JSON.stringify(row.quota ?? {}) === text) return row
    const { quota: _before, ...rest } = row
    const next: ProjectRow = text === '{}' ? rest : { ...rest, quota }
    await tx.updateProject(next)
    await recordAudit(core, tx, { by, action: 'project.quota', target: row.id, note: text })
    // Works before this one in the same commit are in these rows, and those behind it count themselves.
    const use = hasBudget(quota) ? await tx.sumUse(row.id, dayOf(core.clock.now())) : undefined
    tx.afterCommit(() => {
      mirrorProject(core, next)
      if (use) setUse(core, row.id, use)
      core.wake.send(row.id)
    })
    return next
  })
  return viewProject(core, row)
}

/** The project that a name stands for. */
export function projectByName(core: Core, name: string): ProjectId {
  for (const [id, known] of core.projects) if (known === name) return id
  throw new Refusal('not_found', `there is no project ${name}`, { field: 'project' })
}

/** The services that keys need. */
interface Keys {
  readonly core: Core
  readonly access: Access
}

export async function createKey(keys: Keys, body: KeyBody, by: string): Promise<KeyCreated> {
  const token = makeToken(body.kind === 'admin' ? 'admin' : 'key', keys.core.random)
  return await storeKey(keys, token, { body, by })
}

async function storeKey(
  { core, access }: Keys,
  token: string,
  { body, by }: { readonly body: KeyBody; readonly by: string },
): Promise<KeyCreated> {
  const kind = body.kind ?? 'project'
  const now = core.clock.now()
  const row: KeyRow = {
    id: `key_${core.newId()}` as KeyId,
    kind,
    ...(kind === 'admin' ? {} : { projectId: projectByName(core, body.project ?? DEFAULT_PROJECT) }),
    name: body.name ?? kind,
    tokenHash: hashToken(token),
    scopes: body.scopes ?? (kind === 'admin' ? [] : ['submit', 'read']),
    createdAt: now,
    ...(body.expires_ms === undefined ? {} : { expiresAt: now + body.expires_ms }),
  }
  await core.store.write(async (tx) => {
    await tx.insertKey(row)
    await recordAudit(core, tx, { by, action: 'key.create', target: row.id, note: row.name })
    tx.afterCommit(() => access.setKey(row))
  })
  return { ...viewKey(core, row), token }
}

export async function listKeys(core: Core): Promise<{ items: KeyView[] }> {
  const rows = await core.store.read((tx) => tx.listKeys())
  return { items: rows.map((row) => viewKey(core, row)) }
}

/** Worthless from the commit on. A repeat changes nothing. */
export async function revokeKey({ core, access }: Keys, id: KeyId, by: string): Promise<KeyView> {
  const row = await core.store.write(async (tx) => {
    const row = await tx.getKey(id)
    if (!row) throw new Refusal('not_found', `there is no key ${id}`)
    if (row.revokedAt !== undefined) return row
    const next = { ...row, revokedAt: core.clock.now() }
    await tx.updateKey(next)
    await recordAudit(core, tx, { by, action: 'key.revoke', target: id })
    tx.afterCommit(() => access.setKey(next))
    return next
  })
  return viewKey(core, row)
}

export function viewKey(core: Core, row: KeyRow): KeyView {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    project: row.projectId ? (core.projects.get(row.projectId) ?? row.projectId) : null,
    scopes: [...row.scopes],
    created_at: row.createdAt,
    expires_at: row.expiresAt,
    revoked_at: row.revokedAt,
  }
}

/** The first start: the default project, and one admin token, which is answered; undefined at every later start. */
export async function firstStart(keysOf: Keys): Promise<string | undefined> {
  const { core } = keysOf
  const keys = await core.store.read((tx) => tx.listKeys())
  if (![...core.projects.values()].includes(DEFAULT_PROJECT)) {
    await core.store.write((tx) => insertProject({ core, tx }, { name: DEFAULT_PROJECT, by: 'pond' }))
  }
  if (keys.length > 0) return undefined
  const token = (await core.makeAdminToken?.()) ?? makeToken('admin', core.random)
  await storeKey(keysOf, token, { body: { kind: 'admin', name: 'first admin' }, by: 'pond' })
  return token
}
