// pond result: the JSON that a job wrote to $POND_RESULT, byte for byte.
import type { ConnectionFlags } from '../config.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, withSession } from '../session.ts'

export function result(io: Io, flags: ConnectionFlags & { readonly job?: string }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const id = await resolveJob(session, flags.job)
    const bytes = need(`get the result of ${id}`, await session.client.call('getResult', { params: { id } }))
    if (bytes instanceof Uint8Array) await session.out.bytes('stdout', bytes)
    return 0
  })
}
