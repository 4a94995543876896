// Pond's data folder: keys made once, kept private, and refused when others can read them.
import { generateKeyPairSync } from 'node:crypto'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { dataFolder, loadKeys } from '../../server/data.ts'
import { rotation } from '../../src/protocol/renewal.ts'
import { payloadType } from '../../src/protocol/sealed.ts'
import { openDsse } from '../../src/seal/dsse.ts'
import { systemDisk } from '../../src/system/disk.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'

t.test('every path lies inside the folder', async (t) => {
  const paths = Object.values(dataFolder('/data'))
  t.ok(paths.every((path) => path.startsWith('/data/')))
  t.equal(new Set(paths).size, paths.length)
})

t.test('keys are made once and found again', async (t) => {
  const { keyFile } = dataFolder(t.testdir())
  const random = createSeededRandom(1)
  const made = await loadKeys(systemDisk, random, keyFile)
  t.equal(made.tokenKey.length, 32)
  t.match(made.publicKey, /^[A-Za-z0-9_-]{43}$/)
  t.equal((await stat(keyFile)).mode & 0o777, 0o600)
  t.equal(made.signer.publicKey, made.publicKey)
  const { signer: _, ...found } = await loadKeys(systemDisk, random, keyFile)
  t.match(found, { tokenKey: made.tokenKey, publicKey: made.publicKey, sealing: made.sealing, proofs: made.proofs })
  const other = dataFolder(t.testdir({ other: {} }))
  t.notSame(await loadKeys(systemDisk, random, join(other.keyFile, '..', 'other.json')), made)
})

t.test('a key file without sealing keys is completed once', async (t) => {
  const { keyFile } = dataFolder(t.testdir())
  const random = createSeededRandom(1)
  const before = await loadKeys(systemDisk, random, keyFile)
  const { sealing_keys: _, ...older } = JSON.parse(await readFile(keyFile, 'utf8'))
  await writeFile(keyFile, JSON.stringify(older))
  const made = await loadKeys(systemDisk, random, keyFile)
  t.equal(made.publicKey, before.publicKey)
  t.not(made.sealing[0].publicKey, before.sealing[0].publicKey)
  t.equal((await stat(keyFile)).mode & 0o777, 0o600)
  t.strictSame((await loadKeys(systemDisk, random, keyFile)).sealing, made.sealing)
  const [proof] = made.proofs
  const said = JSON.parse(openDsse(proof, payloadType.rotation, made.publicKey).toString())
  t.strictSame(rotation.parse(said), {
    kind: 'pond',
    signing_key: made.publicKey,
    sealing_key: made.sealing[0].publicKey,
  })
})

t.test('a key file that others can read, or that is damaged, is refused', async (t) => {
  const { keyFile } = dataFolder(t.testdir())
  const random = createSeededRandom(1)
  await loadKeys(systemDisk, random, keyFile)
  await chmod(keyFile, 0o640)
  await t.rejects(loadKeys(systemDisk, random, keyFile), /can be read by others \(mode 640\); chmod 600 it/)
  await chmod(keyFile, 0o600)
  const text = await readFile(keyFile, 'utf8')
  for (const damaged of [text.slice(0, 20), '{}', '[]', text.replace('signing_key', 'signed_key')]) {
    await writeFile(keyFile, damaged)
    const refused = loadKeys(systemDisk, random, keyFile)
    await t.rejects(
      refused,
      /pond-key.json is damaged \(.*; bring it back/,
      'pond starts with no other keys than it had',
    )
  }
  const key = JSON.parse(text)
  const ofAnotherKind = generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  for (const pem of [key.signing_key.slice(0, -30), 'no PEM', ofAnotherKind])
    for (const [field, damaged] of [
      ['signing_key', { signing_key: pem }],
      ['former_signing_keys.0', { former_signing_keys: [pem] }],
    ] as const) {
      await writeFile(keyFile, JSON.stringify({ ...key, ...damaged }))
      await t.rejects(loadKeys(systemDisk, random, keyFile), {
        message: `${keyFile} is damaged (${field}: is no Ed25519 private key in PEM); bring it back from a copy`,
      })
    }
})
