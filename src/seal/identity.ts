// A consumer's identity: what opens what is sealed to it, and what signs its jobs. It lives in one file that only its owner may read.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { z } from 'zod'
import { publicKey } from '../protocol/field.ts'
import type { Disk } from '../system/disk.ts'
import { type KeyPair, makeSealingPair, makeSigningPair } from './key.ts'
import { printKey } from './key-text.ts'

const pair = z.strictObject({ publicKey, privateKey: publicKey })
const identity = z.strictObject({
  format: z.literal(1),
  /** X25519: opens. */
  sealing: pair,
  /** Ed25519: signs. */
  signing: pair,
})

export interface Identity {
  readonly sealing: KeyPair
  readonly signing: KeyPair
}

/** A file that others may read, or that is none of ours. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError'
}

export async function makeIdentity(): Promise<Identity> {
  return { sealing: await makeSealingPair(), signing: await makeSigningPair() }
}

/** Undefined when there is no file; a KeyFileError when others may read it or it holds something else. */
export async function readIdentity(disk: Disk, path: string): Promise<Identity | undefined> {
  const bytes = await disk.read(path)
  if (!bytes) return undefined
  await requirePrivate(path)
  const found = parse(bytes.toString('utf8'))
  if (!found) throw new KeyFileError(`${path} holds no identity`)
  return found
}

function parse(text: string): Identity | undefined {
  try {
    const { sealing, signing } = identity.parse(JSON.parse(text))
    return isPair('X25519', sealing) && isPair('Ed25519', signing) ? { sealing, signing } : undefined
  } catch {
    return undefined
  }
}

/** Whether both halves are of one key: what is sealed to another public half is lost. */
function isPair(crv: 'X25519' | 'Ed25519', { publicKey, privateKey }: KeyPair): boolean {
  const key = createPrivateKey({ key: { kty: 'OKP', crv, x: publicKey, d: privateKey }, format: 'jwk' })
  return createPublicKey(key).export({ format: 'jwk' }).x === publicKey
}

export async function writeIdentity(disk: Disk, path: string, { sealing, signing }: Identity): Promise<void> {
  await disk.replace(path, `${JSON.stringify({ format: 1, sealing, signing }, undefined, 2)}\n`)
}

/** Refuses a key file that others may read. One that is not there yet is none. */
export async function requirePrivate(path: string): Promise<void> {
  const { mode } = await stat(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { mode: 0 }
    throw error
  })
  if ((mode & 0o077) === 0) return
  throw new KeyFileError(`${path} can be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600 it`)
}

/** The two texts that its owner gives to others. */
export function describeIdentity({ sealing, signing }: Identity): {
  readonly recipient: string
  readonly signer: string
} {
  return { recipient: printKey('recipient', sealing.publicKey), signer: printKey('signer', signing.publicKey) }
}
