// pond submit: hands a job in and prints its id. Retries under one Idempotency-Key, so that a lost reply submits nothing twice.
import { hash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { CallError } from '../../client/contract.ts'
import type { JobView } from '../../protocol/consumer.ts'
import type { JobSpec } from '../../protocol/job.ts'
import { payloadType } from '../../protocol/sealed.ts'
import { canonicalBytes } from '../../seal/canonical.ts'
import { signDsse } from '../../seal/dsse.ts'
import { sendBundle } from '../bundle/send.ts'
import { formatDuration } from '../duration.ts'
import { callFailure, Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { PATIENCE_MS, type Patient, withPatience } from '../patience.ts'
import { rememberJob, type Session, withSession } from '../session.ts'
import { chooseTarget } from '../trust/custody.ts'
import { rememberSubmitted } from '../trust/job-memory.ts'
import { chooseRecipients } from '../trust/recipient.ts'
import { chooseSigner } from '../trust/signing.ts'
import { buildJob, type SubmitFlags } from './job-spec.ts'

export function submit(io: Io, flags: SubmitFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const job = await submitJob(session, flags)
    await session.out.result(job, () => job.id)
    return 0
  })
}

export async function submitJob(session: Session, flags: SubmitFlags): Promise<JobView> {
  const { io, out } = session
  if (flags.plain && flags.recipient) throw usageFailure('--plain and --recipient exclude each other')
  if (flags.sealTo && flags.bundle === undefined) {
    throw usageFailure('--seal-to says to whom --bundle is sealed, and there is none')
  }
  const patiently: Patiently = (work) => withPatience({ io, note: out.note }, flags.patience ?? PATIENCE_MS, work)
  const recipients = flags.plain
    ? undefined
    : await patiently((patience) => chooseRecipients(session, { recipients: flags.recipient ?? [], patience }))
  const built = await buildJob(io, { ...flags, recipients })
  const bundle =
    flags.bundle === undefined ? undefined : await provideBundle(session, flags.bundle, { flags, patiently })
  const job: JobSpec = bundle === undefined ? built : { ...built, bundle }
  return await patiently((patience) => hand(session, job, { flags, patience }))
}

type Patiently = <T>(work: (patience: Patient) => Promise<T>) => Promise<T>

/** A folder is sent; the digest of a bundle that pond has already is taken as it is. */
async function provideBundle(
  session: Session,
  given: string,
  { flags, patiently }: { readonly flags: SubmitFlags; readonly patiently: Patiently },
): Promise<string> {
  const isThere = await stat(given).then(
    () => true,
    () => false,
  )
  if (!isThere && /^[0-9a-f]{64}$/.test(given)) return given
  const target = await patiently((patience) => chooseTarget(session, { sealTo: flags.sealTo, patience }))
  return await sendBundle(session, given, target)
}

async function hand(
  session: Session,
  job: JobSpec,
  { flags, patience }: { readonly flags: SubmitFlags; readonly patience: Patient },
): Promise<JobView> {
  const { io, client } = session
  const signer = await chooseSigner(session, { sign: flags.sign, job, patience })
  const bytes = canonicalBytes(job)
  const body = signer ? { signed: signDsse(payloadType.job, bytes, signer) } : job
  const idempotencyKey = flags.idempotencyKey ?? `run-${io.random.bytes(16).toString('hex')}`
  const call = { body, idempotencyKey, signal: patience.signal }
  const answer = await client.persist('submitJob', call, createQuotaWait(session, flags, patience))
  if (!answer.ok) throw callFailure('submit the job', answer.error)
  if ('items' in answer.reply) throw new Error('pond answered one job with a batch')
  await rememberJob(session, answer.reply)
  await keep(session, answer.reply, { bytes, recipients: job.recipients ?? [] })
  return answer.reply
}

/** A full quota is no outage: it is waited for, unless somebody said for how long, and told once for each quota. */
function createQuotaWait(
  { out }: Session,
  { patience: given, quiet }: SubmitFlags,
  { extend, outage }: Patient,
): (error: CallError, waitMs: number) => void {
  let told: unknown
  return (error, waitMs) => {
    if (error.code !== 'quota_exceeded') return outage.failed(error)
    if (given === undefined) extend(waitMs)
    const { quota } = error.details
    if (quiet || told === quota) return
    told = quota
    void out.note(`${error.message}; waiting to submit, the next try is in ${formatDuration(waitMs)}`)
  }
}

/** What was really sent is remembered here, so that pond need not be believed about it later. */
async function keep(
  { connection, io, out }: Session,
  { id, digest: told }: JobView,
  { bytes, recipients }: { readonly bytes: Uint8Array; readonly recipients: string[] },
): Promise<void> {
  const digest = hash('sha256', bytes, 'hex')
  if (told !== digest) {
    throw new Failure({
      what: `pond took another job than was sent`,
      why: `${id} has the digest ${told}, and what was sent has ${digest}`,
      next: `Cancel it, and do not believe this pond: pond cancel ${id}.`,
    })
  }
  const where = { home: connection.home, clock: io.clock, sweep: io.random.number() }
  try {
    await rememberSubmitted(where, id, { digest, recipients })
  } catch (error) {
    // The job is on its way: its id must reach whoever submitted it.
    const why = error instanceof Error ? error.message : String(error)
    await out.note(`${id} could not be remembered here, so pond is believed about who may read it: ${why}`)
  }
}
