// pond trust: which keys are believed here. Each is pinned when it is first seen or compared by eye; a change is never taken silently.
import type { WorkerView } from '../../protocol/consumer.ts'
import { fingerprint } from '../../seal/fingerprint.ts'
import { type ConnectionFlags, clientHome } from '../config.ts'
import { Failure, nameFailure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput } from '../output.ts'
import { need, withSession } from '../session.ts'
import { type ConfirmFlags, requireRight } from '../trust/confirm.ts'
import { entriesOf, findEntry, shortKey, type TrustEntry, trustKinds, withoutEntry } from '../trust/entry.ts'
import { judgePond, pinPond, pondFingerprint, refusePond } from '../trust/pond-key.ts'
import { reviewRecipients } from '../trust/recipient.ts'
import { changeTrust, readTrust, workerKey } from '../trust/store.ts'
import type { HomeFlags } from './identity.ts'

export async function listTrust(io: Io, flags: HomeFlags): Promise<number> {
  const out = createOutput(io, { program: 'pond', json: flags.json === true })
  const entries = entriesOf(await readTrust(clientHome(io.env, flags.home)))
  const columns = [
    { title: 'KIND', cell: ({ kind }: TrustEntry) => kind },
    { title: 'NAME', cell: ({ name, id }: TrustEntry) => name || id || '-' },
    { title: 'POND', cell: ({ pond }: TrustEntry) => pond },
    {
      title: 'TRUSTED',
      cell: ({ checked, kind }: TrustEntry) => (checked ? 'checked' : kind === 'worker' ? 'first seen' : 'pinned'),
    },
    { title: 'FINGERPRINT', cell: ({ fingerprints }: TrustEntry) => fingerprints.join(' ') || '-' },
  ]
  const shown = entries.map(({ key: _, ...entry }) => entry)
  await out.list(out.json ? (shown as TrustEntry[]) : entries, columns, 'nothing is trusted yet')
  return 0
}

export async function removeTrust(
  io: Io,
  flags: HomeFlags & { readonly kind: string; readonly what: string },
): Promise<number> {
  const kind = trustKinds.find((it) => it === flags.kind)
  if (!kind) throw usageFailure(`${flags.kind} is nothing that is trusted`, `Give one of ${trustKinds.join(', ')}.`)
  const out = createOutput(io, { program: 'pond', json: flags.json === true })
  const home = clientHome(io.env, flags.home)
  const { key: _, ...entry } = findEntry(await readTrust(home), kind, flags.what)
  await changeTrust({ home, clock: io.clock }, (before) => withoutEntry(before, findEntry(before, kind, flags.what)))
  await out.result(entry, () => `${entry.kind} ${entry.name || entry.pond} is not trusted any more`)
  return 0
}

export function trustWorker(
  io: Io,
  flags: ConnectionFlags & ConfirmFlags & { readonly worker: string },
): Promise<number> {
  return withSession(io, flags, async ({ client, connection, out }) => {
    const { items } = need('list the workers', await client.call('listWorkers'))
    const worker = findWorker(items, flags.worker)
    const { id, name, sealing_key, signing_key } = worker
    const shown = fingerprint(sealing_key, signing_key)
    if (worker.state === 'quarantined' || worker.state === 'revoked') {
      throw new Failure({ what: `worker ${name} is ${worker.state}`, next: 'Ask the operator of this pond why.' })
    }
    await requireRight(io, { what: `worker ${name}`, shown }, flags)
    const key = workerKey(connection.url, id)
    const trust = await changeTrust({ home: connection.home, clock: io.clock }, (before) => {
      const known = before.workers[key]
      // Nothing leads from keys that are replaced by hand to these: what they sign is not believed any more.
      const former = known?.signing_key === signing_key ? known.former : []
      const keys = { sealing_key, signing_key, former }
      const pin = { id, name, pond: connection.url, ...keys, checked: true, at: io.clock.now() }
      return { ...before, workers: { ...before.workers, [key]: pin } }
    })
    const pin = trust.workers[key]
    await out.result({ ...pin, fingerprint: shown }, () => `worker ${name} is trusted: ${shown}`)
    return 0
  })
}

function findWorker(items: readonly WorkerView[], given: string): WorkerView {
  const found = items.filter(
    ({ id, name, sealing_key, signing_key }) =>
      id === given || name === given || fingerprint(sealing_key, signing_key) === given,
  )
  if (found.length === 1 && found[0]) return found[0]
  throw nameFailure(found.length, 'worker', { given, next: 'Give its id: pond workers.' })
}

export function trustPond(io: Io, flags: ConnectionFlags & ConfirmFlags): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { client, connection, out } = session
    const { pond } = need('ask for the keys of pond', await client.call('whoami'))
    const { signing_key, sealing_key } = pond
    const keys = { signing_key, sealing_key }
    const verdict = judgePond((await readTrust(connection.home)).ponds[connection.url], pond)
    if (verdict === 'unproved') throw refusePond(connection.url, verdict, keys)
    const shown = pondFingerprint(keys)
    const unasked = verdict === 'same' || verdict === 'rotated'
    if (!unasked || flags.fingerprint !== undefined) {
      await requireRight(io, { what: `pond ${connection.url}`, shown }, flags)
    }
    if (verdict !== 'same') await pinPond(session, keys)
    await out.result({ url: connection.url, ...keys, fingerprint: shown, was: verdict }, () => {
      return `pond ${connection.url} is trusted: ${shown}`
    })
    return 0
  })
}

export function trustRecipients(io: Io, flags: ConnectionFlags & { readonly yes?: boolean }): Promise<number> {
  return withSession(io, flags, async (session) => {
    const { project, recipients } = await reviewRecipients(session, { yes: flags.yes === true })
    await session.out.result({ project, recipients }, () => [
      `${recipients.length} recipients of project ${project} are pinned`,
      ...recipients.map((text) => `${shortKey(text)}  ${text}`),
    ])
    return 0
  })
}
