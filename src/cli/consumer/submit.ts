// pond submit: hands a job in and prints its id. Retries under one Idempotency-Key, so that a lost reply submits nothing twice.
import { createHash } from 'node:crypto'
import type { JobView } from '../../protocol/consumer.ts'
import type { JobSpec } from '../../protocol/job.ts'
import { canonicalBytes } from '../../seal/canonical.ts'
import { formatDuration } from '../duration.ts'
import { callFailure, Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { rememberJob, type Session, withSession } from '../session.ts'
import { rememberSubmitted } from '../trust/job-memory.ts'
import { chooseRecipients } from '../trust/recipient.ts'
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
  if (flags.plain && flags.recipient) throw usageFailure('--plain and --recipient exclude each other')
  const recipients = flags.plain ? undefined : await chooseRecipients(session, { recipients: flags.recipient ?? [] })
  const body = await buildJob(io, { ...flags, recipients })
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
    await keep(session, answer.reply, body)
    return answer.reply
  } finally {
    cancel()
  }
}

/** What was really sent is remembered here, so that pond need not be believed about it later. */
async function keep({ connection, io }: Session, job: JobView, body: JobSpec): Promise<void> {
  const digest = createHash('sha256').update(canonicalBytes(body)).digest('hex')
  if (job.digest !== digest) {
    throw new Failure({
      what: `pond took another job than was sent`,
      why: `${job.id} has the digest ${job.digest}, and what was sent has ${digest}`,
      next: `Cancel it, and do not believe this pond: pond cancel ${job.id}.`,
    })
  }
  const where = { home: connection.home, clock: io.clock, sweep: io.random.number() }
  await rememberSubmitted(where, job.id, { digest, recipients: body.recipients ?? [] })
}
