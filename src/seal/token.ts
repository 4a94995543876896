// Tokens: made, hashed and compared here and nowhere else.
import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import { tokenPrefix } from '../protocol/id.ts'
import type { Random } from '../system/random.ts'

const TOKEN_BYTES = 32

/** A fresh random token of one kind. */
export function makeToken(kind: 'admin' | 'key' | 'binding', random: Random): string {
  return tokenPrefix[kind] + random.bytes(TOKEN_BYTES).toString('base64url')
}

/** What follows a token, and what its holder was told with it. */
export interface Renewal {
  readonly bindingId: string
  /** Hash of the token that is replaced. */
  readonly before: string
  readonly bindingKey: string
  readonly pondKey: string
}

/** The token that replaces one of a binding. Always the same, so that a repeat of the call, or a replay of it, neither makes another nor ends the one that was told. */
export function renewedToken(tokenKey: Uint8Array, { bindingId, before, bindingKey, pondKey }: Renewal): string {
  const mac = createHmac('sha256', tokenKey).update(['renewal', bindingId, before, bindingKey, pondKey].join('\0'))
  return tokenPrefix.binding + mac.digest('base64url')
}

/** What is stored of a long-lived token: SHA-256 in lower-case hex. */
export function hashToken(token: string): string {
  return hash('sha256', token, 'hex')
}

/** The token of a claim. Whoever has pond's token key can say it again, so it is never stored. */
export function claimToken(tokenKey: Uint8Array, claimId: string, epoch: number): string {
  return derive(tokenKey, 'claim', [claimId, epoch])
}

/** What one claim redeems its job's bundle with. */
export function bundleToken(tokenKey: Uint8Array, claimId: string, epoch: number): string {
  return derive(tokenKey, 'bundle', [claimId, epoch])
}

function derive(tokenKey: Uint8Array, kind: 'claim' | 'bundle', words: readonly (string | number)[]): string {
  const mac = createHmac('sha256', tokenKey).update([kind, ...words].join('\0'))
  return tokenPrefix[kind] + mac.digest('base64url')
}

/** Compares in time that does not depend on where two texts differ; how long they are is no secret. */
export function sameText(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}
