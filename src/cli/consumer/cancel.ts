// pond cancel: asks pond to end a job; it does not wait for the end.
import type { CallError } from '../../client/contract.ts'
import type { ConnectionFlags } from '../config.ts'
import { callFailure, type Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, withSession } from '../session.ts'

export function cancel(io: Io, flags: ConnectionFlags & { readonly job?: string }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const id = await resolveJob(session, flags.job)
    const answer = await session.client.call('cancelJob', { params: { id }, body: {} })
    if (!answer.ok && answer.error.code === 'not_possible') throw endedBefore(id, answer.error)
    const job = need(`cancel ${id}`, answer)
    await session.out.result(
      job,
      () => `${job.id} ${job.state === 'cancelled' ? 'cancelled' : `${job.state}, cancel asked`}`,
    )
    return 0
  })
}

function endedBefore(id: string, error: CallError): Failure {
  return callFailure(`cancel ${id}`, {
    ...error,
    help: `There is nothing left to cancel; see how it ended: pond show ${id}.`,
  })
}
