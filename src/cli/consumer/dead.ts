// pond dead: lists what failed or expired and that nobody has dealt with, and takes jobs out of that list.
import type { JobView } from '../../protocol/consumer.ts'
import type { Cause } from '../../protocol/job.ts'
import { limit } from '../../protocol/limit.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatAgo } from '../duration.ts'
import type { Io } from '../io.ts'
import type { Column } from '../output.ts'
import { need, resolveJob, type Session, withSession } from '../session.ts'
import { shorten } from './ps.ts'

export interface DeadListFlags extends ConnectionFlags {
  readonly cause?: Cause
  readonly label?: string
  /** Only its elements. */
  readonly array?: string
  readonly limit: number
}

export function listDead(io: Io, flags: DeadListFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const array = flags.array === undefined ? undefined : await resolveJob(session, flags.array)
    const items = await fetchDead(session, { ...flags, array })
    await session.out.list(items, columns(io.clock.now()), 'no dead letters')
    return 0
  })
}

type Wanted = Omit<DeadListFlags, 'array'> & { readonly array: string | undefined }

/** A page may be short, even empty, while others follow. */
async function fetchDead({ client }: Session, { cause, label, array, limit: most }: Wanted): Promise<JobView[]> {
  const items: JobView[] = []
  for (let cursor: string | undefined; items.length < most; ) {
    const query = { cause, label, array, cursor, limit: Math.min(limit.listMost, most - items.length) }
    const page = need('list the dead letters', await client.call('listDead', { query }))
    items.push(...page.items)
    if (page.next === null) break
    cursor = page.next
  }
  return items
}

const columns = (now: number): readonly Column<JobView>[] => [
  { title: 'JOB', cell: ({ id }) => id },
  { title: 'CAUSE', cell: ({ cause = '-', array }) => (array ? `${cause}, ${array.never_began} never began` : cause) },
  { title: 'CODE', cell: ({ rc }) => (rc === undefined ? '-' : `${rc}`) },
  { title: 'ENDED', cell: ({ ended_at }) => (ended_at === undefined ? '-' : formatAgo(ended_at, now)) },
  { title: 'COMMAND', cell: ({ command }) => shorten(command.join(' ')) },
]

export function removeDead(io: Io, flags: ConnectionFlags & { readonly job: string }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const id = await resolveJob(session, flags.job)
    const job = need(`dismiss ${id}`, await session.client.call('dismissJob', { params: { id } }))
    await session.out.result(job, () =>
      job.replayed_by === undefined ? `${job.id} dismissed` : `${job.id} was replayed as ${job.replayed_by}`,
    )
    return 0
  })
}
