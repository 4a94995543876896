// Signatures over exact bytes of a type: what verifies, what does not, and what a refusal says.
import { createPublicKey, verify } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { dsse, payloadType } from '../../src/protocol/sealed.ts'
import { openDsse, signDsse } from '../../src/seal/dsse.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { createSigner, isSignedBy } from '../../src/seal/signature.ts'
import { outsideMessage, refusalOf, signerOf, signingPair } from '../harness/seal.ts'

const signer = signerOf('consumer')
const other = signerOf('other')
const payload = Buffer.from('{"command":["true"]}')

t.test('what is signed is the pre-authentication encoding of DSSE 1.0', async (t) => {
  const signed = signDsse('http://example.com/HelloWorld', Buffer.from('hello world'), signer)
  const encoded = Buffer.from('DSSEv1 29 http://example.com/HelloWorld 11 hello world')
  t.ok(isSignedBy(signer.publicKey, encoded, Buffer.from(signed.signatures[0]?.sig ?? '', 'base64')))
  t.strictSame(dsse.parse(signed), signed)
  t.equal(signed.payload, 'aGVsbG8gd29ybGQ=')
})

t.test('any payload comes back, and only for its type and its key', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const signed = dsse.parse(signDsse(payloadType.job, bytes, signer))
      t.ok(openDsse(signed, payloadType.job, signer.publicKey).equals(bytes))
    }),
    { numRuns: 20 },
  )
  const signed = signDsse(payloadType.job, payload, signer)
  t.equal(await refusalOf(() => openDsse(signed, payloadType.sealed, signer.publicKey)), 'bad_signature')
  t.equal(await refusalOf(() => openDsse(signed, payloadType.job, other.publicKey)), 'bad_signature')
  const renamed = { ...signed, payloadType: payloadType.sealed }
  t.equal(await refusalOf(() => openDsse(renamed, payloadType.sealed, signer.publicKey)), 'bad_signature')
  const claimed = { ...signed, signatures: signed.signatures.map((one) => ({ ...one, keyid: other.publicKey })) }
  t.equal(await refusalOf(() => openDsse(claimed, payloadType.job, other.publicKey)), 'bad_signature')
})

t.test('signatures by others beside it say nothing, and do no harm', async (t) => {
  const signed = signDsse(payloadType.job, payload, signer)
  const signatures = [...signDsse(payloadType.job, payload, other).signatures, ...signed.signatures]
  t.ok(openDsse({ ...signed, signatures }, payloadType.job, signer.publicKey).equals(payload))
  t.ok(openDsse({ ...signed, signatures }, payloadType.job, other.publicKey).equals(payload))
  const foreign = { ...signed, signatures: signatures.slice(0, 1) }
  t.equal(await refusalOf(() => openDsse(foreign, payloadType.job, signer.publicKey)), 'bad_signature')
})

t.test('a signature of another length is none', async (t) => {
  const signature = signer.sign(payload)
  t.ok(isSignedBy(signer.publicKey, payload, signature))
  for (const wrong of [signature.subarray(1), Buffer.concat([signature, Buffer.of(0)]), Buffer.alloc(0)]) {
    t.notOk(isSignedBy(signer.publicKey, payload, wrong))
  }
  t.notOk(isSignedBy(signer.publicKey, Buffer.concat([payload, Buffer.of(0)]), signature))
  const order = Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex')
  t.notOk(isSignedBy(signer.publicKey, payload, addTo(signature, order)), 'S above the order: the same signature twice')
})

t.test('what is no key verifies nothing', async (t) => {
  const noPoint = Buffer.alloc(32, 2).toString('base64url')
  for (const key of ['', 'x', noPoint, signer.publicKey.slice(1), `${signer.publicKey}A`]) {
    t.notOk(isSignedBy(key, payload, signer.sign(payload)), key)
  }
})

t.test('under a key of small order nobody is believed', async (t) => {
  const identity = Buffer.from('01'.padEnd(64, '0'), 'hex')
  const forged = Buffer.concat([identity, Buffer.alloc(32)])
  const raw = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: identity.toString('base64url') }, format: 'jwk' })
  // It fits every message: 0·B = R + k·A, both R and A being nothing. OpenSSL refuses it by itself since 3.5.
  const alone = verify(null, payload, raw, forged)
  t.notOk(isSignedBy(identity.toString('base64url'), payload, forged), `OpenSSL alone says ${alone}`)
  const points = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ]
  for (const point of points.flatMap((hex) => [hex, hex.slice(0, -2) + signed(hex.slice(-2))])) {
    const key = Buffer.from(point, 'hex').toString('base64url')
    // In one of a few messages the point's order divides what it is multiplied with.
    const forgeries = Array.from({ length: 64 }, (_, index) => isSignedBy(key, Buffer.of(index), forged))
    t.notOk(forgeries.some(Boolean), point)
  }
})

t.test('a signer has two halves of one key', async (t) => {
  t.throws(() => createSigner({ ...signingPair('one'), publicKey: signingPair('two').publicKey }), /different keys/)
})

t.test('more keys than are kept are still verified with', async (t) => {
  const signers = Array.from({ length: 1100 }, (_, index) => signerOf(`worker ${index}`))
  t.ok(signers.every((one) => isSignedBy(one.publicKey, payload, one.sign(payload))))
  t.ok(isSignedBy(signer.publicKey, payload, signer.sign(payload)))
})

t.test('a refusal says the same whatever its reason', async (t) => {
  const error = new SealError('untrusted')
  t.equal(error.reason, 'untrusted')
  for (const shown of [
    error.message,
    String(error),
    JSON.stringify(error),
    JSON.stringify({ ...error }),
    inspect(error),
  ]) {
    t.notMatch(shown, /untrusted/)
  }
  t.equal(error.message, outsideMessage)
  t.equal(error.name, 'SealError')
})

/** The same point with the other sign. */
function signed(byte: string): string {
  return (Number.parseInt(byte, 16) | 0x80).toString(16)
}

/** S plus the order of the group: another text for the same signature, where a verifier is careless. */
function addTo(signature: Buffer, order: Buffer): Buffer {
  const result = Buffer.from(signature)
  let carry = 0
  for (let index = 0; index < 32; index++) {
    const sum = (result[32 + index] ?? 0) + (order[index] ?? 0) + carry
    result[32 + index] = sum & 0xff
    carry = sum >> 8
  }
  return result
}
