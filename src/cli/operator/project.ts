// pond project: the scopes that own jobs.
import type { ConnectionFlags } from '../config.ts'
import { formatTime } from '../duration.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'
import { describeStop, noteOfStop, type StopFlags, stopBodyOf } from './stop.ts'

type Named = ConnectionFlags & { readonly name: string }

export function createProject(
  io: Io,
  { name, weight, ...flags }: Named & { readonly weight?: number },
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
      { title: 'STATE', cell: (it: (typeof items)[number]) => (it.pause ? 'paused' : 'open') },
      { title: 'NOTE', cell: (it: (typeof items)[number]) => noteOfStop(it.pause) },
    ]
    await out.list(items, columns, 'no projects')
    return 0
  })
}

export function pauseProject(io: Io, flags: Named & StopFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { name } = flags
    const answer = await client.call('pauseProject', { params: { name }, body: stopBodyOf(flags) })
    const project = need(`pause ${name}`, answer)
    await out.result(project, () => `${name} hands out no jobs${project.pause ? describeStop(project.pause) : ''}`)
    return 0
  })
}

export function resumeProject(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { name } = flags
    const project = need(`resume ${name}`, await client.call('resumeProject', { params: { name } }))
    await out.result(project, () => `${name} hands out jobs again`)
    return 0
  })
}
