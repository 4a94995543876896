// pond pairing: the codes that let a machine pair. What is printed is the very line to type there.
import { isLoopback } from '../../client/base-url.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatDuration } from '../duration.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'
import { describeLabels, labelsOf } from './label.ts'
import type { LabelFlags } from './label-flag.ts'

export interface CreatePairingFlags extends ConnectionFlags, LabelFlags {
  readonly uses?: number
  readonly expires?: number
  readonly ephemeral?: boolean
  readonly friend?: readonly string[]
  readonly public?: boolean
  readonly fingerprint?: string
}

export function createPairing(io: Io, flags: CreatePairingFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out, connection }) => {
    const isShared = flags.friend !== undefined || flags.public === true
    const body = {
      ...(flags.project === undefined ? {} : { project: flags.project }),
      ...(flags.uses === undefined ? {} : { uses: flags.uses }),
      ...(flags.expires === undefined ? {} : { expires_ms: flags.expires }),
      ...labelsOf(flags),
      ...(isShared ? { ladder: { friends: [...(flags.friend ?? [])], public: flags.public === true } } : {}),
      ...(flags.ephemeral ? { ephemeral: true } : {}),
      ...(flags.fingerprint === undefined ? {} : { fingerprint: flags.fingerprint }),
    }
    const made = need('create the pairing code', await client.call('createPairingCode', { body }))
    const command = `swarm pair ${connection.url}#${made.code}`
    await out.result({ ...made, url: connection.url, command }, () => command)
    if (out.json) return 0
    if (isLoopback(new URL(connection.url).hostname)) {
      await out.note(`${connection.url} is this host only; on another machine put pond's public URL in front of the #`)
    }
    return 0
  })
}

export function listPairings(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the pairing codes', await client.call('listPairingCodes'))
    type Item = (typeof items)[number]
    const columns = [
      { title: 'CODE', cell: ({ id }: Item) => id },
      { title: 'PROJECT', cell: ({ project }: Item) => project },
      { title: 'USES', cell: ({ uses_left }: Item) => `${uses_left}` },
      { title: 'TRIES', cell: ({ tries_left }: Item) => `${tries_left}` },
      { title: 'ENDS IN', cell: ({ expires_at }: Item) => formatDuration(expires_at - io.clock.now()) },
      { title: 'LABELS', cell: (item: Item) => describeLabels(item) },
    ]
    await out.list(items, columns, 'no pairing codes that can still be used')
    return 0
  })
}

export function revokePairing(io: Io, flags: ConnectionFlags & { readonly id: string }): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    need(`take back ${flags.id}`, await client.call('revokePairingCode', { params: { id: flags.id } }))
    await out.result({ id: flags.id }, () => `${flags.id} taken back`)
    return 0
  })
}
