// The printed pairing code and the MAC that proves who holds it. Both sides use it; the secret itself never travels.
import { createHash, createHmac } from 'node:crypto'
import canonicalize from 'canonicalize'
import { type CodeId, codeId } from '../protocol/id.ts'
import type { PairBody } from '../protocol/orch.ts'

export const SECRET_BYTES = 16
const KEY_HASH_BYTES = 16

export interface PairingCode {
  readonly id: CodeId
  readonly secret: Buffer
  /** The first 16 bytes of SHA-256 of pond's raw public key. */
  readonly pondKeyHash: Buffer
}

/** The secret of a code, derived from pond's token key, so that it is stored nowhere. */
export function pairingSecret(tokenKey: Uint8Array, id: CodeId): Buffer {
  return createHmac('sha256', tokenKey).update(`pairing\0${id}`).digest().subarray(0, SECRET_BYTES)
}

/** `pondKey` is the public key in unpadded base64url, as it stands on the wire. */
export function hashPondKey(pondKey: string): Buffer {
  return createHash('sha256').update(Buffer.from(pondKey, 'base64url')).digest().subarray(0, KEY_HASH_BYTES)
}

/** For the machine that pairs or enrolls: whether a key is that of the pond that printed its code. */
export function isPrinter(code: PairingCode, pondKey: string): boolean {
  return hashPondKey(pondKey).equals(code.pondKeyHash)
}

/** What a person types: id, secret and hash of pond's key, joined by dots. */
export function printPairingCode(code: PairingCode): string {
  return [code.id.slice('cod_'.length), code.secret.toString('base64url'), code.pondKeyHash.toString('base64url')].join(
    '.',
  )
}

/** Undefined when the text is no whole code: a mistyped one must not burn a try. */
export function parsePairingCode(text: string): PairingCode | undefined {
  const [body = '', secret = '', hash = '', ...rest] = text.trim().split('.')
  const id = codeId.safeParse(`cod_${body}`)
  const code = {
    secret: Buffer.from(secret, 'base64url'),
    pondKeyHash: Buffer.from(hash, 'base64url'),
  }
  const whole = code.secret.length === SECRET_BYTES && code.pondKeyHash.length === KEY_HASH_BYTES
  return id.success && whole && rest.length === 0 ? { id: id.data, ...code } : undefined
}

/** HMAC-SHA-256 in lower-case hex over the RFC 8785 form of the body without `mac`. */
export function pairingMac(secret: Uint8Array, body: Omit<PairBody, 'mac'>): string {
  const text = canonicalize(body)
  if (text === undefined) throw new Error('a pairing body has a canonical form')
  return createHmac('sha256', secret).update(text).digest('hex')
}
