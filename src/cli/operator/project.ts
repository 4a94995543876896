// pond project: the scopes that own jobs.
import type { ConnectionFlags } from '../config.ts'
import { formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'

export function createProject(io: Io, flags: ConnectionFlags & { readonly name: string }): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const made = need('create the project', await client.call('createProject', { body: { name: flags.name } }))
    await out.result(made, () => made.id)
    return 0
  })
}

export function listProjects(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the projects', await client.call('listProjects'))
    const columns = [
      { title: 'PROJECT', cell: (it: (typeof items)[number]) => it.name },
      { title: 'ID', cell: (it: (typeof items)[number]) => it.id },
      { title: 'CREATED', cell: (it: (typeof items)[number]) => formatTime(it.created_at) },
    ]
    await out.list(items, columns, 'no projects')
    return 0
  })
}
