// pond worker: the workers of every project, for the operator.

import type { ConnectionFlags } from '../config.ts'
import { workerColumns } from '../consumer/workers.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'

export function listAllWorkers(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the workers', await client.call('listAllWorkers'))
    const project = { title: 'PROJECT', cell: (it: (typeof items)[number]) => it.project }
    const [id, ...rest] = workerColumns(io.clock.now())
    await out.list(items, [...(id ? [id] : []), project, ...rest], 'no workers; make a code: pond pairing create')
    return 0
  })
}
