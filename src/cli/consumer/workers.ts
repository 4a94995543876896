// pond workers: the machines that serve the project. The operator's list of all of them is printed from here too.
import type { WorkerView } from '../../protocol/consumer.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatAgo } from '../duration.ts'
import type { Io } from '../io.ts'
import type { Column } from '../output.ts'
import { need, withSession } from '../session.ts'
import { pairs } from './show.ts'

export function workers(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the workers', await client.call('listWorkers'))
    await out.list(items, workerColumns(io.clock.now()), 'no workers; an operator pairs one: pond pairing create')
    return 0
  })
}

export function workerColumns(now: number): readonly Column<WorkerView>[] {
  return [
    { title: 'WORKER', cell: ({ id }) => id },
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'STATE', cell: ({ state }) => state },
    { title: 'SLOTS', cell: ({ inflight, slots }) => `${inflight}/${slots}` },
    { title: 'POLLED', cell: ({ last_poll_at }) => formatAgo(last_poll_at, now) },
    { title: 'EXECUTOR', cell: ({ executor }) => executor ?? '-' },
    { title: 'SANDBOX', cell: ({ sandbox }) => sandbox ?? '-' },
    { title: 'FINGERPRINT', cell: ({ fingerprint }) => fingerprint },
    { title: 'LABELS', cell: ({ labels }) => pairs(labels) },
    { title: 'CLASS', cell: ({ class: kind }) => kind ?? '-' },
    { title: 'NOTE', cell: ({ note }) => note ?? '' },
  ]
}
