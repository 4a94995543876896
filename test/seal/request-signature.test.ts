// Signatures of calls: the vector of the RFC, the one form that is taken, and that nothing of a call or of its signature can be changed.
import { createSecretKey, sign, verify } from 'node:crypto'
import t, { type Test } from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { macOfBody } from '../../src/seal/body-mac.ts'
import { importPrivateKey, importPublicKey } from '../../src/seal/key.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import {
  createCallSigner,
  createCallVerifier,
  createMacSigner,
  createMacVerifier,
  type SignableCall,
  type SignCall,
  type VerifyCall,
} from '../../src/seal/request-signature.ts'
import { signingPairOf } from '../harness/signing-key.ts'

const pair = signingPairOf(Buffer.alloc(32, 1))
const pond = hashPondKey(signingPairOf(Buffer.alloc(32, 4)).publicKey)
const createdMs = Date.UTC(2026, 10, 21)
const nonce = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')

const chunk: SignableCall = {
  method: 'POST',
  path: '/orch/jobs/job_1/chunk',
  search: '?claim=clm_1&offset=0',
  headers: { 'x-claim-token': 'pond_claim_x', 'content-encoding': 'identity' },
  body: Buffer.from('hello\n'),
}

const signCall = createCallSigner(pair, pond)
const verifyCall = createCallVerifier(pair.publicKey, pond)
const signed = (call: SignableCall, sign: SignCall = signCall) => ({
  ...call,
  headers: { ...call.headers, ...sign(call, { createdMs, nonce }) },
})
const callKey = {
  id: `cky_${'1'.repeat(26)}`,
  secret: Buffer.alloc(32, 7),
  expiresAt: createdMs + 1,
  macsBodies: true,
}
interface Ways {
  readonly sign: SignCall
  readonly verify: VerifyCall
  readonly chunk: SignableCall
  /** What it says of the chunk's bytes. */
  readonly ofBody: 'content-digest' | 'content-mac'
}

/** As long as it must be for a MAC. */
const longChunk: SignableCall = { ...chunk, body: Buffer.alloc(16 * 1024, 'hello\n') }
const mac = { sign: createMacSigner(callKey, pond), verify: createMacVerifier(callKey, pond) }

/** What holds for one holds for the other. */
const ways: Readonly<Record<string, Ways>> = {
  'binding key': { sign: signCall, verify: verifyCall, chunk, ofBody: 'content-digest' },
  'binding key, a long body': { sign: signCall, verify: verifyCall, chunk: longChunk, ofBody: 'content-digest' },
  'call key': { ...mac, chunk, ofBody: 'content-digest' },
  'call key, a long body': { ...mac, chunk: longChunk, ofBody: 'content-mac' },
}
const withHeader = (call: SignableCall, name: string, value: string | undefined): SignableCall => ({
  ...call,
  headers: { ...call.headers, [name]: value },
})

t.test('RFC 9421, B.2.6: the key, the base and the signature', async (t) => {
  const key = {
    publicKey: 'JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs',
    privateKey: 'n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU',
  }
  const base = Buffer.from(
    [
      '"date": Tue, 20 Apr 2021 02:07:55 GMT',
      '"@method": POST',
      '"@path": /foo',
      '"@authority": example.com',
      '"content-type": application/json',
      '"content-length": 18',
      '"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
    ].join('\n'),
  )
  const signature = 'wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=='
  t.equal(sign(null, base, importPrivateKey(key)).toString('base64'), signature)
  t.ok(verify(null, base, importPublicKey(key.publicKey), Buffer.from(signature, 'base64')))
})

t.test('a call is signed over all that it has, and no more', async (t) => {
  t.strictSame(signCall(chunk, { createdMs: createdMs + 999, nonce }), {
    'pond-id': pond.toString('base64url'),
    'content-digest': 'sha-256=:WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=:',
    'signature-input': `pond=("@method" "@path" "@query" "pond-id" "content-digest" "content-encoding" "x-claim-token");created=${createdMs / 1000};nonce="AAECAwQFBgcICQoLDA0ODw";keyid="${pair.publicKey}";alg="ed25519";tag="pond"`,
    signature: signed(chunk).headers.signature,
  })
  const bare: SignableCall = { method: 'GET', path: '/orch/whoami', search: '', headers: {} }
  for (const call of [bare, { ...bare, body: new Uint8Array() }]) {
    const own = signCall(call, { createdMs, nonce })
    t.notOk('content-digest' in own)
    t.match(own['signature-input'], /^pond=\("@method" "@path" "@query" "pond-id"\);created=/)
    t.ok(verifyCall({ ...call, headers: own }, createdMs))
  }
  t.ok(verifyCall(signed(chunk), createdMs))
  t.ok(verifyCall(withHeader(signed(chunk), 'content-type', 'text/plain'), createdMs), 'what is not covered is free')
})

t.test('a changed call is refused', async (t) => {
  for (const [way, hands] of Object.entries(ways)) isExact(t, way, hands)
})

function isExact(t: Test, way: string, { sign, verify, chunk, ofBody }: Ways) {
  const good = signed(chunk, sign)
  const { body = new Uint8Array() } = chunk
  const other = ofBody === 'content-mac' ? 'content-digest' : 'content-mac'
  t.ok(verify(good, createdMs), way)
  t.notOk(other in good.headers)
  const changed: Readonly<Record<string, SignableCall>> = {
    method: { ...good, method: 'PUT' },
    path: { ...good, path: '/orch/jobs/job_2/chunk' },
    'path in another case': { ...good, path: '/orch/jobs/JOB_1/chunk' },
    query: { ...good, search: '?claim=clm_1&offset=1' },
    'query in another order': { ...good, search: '?offset=0&claim=clm_1' },
    'no query': { ...good, search: '' },
    'an empty query more': { ...good, search: `${good.search}&` },
    'the first byte': { ...good, body: Buffer.concat([Buffer.from('j'), body.subarray(1)]) },
    'the last byte': { ...good, body: Buffer.concat([body.subarray(0, -1), Buffer.from('\r')]) },
    'no body': { ...good, body: undefined },
    'an empty body': { ...good, body: new Uint8Array() },
    'a longer body': { ...good, body: Buffer.concat([body, Buffer.from('\n')]) },
    'a shorter body': { ...good, body: body.subarray(0, -1) },
    'pond-id': withHeader(good, 'pond-id', hashPondKey(pair.publicKey).toString('base64url')),
    'no pond-id': withHeader(good, 'pond-id', undefined),
    [ofBody]: withHeader(good, ofBody, 'sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:'),
    [`no ${ofBody}`]: withHeader(good, ofBody, undefined),
    [`${other} too`]: withHeader(good, other, good.headers[ofBody]),
    [`${other} instead`]: withHeader(withHeader(good, other, good.headers[ofBody]), ofBody, undefined),
    'content-encoding': withHeader(good, 'content-encoding', 'gzip'),
    'no content-encoding': withHeader(good, 'content-encoding', undefined),
    'claim token': withHeader(good, 'x-claim-token', 'pond_claim_y'),
    'no claim token': withHeader(good, 'x-claim-token', undefined),
    'no signature': withHeader(good, 'signature', undefined),
    'no input': withHeader(good, 'signature-input', undefined),
  }
  for (const [what, call] of Object.entries(changed)) t.notOk(verify(call, createdMs), `${way}: ${what}`)
  const late = signed({ ...chunk, headers: {} }, sign)
  t.notOk(verify(withHeader(late, 'x-claim-token', 'pond_claim_x'), createdMs), 'a claim token that was added')
  for (const name of [ofBody, other]) {
    const bare = signed({ ...chunk, body: undefined }, sign)
    t.ok(verify(bare, createdMs))
    t.notOk(verify(withHeader(bare, name, good.headers[ofBody]), createdMs), `${name} of nothing`)
  }
}

t.test('every character of the signature and of its parameters counts', async (t) => {
  for (const [way, hands] of Object.entries(ways)) countsEach(t, way, hands)
})

function countsEach(t: Test, way: string, { sign, verify, chunk, ofBody }: Ways) {
  const good = signed(chunk, sign)
  t.ok(verify(good, createdMs))
  for (const name of ['signature', 'signature-input', 'pond-id', ofBody]) {
    const value = good.headers[name] ?? ''
    const wrong = [...value].flatMap((char, at) => {
      const other = char === 'A' ? 'B' : 'A'
      return [other, '', char + char].map((put) => value.slice(0, at) + put + value.slice(at + 1))
    })
    const taken = [...wrong, '', ` ${value}`, `${value} `, `${value}, ${value}`, `x=1, ${value}`].filter(
      (text) => text !== value && verify(withHeader(good, name, text), createdMs),
    )
    t.strictSame(taken, [], `${wrong.length} changes of ${name}, ${way}`)
  }
  const signature = Buffer.from(good.headers.signature?.slice(6, -1) ?? '', 'base64')
  t.equal(signature.length, way.startsWith('call key') ? 32 : 64)
  for (let bit = 0; bit < signature.length * 8; bit += 7) {
    const bytes = Buffer.from(signature)
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const printed = `pond=:${bytes.toString('base64')}:`
    if (verify(withHeader(good, 'signature', printed), createdMs)) t.fail(`${way}: bit ${bit}`)
  }
}

t.test('another key, another pond, another time', async (t) => {
  const good = signed(chunk)
  const other = signingPairOf(Buffer.alloc(32, 2))
  t.notOk(createCallVerifier(other.publicKey, pond)(good, createdMs), 'the key of another binding')
  t.notOk(createCallVerifier(pair.publicKey, hashPondKey(other.publicKey))(good, createdMs), 'another pond')
  const mine = createCallSigner(other, pond)(chunk, { createdMs, nonce })
  const named = mine['signature-input']?.replace(other.publicKey, pair.publicKey) ?? ''
  const forged = { ...mine, 'signature-input': named }
  t.notOk(
    verifyCall({ ...chunk, headers: { ...chunk.headers, ...forged } }, createdMs),
    'the name of one key, the hand of another',
  )
  for (const sign of [1, -1]) {
    t.ok(verifyCall(good, createdMs + sign * limit.signatureSkewMs))
    t.notOk(verifyCall(good, createdMs + sign * (limit.signatureSkewMs + 1)))
  }
})

t.test('a key that is none signs nothing', async (t) => {
  for (const publicKey of ['A'.repeat(43), '_'.repeat(43)]) {
    t.notOk(createCallVerifier(publicKey, pond)(signed(chunk), createdMs))
  }
})

t.test('a signature of one kind is none of the other', async (t) => {
  for (const { sign, verify, chunk } of Object.values(ways)) {
    const call = signed(chunk, sign)
    t.strictSame(
      [verifyCall, mac.verify].filter((it) => it(call, createdMs)),
      [verify],
    )
  }
  const other = createMacVerifier({ ...callKey, secret: Buffer.alloc(32, 8) }, pond)
  t.notOk(other(signed(chunk, mac.sign), createdMs), 'another secret under the same name')
})

t.test('a long body has a MAC where pond takes one; pond takes digests of it all the same', async (t) => {
  const ofEach = (sign: SignCall, body: Uint8Array) => {
    const call = signed({ ...chunk, body }, sign)
    t.ok(mac.verify(call, createdMs))
    return ['content-digest', 'content-mac'].filter((name) => name in call.headers)
  }
  const { body: long = new Uint8Array() } = longChunk
  t.strictSame(ofEach(mac.sign, long), ['content-mac'])
  t.strictSame(ofEach(mac.sign, long.subarray(1)), ['content-digest'])
  t.strictSame(ofEach(createMacSigner({ ...callKey, macsBodies: false }, pond), long), ['content-digest'])
  const other = { ...longChunk, headers: { ...longChunk.headers, ...mac.sign(longChunk, { createdMs, nonce }) } }
  const another = mac.sign(longChunk, { createdMs, nonce: Buffer.alloc(16) })
  t.not(other.headers['content-mac'], another['content-mac'], 'each call has a key of its own')
  const elsewhere = mac.sign({ ...longChunk, search: '?claim=clm_1&offset=9' }, { createdMs, nonce })
  t.not(other.headers['content-mac'], elsewhere['content-mac'], 'also one with a nonce that came before')
})

t.test('the MAC of a body is bound to what the call says', async (t) => {
  const { headers } = signed(longChunk, mac.sign)
  const lines = [
    '"@method": POST',
    '"@path": /orch/jobs/job_1/chunk',
    '"@query": ?claim=clm_1&offset=0',
    `"pond-id": ${pond.toString('base64url')}`,
    '"content-mac": ',
    '"content-encoding": identity',
    '"x-claim-token": pond_claim_x',
    `"@signature-params": ${headers['signature-input']?.slice('pond='.length)}`,
  ]
  const due = macOfBody(createSecretKey(callKey.secret), lines.join('\n'), longChunk.body ?? new Uint8Array())
  t.equal(headers['content-mac'], `chacha20-poly1305=:${due.toString('base64')}:`)
})

t.test('the binding key signs no MAC of a body', async (t) => {
  const id = pond.toString('base64url')
  const told = 'chacha20-poly1305=:AAAAAAAAAAAAAAAAAAAAAA==:'
  const params = `("@method" "@path" "@query" "pond-id" "content-mac");created=${createdMs / 1000};nonce="${nonce.toString('base64url')}";keyid="${pair.publicKey}";alg="ed25519";tag="pond"`
  const base = `"@method": POST\n"@path": /orch/x\n"@query": ?\n"pond-id": ${id}\n"content-mac": ${told}\n"@signature-params": ${params}`
  const signature = sign(null, Buffer.from(base), importPrivateKey(pair)).toString('base64')
  const own = { 'content-mac': told, 'signature-input': `pond=${params}`, signature: `pond=:${signature}:` }
  const call = { method: 'POST', path: '/orch/x', search: '', headers: { 'pond-id': id, ...own }, body: longChunk.body }
  t.notOk(verifyCall(call, createdMs))
})
