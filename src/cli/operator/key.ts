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

export function listKeys(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the keys', await client.call('listKeys'))
    type Item = (typeof items)[number]
    const columns = [
      { title: 'KEY', cell: ({ id }: Item) => id },
      { title: 'NAME', cell: ({ name }: Item) => name },
      { title: 'KIND', cell: ({ kind }: Item) => kind },
      { title: 'PROJECT', cell: ({ project }: Item) => project ?? '' },
      { title: 'SCOPES', cell: ({ scopes }: Item) => scopes.join(' ') },
      { title: 'STATE', cell: (item: Item) => stateOf(item, io.clock.now()) },
    ]
    await out.list(items, columns, 'no keys')
    return 0
  })
}

function stateOf(
  key: { readonly revoked_at?: number | undefined; readonly expires_at?: number | undefined },
  now: number,
): string {
  if (key.revoked_at !== undefined) return 'revoked'
  return key.expires_at !== undefined && key.expires_at <= now ? 'expired' : 'valid'
}

export function revokeKey(io: Io, flags: ConnectionFlags & { readonly id: string }): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const key = need(`revoke ${flags.id}`, await client.call('revokeKey', { params: { id: flags.id } }))
    await out.result(key, () => `${key.id} revoked`)
    return 0
  })
}
