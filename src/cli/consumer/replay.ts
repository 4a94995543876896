// pond replay: has jobs that ended run once more, as new jobs with the same exact bytes. It does not wait for their ends.
import type { ReplayReply } from '../../protocol/ended.ts'
import type { JobId } from '../../protocol/id.ts'
import type { Cause } from '../../protocol/job.ts'
import type { ConnectionFlags } from '../config.ts'
import { usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { need, rememberJob, resolveJob, type Session, withSession } from '../session.ts'
import { recallSubmitted, rememberSubmitted } from '../trust/job-memory.ts'

export interface ReplayFlags extends ConnectionFlags {
  readonly job?: string
  readonly cause?: Cause
  readonly label?: string
  /** Elements of this array. */
  readonly array?: string
  readonly most?: number
}

export function replay(io: Io, flags: ReplayFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { cause, label, array } = flags
    if (cause !== undefined || label !== undefined || array !== undefined) return await replayAll(session, flags)
    if (flags.most !== undefined)
      throw usageFailure('--most is for many jobs', 'Name a --label, an --array or a --cause.')
    const id = await resolveJob(session, flags.job)
    const job = need(`replay ${id}`, await session.client.call('replayJob', { params: { id }, body: {} }))
    await rememberJob(session, job)
    await session.out.result(job, () => job.id)
    await passOn(session, { from: id, to: job.id })
    return 0
  })
}

async function replayAll(session: Session, { job, cause, label, array, most }: ReplayFlags): Promise<number> {
  if (job !== undefined) {
    const next = 'Type pond replay JOB, or pond replay with --label, --array or --cause.'
    throw usageFailure('a job was named, and which jobs too', next)
  }
  const of = array === undefined ? undefined : ((await resolveJob(session, array)) as JobId)
  const body = { cause, label, most, array: of }
  const done = need('replay the dead letters', await session.client.call('replayJobs', { body }))
  await session.out.result(done, () => done.replayed.map(({ from, to }) => `${from} -> ${to}`))
  if (!session.out.json) for (const text of notes(done)) await session.out.note(text)
  for (const one of done.replayed) await passOn(session, one)
  return 0
}

/** What is known here of the old job holds for the new one: who may read it, pond need not be believed. */
async function passOn({ io, connection: { home } }: Session, { from, to }: ReplayReply['replayed'][number]) {
  const known = await recallSubmitted(home, from)
  if (!known) return
  const { digest, recipients } = known
  await rememberSubmitted({ home, clock: io.clock, sweep: io.random.number() }, to, { digest, recipients })
}

function notes({ replayed, refused, left }: ReplayReply): readonly string[] {
  return [
    `${replayed.length} replayed`,
    ...refused.map(({ id, message }) => `${id} was not: ${message}`),
    ...(left ? ['there may be more; say it again'] : []),
  ]
}
