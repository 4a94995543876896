// Call keys: both sides come to one secret, and nobody between them does, whatever he changes.
import t from 'tap'
import { payloadType } from '../../src/protocol/sealed.ts'
import { acceptCallKey, grantCallKey, makeHalf } from '../../src/seal/call-key.ts'
import { openDsse, signDsse } from '../../src/seal/dsse.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { createSigner } from '../../src/seal/signature.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { signingPairOf } from '../harness/signing-key.ts'

const random = createSeededRandom(1)
const pondPair = signingPairOf(Buffer.alloc(32, 4))
const signer = createSigner(pondPair)
const bindingId = `bnd_${'1'.repeat(26)}` as never
const of = { bindingId, pondKey: pondPair.publicKey }

function agree() {
  const half = makeHalf(random)
  const terms = { binding_id: bindingId, call_key: `cky_${'2'.repeat(26)}`, swarm_half: half.shown, expires_at: 1000 }
  return { half, terms, ...grantCallKey(makeHalf(random), terms, signer) }
}

const reasonOf = (run: () => unknown) => {
  try {
    run()
    return undefined
  } catch (error) {
    return error instanceof SealError ? error.reason : `${error}`
  }
}

t.test('both come to the same secret, which stands in nothing that travels', async (t) => {
  const { half, key, signed } = agree()
  const accepted = acceptCallKey(half, signed, of)
  t.strictSame(accepted, key)
  t.equal(key.secret.length, 32)
  const travelled = JSON.stringify(signed) + Buffer.from(signed.payload, 'base64')
  for (const encoding of ['base64', 'base64url', 'hex'] as const) {
    t.notOk(travelled.includes(key.secret.toString(encoding)), encoding)
  }
  t.notSame(agree().key.secret, key.secret, 'each has its own')
})

t.test('what is not the answer of this pond to this half of this binding is refused', async (t) => {
  const { half, signed } = agree()
  const stranger = createSigner(signingPairOf(Buffer.alloc(32, 5)))
  const payload = openDsse(signed, payloadType.callKey, of.pondKey)
  const sign = (change: object, type: string = payloadType.callKey, by = signer) =>
    signDsse(type, Buffer.from(JSON.stringify({ ...JSON.parse(payload.toString()), ...change })), by)
  t.equal(
    reasonOf(() => acceptCallKey(half, sign({}, undefined, stranger), of)),
    'bad_signature',
  )
  t.equal(
    reasonOf(() => acceptCallKey(half, sign({}, payloadType.grant), of)),
    'bad_signature',
  )
  t.equal(
    reasonOf(() => acceptCallKey(half, signed, { ...of, pondKey: stranger.publicKey })),
    'bad_signature',
  )
  t.equal(
    reasonOf(() => acceptCallKey(half, signed, { ...of, bindingId: 'bnd_x' })),
    'wrong_place',
  )
  t.equal(
    reasonOf(() => acceptCallKey(makeHalf(random), signed, of)),
    'wrong_place',
    'the answer to another call',
  )
  t.equal(
    reasonOf(() => acceptCallKey(half, sign({ expires_at: 'never' }), of)),
    'damaged',
  )
  t.equal(
    reasonOf(() => acceptCallKey(half, sign({ pond_half: WEAK }), of)),
    'untrusted',
  )
})

t.test('MACs of bodies are for two sides that can make them', async (t) => {
  const { half, key, signed } = agree()
  t.ok(key.macsBodies)
  const unable = await t.mockImport<typeof import('../../src/seal/call-key.ts')>('../../src/seal/call-key.ts', {
    '../../src/seal/body-mac.ts': { BODY_MAC: 'chacha20-poly1305', canMacBodies: () => false },
  })
  t.notOk(unable.acceptCallKey(half, signed, of).macsBodies, 'a swarm that cannot')
  const terms = { binding_id: bindingId, call_key: key.id, swarm_half: half.shown, expires_at: key.expiresAt }
  t.notOk(acceptCallKey(half, unable.grantCallKey(makeHalf(random), terms, signer).signed, of).macsBodies, 'a pond')
})

t.test('what a pond says of MACs and is not understood means none', async (t) => {
  const { half, signed } = agree()
  const { body_mac: _, ...terms } = JSON.parse(openDsse(signed, payloadType.callKey, of.pondKey).toString())
  for (const told of [terms, { ...terms, body_mac: 'another' }, { ...terms, body_mac: ['chacha20-poly1305'] }]) {
    const other = signDsse(payloadType.callKey, Buffer.from(JSON.stringify(told)), signer)
    t.notOk(acceptCallKey(half, other, of).macsBodies)
  }
})

const WEAK = Buffer.alloc(32).toString('base64url')

t.test('pond meets no weak half', async (t) => {
  const terms = { binding_id: bindingId, call_key: 'cky_x', swarm_half: WEAK, expires_at: 1 }
  t.equal(
    reasonOf(() => grantCallKey(makeHalf(random), terms, signer)),
    'untrusted',
  )
})
