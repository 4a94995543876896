// pond worker: the workers of every project, for the operator: who they are, who showed other keys, and who is shut out.
import type { Client } from '../../client/contract.ts'
import type { WorkerView } from '../../protocol/consumer.ts'
import type { ConnectionFlags } from '../config.ts'
import { pairs } from '../consumer/show.ts'
import { workerColumns } from '../consumer/workers.ts'
import { formatAgo, formatTime } from '../duration.ts'
import { nameFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { fields, type Output } from '../output.ts'
import { describeResources } from '../resource.ts'
import { need, withSession } from '../session.ts'
import { describeStop, type StopFlags, stopBodyOf } from './stop.ts'

type Named = ConnectionFlags & { readonly worker: string }

export function listAllWorkers(io: Io, flags: ConnectionFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const items = await readWorkers(client)
    const project = { title: 'PROJECT', cell: (it: WorkerView) => it.project }
    const [id, ...rest] = workerColumns(io.clock.now())
    await out.list(items, [...(id ? [id] : []), project, ...rest], 'no workers; make a code: pond pairing create')
    for (const worker of items) await noteStranger(out, worker)
    return 0
  })
}

export function showWorker(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const worker = await resolveWorker(client, flags.worker)
    await out.result(worker, () =>
      fields([
        ['worker', worker.id],
        ['name', worker.name],
        ['project', worker.project],
        ['binding', worker.binding_id],
        ['state', worker.state],
        ['note', worker.note],
        ['class', worker.class],
        ['drain', describeDrain(worker)],
        ['cordon', describeCordon(worker)],
        ['fingerprint', worker.fingerprint],
        ['shows', worker.shown_fingerprint],
        ['sealing key', worker.sealing_key],
        ['signing key', worker.signing_key],
        ['slots', `${worker.inflight}/${worker.slots}`],
        ...describeMeans(worker),
        ['version', worker.version],
        ['polled', formatAgo(worker.last_poll_at, io.clock.now())],
      ]),
    )
    await noteStranger(out, worker)
    return 0
  })
}

export function reinstateWorker(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { id } = await resolveWorker(client, flags.worker)
    const worker = need(`reinstate ${id}`, await client.call('reinstateWorker', { params: { id }, body: {} }))
    await out.result(
      worker,
      () => `${worker.id} (${worker.name}) is trusted with its pinned keys, ${worker.fingerprint}`,
    )
    return 0
  })
}

export interface DrainFlags extends Named {
  readonly deadline?: number
  readonly note?: string
}

export function drainWorker(io: Io, flags: DrainFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { id } = await resolveWorker(client, flags.worker)
    const body = {
      ...(flags.deadline === undefined ? {} : { deadline_ms: flags.deadline }),
      ...(flags.note === undefined ? {} : { note: flags.note }),
    }
    const worker = need(`drain ${id}`, await client.call('drainWorker', { params: { id }, body }))
    await out.result(worker, () => `${worker.id} (${worker.name}) ${describeDrain(worker)}`)
    return 0
  })
}

export function resumeWorker(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const before = await resolveWorker(client, flags.worker)
    const { id } = before
    const worker = need(`resume ${id}`, await client.call('resumeWorker', { params: { id }, body: {} }))
    await out.result(worker, () => `${worker.id} (${worker.name}) may get jobs again`)
    if (before.drain?.heard)
      await out.note('its swarm has heard of the drain and leaves; start it again there: swarm run')
    return 0
  })
}

export function cordonWorker(io: Io, flags: Named & StopFlags): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { id } = await resolveWorker(client, flags.worker)
    const answer = await client.call('cordonWorker', { params: { id }, body: stopBodyOf(flags) })
    const worker = need(`cordon ${id}`, answer)
    await out.result(worker, () => `${worker.id} (${worker.name}) ${describeCordon(worker)}`)
    return 0
  })
}

export function uncordonWorker(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { id } = await resolveWorker(client, flags.worker)
    const worker = need(`uncordon ${id}`, await client.call('uncordonWorker', { params: { id } }))
    const { cordon, name, binding_id } = worker
    await out.result(worker, () => `${id} (${name}) ${describeCordon(worker) ?? 'may get jobs again'}`)
    if (cordon) await out.note(`the cordon of its binding stands: pond binding uncordon ${binding_id}`)
    return 0
  })
}

function describeCordon({ cordon }: WorkerView): string | undefined {
  if (!cordon) return undefined
  return `gets nothing new${cordon.of === 'binding' ? ', as all of its binding' : ''}${describeStop(cordon)}`
}

/** What a match goes by. Of its labels first those that an operator gave it. */
function describeMeans(worker: WorkerView): readonly (readonly [string, string | undefined])[] {
  const { labels, granted_labels: granted = [], os, arch, sandbox, allow_unsandboxed } = worker
  const of = (isGranted: boolean) =>
    pairs(Object.fromEntries(Object.entries(labels).filter(([key]) => granted.includes(key) === isGranted)))
  return [
    ['labels', of(true) || undefined],
    ['own labels', of(false) || undefined],
    ['for jobs', describeResources(worker)],
    ['machine', os === undefined ? undefined : `${os} ${arch ?? ''}`.trim()],
    ['sandbox', allow_unsandboxed ? `${sandbox ?? 'none'}, confidential jobs in any case` : sandbox],
  ]
}

function describeDrain({ drain }: WorkerView): string | undefined {
  if (!drain) return undefined
  const { deadline_at, note, heard, by } = drain
  const until = deadline_at === undefined ? '' : ` until ${formatTime(deadline_at)}`
  return `drains${until}${heard ? '' : ', not heard of yet'}, by ${by}${note === undefined ? '' : `: ${note}`}`
}

export function revokeWorker(io: Io, flags: Named): Promise<number> {
  return withSession(io, flags, async ({ client, out }) => {
    const { id } = await resolveWorker(client, flags.worker)
    const worker = need(`revoke ${id}`, await client.call('revokeWorker', { params: { id } }))
    await out.result(worker, () => `${worker.id} (${worker.name}) revoked`)
    return 0
  })
}

/** Nobody may overlook it in a long list. */
async function noteStranger(out: Output, { id, state, fingerprint, shown_fingerprint }: WorkerView): Promise<void> {
  if (out.json || state !== 'quarantined') return
  const shown = shown_fingerprint === undefined ? 'keys that are not pinned' : shown_fingerprint
  await out.note(`${id} is in quarantine: it showed ${shown}, pinned are ${fingerprint}`)
}

async function readWorkers(client: Client): Promise<readonly WorkerView[]> {
  return need('list the workers', await client.call('listAllWorkers')).items
}

/** To judge the wrong machine is worse than to type more, so a name must be the only one of its kind. */
async function resolveWorker(client: Client, given: string): Promise<WorkerView> {
  const items = await readWorkers(client)
  const prefix = given.startsWith('wrk_') ? given : `wrk_${given}`
  const found = items.filter(({ id, name }) => name === given || id.startsWith(prefix))
  if (found.length === 1 && found[0]) return found[0]
  throw nameFailure(found.length, 'worker', { given, next: 'Give its id: pond worker ls.' })
}
