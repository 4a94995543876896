// pond pond-key: pond's own keys, by which machines and clients know it.
import { fingerprint } from '../../seal/fingerprint.ts'
import type { ConnectionFlags } from '../config.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'

export function rotatePondKey(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, connection, out }) => {
    const made = need('replace the keys of pond', await client.call('rotatePondKey', { body: {} }))
    const shown = fingerprint(made.signing_key)
    await out.result({ ...made, fingerprint: shown }, () => [
      `${connection.url} has new keys: ${shown}`,
      'machines and clients that knew the old ones follow by themselves; codes that were printed before are taken back',
    ])
    return 0
  })
}
