// What pairing and enrollment leave behind, as it stands in binding.json and keys.json: shapes, their former shapes, and which keys belong to whom.
import { z } from 'zod'
import { name, publicKey, resources, wallMs, workerClasses, workerLabels } from '../protocol/field.ts'
import { bindingId, codeId, type WorkerId, workerId } from '../protocol/id.ts'

const keyPair = z.object({ publicKey, privateKey: publicKey })

/** Both halves as 32 raw bytes in unpadded base64url. */
export type KeyPair = z.infer<typeof keyPair>

const workerPairs = z.object({
  /** X25519: what is sealed to this worker opens with it. */
  sealing: keyPair,
  /** Ed25519: the worker signs what it states. */
  signing: keyPair,
})
export type WorkerPairs = z.infer<typeof workerPairs>

const workerKeys = workerPairs.extend({
  /** Made for a rotation that pond has not answered yet: the same are offered again until it has. */
  next: workerPairs.optional(),
  /** Older sealing pairs, newest first: claims may still bring what is sealed to them. */
  former: z.array(keyPair).optional(),
  /** The enrollment that they were made for: after a lost reply the same keys go again. */
  code: codeId.optional(),
})
export type WorkerKeys = z.infer<typeof workerKeys>

const keySetNow = z.object({
  /** Ed25519: says that a call comes from this binding. */
  binding: keyPair,
  next_binding: keyPair.optional(),
  /** Of this host's own worker, then of those that were added. */
  workers: z.tuple([workerKeys], workerKeys),
})
export type KeySet = z.infer<typeof keySetNow>

/** With one worker, before there could be more. */
const keySetBefore = workerPairs.extend({ binding: keyPair })
export const keySet = z.union([
  keySetNow,
  keySetBefore.transform(({ binding, sealing, signing }): KeySet => ({ binding, workers: [{ sealing, signing }] })),
])

const boundWorker = z.object({
  worker_id: workerId,
  name,
  labels: workerLabels,
  resources,
  /** Public halves, as pinned by pond. */
  keys: z.object({ sealing_key: publicKey, signing_key: publicKey }),
})
/** A worker of this swarm: a slot group with keys of its own. */
export type BoundWorker = z.infer<typeof boundWorker>

const bindingShape = {
  pond: z.string(),
  binding_id: bindingId,
  token: z.string(),
  token_expires_at: wallMs.optional(),
  /** When the token is replaced; known once a swarm runs with it. */
  token_renew_at: wallMs.optional(),
  pond_key: publicKey,
  project: z.string(),
  name: z.string(),
  /** As its owner said when it was paired; otherwise each run looks for a battery. */
  class: z.enum(workerClasses).optional(),
  /** It ends with the next run that ends in order. */
  ephemeral: z.boolean().optional(),
}
const bindingNow = z.object({
  ...bindingShape,
  /** Public half, as pinned by pond. */
  binding_key: publicKey,
  /** This host's own worker, then those that were added. */
  workers: z.tuple([boundWorker], boundWorker),
})
export type Binding = z.infer<typeof bindingNow>

const bindingBefore = z.object({
  ...bindingShape,
  worker_id: workerId,
  labels: workerLabels,
  resources,
  keys: z.object({ binding_key: publicKey, sealing_key: publicKey, signing_key: publicKey }),
})
export const binding = z.union([
  bindingNow,
  bindingBefore.transform(({ worker_id, labels, resources, keys, ...rest }): Binding => {
    const { binding_key, sealing_key, signing_key } = keys
    const worker = { worker_id, name: rest.name, labels, resources, keys: { sealing_key, signing_key } }
    return { ...rest, binding_key, workers: [worker] }
  }),
])

export const findWorker = ({ workers }: Binding, id: WorkerId): BoundWorker | undefined =>
  workers.find(({ worker_id }) => worker_id === id)

export const keysOf = (keys: KeySet, { keys: { sealing_key } }: BoundWorker): WorkerKeys | undefined =>
  keys.workers.find(({ sealing }) => sealing.publicKey === sealing_key)

/** Enough for many rotations within the life of the longest claim. */
const FORMER_MOST = 16

/** The same keys once those of a rotation are in force. */
export function promote(keys: WorkerKeys): WorkerKeys {
  const { next, sealing, former = [], code } = keys
  if (!next) return keys
  return { ...next, former: [sealing, ...former].slice(0, FORMER_MOST), ...(code !== undefined && { code }) }
}

/** In force is what the binding names: after a crash between the two files the keys are a step behind. */
export function settleKeys(keys: KeySet, { binding_key, workers }: Binding): KeySet {
  const { next_binding, ...rest } = keys
  const named = new Set(workers.map(({ keys: { sealing_key } }) => sealing_key))
  const settled = keys.workers.map((it) => (it.next && named.has(it.next.sealing.publicKey) ? promote(it) : it))
  const over = next_binding?.publicKey === binding_key
  return { ...(over ? { ...rest, binding: next_binding } : keys), workers: settled as KeySet['workers'] }
}
