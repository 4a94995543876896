// Public keys as people copy them: a prefix that says what it is, the key, and a checksum that catches a slip.
import { createHash } from 'node:crypto'

/** What a text stands for. Private halves have no text: they stay in their file. */
export const keyPrefix = {
  /** X25519 public key that output and credentials are sealed to. */
  recipient: 'pond_recipient_',
  /** Ed25519 public key that signs jobs and envelopes. */
  signer: 'pond_signer_',
} as const
export type KeyTextKind = keyof typeof keyPrefix

const KEY_BYTES = 32
const CHECK_BYTES = 4

/** `publicKey` in unpadded base64url, as everywhere on the wire. */
export function printKey(kind: KeyTextKind, publicKey: string): string {
  const key = Buffer.from(publicKey, 'base64url')
  return keyPrefix[kind] + Buffer.concat([key, checksum(kind, key)]).toString('base64url')
}

/** Undefined for a text of another kind, a slip of the finger, or a form that would be printed otherwise. */
export function parseKey(kind: KeyTextKind, text: string): string | undefined {
  if (!text.startsWith(keyPrefix[kind])) return undefined
  const bytes = Buffer.from(text.slice(keyPrefix[kind].length), 'base64url')
  if (bytes.length !== KEY_BYTES + CHECK_BYTES) return undefined
  const key = bytes.subarray(0, KEY_BYTES).toString('base64url')
  return printKey(kind, key) === text ? key : undefined
}

/** The first four bytes of SHA-256 over prefix and key. */
function checksum(kind: KeyTextKind, key: Buffer): Buffer {
  return createHash('sha256').update(keyPrefix[kind]).update(key).digest().subarray(0, CHECK_BYTES)
}
