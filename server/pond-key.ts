// How pond's own keys are replaced in its key file: the new ones stand in front, the old ones stay to open what was sealed to them and to vouch for the new.
import { generateKeyPairSync } from 'node:crypto'
import { makeSealingPair } from '../src/seal/key.ts'
import type { Disk } from '../src/system/disk.ts'
import { type KeyFile, keysOf, parseKeys, type SealingKeys } from './data.ts'
import type { PondKeys } from './service/parts.ts'

/** One rotation at a time: each starts from what the one before it made. The file is whole on disk before anybody hears of the new keys. */
export function createKeyRotation(disk: Disk, path: string): () => Promise<PondKeys> {
  let turn: Promise<unknown> = Promise.resolve()
  return () => {
    const done = turn.then(() => rotateFile(disk, path))
    turn = done.catch(() => {})
    return done
  }
}

async function rotateFile(disk: Disk, path: string): Promise<PondKeys> {
  const text = await disk.read(path)
  const before = text && parseKeys(path, text)
  if (!before?.sealing_keys) throw new Error(`${path} does not hold what pond was started with`)
  const sealing: SealingKeys = [await makeSealingPair(), ...before.sealing_keys]
  const after: KeyFile = {
    ...before,
    signing_key: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    former_signing_keys: [before.signing_key, ...(before.former_signing_keys ?? [])],
    sealing_keys: sealing,
  }
  await disk.replace(path, `${JSON.stringify(after)}\n`)
  return keysOf(after, sealing)
}
