// Pond's data folder: what lies where, and pond's own keys, made at the first start.
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
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

const keyFile = z.strictObject({
  /** 32 bytes in base64url. */
  token_key: z.string().length(43),
  /** Ed25519 private key, PKCS 8 in PEM. */
  signing_key: z.string(),
})

/** Reads pond's keys, or makes them where there are none. A file that others can read is refused. */
export async function loadKeys(disk: Disk, random: Random, path: string): Promise<PondKeys> {
  const text = await disk.read(path)
  if (text === undefined) {
    const signing_key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const made = { token_key: random.bytes(32).toString('base64url'), signing_key }
    await disk.replace(path, `${JSON.stringify(made)}\n`)
    return keysOf(made)
  }
  const { mode } = await stat(path)
  if ((mode & 0o077) !== 0)
    throw new Error(`${path} can be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600 it`)
  return keysOf(keyFile.parse(JSON.parse(text.toString())))
}

function keysOf(file: z.infer<typeof keyFile>): PondKeys {
  const { x } = createPublicKey(createPrivateKey(file.signing_key)).export({ format: 'jwk' })
  if (x === undefined) throw new Error('an Ed25519 key has an x')
  return { tokenKey: Buffer.from(file.token_key, 'base64url'), publicKey: x }
}
