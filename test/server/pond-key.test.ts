// Pond's own keys, replaced in their file: what was there stays, each step is signed, and a crash leaves one state or the other.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { loadKeys } from '../../server/data.ts'
import { createKeyRotation } from '../../server/pond-key.ts'
import { followPondKey, openRotation } from '../../src/seal/rotation.ts'
import { systemDisk } from '../../src/system/disk.ts'
import { systemRandom } from '../../src/system/random.ts'

t.test('the old keys sign the new ones and stay; the file holds what pond goes on with', async (t) => {
  const path = join(t.testdir(), 'pond-key.json')
  const first = await loadKeys(systemDisk, systemRandom, path)
  const rotate = createKeyRotation(systemDisk, path)
  const [second, third] = await Promise.all([rotate(), rotate()])
  t.strictSame(third.sealing.slice(1), second.sealing, 'one after the other')
  t.strictSame(second.sealing.slice(1), first.sealing)
  t.strictSame(third.tokenKey, first.tokenKey)
  const reply = { pond_key: third.publicKey, pond_rotations: third.rotations }
  t.match(followPondKey(first.publicKey, reply), {
    signing_key: third.publicKey,
    sealing_key: third.sealing[0].publicKey,
  })
  const byEach = [third, second, first].map(({ publicKey }, index) => {
    const proof = third.proofs[index]
    return proof && openRotation(proof, 'pond', publicKey).sealing_key
  })
  t.strictSame(byEach, Array(3).fill(third.sealing[0].publicKey), 'whoever knows any of them learns the sealing key')
  const { signer: _signer, signerFor: _for, ...loaded } = await loadKeys(systemDisk, systemRandom, path)
  const { signer: _other, signerFor: _otherFor, ...made } = third
  t.strictSame(loaded, made, 'the next start finds them')
  t.equal((await stat(path)).mode & 0o777, 0o600)
})

t.test('a file that could not be written leaves the keys as they were', async (t) => {
  const path = join(t.testdir(), 'pond-key.json')
  const first = await loadKeys(systemDisk, systemRandom, path)
  const failing = { ...systemDisk, read: systemDisk.read, replace: async () => Promise.reject(new Error('no room')) }
  await t.rejects(createKeyRotation(failing, path)(), /no room/)
  t.equal((await loadKeys(systemDisk, systemRandom, path)).publicKey, first.publicKey)
  await t.rejects(createKeyRotation(systemDisk, join(path, 'none'))())
})
