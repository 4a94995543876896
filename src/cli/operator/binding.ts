// pond binding: what pairing left behind, by id or by name.
import type { z } from 'zod'
import type { Client } from '../../client/contract.ts'
import type { bindingView } from '../../protocol/admin.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatAgo, formatTime } from '../duration.ts'
import { nameFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { fields } from '../output.ts'
import { need, withSession } from '../session.ts'
import { describeStop, noteOfStop, type StopFlags, stopBodyOf } from './stop.ts'

type Binding = z.infer<typeof bindingView>
type Named = ConnectionFlags & { readonly binding: string }

export function listBindings(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the bindings', await client.call('listBindings'))
    const columns = [
      { title: 'BINDING', cell: ({ id }: Binding) => id },
      { title: 'NAME', cell: ({ name }: Binding) => name },
      { title: 'PROJECT', cell: ({ project }: Binding) => project },
      { title: 'STATE', cell: stateOf },
      { title: 'CLAIMS', cell: ({ claims }: Binding) => `${claims}` },
      { title: 'POLLED', cell: ({ last_poll_at }: Binding) => formatAgo(last_poll_at, io.clock.now()) },
      { title: 'NOTE', cell: ({ cordon }: Binding) => noteOfStop(cordon) },
    ]
    await out.list(items, columns, 'no bindings; make a code: pond pairing create')
    return 0
  })
}

export function showBinding(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const id = await resolveBinding(client, flags.binding)
    const binding = need(`show ${id}`, await client.call('getBinding', { params: { id } }))
    await out.result(binding, () =>
      fields([
        ['binding', binding.id],
        ['name', binding.name],
        ['project', binding.project],
        ['then', sayLadder(binding)],
        ['state', stateOf(binding)],
        ['cordon', binding.cordon && `nothing new${describeStop(binding.cordon)}`],
        ['workers', binding.workers],
        ['claims', binding.claims],
        ['created', formatTime(binding.created_at)],
        ['polled', formatAgo(binding.last_poll_at, io.clock.now())],
        ['revoked', binding.revoked_at === undefined ? undefined : formatTime(binding.revoked_at)],
      ]),
    )
    return 0
  })
}

export function revokeBinding(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const id = await resolveBinding(client, flags.binding)
    const binding = need(`revoke ${id}`, await client.call('revokeBinding', { params: { id } }))
    await out.result(binding, () => `${binding.id} (${binding.name}) revoked`)
    return 0
  })
}

export interface ServeFlags extends Named {
  readonly friend?: readonly string[]
  readonly public?: boolean
}

/** What is not named is served no longer. */
export function serveOthers(io: Io, flags: ServeFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const id = await resolveBinding(client, flags.binding)
    const body = { friends: [...(flags.friend ?? [])], public: flags.public === true }
    const before = await client.call('getBinding', { params: { id } })
    const binding = need(`say whom ${id} serves`, await client.call('putLadder', { params: { id }, body }))
    await out.result(binding, () => `${binding.name} serves ${binding.project}, then ${sayLadder(binding) ?? 'nobody'}`)
    const dropped = before.ok ? rungs(before.reply).filter((name) => !rungs(binding).includes(name)) : []
    if (dropped.length > 0) await out.note(`it serves no longer: ${dropped.join(', ')}; what is not named is dropped`)
    return 0
  })
}

export function cordonBinding(io: Io, flags: Named & StopFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const id = await resolveBinding(client, flags.binding)
    const answer = await client.call('cordonBinding', { params: { id }, body: stopBodyOf(flags) })
    const binding = need(`cordon ${id}`, answer)
    const { name, cordon } = binding
    await out.result(binding, () => `${id} (${name}) gets nothing new${cordon ? describeStop(cordon) : ''}`)
    return 0
  })
}

function sayLadder({ ladder }: Binding): string | undefined {
  return ladder && rungs({ ladder }).join(', ')
}

const rungs = ({ ladder }: Pick<Binding, 'ladder'>) =>
  ladder ? [...ladder.friends, ...(ladder.public ? ['everybody'] : [])] : []

export function uncordonBinding(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const id = await resolveBinding(client, flags.binding)
    const binding = need(`uncordon ${id}`, await client.call('uncordonBinding', { params: { id } }))
    await out.result(binding, () => `${id} (${binding.name}) may get jobs again`)
    return 0
  })
}

export interface DrainFlags extends Named {
  readonly deadline?: number
  readonly note?: string
}

export function drainBinding(io: Io, flags: DrainFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const id = await resolveBinding(client, flags.binding)
    const body = {
      ...(flags.deadline === undefined ? {} : { deadline_ms: flags.deadline }),
      ...(flags.note === undefined ? {} : { note: flags.note }),
    }
    const binding = need(`drain ${id}`, await client.call('drainBinding', { params: { id }, body }))
    const { name, draining = 0, workers } = binding
    await out.result(binding, () => `${id} (${name}) drains: ${draining} of ${workers} workers`)
    return 0
  })
}

function stateOf({ state, online, ephemeral, cordon, draining, workers }: Binding): string {
  const there = online ? 'online' : 'offline'
  const drains = draining === workers ? 'draining' : draining && `${draining} of ${workers} draining`
  const more = [ephemeral && 'ephemeral', cordon && 'cordoned', drains].filter(Boolean)
  return [state === 'active' ? there : state, ...more].join(', ')
}

/** Revoking the wrong machine is worse than typing more, so a name must be the only one of its kind. */
export async function resolveBinding(client: Client, given: string): Promise<string> {
  if (/^bnd_.{26}$/.test(given)) return given
  const { items } = need('list the bindings', await client.call('listBindings'))
  const found = items.filter(
    ({ id, name }) => name === given || id.startsWith(given.startsWith('bnd_') ? given : `bnd_${given}`),
  )
  if (found.length === 1 && found[0]) return found[0].id
  throw nameFailure(found.length, 'binding', { given, next: 'Give its id: pond binding ls.' })
}
