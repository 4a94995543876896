// Follows a job's output while it runs: both streams of each attempt side by side, attempt after attempt, up to the job's end.
import type { Client } from '../client/contract.ts'
import type { AttemptView, JobView } from '../protocol/consumer.ts'
import { isFinal } from '../protocol/job.ts'
import { limit } from '../protocol/limit.ts'
import { SealError } from '../seal/refusal.ts'
import type { Clock } from '../system/clock.ts'
import type { Random } from '../system/random.ts'
import type { StreamRead } from './stream.ts'
import { readOpened } from './trust/opened-stream.ts'
import { type Opening, sealFailure } from './trust/opening.ts'
import type { JobWatch, Outage } from './watch.ts'

export type StreamName = 'stdout' | 'stderr'

export interface FollowParts {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly id: string
  readonly signal: AbortSignal
  readonly outage: Outage
  readonly watch: JobWatch
  readonly sink: (stream: StreamName, attempt: number) => (bytes: Uint8Array, offset: number) => Promise<void>
  readonly note: (text: string) => Promise<void>
  /** Absent for a plain job. */
  readonly opening?: Opening | undefined
}

export interface FollowWish {
  readonly streams: readonly StreamName[]
  /** The first attempt to read. */
  readonly attempt: number
  /** Where to begin in that attempt; later ones are read whole. */
  readonly from: (stream: StreamName) => number
  /** Stop behind the first attempt. */
  readonly single?: boolean
}

/** Whose output stands for the job: the attempt that a person adopted, else the latest. */
export function shownAttempt({ adopted, attempts }: JobView): number {
  return adopted?.attempt ?? Math.max(1, attempts)
}

/** Resolves with the job as it was when its last wanted attempt was over. */
export async function followJob(parts: FollowParts, wish: FollowWish): Promise<JobView> {
  for (let attempt = wish.attempt; ; attempt++) {
    const begun = await parts.watch.until((job) => job.attempts >= attempt || isFinal(job.state))
    if (begun.attempts < attempt) return begun
    const from = attempt === wish.attempt ? wish.from : () => 0
    const job = await followAttempt(parts, { attempt, streams: wish.streams, from })
    if (wish.single || (isFinal(job.state) && job.attempts <= attempt)) return job
    const ended = await describeAttempt(parts, attempt)
    await parts.note(`attempt ${attempt} ended${ended}; the job goes on with attempt ${attempt + 1}`)
  }
}

interface AttemptWish {
  readonly attempt: number
  readonly streams: readonly StreamName[]
  readonly from: (stream: StreamName) => number
}

async function followAttempt(parts: FollowParts, { attempt, streams, from }: AttemptWish): Promise<JobView> {
  const over = new AbortController()
  const stop = new AbortController()
  const leave = () => stop.abort()
  parts.signal.addEventListener('abort', leave, { once: true })
  const reads = streams.map((name) =>
    readOpened(
      { ...parts, signal: stop.signal },
      { name, attempt, from: from(name), over: over.signal, sink: parts.sink(name, attempt) },
    ).then((read) => ({ name, read })),
  )
  const moved = parts.watch
    .until((job) => job.attempts > attempt || isFinal(job.state) || job.state === 'queued' || job.state === 'waiting')
    .finally(() => over.abort())
  try {
    const [job, ...done] = await Promise.all([moved, ...reads])
    for (const { name, read } of done) {
      requireEnd(parts, job, { name, attempt, read })
      await closeStream(parts, { name, attempt, read })
    }
    return job
  } finally {
    stop.abort()
    parts.signal.removeEventListener('abort', leave)
  }
}

interface ReadStream {
  readonly name: StreamName
  readonly attempt: number
  readonly read: StreamRead
}

/** The streams of a process that ended by itself have an end; a pond that shows none keeps something back. */
export function requireEnd(
  { opening, id }: Pick<FollowParts, 'opening' | 'id'>,
  job: JobView,
  { name, attempt, read }: ReadStream,
): void {
  const { cause } =
    job.adopted?.attempt === attempt ? job.adopted : { cause: job.attempts === attempt ? job.cause : undefined }
  const ended = isFinal(job.state) && (cause === 'exit' || cause === 'signal')
  if (opening && ended && read.end === 'open') {
    throw sealFailure(`could not open the end of ${name} of ${id}`, new SealError('damaged'))
  }
}

/** Says what is missing from a stream, and prints the kept tail of a capped one behind the gap. */
export async function closeStream(
  parts: Omit<FollowParts, 'watch'>,
  { name, attempt, read }: ReadStream,
): Promise<void> {
  if (read.end !== 'capped' && read.end !== 'lost') return
  const streams = (await findAttempt(parts, attempt))?.streams ?? []
  const produced = streams.find((stream) => stream.name === name)?.produced
  const stored = streams.find((stream) => stream.name === `${name}.tail`)?.bytes ?? 0
  const of = produced === undefined ? '' : ` of ${produced}`
  if (read.end === 'lost')
    return parts.note(`the end of ${name} was lost on its worker; ${read.offset}${of} bytes are here`)
  const leftOut = Math.max(0, (produced ?? read.offset) - read.offset)
  // What a sealed one opens to is known only by what is put into it.
  const tail = parts.opening && stored > 0 ? Math.min(limit.tailBytes, leftOut) : stored
  const missing = produced === undefined ? 'some' : Math.max(0, leftOut - tail)
  await parts.note(
    `${name} reached its cap: ${read.offset}${of} bytes are kept, ${missing} left out here, then the last ${tail}`,
  )
  if (stored === 0) return
  const over = AbortSignal.abort()
  await readOpened(parts, { name: `${name}.tail`, attempt, from: 0, over, sink: parts.sink(name, attempt) })
}

async function describeAttempt(parts: FollowParts, attempt: number): Promise<string> {
  const found = await findAttempt(parts, attempt)
  if (!found?.cause) return ''
  return ` (${found.cause}${found.rc ? ` ${found.rc}` : ''}${found.message ? `: ${found.message}` : ''})`
}

async function findAttempt(
  { client, id, signal, outage }: Pick<FollowParts, 'client' | 'id' | 'signal' | 'outage'>,
  attempt: number,
): Promise<AttemptView | undefined> {
  const answer = await client.persist('listAttempts', { params: { id }, signal }, outage.failed)
  return answer.ok ? answer.reply.items.findLast((one) => one.attempt === attempt) : undefined
}
