// Rotations: only the key that is replaced can replace itself, and a chain of them leads from what is pinned to what is announced, or nowhere.
import t from 'tap'
import { makeSealingPair, makeSigningPair } from '../../src/seal/key.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { followPondKey, followWorkerKeys, openRotation, signRotation } from '../../src/seal/rotation.ts'
import { createSigner } from '../../src/seal/signature.ts'
import { ids } from '../protocol/sample.ts'

async function makeChain(steps: number) {
  const signers = await Promise.all(
    Array.from({ length: steps + 1 }, async () => createSigner(await makeSigningPair())),
  )
  const sealing = await Promise.all(signers.map(async () => (await makeSealingPair()).publicKey))
  const [first] = signers
  if (!first) throw new Error('a chain has a first key')
  const pond_rotations = signers.slice(1).map((signer, index) => {
    const says = { kind: 'pond', signing_key: signer.publicKey, sealing_key: sealing[index + 1] ?? '' } as const
    return signRotation(says, signers[index] ?? first)
  })
  return {
    first: first.publicKey,
    pond_key: signers.at(-1)?.publicKey ?? '',
    pond_rotations,
    sealing_key: sealing.at(-1),
  }
}

t.test('a chain is followed to its end', async (t) => {
  const { first, sealing_key, ...reply } = await makeChain(3)
  t.match(followPondKey(first, reply), { kind: 'pond', signing_key: reply.pond_key, sealing_key })
  t.equal(followPondKey(reply.pond_key, { ...reply, pond_rotations: [] }), undefined, 'nothing was replaced')
})

t.test('a chain with a gap, out of order, cut short or of another key is refused', async (t) => {
  const { first, pond_key, pond_rotations } = await makeChain(3)
  const [a, b, c] = pond_rotations
  if (!a || !b || !c) throw new Error('there are three steps')
  const other = await makeChain(1)
  const bent = { ...b, payload: a.payload }
  const long = { ...a, signatures: [...b.signatures, ...a.signatures] }
  const wrong: readonly (readonly [string, Parameters<typeof followPondKey>[1]])[] = [
    ['nothing signed', { pond_key, pond_rotations: [] }],
    ['a gap', { pond_key, pond_rotations: [a, c] }],
    ['out of order', { pond_key, pond_rotations: [b, a, c] }],
    ['cut short', { pond_key, pond_rotations: [a, b] }],
    ['a step too far', { pond_key, pond_rotations: [a, b, c, c] }],
    ['another key at the end', { pond_key: other.pond_key, pond_rotations }],
    ['another chain', { pond_key: other.pond_key, pond_rotations: other.pond_rotations }],
    ['a bent payload', { pond_key, pond_rotations: [a, bent, c] }],
  ]
  for (const [says, reply] of wrong) t.throws(() => followPondKey(first, reply), SealError, says)
  t.ok(followPondKey(first, { pond_key, pond_rotations: [long, b, c] }), 'a second signature does no harm')
})

t.test("a worker's keys are followed from any that was pinned, in one chain, of that worker", async (t) => {
  const signers = await Promise.all([1, 2, 3].map(async () => createSigner(await makeSigningPair())))
  const [a, b, c] = signers
  const { publicKey: sealing_key } = await makeSealingPair()
  if (!a || !b || !c) throw new Error('there are three')
  const step = (from: typeof a, to: typeof a, worker_id: string = ids.wrk) =>
    signRotation({ kind: 'worker', worker_id: worker_id as never, sealing_key, signing_key: to.publicKey }, from)
  const shown = { id: ids.wrk, sealing_key, signing_key: c.publicKey }
  const rotations = [step(a, b), step(b, c)]
  const names = (pinned: string) => followWorkerKeys(pinned, { ...shown, rotations }).map((it) => it.signing_key)
  t.strictSame(names(a.publicKey), [b.publicKey, c.publicKey])
  t.strictSame(names(b.publicKey), [c.publicKey])
  const other = (await makeSealingPair()).publicKey
  const kind = signRotation({ kind: 'pond', sealing_key, signing_key: b.publicKey }, a)
  const bent = { ...step(a, b), payload: step(a, c).payload }
  for (const [says, wrong] of [
    ['nothing', { ...shown }],
    ['a gap', { ...shown, rotations: [step(b, c)] }],
    ['cut short', { ...shown, rotations: [step(a, b)] }],
    ['out of order', { ...shown, rotations: [...rotations].reverse() }],
    ['a step too far', { ...shown, rotations: [...rotations, step(c, a)] }],
    ['a key met twice', { ...shown, rotations: [step(a, b), step(b, a), step(a, c)] }],
    ['another sealing key', { ...shown, sealing_key: other, rotations }],
    ['another kind', { ...shown, rotations: [kind, step(b, c)] }],
    ['a bent payload', { ...shown, rotations: [bent, step(b, c)] }],
    ['the chain of another worker', { ...shown, rotations: [step(a, b, ids.wrk.replace(/.$/, '9')), step(b, c)] }],
  ] as const) {
    t.throws(() => followWorkerKeys(a.publicKey, wrong), SealError, says)
  }
})

t.test('a rotation is of one kind and by one key', async (t) => {
  const signer = createSigner(await makeSigningPair())
  const other = createSigner(await makeSigningPair())
  const said = { kind: 'binding', binding_id: ids.bnd, binding_key: other.publicKey } as never
  const signed = signRotation(said, signer)
  t.match(openRotation(signed, 'binding', signer.publicKey), { binding_key: other.publicKey })
  t.throws(() => openRotation(signed, 'pond', signer.publicKey), SealError, 'another kind')
  t.throws(() => openRotation(signed, 'binding', other.publicKey), SealError, 'another key')
  t.throws(() => openRotation({ ...signed, payloadType: 'text/plain' }, 'binding', signer.publicKey), SealError)
  const empty = signRotation({ kind: 'binding' } as never, signer)
  t.throws(() => openRotation(empty, 'binding', signer.publicKey), SealError, 'signed, and no rotation')
})
