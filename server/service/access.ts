// Who a token is. Keys and bindings are few, so they are mirrored in memory by the hash of their token; a revocation works at once.

import type { Scope } from '../../src/protocol/admin.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, KeyId, ProjectId } from '../../src/protocol/id.ts'
import { tokenPrefix } from '../../src/protocol/id.ts'
import type { Caller as CallerKind, Route } from '../../src/protocol/shape.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { createCallVerifier, keyIdOf, type SignableCall, type VerifyCall } from '../../src/seal/request-signature.ts'
import { hashToken } from '../../src/seal/token.ts'
import type { BindingRow, BindingToken, KeyRow } from '../store/row.ts'
import { CallKeys, isCallKey } from './call-key.ts'
import type { Core } from './core.ts'

export type Identity =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'admin'; readonly keyId: KeyId }
  | { readonly kind: 'key'; readonly keyId: KeyId; readonly projectId: ProjectId; readonly scopes: readonly Scope[] }
  | {
      readonly kind: 'binding'
      readonly bindingId: BindingId
      readonly projectId: ProjectId
      /** The one that it came with. */
      readonly token: BindingToken
      /** The token's life is over: it opens nothing but its renewal. */
      readonly expired: boolean
      /** Signed with a call key, which lives an hour, and not with the binding's own. */
      readonly passing: boolean
    }

export class Access {
  readonly callKeys: CallKeys
  readonly #core: Core
  readonly #keys = new Map<string, KeyRow>()
  readonly #bindings = new Map<string, BindingRow>()
  /** Made at a binding's first call, gone with its row. */
  readonly #verifiers = new WeakMap<BindingRow, Map<string, VerifyCall>>()

  constructor(core: Core) {
    this.#core = core
    this.callKeys = new CallKeys(core)
  }

  async load(): Promise<void> {
    const { keys, bindings } = await this.#core.store.read(async (tx) => ({
      keys: await tx.listKeys(),
      bindings: await tx.listBindings(),
    }))
    for (const row of keys) this.setKey(row)
    for (const row of bindings) this.setBinding(undefined, row)
  }

  /** Every binding that was not revoked. */
  bindings(): ReadonlySet<BindingRow> {
    return new Set(this.#bindings.values())
  }

  /** Without a list of them: it is asked for again and again, and there may be ten thousand. */
  hasEphemeral(): boolean {
    for (const { ephemeral } of this.#bindings.values()) if (ephemeral) return true
    return false
  }

  setKey(row: KeyRow): void {
    if (row.revokedAt === undefined) this.#keys.set(row.tokenHash, row)
    else this.#keys.delete(row.tokenHash)
  }

  setBinding(before: BindingRow | undefined, row: BindingRow): void {
    for (const { hash } of before?.tokens ?? []) this.#bindings.delete(hash)
    if (row.state === 'revoked') return
    for (const { hash } of row.tokens) this.#bindings.set(hash, row)
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
      const held = binding?.tokens.find((it) => it.hash === hash)
      const proof = binding && held && this.#proofOf(binding, held, call)
      if (!proof) throw unproved()
      const expired = held.expiresAt <= this.#core.clock.now()
      if (!held.used && !expired) await this.#settleToken(binding, hash)
      return {
        kind: 'binding',
        bindingId: binding.id,
        projectId: binding.projectId,
        token: held,
        expired,
        passing: proof === 'call key',
      }
    }
    const key = this.#keys.get(hash)
    if (!key || (key.expiresAt !== undefined && key.expiresAt <= this.#core.clock.now())) throw unproved()
    if (key.kind === 'admin') return { kind: 'admin', keyId: key.id }
    if (!key.projectId) throw unproved()
    return { kind: 'key', keyId: key.id, projectId: key.projectId, scopes: key.scopes }
  }

  /** Refuses a call that is not signed with the key. */
  requireSigned(bindingKey: string, call: SignableCall): void {
    const verify = createCallVerifier(bindingKey, hashPondKey(this.#core.keys.publicKey))
    if (!verify(call, this.#core.clock.now())) throw unproved()
  }

  #proofOf(binding: BindingRow, held: BindingToken, call: SignableCall): 'binding key' | 'call key' | undefined {
    const keyId = keyIdOf(call)
    if (keyId !== undefined && isCallKey(keyId)) {
      const of = { id: binding.id, key: held.bindingKey }
      return this.callKeys.isSigned(keyId, call, of) ? 'call key' : undefined
    }
    return this.#isSigned(binding, held, call) ? 'binding key' : undefined
  }

  /** For the pond that its holder knows: after a rotation of pond's key that is the former one, until the token is replaced. */
  #isSigned(binding: BindingRow, { pondKey, bindingKey }: BindingToken, call: SignableCall): boolean {
    const verifiers = this.#verifiers.get(binding) ?? new Map<string, VerifyCall>()
    this.#verifiers.set(binding, verifiers)
    const known = new Set([pondKey, this.#core.keys.publicKey])
    return [...known].some((key) => {
      const verify = verifiers.get(`${bindingKey} ${key}`) ?? createCallVerifier(bindingKey, hashPondKey(key))
      verifiers.set(`${bindingKey} ${key}`, verify)
      return verify(call, this.#core.clock.now())
    })
  }

  /** A token was used for the first time, so its reply arrived: the others, those before it and those of replies that were lost, are worth nothing from now on. */
  async #settleToken(binding: BindingRow, hash: string): Promise<void> {
    await this.#core.store.write(async (tx) => {
      const row = await tx.getBinding(binding.id)
      const token = row?.tokens.find((it) => it.hash === hash)
      if (!row || !token || token.used) return
      const next = { ...row, bindingKey: token.bindingKey, tokens: [{ ...token, used: true }] }
      await tx.updateBinding(next)
      tx.afterCommit(() => this.setBinding(row, next))
    })
  }
}

/** The one answer to whoever does not prove who he is; what was wrong is not told. */
export function unproved(): Refusal {
  return new Refusal('unauthenticated', 'the token or the signature of this call is not valid')
}

/** Whether a binding should ask for new things: its token's life is three quarters over, or pond's key is not the one that it knows. */
export function isRotationDue(core: Core, token: Pick<BindingToken, 'expiresAt' | 'pondKey'>): boolean {
  const late = core.clock.now() >= token.expiresAt - core.settings.tokenLifeMs / 4
  return late || token.pondKey !== core.keys.publicKey
}

/** Refuses a caller that a route is not for. */
export function authorise({ caller: wanted, lasts }: Pick<Route, 'caller' | 'lasts'>, identity: Identity): void {
  if (identity.kind === 'binding' && identity.expired && wanted !== 'renewal') throw unproved()
  if (identity.kind === 'binding' && identity.passing && lasts) throw unproved()
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
    case 'renewal':
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
  renewal: 'a binding token',
  admin: 'an admin token',
  read: 'a project key with scope read',
  submit: 'a project key with scope submit',
  credentials: 'a project key with scope credentials',
}
