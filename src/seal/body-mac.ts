// The MAC of a call's body under a call key: a sixth of what its SHA-256 costs. Poly1305 of RFC 8439, with a key that is good for one call.
import { createCipheriv, createHmac, createSecretKey, type KeyObject } from 'node:crypto'

/** Its name in headers and in what is agreed on. */
export const BODY_MAC = 'chacha20-poly1305'
/** No signature base begins like this, so that a key's MACs of bases say nothing of its keys for bodies. */
const PURPOSE = 'pond-content-mac\n'
const NO_NONCE = Buffer.alloc(12)

/**
 * 16 bytes: what ChaCha20-Poly1305 makes of no plaintext and of the body as associated data. `base`: of the call, with nothing yet where its MAC will stand; under
 * one key it never comes again, for it holds the call's nonce.
 */
export function macOfBody(key: KeyObject, base: string, body: Uint8Array): Buffer {
  const once = createHmac('sha256', key).update(PURPOSE).update(base).digest()
  const cipher = createCipheriv(BODY_MAC, once, NO_NONCE, { authTagLength: 16 })
  cipher.setAAD(body, { plaintextLength: 0 })
  cipher.final()
  return cipher.getAuthTag()
}

/** Whether this machine can: an OpenSSL that is held to FIPS knows no ChaCha20. */
export function canMacBodies(): boolean {
  try {
    macOfBody(createSecretKey(NO_NONCE), '', NO_NONCE)
    return true
  } catch {
    return false
  }
}
