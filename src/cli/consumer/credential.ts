// pond credential: named secrets of a project. They are sealed on this machine; pond stores what it cannot read without its key, or cannot read at all.
import type { CredentialView } from '../../protocol/asset.ts'
import { name as nameText } from '../../protocol/field.ts'
import { sealInline } from '../../seal/envelope.ts'
import { loadSodium } from '../../seal/sodium.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatTime } from '../duration.ts'
import { usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { fields } from '../output.ts'
import { need, withSession } from '../session.ts'
import { chooseTarget, custodyOf, placeOf } from '../trust/custody.ts'
import { gatherValues, type ValueFlags } from './credential-value.ts'

export interface SetFlags extends ConnectionFlags, ValueFlags {
  readonly name: string
  /** Trusted workers, in whose custody it is then. */
  readonly sealTo?: readonly string[]
}

type Named = ConnectionFlags & { readonly name: string }

export function setCredential(io: Io, flags: SetFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { name } = flags
    const judged = nameText.safeParse(name)
    if (!judged.success) throw usageFailure(`a credential cannot be called ${JSON.stringify(name)}`)
    // Whom it is for is settled before anybody types a secret.
    const target = await chooseTarget(session, { sealTo: flags.sealTo })
    const payload = await gatherValues(io, flags)
    try {
      const context = { kind: 'credential', name, ...placeOf(target) } as const
      const wish = { sodium: await loadSodium(), random: io.random, context, recipients: target.recipients }
      const body = custodyOf(await sealInline(wish, payload), target)
      const view = need(`store ${name}`, await session.client.call('putCredential', { params: { name }, body }))
      await session.out.result(view, () => `${name} is stored, sealed to ${sealedTo(view)}`)
    } finally {
      payload.fill(0)
    }
    return 0
  })
}

export function listCredentials(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the credentials', await client.call('listCredentials'))
    const columns = [
      { title: 'NAME', cell: ({ name }: CredentialView) => name },
      { title: 'SEALED TO', cell: sealedTo },
      { title: 'UPDATED', cell: ({ updated_at }: CredentialView) => formatTime(updated_at) },
    ]
    await out.list(items, columns, 'no credentials; make one: pond credential set NAME --key K')
    return 0
  })
}

export function showCredential(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const params = { name: flags.name }
    const view = need(`show ${flags.name}`, await client.call('getCredential', { params }))
    await out.result(view, () =>
      fields([
        ['credential', view.name],
        ['project', view.project],
        ['custody', view.custody === 'pond' ? 'pond: it can seal it to any worker' : 'client: pond cannot open it'],
        ['sealed to', view.recipients.join(' ')],
        ['signer', view.signer],
        ['created', formatTime(view.created_at)],
        ['updated', formatTime(view.updated_at)],
      ]),
    )
    return 0
  })
}

export function removeCredential(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { name } = flags
    need(`remove ${name}`, await client.call('deleteCredential', { params: { name } }))
    await out.result({ name, removed: true }, () => `${name} is removed`)
    return 0
  })
}

const sealedTo = ({ custody, recipients }: CredentialView) =>
  custody === 'pond' ? 'pond' : `${recipients.length} worker${recipients.length === 1 ? '' : 's'}`
