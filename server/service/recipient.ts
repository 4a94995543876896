// Recipients: to whom output is sealed, as a project recommends it and as a job says it. Consumers pin them; pond only keeps the list.
import type { RecipientView } from '../../src/protocol/asset.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { ProjectId } from '../../src/protocol/id.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { parseKey } from '../../src/seal/key-text.ts'
import { recordAudit } from './audit.ts'
import type { Core } from './core.ts'

/** Who changes something that a project owns. */
export interface Owner {
  readonly projectId: ProjectId
  /** `key:ID` or `admin:ID`. */
  readonly by: string
}

/** The X25519 keys of the texts. One that is not whole, or stands twice, is refused by its place. */
export function readRecipients(texts: readonly string[], field: string): readonly string[] {
  return texts.map((text, index) => {
    const at = `${field}.${index}`
    const key = parseKey('recipient', text)
    if (key === undefined) {
      throw new Refusal('invalid_field', `${at} is no whole recipient; copy it again`, { field: at })
    }
    if (texts.indexOf(text) < index) throw new Refusal('invalid_field', `${at} stands there already`, { field: at })
    return key
  })
}

export async function getRecipients(core: Core, projectId: ProjectId): Promise<RecipientView> {
  return view(core, projectId, await core.store.read((tx) => tx.getRecipients(projectId)))
}

const view = (core: Core, projectId: ProjectId, recipients: readonly string[]): RecipientView => ({
  project: core.projects.get(projectId) ?? projectId,
  recipients: [...recipients],
})

/** A repeat changes nothing. */
export async function putRecipients(
  core: Core,
  { projectId, by }: Owner,
  recipients: readonly string[],
): Promise<RecipientView> {
  const keys = readRecipients(recipients, 'recipients')
  await core.store.write(async (tx) => {
    if (recipients.join() === (await tx.getRecipients(projectId)).join()) return
    await tx.putRecipients(projectId, recipients)
    const note = keys.map((key) => fingerprint(key)).join(' ')
    await recordAudit(core, tx, { by, action: 'recipients.put', target: projectId, note })
  })
  return view(core, projectId, recipients)
}
