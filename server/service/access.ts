// Who a token is. Keys and bindings are few, so they are mirrored in memory by the hash of their token; a revocation works at once.

import type { Scope } from '../../src/protocol/admin.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, KeyId, ProjectId } from '../../src/protocol/id.ts'
import { tokenPrefix } from '../../src/protocol/id.ts'
import type { Caller as CallerKind } from '../../src/protocol/shape.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { createCallVerifier, type SignableCall, type VerifyCall } from '../../src/seal/request-signature.ts'
import { hashToken } from '../../src/seal/token.ts'
import type { BindingRow, KeyRow } from '../store/contract.ts'
import type { Core } from './core.ts'

export type Identity =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'admin'; readonly keyId: KeyId }
  | { readonly kind: 'key'; readonly keyId: KeyId; readonly projectId: ProjectId; readonly scopes: readonly Scope[] }
  | { readonly kind: 'binding'; readonly bindingId: BindingId; readonly projectId: ProjectId }

export class Access {
  readonly #core: Core
  readonly #keys = new Map<string, KeyRow>()
  readonly #bindings = new Map<string, BindingRow>()
  /** Made at a binding's first call, gone with its row. */
  readonly #verifiers = new WeakMap<BindingRow, VerifyCall>()
  readonly #pondKeyHash: Uint8Array

  constructor(core: Core) {
    this.#core = core
    this.#pondKeyHash = hashPondKey(core.keys.publicKey)
  }

  async load(): Promise<void> {
    const { keys, bindings } = await this.#core.store.read(async (tx) => ({
      keys: await tx.listKeys(),
      bindings: await tx.listBindings(),
    }))
    for (const row of keys) this.setKey(row)
    for (const row of bindings) this.setBinding(undefined, row)
  }

  setKey(row: KeyRow): void {
    if (row.revokedAt === undefined) this.#keys.set(row.tokenHash, row)
    else this.#keys.delete(row.tokenHash)
  }

  setBinding(before: BindingRow | undefined, row: BindingRow): void {
    for (const hash of before?.tokenHashes ?? []) this.#bindings.delete(hash)
    if (row.state === 'revoked') return
    for (const hash of row.tokenHashes) this.#bindings.set(hash, row)
  }

  /**
   * Says who a bearer token is. A wrong, revoked or expired one is refused in one way, whatever it was; so is a binding's without the signature of its key over this very call,
   * so that a leaked token does not even tell whether it is good.
   */
  async identify(token: string | undefined, call: SignableCall): Promise<Identity> {
    if (token === undefined) return { kind: 'nobody' }
    const hash = hashToken(token)
    if (token.startsWith(tokenPrefix.binding)) {
      const binding = this.#bindings.get(hash)
      if (!binding || !this.#isSigned(binding, call)) throw unproved()
      if (binding.tokenHashes.length > 1) await this.#settleToken(binding, hash)
      return { kind: 'binding', bindingId: binding.id, projectId: binding.projectId }
    }
    const key = this.#keys.get(hash)
    if (!key || (key.expiresAt !== undefined && key.expiresAt <= this.#core.clock.now())) throw unproved()
    if (key.kind === 'admin') return { kind: 'admin', keyId: key.id }
    if (!key.projectId) throw unproved()
    return { kind: 'key', keyId: key.id, projectId: key.projectId, scopes: key.scopes }
  }

  /** Refuses a call that is not signed with the key. */
  requireSigned(bindingKey: string, call: SignableCall): void {
    const verify = createCallVerifier(bindingKey, this.#pondKeyHash)
    if (!verify(call, this.#core.clock.now())) throw unproved()
  }

  #isSigned(binding: BindingRow, call: SignableCall): boolean {
    const verify = this.#verifiers.get(binding) ?? createCallVerifier(binding.bindingKey, this.#pondKeyHash)
    this.#verifiers.set(binding, verify)
    return verify(call, this.#core.clock.now())
  }

  /** A token of several was used: the others, of replies that were lost, are worth nothing from now on. */
  async #settleToken(binding: BindingRow, hash: string): Promise<void> {
    await this.#core.store.write(async (tx) => {
      const row = await tx.getBinding(binding.id)
      if (!row?.tokenHashes.includes(hash)) return
      const next = { ...row, tokenHashes: [hash] }
      await tx.updateBinding(next)
      tx.afterCommit(() => this.setBinding(row, next))
    })
  }
}

/** The one answer to whoever does not prove who he is; what was wrong is not told. */
function unproved(): Refusal {
  return new Refusal('unauthenticated', 'the token or the signature of this call is not valid')
}

/** Refuses a caller that a route is not for. */
export function authorise(wanted: CallerKind, identity: Identity): void {
  if (isAllowed(wanted, identity)) return
  const code = identity.kind === 'nobody' ? 'unauthenticated' : 'forbidden'
  throw new Refusal(code, `this call needs ${neededFor[wanted]}`)
}

function isAllowed(wanted: CallerKind, identity: Identity): boolean {
  switch (wanted) {
    case 'open':
    case 'pair':
      return true
    case 'binding':
    case 'claim':
      return identity.kind === 'binding'
    case 'admin':
      return identity.kind === 'admin'
    case 'read':
    case 'submit':
    case 'credentials':
      return identity.kind === 'admin' || (identity.kind === 'key' && identity.scopes.includes(wanted))
    default:
      return wanted satisfies never
  }
}

const neededFor: Readonly<Record<CallerKind, string>> = {
  open: 'nothing',
  pair: 'a pairing code',
  binding: 'a binding token',
  claim: 'a binding token and the token of the claim',
  admin: 'an admin token',
  read: 'a project key with scope read',
  submit: 'a project key with scope submit',
  credentials: 'a project key with scope credentials',
}
