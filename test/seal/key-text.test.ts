// Keys as people copy them: read back as they were printed, and no other text is a key.
import fc from 'fast-check'
import t from 'tap'
import { looksLikeToken } from '../../src/protocol/id.ts'
import { type KeyTextKind, keyPrefix, parseKey, printKey } from '../../src/seal/key-text.ts'
import { mutateValue } from '../harness/mutation.ts'
import { sealingPair } from '../harness/seal.ts'

const kinds = Object.keys(keyPrefix) as KeyTextKind[]
const key = sealingPair('reader').publicKey

t.test('a text is read back, and only as what it is', async (t) => {
  for (const kind of kinds) {
    const text = printKey(kind, key)
    t.ok(text.startsWith(keyPrefix[kind]))
    t.match(text.slice(keyPrefix[kind].length), /^[A-Za-z0-9_-]{48}$/)
    t.equal(parseKey(kind, text), key)
    for (const other of kinds) if (other !== kind) t.equal(parseKey(other, text), undefined)
  }
  t.notMatch(printKey('recipient', key), looksLikeToken, 'a public key is nothing that a scanner must find')
  const renamed = printKey('recipient', key).replace(keyPrefix.recipient, keyPrefix.signer)
  t.equal(parseKey('signer', renamed), undefined, 'the checksum covers the prefix')
})

t.test('no slip of the finger is a key', async (t) => {
  const text = printKey('recipient', key)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  let slips = 0
  for (let at = 0; at < text.length; at++) {
    const swapped = text.slice(0, at) + text.charAt(at + 1) + text.charAt(at) + text.slice(at + 2)
    const wrong = [...alphabet].map((letter) => text.slice(0, at) + letter + text.slice(at + 1))
    for (const slip of [...wrong, swapped, text.slice(0, at) + text.slice(at + 1), text.slice(0, at)]) {
      if (slip === text) continue
      slips++
      if (parseKey('recipient', slip) !== undefined) t.fail(slip)
    }
  }
  t.ok(slips > 63 * 60, `${slips} slips`)
  for (const { what, value } of mutateValue(text)) {
    if (typeof value === 'string') t.equal(parseKey('recipient', value), undefined, what)
  }
  fc.assert(fc.property(fc.string(), (noise) => parseKey('recipient', keyPrefix.recipient + noise) === undefined))
})
