// Pairing codes, tokens, fingerprints and key pairs: what is printed can be read back, what is secret is nowhere, what is wrong is refused.
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import type { ClaimId, CodeId } from '../../src/protocol/id.ts'
import { looksLikeToken, tokenPrefix } from '../../src/protocol/id.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import { makeSealingPair, makeSigningPair } from '../../src/seal/key.ts'
import { hashPondKey, pairingMac, pairingSecret, parsePairingCode, printPairingCode } from '../../src/seal/pairing.ts'
import { claimToken, hashToken, makeToken, sameText } from '../../src/seal/token.ts'
import { systemRandom } from '../../src/system/random.ts'
import { mutateValue } from '../harness/mutation.ts'

const id = `cod_${'0123456789abcdefghjkmnpqrs'}` as CodeId
const pondKey = Buffer.alloc(32, 7).toString('base64url')
const tokenKey = Buffer.alloc(32, 1)

t.test('a code is read back as it was printed', async (t) => {
  const code = { id, secret: pairingSecret(tokenKey, id), pondKeyHash: hashPondKey(pondKey) }
  t.same(parsePairingCode(printPairingCode(code)), code)
  t.same(parsePairingCode(`  ${printPairingCode(code)}\n`), code, 'white space around it is harmless')
})

t.test('no other text is a code', async (t) => {
  const text = printPairingCode({ id, secret: pairingSecret(tokenKey, id), pondKeyHash: hashPondKey(pondKey) })
  for (const wrong of [
    '',
    '..',
    text.slice(1),
    text.slice(0, -1),
    `${text}.x`,
    text.replace('.', ''),
    text.toUpperCase(),
  ]) {
    t.equal(parsePairingCode(wrong), undefined, wrong)
  }
  fc.assert(fc.property(fc.string(), (noise) => parsePairingCode(noise) === undefined))
})

t.test('the MAC covers every field and depends on the secret', async (t) => {
  const body = {
    code: id,
    name: 'lab',
    protocol: 2,
    binding_key: pondKey,
    worker: { sealing_key: pondKey, signing_key: pondKey, labels: { room: 'lab' }, resources: { slots: 2 } },
  }
  const mac = pairingMac(pairingSecret(tokenKey, id), body)
  t.match(mac, /^[0-9a-f]{64}$/)
  t.equal(pairingMac(pairingSecret(tokenKey, id), { ...body }), mac, 'the same words give the same MAC')
  let changes = 0
  for (const { what, value } of mutateValue(body)) {
    changes++
    if (JSON.stringify(value) === JSON.stringify(body)) continue
    t.not(pairingMac(pairingSecret(tokenKey, id), value as typeof body), mac, what)
  }
  t.equal(changes, 199, 'fewer would be a weaker test')
  t.not(pairingMac(pairingSecret(Buffer.alloc(32, 2), id), body), mac, 'another secret')
})

t.test('tokens have a prefix that a scanner finds, and are stored as a hash', async (t) => {
  for (const kind of ['admin', 'key', 'binding'] as const) {
    const token = makeToken(kind, systemRandom)
    t.ok(token.startsWith(tokenPrefix[kind]))
    t.match(token, looksLikeToken)
    t.notMatch(hashToken(token), token.slice(-20))
    t.not(makeToken(kind, systemRandom), token)
  }
})

t.test('a claim token is good for one claim and one epoch', async (t) => {
  const claim = `clm_${'0123456789abcdefghjkmnpqrs'}` as ClaimId
  const token = claimToken(tokenKey, claim, 1)
  t.equal(claimToken(tokenKey, claim, 1), token, 'pond can say it again')
  t.not(claimToken(tokenKey, claim, 2), token)
  t.not(claimToken(tokenKey, `${claim.slice(0, -1)}t`, 1), token)
  t.not(claimToken(Buffer.alloc(32, 2), claim, 1), token)
})

t.test('texts are compared as a whole', async (t) => {
  fc.assert(fc.property(fc.string(), fc.string(), (left, right) => sameText(left, right) === (left === right)))
  t.ok(sameText('', ''))
})

t.test('a fingerprint is short, grouped, and of both keys in their order', async (t) => {
  const other = Buffer.alloc(32, 9).toString('base64url')
  t.match(fingerprint(pondKey, other), /^([0-9a-f]{4}-){7}[0-9a-f]{4}$/)
  t.not(fingerprint(pondKey, other), fingerprint(other, pondKey))
})

t.test('a sealing pair is X25519 as others know it, a signing pair Ed25519', async (t) => {
  const sealing = await makeSealingPair()
  const jwk = { kty: 'OKP', crv: 'X25519', x: sealing.publicKey, d: sealing.privateKey }
  const derived = createPublicKey(createPrivateKey({ key: jwk, format: 'jwk' })).export({ format: 'jwk' })
  t.equal(derived.x, sealing.publicKey)
  const signing = await makeSigningPair()
  const key = { kty: 'OKP', crv: 'Ed25519', x: signing.publicKey }
  const signature = sign(null, Buffer.from('text'), { key: { ...key, d: signing.privateKey }, format: 'jwk' })
  t.ok(verify(null, Buffer.from('text'), createPublicKey({ key, format: 'jwk' }), signature))
})
