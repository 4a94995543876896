// pond submit: hands a job in and prints its id. Retries under one Idempotency-Key, so that a lost reply submits nothing twice.
import type { JobView } from '../../protocol/consumer.ts'
import { formatDuration } from '../duration.ts'
import { callFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { rememberJob, type Session, withSession } from '../session.ts'
import { createOutage } from '../watch.ts'
import { buildJob, type SubmitFlags } from './job-spec.ts'

export function submit(io: Io, flags: SubmitFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const job = await submitJob(session, flags)
    await session.out.result(job, () => job.id)
    return 0
  })
}

export async function submitJob(session: Session, flags: SubmitFlags): Promise<JobView> {
  const { io, client, out } = session
  const body = await buildJob(io, flags)
  const idempotencyKey = flags.idempotencyKey ?? `run-${io.random.bytes(16).toString('hex')}`
  const patience = new AbortController()
  const lost = () => patience.abort(new Error(`no answer within ${formatDuration(flags.patience)}`))
  const cancel = io.clock.after(flags.patience, lost)
  const outage = createOutage(out.note)
  try {
    const answer = await client.persist('submitJob', { body, idempotencyKey, signal: patience.signal }, outage.failed)
    if (!answer.ok) throw callFailure('submit the job', answer.error)
    if ('items' in answer.reply) throw new Error('pond answered one job with a batch')
    await rememberJob(session, answer.reply.id)
    return answer.reply
  } finally {
    cancel()
  }
}
