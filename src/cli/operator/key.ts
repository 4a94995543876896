// pond key: tokens of consumers and operators. A token is printed once, on stdout, and kept nowhere here.
import type { Scope } from '../../protocol/admin.ts'
import type { ConnectionFlags } from '../config.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'

export interface CreateKeyFlags extends ConnectionFlags {
  readonly admin?: boolean
  readonly name?: string
  readonly scope?: readonly Scope[]
  readonly expires?: number
}

export function createKey(io: Io, flags: CreateKeyFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const body = {
      ...(flags.admin ? { kind: 'admin' as const } : {}),
      ...(flags.project === undefined ? {} : { project: flags.project }),
      ...(flags.name === undefined ? {} : { name: flags.name }),
      ...(flags.scope === undefined ? {} : { scopes: [...flags.scope] }),
      ...(flags.expires === undefined ? {} : { expires_ms: flags.expires }),
    }
    const made = need('create the key', await client.call('createKey', { body }))
    await out.result(made, () => made.token)
    if (!out.json && io.stdout.isTty) await out.note(`${made.id}; the token is shown this once`)
    return 0
  })
}

export function revokeKey(io: Io, flags: ConnectionFlags & { readonly id: string }): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const key = need(`revoke ${flags.id}`, await client.call('revokeKey', { params: { id: flags.id } }))
    await out.result(key, () => `${key.id} revoked`)
    return 0
  })
}
