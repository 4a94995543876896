// pond cancel: asks pond to end a job; it does not wait for the end.
import type { CallError } from '../../client/contract.ts'
import { elementOf, type JobId } from '../../protocol/id.ts'
import { isFinal, jobStates } from '../../protocol/job.ts'
import type { ConnectionFlags } from '../config.ts'
import { callFailure, type Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, type Session, withSession } from '../session.ts'

export interface CancelFlags extends ConnectionFlags {
  readonly job?: string
  /** Of all jobs to cancel. */
  readonly label?: string
}

export function cancel(io: Io, flags: CancelFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    if (flags.label !== undefined) return await cancelAll(session, flags.label, flags.job)
    const id = await resolveJob(session, flags.job)
    const answer = await session.client.call('cancelJob', { params: { id }, body: {} })
    if (!answer.ok && answer.error.code === 'not_possible') throw notCancelled(id, answer.error)
    const job = need(`cancel ${id}`, answer)
    await session.out.result(
      job,
      () => `${job.id} ${job.state === 'cancelled' ? 'cancelled' : `${job.state}, cancel asked`}`,
    )
    return 0
  })
}

async function cancelAll({ client, out }: Session, label: string, job: string | undefined): Promise<number> {
  if (job !== undefined)
    throw usageFailure('a job and a label were both named', 'Type pond cancel JOB, or pond cancel --label KEY=VALUE.')
  const done = need(`cancel the jobs with ${label}`, await client.call('cancelJobs', { body: { label } }))
  await out.result(done, () => `${done.cancelled} cancelled, ${done.asked} asked`)
  return 0
}

/** It ended before, or it is an element that has not begun, which only its array can drop. */
function notCancelled(id: string, error: CallError): Failure {
  const state = jobStates.find((state) => state === error.details.state)
  const array = elementOf(id as JobId)?.array
  const help =
    state !== undefined && !isFinal(state) && array !== undefined
      ? `Cancel all of the array, or wait until this one has begun: pond cancel ${array}.`
      : `There is nothing left to cancel; see how it ended: pond show ${id}.`
  return callFailure(`cancel ${id}`, { ...error, help })
}
