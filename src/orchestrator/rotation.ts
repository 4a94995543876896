// One rotation: a new token from pond, new keys of ours if they are wanted, and pond's own new key if it has one.
import type { CallError, Client } from '../client/contract.ts'
import type { RotateBody, RotateReply } from '../protocol/renewal.ts'
import { SealError } from '../seal/refusal.ts'
import { followPondKey, signRotation } from '../seal/rotation.ts'
import { createSigner } from '../seal/signature.ts'
import type { Clock } from '../system/clock.ts'
import { type Binding, type KeySet, keysOf, promote, type WorkerKeys } from './binding.ts'
import type { MakeKeyPair } from './key.ts'
import type { LiveBinding } from './live-binding.ts'

/*
 * New keys are on the disk before pond hears of them, and in force once its reply is on the disk too. Where the reply was lost, the same
 * keys are offered again, signed by the same old ones, and pond answers as before; that is done before anything else is said, since a
 * snapshot with keys that pond does not know any more would put the worker into quarantine.
 */

export interface RotationParts {
  readonly client: Client
  readonly clock: Clock
  readonly live: LiveBinding
  readonly makeKeyPair: MakeKeyPair
}

export type Rotated =
  | { readonly ok: true }
  | {
      readonly ok: false
      readonly message: string
      readonly error?: CallError
      /** The disk failed, not pond. */
      readonly unkept?: true
    }

/** Whether the reply to an earlier rotation of keys never came. */
export const isPending = (keys: KeySet) => keys.next_binding !== undefined || keys.workers.some(({ next }) => next)

/** Of a token's life; the rest is for a machine that is away or a pond that is. */
const RENEW_AFTER = 0.75

/** When a token is replaced, in pond's time. */
export const renewAt = (now: number, expiresAt: number) => Math.round(now + (expiresAt - now) * RENEW_AFTER)

export function rotate(
  parts: RotationParts,
  { keys, signal }: { readonly keys: boolean; readonly signal: AbortSignal },
): Promise<Rotated> {
  return parts.live.alone(async () => {
    if (keys) await offerKeys(parts)
    const answer = await parts.client.persist('rotate', { body: bodyOf(parts.live), signal })
    if (!answer.ok) return { ok: false, message: answer.error.message, error: answer.error }
    return await accept(parts, answer.reply)
  })
}

async function offerKeys({ live, makeKeyPair }: RotationParts): Promise<void> {
  const made = async () => ({ sealing: await makeKeyPair('x25519'), signing: await makeKeyPair('ed25519') })
  const before = live.keys()
  const bound = enrolled(live)
  const workers: WorkerKeys[] = []
  for (const keys of before.workers)
    workers.push(bound.has(keys) && !keys.next ? { ...keys, next: await made() } : keys)
  const next_binding = before.next_binding ?? (await makeKeyPair('ed25519'))
  await live.keep({ keys: { ...before, next_binding, workers: workers as KeySet['workers'] } })
}

/** Without those of an enrollment that pond has not answered: it knows nothing of them. */
const enrolled = (live: LiveBinding) => new Set(live.now().workers.map((worker) => keysOf(live.keys(), worker)))

function bodyOf(live: LiveBinding): RotateBody {
  const { binding_id, workers } = live.now()
  const { binding, next_binding } = live.keys()
  const rotations = workers.flatMap((worker) => {
    const found = keysOf(live.keys(), worker)
    if (!found?.next) return []
    const { sealing, signing } = found.next
    const said = { worker_id: worker.worker_id, sealing_key: sealing.publicKey, signing_key: signing.publicKey }
    return [signRotation({ kind: 'worker', ...said }, createSigner(found.signing))]
  })
  return {
    ...(next_binding && {
      binding: signRotation(
        { kind: 'binding', binding_id, binding_key: next_binding.publicKey },
        createSigner(binding),
      ),
    }),
    ...(rotations.length > 0 && { workers: rotations }),
  }
}

async function accept({ client, clock, live }: RotationParts, reply: RotateReply): Promise<Rotated> {
  const before = live.now()
  const pondKey = follow(before, reply)
  if (pondKey === undefined)
    return {
      ok: false,
      message: 'pond shows a key that the pinned one did not sign; ask the operator, and pair anew if it was replaced',
    }
  const keys = live.keys()
  const promoted = new Set<WorkerKeys>()
  const workers = before.workers.map((worker) => {
    const found = reply.workers.includes(worker.worker_id) ? keysOf(keys, worker) : undefined
    if (!found?.next) return worker
    promoted.add(found)
    const { sealing, signing } = found.next
    return { ...worker, keys: { sealing_key: sealing.publicKey, signing_key: signing.publicKey } }
  })
  const { token, token_expires_at } = reply
  const { next_binding, binding, ...rest } = keys
  await live.keep({
    binding: {
      ...before,
      token,
      token_expires_at,
      token_renew_at: renewAt(clock.now() + client.skewMs(), token_expires_at),
      pond_key: pondKey,
      binding_key: (next_binding ?? binding).publicKey,
      workers: workers as Binding['workers'],
    },
    keys: {
      ...rest,
      binding: next_binding ?? binding,
      workers: rest.workers.map((it) => (promoted.has(it) ? promote(it) : withdraw(it))) as KeySet['workers'],
    },
  })
  return { ok: true }
}

/** Without the keys that pond did not take: the worker is shut out. */
function withdraw({ next: _, ...keys }: WorkerKeys): WorkerKeys {
  return keys
}

/** The key that pond is known by from now on; undefined where nobody can prove it. */
function follow({ pond_key }: Binding, { pond_key: shown, pond_rotations }: RotateReply): string | undefined {
  if (shown === pond_key) return shown
  try {
    return followPondKey(pond_key, { pond_key: shown, pond_rotations })?.signing_key ?? pond_key
  } catch (error) {
    if (error instanceof SealError) return undefined
    throw error
  }
}
