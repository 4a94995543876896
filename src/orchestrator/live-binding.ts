// The binding of a running swarm. Token and keys can be replaced while it runs: first on the disk, then for every call from then on.
import PQueue from 'p-queue'
import type { WorkerId } from '../protocol/id.ts'
import type { CallKey } from '../seal/call-key.ts'
import { hashPondKey } from '../seal/pairing.ts'
import { createCallSigner, createMacSigner, type SignCall } from '../seal/request-signature.ts'
import { createSigner, type Signer } from '../seal/signature.ts'
import { type Binding, findWorker, type KeyPair, type KeySet, keysOf, settleKeys } from './binding.ts'
import type { Home } from './home.ts'

export interface LiveBinding {
  now(): Binding
  keys(): KeySet
  /** For a client, which asks before each call. */
  readonly token: () => string
  /** For a client: with the keys of the moment, for the pond whose key is pinned; with a call key where there is one. */
  readonly signCall: SignCall
  /** Names the token and the key that calls go with now. */
  proof(): string
  /** What a call key is agreed for. */
  terms(): CallTerms
  callKey(): CallKey | undefined
  /** For calls from now on, as long as these terms are those of the moment. */
  useCallKey(key: CallKey, agreed: CallTerms): void
  /** Pond does not know it any more. False where there was none. */
  dropCallKey(): boolean
  /** X25519 pairs of a worker, those in force first; none for a worker of others. */
  pairsOf(worker: WorkerId): readonly KeyPair[]
  /** With the key that pond has pinned; an error for a worker of others. */
  signerOf(worker: WorkerId): Signer
  keep(change: { readonly binding?: Binding; readonly keys?: KeySet }): Promise<void>
  /** One at a time: what tells keys to pond must not cross what replaces them. */
  alone<T>(run: () => Promise<T>): Promise<T>
}

/** Which keys each side believes; with others a call key is worth nothing. */
export interface CallTerms {
  readonly bindingId: string
  readonly bindingKey: string
  readonly pondKey: string
}

/** On its way a call may not outlive its key. */
const CALL_KEY_MARGIN_MS = 60_000

/** Undefined before pairing. */
export async function openLiveBinding(home: Home): Promise<LiveBinding | undefined> {
  const binding = await home.readBinding()
  const keys = await home.readKeys()
  if (binding && !keys) throw new Error(`${home.path} has a binding and no keys; pair this machine anew`)
  return binding && keys && createLiveBinding(home, binding, settleKeys(keys, binding))
}

export function createLiveBinding(
  home: Pick<Home, 'writeBinding' | 'writeKeys'>,
  firstBinding: Binding,
  firstKeys: KeySet,
): LiveBinding {
  let binding = firstBinding
  let keys = firstKeys
  const turns = new PQueue({ concurrency: 1 })
  const signers = new Map<string, Signer>()
  const signerWith = (pair: KeyPair): Signer => {
    const known = signers.get(pair.publicKey) ?? createSigner(pair)
    signers.set(pair.publicKey, known)
    return known
  }
  const terms = (): CallTerms => ({
    bindingId: binding.binding_id,
    bindingKey: keys.binding.publicKey,
    pondKey: binding.pond_key,
  })
  const callProof = createCallProof(terms, () => keys.binding)
  return {
    now: () => binding,
    keys: () => keys,
    token: () => binding.token,
    ...callProof,
    proof: () => `${binding.token} ${callProof.changes()}`,
    terms,
    pairsOf(id) {
      const worker = findWorker(binding, id)
      const found = worker && keysOf(keys, worker)
      if (!found) return []
      const both = [found.sealing, ...(found.next ? [found.next.sealing] : [])]
      return [...both, ...(found.former ?? [])]
    },
    signerOf(id) {
      const worker = findWorker(binding, id)
      const found = worker && keysOf(keys, worker)
      if (!found) throw new Error(`this swarm has no keys of ${id}`)
      return signerWith(found.signing)
    },
    async keep(change) {
      // The binding first: it says which keys are in force, and keys.json holds those by then. In memory both change at once.
      if (change.binding) await home.writeBinding(change.binding)
      if (change.keys) await home.writeKeys(change.keys)
      binding = change.binding ?? binding
      keys = change.keys ?? keys
    },
    alone: (run) => turns.add(run),
  }
}

export function isSameTerms(one: CallTerms, other: CallTerms): boolean {
  return one.bindingId === other.bindingId && one.bindingKey === other.bindingKey && one.pondKey === other.pondKey
}

/** Signs calls: with a call key while there is one for these terms, else with the binding's own. */
function createCallProof(terms: () => CallTerms, pair: () => KeyPair) {
  let own: { readonly of: CallTerms; readonly sign: SignCall } | undefined
  let passing: { readonly key: CallKey; readonly of: CallTerms; readonly sign: SignCall } | undefined
  /** How often the call key was another: one that came back would look like one that never changed. */
  let changes = 0
  const ownSigner = (): SignCall => {
    const of = terms()
    if (!own || !isSameTerms(own.of, of)) own = { of, sign: createCallSigner(pair(), hashPondKey(of.pondKey)) }
    return own.sign
  }
  const passingNow = () => (passing && isSameTerms(passing.of, terms()) ? passing : undefined)
  const passingAt = (pondMs: number) => {
    const now = passingNow()
    return now && pondMs < now.key.expiresAt - CALL_KEY_MARGIN_MS ? now.sign : undefined
  }
  const signCall: SignCall = (call, fresh, lasts) =>
    ((lasts ? undefined : passingAt(fresh.createdMs)) ?? ownSigner())(call, fresh)
  return {
    signCall,
    changes: () => changes,
    callKey: () => passingNow()?.key,
    useCallKey(key: CallKey, of: CallTerms): void {
      changes++
      passing = { key, of, sign: createMacSigner(key, hashPondKey(of.pondKey)) }
    },
    dropCallKey(): boolean {
      const dropped = passing !== undefined
      if (dropped) changes++
      passing = undefined
      return dropped
    },
  }
}
