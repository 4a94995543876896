// pond run: submits a job, shows its output as if it ran here, and ends with its exit code.
import type { JobView } from '../../protocol/consumer.ts'
import { causeTable } from '../../protocol/job.ts'
import { exitOfJob } from '../exit-code.ts'
import { followJob } from '../follow.ts'
import type { Io } from '../io.ts'
import { isClosedPipe } from '../output.ts'
import { type Session, withSession } from '../session.ts'
import { type Opening, openingOf } from '../trust/opening.ts'
import { openPrivate } from '../trust/private.ts'
import { showWaiting } from '../waiting.ts'
import { createOutage, Left, watchJob } from '../watch.ts'
import { attendArray } from './attend-array.ts'
import { listenForInterrupt } from './interrupt.ts'
import type { SubmitFlags } from './job-spec.ts'
import { submitJob } from './submit.ts'

export interface RunFlags extends SubmitFlags {
  readonly detach?: boolean
}

export function run(io: Io, flags: RunFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const job = await submitJob(session, flags)
    if (flags.detach) {
      await session.out.result(job, () => job.id)
      return 0
    }
    return attend(session, job, flags.quiet === true)
  })
}

async function attend(session: Session, submitted: JobView, quiet: boolean): Promise<number> {
  const { io, client, out } = session
  const { id } = submitted
  const opening = await openingOf(session, submitted)
  const interrupt = listenForInterrupt({ io, client, out, id })
  const parts = {
    client,
    clock: io.clock,
    random: io.random,
    id,
    signal: interrupt.left,
    outage: createOutage(out.note),
  }
  const watch = watchJob(parts)
  const hide = quiet ? () => {} : showWaiting({ io, client, out, watch })
  const sink = (stream: 'stdout' | 'stderr') => async (bytes: Uint8Array) => {
    await interrupt.quiet()
    // With --json stdout holds the ended job and nothing else, so the job's own output all goes to stderr.
    await out.bytes(out.json ? 'stderr' : stream, bytes)
  }
  try {
    const wish = { streams: ['stdout', 'stderr'], attempt: 1, from: () => 0 } as const
    const job = submitted.array
      ? await attendArray({ clock: io.clock, watch, note: quiet ? async () => {} : out.note })
      : await followJob({ ...parts, watch, sink, note: out.note, opening }, wish)
    await interrupt.quiet()
    if (out.json) await out.result(job, () => '')
    await explainEnd(session, job, opening)
    return interrupt.code() ?? exitOfJob(job)
  } catch (error) {
    if (error instanceof Left) return interrupt.code() ?? exitOfJob(watch.job() ?? submitted)
    if (isClosedPipe(error)) await out.note(`the reader of the output went away; ${id} goes on`).catch(() => {})
    throw error
  } finally {
    hide()
    interrupt.close()
  }
}

/** Says why a job ended when its exit code alone does not. */
export async function explainEnd(session: Session, job: JobView, opening: Opening | undefined): Promise<void> {
  if (job.cause === undefined || job.cause === 'exit') return
  const { out } = session
  const said = opening ? (await openPrivate(session, job, opening))?.message : job.message
  const message = said ? ` (${said})` : ''
  await out.note(`${job.id} ${job.state}: ${job.cause}: ${causeTable[job.cause]}${message}`)
}
