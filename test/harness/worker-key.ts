// Signing keys of workers that are the same each time, made from a letter. No secret: only tests use them.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { createSigner, type Signer } from '../../src/seal/signature.ts'

/** What stands before the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Of the machine of this letter. */
export function workerSigner(letter: string): Signer {
  const seed = Buffer.alloc(32, `worker ${letter}`)
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' })
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' })
  return createSigner({ publicKey: x, privateKey: seed.toString('base64url') })
}
