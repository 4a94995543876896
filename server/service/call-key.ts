// The call keys of bindings. They are in memory alone: after a restart of pond a call with one is refused, and its swarm signs it anew and agrees on another.
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import { type CallKey, grantCallKey, makeHalf } from '../../src/seal/call-key.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { createMacVerifier, type SignableCall, type VerifyCall } from '../../src/seal/request-signature.ts'
import type { Signer } from '../../src/seal/signature.ts'
import type { BindingToken } from '../store/row.ts'
import type { World } from './parts.ts'

const PREFIX = 'cky_'
/** Of what `newId` makes. */
const ID_CHARS = 26

/** By its length no public key is taken for one. */
export const isCallKey = (keyId: string): boolean =>
  keyId.startsWith(PREFIX) && keyId.length === PREFIX.length + ID_CHARS

interface Held extends Pick<CallKey, 'expiresAt'> {
  readonly bindingId: BindingId
  /** It goes with the key that it was agreed under. */
  readonly bindingKey: string
  readonly pondKey: string
  readonly half: string
  /** What it was answered with. */
  readonly signed: Dsse
  /** Monotonic: a wall clock that is set back lengthens no life. */
  readonly endsAt: number
  readonly verify: VerifyCall
}

export interface Asking {
  readonly bindingId: BindingId
  readonly token: Pick<BindingToken, 'bindingKey' | 'pondKey'>
  /** Swarm's. */
  readonly half: string
  /** With the key of pond that the binding knows. */
  readonly signer: Signer
}

export class CallKeys {
  readonly #world: Pick<World, 'clock' | 'random' | 'newId'>
  /** In the order in which they end. */
  readonly #held = new Map<string, Held>()
  readonly #ofBinding = new Map<BindingId, readonly string[]>()

  constructor(world: Pick<World, 'clock' | 'random' | 'newId'>) {
    this.#world = world
  }

  /** The same half gets the same answer: a call that is caught and said again throws no key out. */
  agree({ bindingId, token: { bindingKey, pondKey }, half, signer }: Asking): { signed: Dsse } {
    const { clock, random, newId } = this.#world
    this.#forget()
    for (const id of this.#ofBinding.get(bindingId) ?? []) {
      const held = this.#held.get(id)
      if (held?.half === half && held.bindingKey === bindingKey && held.pondKey === pondKey)
        return { signed: held.signed }
    }
    const expires_at = clock.now() + limit.callKeyMs
    const terms = { binding_id: bindingId, call_key: PREFIX + newId(), swarm_half: half, expires_at }
    const { key, signed } = meet(() => grantCallKey(makeHalf(random), terms, signer))
    const verify = createMacVerifier(key, hashPondKey(pondKey))
    const endsAt = clock.monotonic() + limit.callKeyMs
    this.#held.set(key.id, { bindingId, bindingKey, pondKey, half, signed, expiresAt: key.expiresAt, endsAt, verify })
    this.#setOwn(bindingId, [...(this.#ofBinding.get(bindingId) ?? []), key.id])
    return { signed }
  }

  /** Whether this very call was signed with this key, and the key is this binding's. */
  isSigned(id: string, call: SignableCall, of: { readonly id: BindingId; readonly key: string }): boolean {
    const held = this.#held.get(id)
    if (held?.bindingId !== of.id || held.bindingKey !== of.key) return false
    return !this.#isOver(held) && held.verify(call, this.#world.clock.now())
  }

  #isOver({ expiresAt, endsAt }: Held): boolean {
    const { clock } = this.#world
    return expiresAt <= clock.now() || endsAt <= clock.monotonic()
  }

  #forget(): void {
    for (const [id, held] of this.#held) {
      if (!this.#isOver(held)) return
      this.#held.delete(id)
      const others = this.#ofBinding.get(held.bindingId)?.filter((other) => other !== id)
      this.#setOwn(held.bindingId, others ?? [])
    }
  }

  /** The oldest go first. */
  #setOwn(bindingId: BindingId, ids: readonly string[]): void {
    const kept = ids.slice(-limit.callKeysPerBinding)
    for (const id of ids.slice(0, ids.length - kept.length)) this.#held.delete(id)
    if (kept.length > 0) this.#ofBinding.set(bindingId, kept)
    else this.#ofBinding.delete(bindingId)
  }
}

/** What is wrong with a key that pond made itself is no refusal. */
function meet<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof SealError)) throw error
    throw new Refusal('invalid_field', 'half must be an X25519 key that is not weak', { field: 'half' })
  }
}
