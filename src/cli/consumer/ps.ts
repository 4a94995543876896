// pond ps: lists jobs, by default those that have not ended.
import type { JobView } from '../../protocol/consumer.ts'
import { finalStates, type JobState, jobStates } from '../../protocol/job.ts'
import { limit } from '../../protocol/limit.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatAgo, formatDuration } from '../duration.ts'
import type { Io } from '../io.ts'
import type { Column } from '../output.ts'
import { need, resolveJob, type Session, withSession } from '../session.ts'

export interface PsFlags extends ConnectionFlags {
  readonly all?: boolean
  readonly state?: JobState
  readonly label?: string
  /** Its elements that have begun. */
  readonly array?: string
  readonly limit: number
}

export function ps(io: Io, flags: PsFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const array = flags.array === undefined ? undefined : await resolveJob(session, flags.array)
    const items =
      flags.all || flags.state || array
        ? await fetchJobs(session, { ...flags, array }, flags.state)
        : await fetchLive(session, flags)
    await session.out.list(items, columns(io.clock.now()), 'no jobs; pond ps --all also lists those that ended')
    return 0
  })
}

type Wanted = Omit<PsFlags, 'array'> & { readonly array?: string | undefined }

/** Pond filters by one state, so the live ones are asked for state by state. */
async function fetchLive(session: Session, flags: PsFlags): Promise<readonly JobView[]> {
  const live = jobStates.filter((state) => !(finalStates as readonly JobState[]).includes(state))
  const pages = await Promise.all(live.map((state) => fetchJobs(session, flags, state)))
  return pages
    .flat()
    .sort((a, b) => b.created_at - a.created_at)
    .slice(0, flags.limit)
}

async function fetchJobs({ client }: Session, flags: Wanted, state?: JobState): Promise<readonly JobView[]> {
  const items: JobView[] = []
  for (let cursor: string | undefined; items.length < flags.limit; ) {
    const most = Math.min(limit.listMost, flags.limit - items.length)
    const page = need(
      'list the jobs',
      await client.call('listJobs', { query: { state, label: flags.label, array: flags.array, cursor, limit: most } }),
    )
    items.push(...page.items)
    if (page.next === null) break
    cursor = page.next
  }
  return items
}

const COMMAND_CHARS_MOST = 60

function columns(now: number): readonly Column<JobView>[] {
  return [
    { title: 'JOB', cell: ({ id }) => id },
    { title: 'STATE', cell: ({ state, cause }) => (cause && cause !== 'exit' ? `${state} (${cause})` : state) },
    { title: 'CODE', cell: ({ rc }) => (rc === undefined ? '-' : `${rc}`) },
    { title: 'CREATED', cell: ({ created_at }) => formatAgo(created_at, now) },
    {
      title: 'RAN',
      cell: (job) => (job.started_at === undefined ? '-' : formatDuration((job.ended_at ?? now) - job.started_at)),
    },
    { title: 'COMMAND', cell: ({ command }) => shorten(command.join(' ')) },
  ]
}

export function shorten(text: string): string {
  return text.length > COMMAND_CHARS_MOST ? `${text.slice(0, COMMAND_CHARS_MOST - 1)}…` : text
}
