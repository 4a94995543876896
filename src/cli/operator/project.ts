// pond project: the scopes that own jobs.
import type { ConnectionFlags } from '../config.ts'
import { formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'

export function createProject(
  io: Io,
  { name, weight, ...flags }: ConnectionFlags & { readonly name: string; readonly weight?: number },
): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const body = { name, ...(weight === undefined ? {} : { weight }) }
    const made = need('create the project', await client.call('createProject', { body }))
    await out.result(made, () => made.id)
    return 0
  })
}

export function weighProject(
  io: Io,
  { project, weight, ...flags }: ConnectionFlags & { readonly project: string; readonly weight: number },
): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const asked = { params: { project }, body: { weight } }
    const set = need(`set the weight of ${project}`, await client.call('putWeight', asked))
    await out.result(set, () => `${set.name} has weight ${set.weight}`)
    return 0
  })
}

export function listProjects(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the projects', await client.call('listProjects'))
    const columns = [
      { title: 'PROJECT', cell: (it: (typeof items)[number]) => it.name },
      { title: 'ID', cell: (it: (typeof items)[number]) => it.id },
      { title: 'WEIGHT', cell: (it: (typeof items)[number]) => `${it.weight}` },
      { title: 'CREATED', cell: (it: (typeof items)[number]) => formatTime(it.created_at) },
    ]
    await out.list(items, columns, 'no projects')
    return 0
  })
}
