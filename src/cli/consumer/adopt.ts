// pond adopt: takes a result that came too late for the job's own. What the job ended with stands; what is read of it from then on is the adopted attempt's.
import type { AttemptView } from '../../protocol/consumer.ts'
import type { ConnectionFlags } from '../config.ts'
import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, withSession } from '../session.ts'

export interface AdoptFlags extends ConnectionFlags {
  readonly job?: string
  readonly attempt?: number
}

export function adopt(io: Io, flags: AdoptFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const id = await resolveJob(session, flags.job)
    const { client, out } = session
    const attempt =
      flags.attempt ??
      onlyOrphan(id, need('list the attempts', await client.call('listAttempts', { params: { id } })).items)
    const job = need(
      `adopt attempt ${attempt} of ${id}`,
      await client.call('adoptAttempt', { params: { id }, body: { attempt } }),
    )
    await out.result(
      job,
      () => `${job.id} is ${job.state} as before; its output is that of attempt ${attempt} (${endOf(job.adopted)})`,
    )
    return 0
  })
}

/** How an attempt ended, in two words. */
export function endOf(end: Pick<AttemptView, 'cause' | 'rc'> | undefined): string {
  return [end?.cause, end?.rc].filter((part) => part !== undefined).join(' ')
}

function onlyOrphan(id: string, attempts: readonly AttemptView[]): number {
  const orphans = attempts.filter(({ orphan }) => orphan)
  if (orphans.length === 1 && orphans[0]) return orphans[0].attempt
  if (orphans.length === 0) {
    throw new Failure({
      what: `no attempt of ${id} left a late result`,
      next: `Look at its attempts: pond show ${id}.`,
    })
  }
  throw new Failure({
    what: `${orphans.length} attempts of ${id} left late results`,
    why: orphans.map((it) => `attempt ${it.attempt} (${endOf(it)})`).join(', '),
    next: `Name one: pond adopt ${id} --attempt ${orphans[0]?.attempt}.`,
    exit: 'usage',
  })
}
