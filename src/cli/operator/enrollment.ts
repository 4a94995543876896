// pond enrollment: the codes that let one more worker join a binding. What is printed is the very line to type there.
import type { BindingId } from '../../protocol/id.ts'
import type { ConnectionFlags } from '../config.ts'
import { formatDuration } from '../duration.ts'
import type { Io } from '../io.ts'
import { need, withSession } from '../session.ts'
import { resolveBinding } from './binding.ts'
import { describeLabels, labelsOf } from './label.ts'
import type { LabelFlags } from './label-flag.ts'

export interface CreateEnrollmentFlags extends ConnectionFlags, LabelFlags {
  readonly expires?: number
  readonly fingerprint?: string
}

export function createEnrollment(io: Io, flags: CreateEnrollmentFlags & { readonly binding: string }): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const body = {
      binding: (await resolveBinding(client, flags.binding)) as BindingId,
      ...(flags.expires === undefined ? {} : { expires_ms: flags.expires }),
      ...labelsOf(flags),
      ...(flags.fingerprint === undefined ? {} : { fingerprint: flags.fingerprint }),
    }
    const made = need('create the enrollment code', await client.call('createEnrollmentCode', { body }))
    const command = `swarm worker add ${made.code}`
    await out.result({ ...made, command }, () => command)
    return 0
  })
}

export function listEnrollments(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { items } = need('list the enrollment codes', await client.call('listEnrollmentCodes'))
    type Item = (typeof items)[number]
    const columns = [
      { title: 'CODE', cell: ({ id }: Item) => id },
      { title: 'BINDING', cell: ({ binding_id }: Item) => binding_id },
      { title: 'TRIES', cell: ({ tries_left }: Item) => `${tries_left}` },
      { title: 'ENDS IN', cell: ({ expires_at }: Item) => formatDuration(expires_at - io.clock.now()) },
      { title: 'LABELS', cell: (item: Item) => describeLabels(item) },
    ]
    await out.list(items, columns, 'no enrollment codes that can still be used')
    return 0
  })
}

export function revokeEnrollment(io: Io, flags: ConnectionFlags & { readonly id: string }): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    need(`take back ${flags.id}`, await client.call('revokeEnrollmentCode', { params: { id: flags.id } }))
    await out.result({ id: flags.id }, () => `${flags.id} taken back`)
    return 0
  })
}
