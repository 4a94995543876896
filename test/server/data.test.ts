// Pond's data folder: keys made once, kept private, and refused when others can read them.
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { dataFolder, loadKeys } from '../../server/data.ts'
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
  t.strictSame(await loadKeys(systemDisk, random, keyFile), made)
  const other = dataFolder(t.testdir({ other: {} }))
  t.notSame(await loadKeys(systemDisk, random, join(other.keyFile, '..', 'other.json')), made)
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
    await t.rejects(loadKeys(systemDisk, random, keyFile), 'pond does not start with other keys than it had')
  }
})
