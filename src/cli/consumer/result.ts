// pond result: the JSON that a job wrote to $POND_RESULT, byte for byte.
import type { ConnectionFlags } from '../config.ts'
import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, withSession } from '../session.ts'
import { openingOf } from '../trust/opening.ts'
import { openPrivate } from '../trust/private.ts'

export function result(io: Io, flags: ConnectionFlags & { readonly job?: string }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const id = await resolveJob(session, flags.job)
    const job = need(`show ${id}`, await session.client.call('getJob', { params: { id } }))
    const opening = await openingOf(session, job)
    if (opening) {
      const end = await openPrivate(session, job, opening)
      if (end?.result === undefined) throw new Failure({ what: `${id} wrote no result` })
      await session.out.bytes('stdout', end.result)
      return 0
    }
    const bytes = need(`get the result of ${id}`, await session.client.call('getResult', { params: { id } }))
    if (bytes instanceof Uint8Array) await session.out.bytes('stdout', bytes)
    return 0
  })
}
