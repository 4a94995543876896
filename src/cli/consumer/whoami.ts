// pond whoami: which pond, which token, and what it may do.
import type { ConnectionFlags } from '../config.ts'
import { formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { fields } from '../output.ts'
import { need, withSession } from '../session.ts'
import { pondFingerprint } from '../trust/pond-key.ts'

export function whoami(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out, connection }) => {
    const me = need('ask who we are', await client.call('whoami'))
    await out.result({ url: connection.url, ...me }, () =>
      fields([
        ['pond', connection.url],
        [me.kind === 'admin' ? 'admin token' : 'key', `${me.name} ${me.id}`],
        ['project', me.project ?? 'any'],
        ['may', me.kind === 'admin' ? 'everything' : me.scopes.join(', ')],
        ['expires', me.expires_at === undefined ? 'never' : formatTime(me.expires_at)],
        ['protocol', me.protocol],
        ['its key', pondFingerprint(me.pond)],
      ]),
    )
    return 0
  })
}
