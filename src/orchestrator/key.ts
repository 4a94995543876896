// Makes the key pairs of a binding and its worker. A part, so that a simulated swarm has the same keys every time.
import { generateKeyPairSync } from 'node:crypto'
import type { KeyPair } from './home.ts'

export type KeyKind = 'ed25519' | 'x25519'

export type MakeKeyPair = (kind: KeyKind) => KeyPair

export const systemKeyPair: MakeKeyPair = (kind) => {
  const { privateKey } = kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519')
  const { x, d } = privateKey.export({ format: 'jwk' })
  if (x === undefined || d === undefined) throw new Error(`node:crypto exported an ${kind} key without both halves`)
  return { publicKey: x, privateKey: d }
}
