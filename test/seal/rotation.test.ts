// Rotations: followed only as far as each step is signed by the key before it.
import t from 'tap'
import type { Rotation } from '../../src/protocol/orch.ts'
import { payloadType } from '../../src/protocol/sealed.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { signDsse } from '../../src/seal/dsse.ts'
import { makeSigningPair } from '../../src/seal/key.ts'
import { followPondKey, openRotation, signRotation } from '../../src/seal/rotation.ts'
import { createSigner } from '../../src/seal/signature.ts'

const signers = (await Promise.all([1, 2, 3].map(() => makeSigningPair()))).map(createSigner)
const [first, second, third] = signers as [(typeof signers)[0], (typeof signers)[0], (typeof signers)[0]]
const to = (key: string): Rotation => ({ kind: 'pond', signing_key: key, sealing_key: key })

t.test('step by step, and no further', async (t) => {
  const steps = [signRotation(to(second.publicKey), first), signRotation(to(third.publicKey), second)]
  t.equal(followPondKey(first.publicKey, []), first.publicKey)
  t.equal(followPondKey(first.publicKey, steps), third.publicKey)
  for (const broken of [steps.slice(1), [...steps].reverse(), [...steps, ...steps]])
    t.throws(() => followPondKey(first.publicKey, broken), { name: 'SealError', reason: 'bad_signature' })
  const id = `wrk_${'0'.repeat(26)}`
  const worker = {
    kind: 'worker',
    worker_id: id,
    sealing_key: third.publicKey,
    signing_key: third.publicKey,
  } as Rotation
  t.throws(() => followPondKey(first.publicKey, [signRotation(worker, first)]), {
    name: 'SealError',
    reason: 'wrong_place',
  })
})

t.test('what was signed for something else is none', async (t) => {
  const bytes = canonicalBytes(to(second.publicKey))
  const other = signDsse(payloadType.grant, bytes, first)
  t.throws(() => openRotation(other, first.publicKey), { name: 'SealError', reason: 'bad_signature' })
  const empty = signDsse(payloadType.rotation, Buffer.from('{}'), first)
  t.throws(() => openRotation(empty, first.publicKey), { name: 'SealError', reason: 'damaged' })
})
