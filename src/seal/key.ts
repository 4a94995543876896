// Key pairs of a binding and its worker: sealing keys are libsodium's, since it opens what is sealed to them; signing keys are Ed25519.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'

/** Both halves in unpadded base64url, 32 bytes each. */
export interface KeyPair {
  readonly publicKey: string
  readonly privateKey: string
}

/** X25519. libsodium is loaded only here, where it is needed: its start costs tens of milliseconds. */
export async function makeSealingPair(): Promise<KeyPair> {
  const { default: sodium } = await import('libsodium-wrappers')
  await sodium.ready
  const { publicKey, privateKey } = sodium.crypto_box_keypair()
  return { publicKey: base64url(publicKey), privateKey: base64url(privateKey) }
}

/** Ed25519; the private half is the 32-byte seed. */
export async function makeSigningPair(): Promise<KeyPair> {
  const { x, d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  if (x === undefined || d === undefined) throw new Error('an Ed25519 key was exported without both halves')
  return { publicKey: x, privateKey: d }
}

/** A made pair as node:crypto takes it. */
export function importPrivateKey({ publicKey, privateKey }: KeyPair): KeyObject {
  return createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey, d: privateKey }, format: 'jwk' })
}

export function importPublicKey(publicKey: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' })
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
