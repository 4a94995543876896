// Pond's data folder: what lies where, and pond's own keys, made at the first start.
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { describeFault, judgeText } from '../src/protocol/fault.ts'
import { publicKey } from '../src/protocol/field.ts'
import { KeyFileError, requirePrivate } from '../src/seal/identity.ts'
import { type KeyPair, makeSealingPair } from '../src/seal/key.ts'
import { signRotation } from '../src/seal/rotation.ts'
import { createSigner } from '../src/seal/signature.ts'
import { makeToken } from '../src/seal/token.ts'
import type { Disk } from '../src/system/disk.ts'
import type { Random } from '../src/system/random.ts'
import type { PondKeys } from './service/parts.ts'

export interface DataFolder {
  readonly keyFile: string
  readonly storeFile: string
  readonly blobFolder: string
  readonly lockFile: string
  /** The first admin token, for the command line on this host. */
  readonly adminTokenFile: string
  /** Where pond listens, for the command line on this host. */
  readonly urlFile: string
}

export function dataFolder(folder: string): DataFolder {
  return {
    keyFile: join(folder, 'pond-key.json'),
    storeFile: join(folder, 'pond.db'),
    blobFolder: join(folder, 'streams'),
    lockFile: join(folder, 'pond.lock'),
    adminTokenFile: join(folder, 'admin-token'),
    urlFile: join(folder, 'url'),
  }
}

/** The first admin token: what its file holds, or a new one, stored before pond knows it. */
export async function loadAdminToken(disk: Disk, random: Random, path: string): Promise<string> {
  const text = await disk.read(path)
  if (text !== undefined) return text.toString().trim()
  const token = makeToken('admin', random)
  await disk.replace(path, `${token}\n`)
  return token
}

const sealingPair = z.strictObject({ publicKey, privateKey: publicKey })

const signingKey = z.string().refine(isSigningKey, 'is no Ed25519 private key in PEM')

const keyFile = z.strictObject({
  /** 32 bytes in base64url. */
  token_key: z.string().length(43),
  /** Ed25519 private key, PKCS 8 in PEM. */
  signing_key: signingKey,
  /** Those before it, newest first, likewise. */
  former_signing_keys: z.array(signingKey).optional(),
  /** X25519, newest first; both halves of each, 32 bytes in base64url. */
  sealing_keys: z.tuple([sealingPair], sealingPair).optional(),
})
export type KeyFile = z.infer<typeof keyFile>

/** Whether keys were refused because others could read them. */
export const isOpenKeyFile = (error: unknown): error is Error => error instanceof KeyFileError

/** Reads pond's keys, makes them where there are none, and completes a file without sealing keys. One that others can read is refused. */
export async function loadKeys(disk: Disk, random: Random, path: string): Promise<PondKeys> {
  const text = await disk.read(path)
  if (text !== undefined) await requirePrivate(path)
  const file = text === undefined ? makeKeys(random) : parseKeys(path, text)
  if (file.sealing_keys) return keysOf(file, file.sealing_keys)
  const sealing: SealingKeys = [await makeSealingPair()]
  await disk.replace(path, `${JSON.stringify({ ...file, sealing_keys: sealing })}\n`)
  return keysOf(file, sealing)
}

export function parseKeys(path: string, text: { toString(): string }): KeyFile {
  const judged = judgeText(keyFile, text.toString())
  if (judged.ok) return judged.value
  throw new Error(`${path} is damaged (${describeFault(judged.faults[0])}); bring it back from a copy`)
}

export type SealingKeys = NonNullable<KeyFile['sealing_keys']>

function makeKeys(random: Random): KeyFile {
  const signing_key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { token_key: random.bytes(32).toString('base64url'), signing_key }
}

export function keysOf(file: KeyFile, sealing: SealingKeys): PondKeys {
  return makePondKeys({
    tokenKey: Buffer.from(file.token_key, 'base64url'),
    signing: fromPem(file.signing_key),
    former: (file.former_signing_keys ?? []).map(fromPem),
    sealing,
  })
}

function isSigningKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'ed25519'
  } catch {
    return false
  }
}

function fromPem(pem: string): KeyPair {
  const { x, d } = createPrivateKey(pem).export({ format: 'jwk' })
  if (x === undefined || d === undefined) throw new Error('an Ed25519 private key has both halves')
  return { publicKey: x, privateKey: d }
}

/** What pond is known by, with its own word for it: the signatures say that both keys are of one pond, to whoever knows any key that it ever had. */
export function makePondKeys({
  tokenKey,
  signing,
  former = [],
  sealing,
}: {
  readonly tokenKey: Uint8Array
  readonly signing: KeyPair
  /** Signing keys before it, newest first; `sealing` has one for each. */
  readonly former?: readonly KeyPair[]
  readonly sealing: PondKeys['sealing']
}): PondKeys {
  const signer = createSigner(signing)
  const older = former.map(createSigner)
  const says = (keys: KeyPair, sealingKey: KeyPair | undefined) => {
    if (!sealingKey) throw new Error('a signing key of pond has its sealing key beside it')
    return { kind: 'pond', signing_key: keys.publicKey, sealing_key: sealingKey.publicKey } as const
  }
  const now = says(signing, sealing[0])
  const steps = older.map((by, index) => signRotation(says([signing, ...former][index] ?? signing, sealing[index]), by))
  const proofs = [signRotation(now, signer), ...older.map((by) => signRotation(now, by))] as const
  const signerFor = (pinned: string) => older.find(({ publicKey }) => publicKey === pinned) ?? signer
  return { tokenKey, publicKey: signing.publicKey, signer, signerFor, sealing, proofs, rotations: steps.reverse() }
}
