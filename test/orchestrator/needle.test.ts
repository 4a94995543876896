// Every form of a secret by example, written by whoever writes it in earnest where Node has one.
import { deepStrictEqual, ok } from 'node:assert'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { listNeedles, SECRET_BYTES_MOST, type Secret, SHORTEST } from '../../src/orchestrator/needle.ts'

const has = (secret: Secret, printed: string | Buffer) => {
  const text = Buffer.from(printed as string).toString('latin1')
  return listNeedles([secret]).needles.some((needle) => text.includes(needle))
}

/** The needles of a secret that stand in a text, longest first. */
const within = (secret: Secret, text: string) =>
  listNeedles([secret])
    .needles.filter((needle) => text.includes(needle))
    .sort((a, b) => b.length - a.length)

t.test('base64 in each shift', async (t) => {
  const secret = 'hunter2-hunter2'
  const encode = (before: string, after = '') => Buffer.from(before + secret + after).toString('base64')
  t.equal(encode(''), 'aHVudGVyMi1odW50ZXIy')
  t.equal(within(secret, encode('', 'xyz'))[0], 'aHVudGVyMi1odW50ZXIy')
  t.equal(encode('a', 'b'), 'YWh1bnRlcjItaHVudGVyMmI=')
  t.equal(
    within(secret, encode('a', 'b'))[0],
    'h1bnRlcjItaHVudGVyM',
    'without the characters that a neighbour has a part in',
  )
  t.equal(encode('ab', 'c'), 'YWJodW50ZXIyLWh1bnRlcjJj')
  t.equal(within(secret, encode('ab', 'c'))[0], 'odW50ZXIyLWh1bnRlcj')
})

t.test('base64 at the end of a text: the last character and the padding are known', async (t) => {
  for (const secret of ['secret-6', 'secret-67', 'secret-678']) {
    for (const before of ['', 'a', 'ab']) {
      const text = Buffer.from(before + secret).toString('base64')
      for (const printed of [text, text.replace(/=+$/, '')]) {
        const [longest = ''] = within(secret, printed)
        t.ok(printed.endsWith(longest), `${printed} ends with ${longest}`)
        t.equal(printed.length - longest.length, [0, 2, 3][before.length])
      }
    }
  }
})

t.test('base64 in the alphabet of URLs', async (t) => {
  const secret = Buffer.from('fbfffefbeffebf', 'hex')
  t.match(secret.toString('base64'), /[+/]/)
  for (const before of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(before), secret, Buffer.from('after')])
    t.ok(has(secret, whole.toString('base64')))
    t.ok(has(secret, whole.toString('base64url')))
  }
})

t.test('base64 over several lines', async (t) => {
  const secret = randomBytes(200)
  const text = secret.toString('base64')
  for (const width of [64, 76]) {
    const lines = text.match(new RegExp(`.{1,${width}}`, 'g')) ?? []
    t.equal(within(secret, lines.join('\n'))[0], lines.join('\n'), 'to the last line, which alone would be too short')
    for (const line of lines.slice(0, -1)) t.ok(has(secret, `    ${line}\r\n`))
  }
})

t.test('hex', async (t) => {
  t.ok(has('hunter2', '0x68756e74657232'))
  t.ok(has('jklmno', '6A6B6C6D6E6F'))
})

t.test('URLs', async (t) => {
  const secret = "ü /?&=+*!'()~x"
  const forms = [
    encodeURIComponent(secret),
    new URLSearchParams({ '': secret }).toString().slice(1),
    '%C3%BC%20%2F%3F%26%3D%2B%2A%21%27%28%29~x',
    '%C3%BC%20/%3F%26%3D%2B%2A%21%27%28%29~x',
  ]
  const lower = (form: string) => form.replace(/%../g, (code) => code.toLowerCase())
  for (const form of [...forms, ...forms.map(lower)]) t.equal(within(secret, form)[0], form)
})

t.test('JSON', async (t) => {
  const secret = 'a"b\\c/d\n\u001fü<😀'
  const plain = JSON.stringify(secret).slice(1, -1)
  const forms = [
    plain,
    plain.replace('/', '\\/'),
    plain.replace('<', '\\u003c'),
    plain.replace('<', '\\u003C').replace('\\u001f', '\\u001F'),
    'a\\"b\\\\c/d\\n\\u001f\\u00fc<\\ud83d\\ude00',
    'a\\"b\\\\c/d\\n\\u001F\\u00FC<\\uD83D\\uDE00',
    'a\\"b\\\\c\\/d\\n\\u001f\\u00fc<\\ud83d\\ude00',
  ]
  for (const form of forms) {
    t.equal(JSON.parse(`"${form}"`), secret)
    const latin1 = Buffer.from(form).toString('latin1')
    t.equal(within(secret, latin1)[0], latin1)
  }
})

t.test('what is no text has no form in JSON', async (t) => {
  t.notOk(has(Buffer.alloc(8, 0xff), '\ufffd'.repeat(8)), 'or a mark would stand for whatever cannot be read')
})

t.test('JSON writes what stands there, whatever it looks like', async (t) => {
  const secret = 'back\\u00ffslash'
  t.equal(within(secret, 'back\\\\u00ffslash')[0], 'back\\\\u00ffslash')
})

t.test('each line of a value, without its indentation and its end', async (t) => {
  const { needles } = listNeedles(['-----BEGIN-----\r\n  first line\r\n\r\nsecond line\n12345\n'])
  for (const line of ['-----BEGIN-----', 'first line', 'second line']) {
    t.ok(needles.includes(line))
    t.ok(needles.includes(Buffer.from(line).toString('hex')))
  }
  t.notOk(needles.includes('12345'), 'but no short one')
  t.ok(needles.includes('-----BEGIN-----\r\n  first line\r\n\r\nsecond line\n12345'), 'which the whole still holds')
})

t.test('the end of a line is no secret, but who encodes a file encodes it too', async (t) => {
  const { needles } = listNeedles(['hunter2\n'])
  t.ok(needles.includes('hunter2'))
  t.notOk(needles.includes('hunter2\n'))
  t.ok(needles.includes(Buffer.from('hunter2\n').toString('base64')))
})

t.test('short values are not searched, and named', async (t) => {
  const { needles, unsearched } = listNeedles([
    '',
    'short',
    'longer',
    '   abc   \n',
    Buffer.from('12345'),
    '\n\n\n\n\n\n\n',
  ])
  t.ok(needles.includes('longer'))
  t.strictSame(unsearched, [1, 3, 4, 5], 'the empty one hides nothing')
  t.strictSame(listNeedles(['', 'short']).needles, [])
})

t.test('no needle is short, none is there twice, whatever the secrets', async () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array()), { maxLength: 4 }), (secrets) => {
      const { needles } = listNeedles(secrets)
      deepStrictEqual(needles, [...new Set(needles)])
      deepStrictEqual(
        needles.filter(({ length }) => length < SHORTEST),
        [],
      )
      ok(
        needles.every((needle) => [...needle].every((byte) => byte <= '\xff')),
        'a character is a byte',
      )
    }),
  )
})

t.test('any value is found in whatever Node makes of it', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 6 }), fc.string(), fc.string(), (secret, before, after) => {
      fc.pre(/\S.{4,}\S/su.test(secret) && Buffer.from(secret).toString() === secret)
      const whole = before + secret + after
      const forms = [
        whole,
        JSON.stringify(whole),
        encodeURIComponent(whole),
        new URLSearchParams({ whole }).toString(),
        Buffer.from(whole).toString('base64'),
        Buffer.from(whole).toString('base64url'),
        Buffer.from(whole).toString('hex'),
      ]
      for (const form of forms) ok(has(secret, form), form)
    }),
    { numRuns: 100 },
  )
})

t.test('the secrets of a job are bounded', async (t) => {
  t.throws(() => listNeedles([Buffer.alloc(SECRET_BYTES_MOST), 'x']))
})
