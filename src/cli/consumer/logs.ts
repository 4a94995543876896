// pond logs: a job's output as raw bytes, from any offset; with -f up to the job's end and its exit code.
import type { JobView } from '../../protocol/consumer.ts'
import { isFinal } from '../../protocol/job.ts'
import type { ConnectionFlags } from '../config.ts'
import { exitCode, exitOfJob } from '../exit-code.ts'
import { usageFailure } from '../failure.ts'
import { closeStream, type FollowParts, followJob, requireEnd, type StreamName, shownAttempt } from '../follow.ts'
import type { Io } from '../io.ts'
import { need, resolveJob, type Session, withSession } from '../session.ts'
import { findTail } from '../tail.ts'
import { stampLines } from '../timestamp.ts'
import { readOpened } from '../trust/opened-stream.ts'
import { openingOf } from '../trust/opening.ts'
import { createOutage, Left, watchJob } from '../watch.ts'
import { explainEnd } from './run.ts'

export interface LogsFlags extends ConnectionFlags {
  readonly job?: string
  readonly follow?: boolean
  readonly attempt?: number
  readonly from?: number
  readonly tail?: number
  readonly timestamps?: boolean
  readonly stderr?: boolean
  readonly stream?: StreamName
}

export function logs(io: Io, flags: LogsFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    if (flags.from !== undefined && flags.tail !== undefined) throw usageFailure('--from and --tail exclude each other')
    const id = await resolveJob(session, flags.job)
    // The first call is made once: whoever types a wrong URL should hear so at once.
    const job = need(`show ${id}`, await session.client.call('getJob', { params: { id } }))
    const attempt = flags.attempt ?? shownAttempt(job)
    const wish = { ...flags, attempt, single: flags.attempt !== undefined || job.adopted !== undefined }
    const opening = await openingOf(session, job)
    const parts = { ...partsOf(session, flags, id), opening }
    if (flags.follow) return follow(session, parts, wish)
    if (job.attempts < attempt) {
      await session.out.note(
        `${id} has ${job.attempts === 0 ? 'not started yet' : `no attempt ${attempt}`} (${job.state})`,
      )
      return exitCode('ok')
    }
    await printNow(parts, job, wish)
    return exitCode('ok')
  })
}

type Wish = LogsFlags & { readonly attempt: number; readonly single: boolean }
type Parts = Omit<FollowParts, 'watch'>

function partsOf({ io, client, out }: Session, flags: LogsFlags, id: string): Parts {
  const sink: Parts['sink'] = (stream, attempt) => {
    const write = (bytes: Uint8Array | string) => out.bytes(stream, bytes)
    return flags.timestamps ? stampLines({ client, id, stream, attempt }, write) : write
  }
  const signal = new AbortController().signal
  return {
    client,
    clock: io.clock,
    random: io.random,
    id,
    signal,
    outage: createOutage(out.note),
    sink,
    note: out.note,
  }
}

/** An offset means one stream, so --from alone means stdout. */
function streamsOf(flags: LogsFlags): readonly StreamName[] {
  if (flags.stream) return [flags.stream]
  if (flags.stderr) return ['stderr']
  return flags.from === undefined ? ['stdout', 'stderr'] : ['stdout']
}

async function startsOf(parts: Parts, flags: Wish): Promise<(stream: StreamName) => number> {
  const { tail, attempt } = flags
  if (tail === undefined) return () => flags.from ?? 0
  const starts = await Promise.all(
    streamsOf(flags).map(async (name) => [name, await findTail(parts, { name, attempt, lines: tail })] as const),
  )
  return (stream) => new Map(starts).get(stream) ?? 0
}

async function follow(session: Session, parts: Parts, flags: Wish): Promise<number> {
  const leave = new AbortController()
  const watch = watchJob({ ...parts, signal: leave.signal })
  const wish = {
    streams: streamsOf(flags),
    attempt: flags.attempt,
    from: await startsOf(parts, flags),
    single: flags.single,
  }
  try {
    const job = await followJob({ ...parts, signal: leave.signal, watch }, wish)
    const ended = isFinal(job.state) ? job : await watch.until(({ state }) => isFinal(state))
    await explainEnd(session, ended, parts.opening)
    return exitOfJob(ended)
  } catch (error) {
    if (error instanceof Left) return exitCode('interrupted')
    throw error
  } finally {
    leave.abort()
  }
}

async function printNow(parts: Parts, job: JobView, flags: Wish): Promise<void> {
  const { attempt } = flags
  const from = await startsOf(parts, flags)
  const over = AbortSignal.abort()
  await Promise.all(
    streamsOf(flags).map(async (name) => {
      const sink = parts.sink(name, attempt)
      const read = await readOpened(parts, { name, attempt, from: from(name), over, sink })
      requireEnd(parts, job, { name, attempt, read })
      await closeStream(parts, { name, attempt, read })
    }),
  )
}
