// Pairing: a printed code becomes a binding. The secret of the code never travels; both sides prove that they know it.
import { timingSafeEqual } from 'node:crypto'
import type { CallError, Client } from '../client/contract.ts'
import type { Resources, WorkerClass } from '../protocol/field.ts'
import type { CodeId } from '../protocol/id.ts'
import type { Labels } from '../protocol/job.ts'
import type { PairBody, PairReply } from '../protocol/orch.ts'
import { hashPondKey, pairingMac, parsePairingCode } from '../seal/pairing.ts'
import { createCallSigner, type SignCall } from '../seal/request-signature.ts'
import { createDialect } from './dialect.ts'
import type { Binding, Home, KeySet } from './home.ts'
import type { MakeKeyPair } from './key.ts'

export interface PairRequest {
  /** Pond's base URL, kept in the binding. */
  readonly pond: string
  /** As printed, without the URL: `<26 characters>.<secret>.<hash of pond's key>`. */
  readonly code: string
  readonly name: string
  /** What this machine says of itself, as the code allows. */
  readonly labels: Labels
  /** Given by the code, and left out. */
  readonly withoutLabels?: readonly string[]
  readonly resources: Resources
  /** Kept for every run; pond hears of it from those. */
  readonly class?: WorkerClass
}

export interface PairParts {
  readonly home: Home
  readonly makeKeyPair: MakeKeyPair
  /** A client of `pond` without a token, that signs with the binding's key. */
  connect(sign: SignCall): Client
}

/** Why there is no binding, in words for a person; `call` when it was pond that refused. */
export class PairError extends Error {
  override readonly name = 'PairError'
  readonly call: CallError | undefined

  constructor(message: string, call?: CallError) {
    super(message)
    this.call = call
  }
}

/** Repeating it after a lost reply gives the same binding: the keys are stored before the first call. */
export async function pair(parts: PairParts, request: PairRequest): Promise<Binding> {
  const { home } = parts
  const code = parsePairingCode(request.code)
  if (!code) throw new PairError('this is no whole pairing code; copy all of it: swarm pair URL#CODE')
  const before = await home.readBinding()
  if (before)
    throw new PairError(`this home is paired with ${before.pond}; run swarm unpair first, or use another --home`)
  const keys = await needKeys(parts)
  const client = parts.connect(createCallSigner(keys.binding, code.pondKeyHash))
  const dialect = createDialect()
  const ask = () => {
    const body = { ...unsigned(code.id, request, keys), protocol: dialect.protocol() }
    return client.call('pair', { body: { ...body, mac: pairingMac(code.secret, body) } })
  }
  let answer = await ask()
  if (!answer.ok && dialect.stepDown(answer.error)) answer = await ask()
  if (!answer.ok) throw new PairError(answer.error.message, answer.error)
  const { reply } = answer
  if (!timingSafeEqual(hashPondKey(reply.pond_key), code.pondKeyHash))
    throw new PairError('this pond is not the one that printed the code: its key does not match; nothing was kept')
  const binding = toBinding(request, keys, reply)
  await home.writeBinding(binding)
  return binding
}

/** The keys of a home, made where there are none: a code may be for them before they are paired, and a lost reply finds them again. */
export async function needKeys({ home, makeKeyPair }: Pick<PairParts, 'home' | 'makeKeyPair'>): Promise<KeySet> {
  const there = await home.readKeys()
  if (there) return there
  const keys: KeySet = {
    binding: await makeKeyPair('ed25519'),
    workers: [{ sealing: await makeKeyPair('x25519'), signing: await makeKeyPair('ed25519') }],
  }
  await home.writeKeys(keys)
  return keys
}

function unsigned(code: CodeId, request: PairRequest, keys: KeySet): Omit<PairBody, 'mac' | 'protocol'> {
  return {
    code,
    name: request.name,
    binding_key: keys.binding.publicKey,
    worker: {
      sealing_key: keys.workers[0].sealing.publicKey,
      signing_key: keys.workers[0].signing.publicKey,
      labels: request.labels,
      ...(request.withoutLabels && { without_labels: [...request.withoutLabels] }),
      resources: request.resources,
    },
  }
}

function toBinding(request: PairRequest, keys: KeySet, reply: PairReply): Binding {
  const { name, labels, resources, class: kind } = request
  const [{ sealing, signing }] = keys.workers
  const pinned = { sealing_key: sealing.publicKey, signing_key: signing.publicKey }
  return {
    pond: request.pond,
    binding_id: reply.binding_id,
    token: reply.token,
    token_expires_at: reply.token_expires_at,
    pond_key: reply.pond_key,
    project: reply.project,
    name,
    ...(kind && { class: kind }),
    binding_key: keys.binding.publicKey,
    ...(reply.ephemeral && { ephemeral: true }),
    workers: [{ worker_id: reply.worker_id, name, labels: reply.labels ?? labels, resources, keys: pinned }],
  }
}
