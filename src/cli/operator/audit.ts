// pond audit: who did what to this pond, newest first.
import { limit } from '../../protocol/limit.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'

export function listAudit(io: Io, flags: ConnectionFlags & { readonly limit: number }): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const query = { limit: Math.min(flags.limit, limit.listMost) }
    const { items } = need('read the audit log', await client.call('listAudit', { query }))
    type Item = (typeof items)[number]
    const columns = [
      { title: 'AT', cell: ({ at }: Item) => formatTime(at) },
      { title: 'BY', cell: ({ by }: Item) => by },
      { title: 'ACTION', cell: ({ action }: Item) => action },
      { title: 'TARGET', cell: ({ target }: Item) => target },
      { title: 'NOTE', cell: ({ note }: Item) => note ?? '' },
    ]
    await out.list(items, columns, 'the audit log is empty')
    return 0
  })
}
