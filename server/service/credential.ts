// Credentials: named envelopes of a project. Pond keeps what was handed in and gives it to nobody but the worker of a claim.
import type { CredentialView } from '../../src/protocol/asset.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { ProjectId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Custody } from '../../src/protocol/sealed.ts'
import { readCustody } from '../../src/seal/envelope.ts'
import type { ReadTx } from '../store/contract.ts'
import type { CredentialRow } from '../store/row.ts'
import { recordAudit } from './audit.ts'
import type { Core } from './core.ts'
import { vetCustody } from './custody.ts'
import type { Owner } from './recipient.ts'

/** Creates or replaces. The same once more changes nothing. */
export async function putCredential(
  core: Core,
  { projectId, by }: Owner,
  { name, custody }: { readonly name: string; readonly custody: Custody },
): Promise<CredentialView> {
  const project = core.projects.get(projectId) ?? projectId
  const place = { kind: 'credential', project, name } as const
  const { sealed, signer } = vetCustody(core, custody, { read: () => readCustody(custody), place })
  const text = JSON.stringify(custody)
  return await core.store.write(async (tx) => {
    const known = await tx.getCredential(projectId, name)
    if (known && (await tx.getCustody(projectId, name)) === text) return viewCredential(core, known)
    if (!known) await checkRoom(tx, projectId)
    const now = core.clock.now()
    const row: CredentialRow = {
      projectId,
      name,
      recipients: sealed.boxes.map(({ to }) => to),
      ...(signer === undefined ? {} : { signer }),
      createdAt: known?.createdAt ?? now,
      updatedAt: now,
    }
    await tx.putCredential(row, text)
    const note = `${known ? 'replaced' : 'created'}, in ${custodyOf(row)} custody, sealed to ${row.recipients.join(' ')}`
    await recordAudit(core, tx, { by, action: 'credential.put', target: targetOf(row), note })
    return viewCredential(core, row)
  })
}

async function checkRoom(tx: ReadTx, projectId: ProjectId): Promise<void> {
  const most = limit.credentialsPerProject
  if ((await tx.listCredentials(projectId)).length < most) return
  throw new Refusal('invalid_field', `a project has at most ${most} credentials`, { field: 'name', most })
}

export async function getCredential(core: Core, projectId: ProjectId, name: string): Promise<CredentialView> {
  const row = await core.store.read((tx) => tx.getCredential(projectId, name))
  if (!row) throw unknownCredential(name)
  return viewCredential(core, row)
}

export async function listCredentials(core: Core, projectId: ProjectId): Promise<{ items: CredentialView[] }> {
  const rows = await core.store.read((tx) => tx.listCredentials(projectId))
  return { items: rows.map((row) => viewCredential(core, row)) }
}

/** Jobs that name it and were not handed out yet end with `no_seal`. */
export async function deleteCredential(
  core: Core,
  { projectId, by }: Owner,
  name: string,
): Promise<Record<string, never>> {
  await core.store.write(async (tx) => {
    const row = await tx.getCredential(projectId, name)
    if (!row) throw unknownCredential(name)
    await tx.deleteCredential(projectId, name)
    await recordAudit(core, tx, { by, action: 'credential.delete', target: targetOf(row) })
  })
  return {}
}

function unknownCredential(name: string): Refusal {
  return new Refusal('not_found', `there is no credential ${name}`, { field: 'name' })
}

const custodyOf = ({ signer }: CredentialRow) => (signer === undefined ? 'pond' : 'client')

const targetOf = ({ projectId, name }: CredentialRow) => `${projectId}/${name}`

function viewCredential(core: Core, row: CredentialRow): CredentialView {
  return {
    name: row.name,
    project: core.projects.get(row.projectId) ?? row.projectId,
    custody: custodyOf(row),
    recipients: [...row.recipients],
    signer: row.signer,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
  }
}
