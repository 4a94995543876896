// MACs of bodies: what RFC 8439 says, by another hand than the one that makes them.
import { createHmac, createSecretKey } from 'node:crypto'
import sodium from 'libsodium-wrappers'
import t from 'tap'
import { canMacBodies, macOfBody } from '../../src/seal/body-mac.ts'

t.before(() => sodium.ready)

const secret = Buffer.alloc(32, 7)
const base = 'what the call says'

t.test('it is the tag of ChaCha20-Poly1305 over no plaintext, with the body beside it', async (t) => {
  const once = createHmac('sha256', secret).update(`pond-content-mac\n${base}`).digest()
  for (const length of [0, 1, 15, 16, 17, 16 * 1024, 256 * 1024]) {
    const body = Buffer.alloc(length, 'abc')
    const expected = sodium.crypto_aead_chacha20poly1305_ietf_encrypt('', body, null, Buffer.alloc(12), once)
    t.equal(macOfBody(createSecretKey(secret), base, body).toString('hex'), Buffer.from(expected).toString('hex'))
  }
})

t.test('key, call, length and every bit of the body count', async (t) => {
  const body = Buffer.alloc(64)
  const macs = new Set<string>()
  const note = (key: Buffer, call: string, of: Buffer) =>
    macs.add(macOfBody(createSecretKey(key), call, of).toString('hex'))
  note(secret, base, body)
  note(Buffer.alloc(32, 8), base, body)
  note(secret, `${base}.`, body)
  note(secret, base, Buffer.alloc(63))
  note(secret, base, Buffer.alloc(65))
  for (let bit = 0; bit < 8 * body.length; bit++) {
    const other = Buffer.from(body)
    other[bit >> 3] = 1 << (bit & 7)
    note(secret, base, other)
  }
  t.equal(macs.size, 5 + 8 * body.length)
})

t.test('a machine whose OpenSSL has no ChaCha20 says so', async (t) => {
  t.ok(canMacBodies())
  const crypto = await import('node:crypto')
  const createCipheriv = () => {
    throw new Error('Unknown cipher')
  }
  const other = await t.mockImport<typeof import('../../src/seal/body-mac.ts')>('../../src/seal/body-mac.ts', {
    'node:crypto': { ...crypto, createCipheriv },
  })
  t.notOk(other.canMacBodies())
})
