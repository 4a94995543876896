// The MAC of a call's body under a call key: a sixth of what its SHA-256 costs. Poly1305 of RFC 8439, with a key that is good for one call.
import { createCipheriv, createHmac, type KeyObject } from 'node:crypto'

/** Its name in headers and in what is agreed on. */
export const BODY_MAC = 'chacha20-poly1305'
/** No signature base begins like this, so that a key's MACs of bases say nothing of its keys for bodies. */
const PURPOSE = 'pond-content-mac'
const NO_NONCE = Buffer.alloc(12)

/** 16 bytes: what ChaCha20-Poly1305 makes of no plaintext and of the body as associated data. `nonce`: the call's own; under one key it never comes again. */
export function macOfBody(key: KeyObject, nonce: Uint8Array, body: Uint8Array): Buffer {
  const once = createHmac('sha256', key).update(PURPOSE).update(nonce).digest()
  const cipher = createCipheriv(BODY_MAC, once, NO_NONCE, { authTagLength: 16 })
  cipher.setAAD(body, { plaintextLength: 0 })
  cipher.final()
  return cipher.getAuthTag()
}
