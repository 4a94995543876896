// Enrollment: a printed code becomes a further worker of this binding. Whoever stands between can neither swap its keys nor play pond.
import type { Client } from '../client/contract.ts'
import type { Resources } from '../protocol/field.ts'
import type { CodeId } from '../protocol/id.ts'
import type { Labels } from '../protocol/job.ts'
import { enrollmentMac, isEnrolled } from '../seal/enrollment.ts'
import { isPrinter, parsePairingCode } from '../seal/pairing.ts'
import type { Binding, BoundWorker, KeySet, WorkerKeys } from './binding.ts'
import type { MakeKeyPair } from './key.ts'
import type { LiveBinding } from './live-binding.ts'
import { PairError } from './pair.ts'

export interface EnrollRequest {
  /** As printed, without the URL. */
  readonly code: string
  readonly name: string
  readonly labels: Labels
  readonly withoutLabels?: readonly string[]
  readonly resources: Resources
}

export interface EnrollParts {
  readonly client: Client
  readonly live: LiveBinding
  readonly makeKeyPair: MakeKeyPair
}

/** Repeating it after a lost reply gives the same worker. Rejects with PairError. */
export async function enroll(parts: EnrollParts, request: EnrollRequest): Promise<BoundWorker> {
  const { client, live } = parts
  const code = parsePairingCode(request.code)
  if (!code) throw new PairError('this is no whole enrollment code; copy all of it: swarm worker add CODE')
  const { pond_key, binding_id } = live.now()
  if (!isPrinter(code, pond_key)) throw new PairError('this code is not of the pond that this machine is paired with')
  const keys = await keysFor(parts, code.id)
  const before = boundTo(live.now(), keys)
  if (before) return before
  const { name, labels, withoutLabels, resources } = request
  const pinned = { sealing_key: keys.sealing.publicKey, signing_key: keys.signing.publicKey }
  const without = withoutLabels && { without_labels: [...withoutLabels] }
  const body = { name, worker: { ...pinned, labels, ...without, resources } }
  const { pondKeyHash } = code
  const mac = enrollmentMac(code.secret, { pondKeyHash, bindingId: binding_id, codeId: code.id, said: body })
  const answer = await client.call('enroll', { params: { code_id: code.id }, body: { ...body, mac } })
  if (!answer.ok) throw new PairError(answer.error.message, answer.error)
  if (!isEnrolled(code, answer.reply))
    throw new PairError('whoever answered does not know the secret of the code, or is another pond; nothing was kept')
  const { worker_id, labels: settled = labels } = answer.reply
  const worker = { worker_id, name, labels: settled, resources, keys: pinned }
  const binding = live.now()
  await live.keep({ binding: { ...binding, workers: [...binding.workers, worker] } })
  return worker
}

/** On the disk before the call, under the code that they are for. */
async function keysFor({ live, makeKeyPair }: EnrollParts, code: CodeId): Promise<WorkerKeys> {
  const before = live.keys()
  const found = before.workers.find((keys) => keys.code === code)
  if (found) return found
  const made = { sealing: await makeKeyPair('x25519'), signing: await makeKeyPair('ed25519'), code }
  // Keys of a code that was given up are of no use to any other.
  const kept = before.workers.filter((keys) => boundTo(live.now(), keys)) as unknown as KeySet['workers']
  await live.keep({ keys: { ...before, workers: [...kept, made] } })
  return made
}

function boundTo({ workers }: Binding, keys: WorkerKeys): BoundWorker | undefined {
  return workers.find((worker) => worker.keys.sealing_key === keys.sealing.publicKey)
}
