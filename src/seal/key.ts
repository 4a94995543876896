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
  const key = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey, d: privateKey }, format: 'jwk' })
  // Node takes the private half at its word and drops the other.
  if (createPublicKey(key).export({ format: 'jwk' }).x !== publicKey) throw new Error('two halves of different keys')
  return key
}

export function importPublicKey(publicKey: string): KeyObject {
  if (isWeak(publicKey)) throw new Error('under this key a signature means nothing')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' })
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}

/** Points of small order, without their sign: anybody can make signatures that verify under them. libsodium refuses them, OpenSSL does not. */
const weak: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

function isWeak(publicKey: string): boolean {
  const point = Buffer.from(publicKey, 'base64url')
  point[31] = (point[31] ?? 0) & 0x7f
  return weak.has(point.toString('hex'))
}
