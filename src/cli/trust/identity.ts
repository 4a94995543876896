// This consumer's own identity: one file, made the first time it is needed.
import { link } from 'node:fs/promises'
import { join } from 'node:path'
import { type Identity, KeyFileError, makeIdentity, readIdentity, writeIdentity } from '../../seal/identity.ts'
import { systemDisk } from '../../system/disk.ts'
import { Failure } from '../failure.ts'

export const identityFile = (home: string) => join(home, 'identity.json')

/** Undefined before it was made; a Failure for one that others may read. */
export async function findIdentity(home: string): Promise<Identity | undefined> {
  try {
    return await readIdentity(systemDisk, identityFile(home))
  } catch (cause) {
    if (!(cause instanceof KeyFileError)) throw cause
    throw new Failure({
      what: 'could not use the identity of this client',
      why: cause.message,
      next: `Type: chmod 600 ${identityFile(home)}`,
      cause,
    })
  }
}

/** The identity, and whether it was made just now. */
export async function needIdentity(home: string): Promise<{ readonly identity: Identity; readonly made: boolean }> {
  const known = await findIdentity(home)
  if (known) return { identity: known, made: false }
  const identity = await makeIdentity()
  await systemDisk.makeFolder(home)
  const draft = `${identityFile(home)}.${identity.signing.publicKey}.draft`
  try {
    await writeIdentity(systemDisk, draft, identity)
    // Of two programs that make one at once, the first one's stands: what the other sealed to its own would never open.
    await link(draft, identityFile(home))
    return { identity, made: true }
  } catch (error) {
    const other = await findIdentity(home)
    if (!other) throw error
    return { identity: other, made: false }
  } finally {
    await systemDisk.remove(draft)
  }
}
