// MACs of bodies: what RFC 8439 says, by another hand than the one that makes them.
import { createHmac, createSecretKey } from 'node:crypto'
import sodium from 'libsodium-wrappers'
import t from 'tap'
import { macOfBody } from '../../src/seal/body-mac.ts'

t.before(() => sodium.ready)

const secret = Buffer.alloc(32, 7)
const nonce = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')

t.test('it is the tag of ChaCha20-Poly1305 over no plaintext, with the body beside it', async (t) => {
  const once = createHmac('sha256', secret).update('pond-content-mac').update(nonce).digest()
  for (const length of [0, 1, 15, 16, 17, 16 * 1024, 256 * 1024]) {
    const body = Buffer.alloc(length, 'abc')
    const expected = sodium.crypto_aead_chacha20poly1305_ietf_encrypt('', body, null, Buffer.alloc(12), once)
    t.equal(macOfBody(createSecretKey(secret), nonce, body).toString('hex'), Buffer.from(expected).toString('hex'))
  }
})

t.test('key, nonce, length and every bit of the body count', async (t) => {
  const body = Buffer.alloc(64)
  const macs = new Set<string>()
  const note = (key: Buffer, by: Buffer, of: Buffer) =>
    macs.add(macOfBody(createSecretKey(key), by, of).toString('hex'))
  note(secret, nonce, body)
  note(Buffer.alloc(32, 8), nonce, body)
  note(secret, Buffer.alloc(16), body)
  note(secret, nonce, Buffer.alloc(63))
  note(secret, nonce, Buffer.alloc(65))
  for (let bit = 0; bit < 8 * body.length; bit++) {
    const other = Buffer.from(body)
    other[bit >> 3] = 1 << (bit & 7)
    note(secret, nonce, other)
  }
  t.equal(macs.size, 5 + 8 * body.length)
})
