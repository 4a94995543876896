// An identity's file: written for its owner alone, read back whole, and refused when it is wider, damaged or put together from two.
import { chmod, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  describeIdentity,
  type Identity,
  KeyFileError,
  makeIdentity,
  readIdentity,
  writeIdentity,
} from '../../src/seal/identity.ts'
import { parseKey } from '../../src/seal/key-text.ts'
import { systemDisk } from '../../src/system/disk.ts'
import { mutateBytes, mutateValue } from '../harness/mutation.ts'
import { sealingPair, signingPair } from '../harness/seal.ts'

const folder = await mkdtemp(join(tmpdir(), 'pond-identity-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const path = join(folder, 'identity')
const identity: Identity = { sealing: sealingPair('reader'), signing: signingPair('reader') }

/** What is read from a file with this content; the error where it is refused. */
async function read(content: string | Buffer, mode = 0o600): Promise<unknown> {
  await rm(path, { force: true })
  await writeFile(path, content)
  await chmod(path, mode)
  return readIdentity(systemDisk, path).catch((error: unknown) => error)
}

t.test('it is read back as it was made, by its owner alone', async (t) => {
  t.equal(await readIdentity(systemDisk, join(folder, 'none')), undefined)
  const made = await makeIdentity()
  await writeIdentity(systemDisk, path, made)
  t.strictSame(await readIdentity(systemDisk, path), made)
  t.equal((await stat(path)).mode & 0o777, 0o600)
  t.not((await makeIdentity()).sealing.privateKey, made.sealing.privateKey)
})

t.test('a file that others may read is refused, and says what to do', async (t) => {
  await writeIdentity(systemDisk, path, identity)
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777]) {
    await chmod(path, mode)
    await t.rejects(readIdentity(systemDisk, path), { name: 'KeyFileError', message: /chmod 600/ }, mode.toString(8))
    const link = join(folder, `link-${mode}`)
    await symlink(path, link)
    await t.rejects(readIdentity(systemDisk, link), { name: 'KeyFileError' }, 'behind a link too')
  }
  await chmod(path, 0o400)
  t.strictSame(await readIdentity(systemDisk, path), identity)
})

t.test('what is told to others is public and can be read back', async (t) => {
  const { recipient, signer } = describeIdentity(identity)
  t.equal(parseKey('recipient', recipient), identity.sealing.publicKey)
  t.equal(parseKey('signer', signer), identity.signing.publicKey)
})

t.test('any other content is no identity', async (t) => {
  const value = { format: 1, sealing: identity.sealing, signing: identity.signing }
  let refused = 0
  for (const { what, value: changed } of mutateValue(value)) {
    const found = await read(JSON.stringify(changed))
    // The private half of X25519 has five bits that its use sets by itself: a file with others of them is as good.
    if (what.startsWith('$.sealing.privateKey') && isIdentity(found) && opensAlike(found)) continue
    if (!(found instanceof KeyFileError)) t.fail(`${what}: ${found}`)
    else refused++
  }
  t.equal(refused, 148, 'changes; fewer would be a weaker test')
  for (const { what, value: changed } of mutateBytes(Buffer.from('{}\n'))) {
    t.ok((await read(changed)) instanceof KeyFileError, what)
  }
  const mixed = { ...value, signing: { ...identity.signing, publicKey: signingPair('other').publicKey } }
  t.match(await read(JSON.stringify(mixed)), { name: 'KeyFileError', message: `${path} holds no identity` })
})

const isIdentity = (found: unknown): found is Identity => !(found instanceof Error) && found !== undefined

function opensAlike(found: Identity): boolean {
  const [ours, theirs] = [identity, found].map(({ sealing }) => clamp(Buffer.from(sealing.privateKey, 'base64url')))
  return ours !== undefined && theirs !== undefined && ours.equals(theirs)
}

function clamp(key: Buffer): Buffer {
  key[0] = (key[0] ?? 0) & 0xf8
  key[31] = ((key[31] ?? 0) & 0x7f) | 0x40
  return key
}
