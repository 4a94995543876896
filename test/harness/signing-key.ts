// Ed25519 key pairs that are the same each time, made from a seed. No secret: only tests use them.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import type { KeyPair } from '../../src/seal/key.ts'

/** What stands before the 32 bytes of a seed in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')

const made = new Map<string, KeyPair>()

export function signingPairOf(seed: Uint8Array): KeyPair {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' })
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' })
  const pair = { publicKey: x, privateKey: Buffer.from(seed).toString('base64url') }
  made.set(x, pair)
  return pair
}

/** The pair that a machine of this letter signs its calls with. */
export const bindingPair = (letter: string) => signingPairOf(Buffer.alloc(32, letter))

/** The whole of a pair that was made here. */
export function pairOf(publicKey: string): KeyPair | undefined {
  return made.get(publicKey)
}
