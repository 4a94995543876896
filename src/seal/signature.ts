// Ed25519 over exact bytes. Keys come as 32 bytes in unpadded base64url; importing one costs as much as signing, so it is done once.
import { type KeyObject, sign, verify } from 'node:crypto'
import { importPrivateKey, importPublicKey, type KeyPair } from './key.ts'

export interface Signer {
  /** Unpadded base64url. */
  readonly publicKey: string
  sign(bytes: Uint8Array): Buffer
}

export function createSigner(pair: KeyPair): Signer {
  const key = importPrivateKey(pair)
  return { publicKey: pair.publicKey, sign: (bytes) => sign(null, bytes, key) }
}

/** Keys that were verified with lately: few machines sign many words. */
const keys = new Map<string, KeyObject>()
const KEYS_MOST = 1024

/** False for anything but a good signature, whatever is wrong. */
export function isSignedBy(publicKey: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    return signature.length === 64 && verify(null, bytes, keyOf(publicKey), signature)
  } catch {
    // A text of 43 characters need not be a point of the curve.
    return false
  }
}

function keyOf(publicKey: string): KeyObject {
  const known = keys.get(publicKey)
  if (known) return known
  const key = importPublicKey(publicKey)
  const oldest = keys.keys().next().value
  if (keys.size >= KEYS_MOST && oldest !== undefined) keys.delete(oldest)
  keys.set(publicKey, key)
  return key
}
