// swarm keys: shows the keys of this machine and of its pond for comparing by eye, and replaces ours.
import type { BoundWorker, Home } from '../../orchestrator/home.ts'
import { systemKeyPair } from '../../orchestrator/key.ts'
import { needKeys } from '../../orchestrator/pair.ts'
import { type Rotated, rotate } from '../../orchestrator/rotation.ts'
import { fingerprint } from '../../seal/fingerprint.ts'
import { printKey } from '../../seal/key-text.ts'
import { LockedError } from '../../system/disk.ts'
import { callFailure, Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput, fields, type Output } from '../output.ts'
import { askSwarm } from './control.ts'
import { type BindingFlags, connectBound, needBinding, needLive, openPoolHome, requirePrivateHome } from './home.ts'

export const fingerprintOf = ({ keys }: BoundWorker) => fingerprint(keys.sealing_key, keys.signing_key)

export async function showKeys(io: Io, flags: BindingFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const home = await openPoolHome(io, flags)
  await requirePrivateHome(home)
  if (!(await home.readBinding())) return await showUnpaired(out, home)
  const { pond, pond_key, workers: bound } = await needBinding(home)
  const workers = bound.map((worker) => ({
    worker_id: worker.worker_id,
    name: worker.name,
    fingerprint: fingerprintOf(worker),
    recipient: printKey('recipient', worker.keys.sealing_key),
    signing_key: worker.keys.signing_key,
  }))
  const shown = { pond: { url: pond, fingerprint: fingerprint(pond_key), signing_key: pond_key }, workers }
  await out.result(shown, () => [
    ...workers.flatMap(({ name, ...keys }) => fields([['worker', name], ...Object.entries(keys)])),
    ...fields(Object.entries({ pond, fingerprint: shown.pond.fingerprint, signing_key: pond_key })),
  ])
  return 0
}

/** The keys that this machine will pair with, made now, so that a code can be for them alone. */
async function showUnpaired(out: Output, home: Home): Promise<number> {
  const [worker] = (await needKeys({ home, makeKeyPair: systemKeyPair })).workers
  const print = fingerprint(worker.sealing.publicKey, worker.signing.publicKey)
  await out.result({ workers: [{ fingerprint: print, signing_key: worker.signing.publicKey }] }, () =>
    fields([['fingerprint', print]]),
  )
  await out.note(`not paired yet; a code for these keys alone: pond pairing create --fingerprint ${print}`)
  return 0
}

/** Pond may be slow; one that is away is told by the next try. */
const DEADLINE_MS = 60_000

export async function rotateKeys(io: Io, flags: BindingFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const rotated = await rotateHere(io, flags)
  if (!rotated.ok && rotated.error) throw callFailure('rotate the keys', rotated.error)
  if (!rotated.ok) throw new Failure({ what: 'could not rotate the keys', why: rotated.message })
  const { workers } = await needBinding(await openPoolHome(io, flags))
  const shown = workers.map((worker) => ({ worker_id: worker.worker_id, fingerprint: fingerprintOf(worker) }))
  await out.result({ workers: shown }, () => shown.map((it) => `${it.worker_id} has the fingerprint ${it.fingerprint}`))
  return 0
}

/** A running swarm holds the keys, so it replaces them itself. */
async function rotateHere(io: Io, flags: BindingFlags): Promise<Rotated> {
  const home = await openPoolHome(io, flags)
  await needBinding(home)
  const unlock = await home.lock().catch((error: unknown) => {
    if (error instanceof LockedError) return undefined
    throw error
  })
  if (!unlock) {
    const answer = await askSwarm(io, { home: home.path, order: 'rotate', deadlineMs: DEADLINE_MS })
    return (answer as typeof answer & { readonly rotated: Rotated }).rotated
  }
  const network = io.connect()
  const patience = new AbortController()
  const cancel = io.clock.after(DEADLINE_MS, () => patience.abort())
  try {
    const live = await needLive(home)
    const client = connectBound({ io, network, binding: live, flags })
    const parts = { client, clock: io.clock, live, makeKeyPair: systemKeyPair }
    return await rotate(parts, { keys: true, signal: patience.signal })
  } finally {
    cancel()
    await network.close()
    await unlock()
  }
}
