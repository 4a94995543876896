// swarm worker: further workers of this binding, each a slot group with keys of its own.
import { enroll } from '../../orchestrator/enroll.ts'
import type { BoundWorker } from '../../orchestrator/home.ts'
import { systemKeyPair } from '../../orchestrator/key.ts'
import type { Io } from '../io.ts'
import { createOutput } from '../output.ts'
import { type BindingFlags, connectBound, lockHome, needBinding, needLive, openPoolHome } from './home.ts'
import { fingerprintOf } from './key.ts'
import { describeLabels, toPairFailure } from './pair.ts'

export interface WorkerAddFlags extends BindingFlags {
  /** `CODE`, `URL#CODE`, or `-`. */
  readonly code: string
  readonly name?: string
  readonly label?: Readonly<Record<string, string>>
  readonly withoutLabel?: readonly string[]
  readonly slots?: number
}

export async function addWorker(io: Io, flags: WorkerAddFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const text = flags.code === '-' ? (await io.stdin.readAll()).toString('utf8').trim() : flags.code
  const home = await openPoolHome(io, flags)
  const unlock = await lockHome(
    home,
    'End it first (swarm drain, or its service), add the worker, then start it again.',
  )
  const network = io.connect()
  try {
    const live = await needLive(home)
    const { name, pond, workers } = live.now()
    const client = connectBound({ io, network, binding: live, flags })
    const worker = await enroll(
      { client, live, makeKeyPair: systemKeyPair },
      {
        code: text.slice(text.lastIndexOf('#') + 1),
        name: flags.name ?? `${name.slice(0, 58)}-${workers.length + 1}`,
        labels: { ...flags.label },
        ...(flags.withoutLabel && { withoutLabels: flags.withoutLabel }),
        resources: { slots: flags.slots ?? 1 },
      },
    )
    const print = fingerprintOf(worker)
    await out.result({ ...worker, fingerprint: print }, () => [
      `${worker.name} is a worker of ${pond} (${worker.worker_id})`,
      `fingerprint ${print}, the same as pond workers shows`,
      ...describeLabels(worker),
    ])
    return 0
  } catch (error) {
    throw toPairFailure('add a worker', error)
  } finally {
    await network.close()
    await unlock()
  }
}

export async function listWorkers(io: Io, flags: BindingFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const { workers } = await needBinding(await openPoolHome(io, flags))
  const shown = workers.map((worker) => ({ ...worker, fingerprint: fingerprintOf(worker) }))
  type Row = BoundWorker & { readonly fingerprint: string }
  const columns = [
    { title: 'WORKER', cell: ({ worker_id }: Row) => worker_id },
    { title: 'NAME', cell: ({ name }: Row) => name },
    { title: 'SLOTS', cell: ({ resources }: Row) => `${resources.slots}` },
    { title: 'FINGERPRINT', cell: (row: Row) => row.fingerprint },
  ]
  await out.list(shown, columns, '')
  return 0
}
