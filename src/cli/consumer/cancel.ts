// pond cancel: asks pond to end a job; it does not wait for the end.
import type { ConnectionFlags } from '../config.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, withSession } from '../session.ts'

export function cancel(io: Io, flags: ConnectionFlags & { readonly job?: string }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const id = await resolveJob(session, flags.job)
    const job = need(`cancel ${id}`, await session.client.call('cancelJob', { params: { id }, body: {} }))
    await session.out.result(
      job,
      () => `${job.id} ${job.state === 'cancelled' ? 'cancelled' : `${job.state}, cancel asked`}`,
    )
    return 0
  })
}
