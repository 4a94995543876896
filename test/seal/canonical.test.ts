// One value has one form, and what has another form is refused.
import fc from 'fast-check'
import t from 'tap'
import { canonicalBytes, parseCanonical, parseJson } from '../../src/seal/canonical.ts'
import { refusalOf } from '../harness/seal.ts'

const same = (value: unknown) => value

t.test('the form is that of RFC 8785', async (t) => {
  // Its own example, section 3.2.2, without the numbers that no place here holds.
  const value = {
    string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
    literals: [null, true, false],
    '\u20ac': 1,
    '1': 2,
  }
  const text = '{"1":2,"literals":[null,true,false],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/","€":1}'
  t.equal(canonicalBytes(value).toString(), text)
  t.equal(canonicalBytes({ b: undefined, a: 1 }).toString(), '{"a":1}')
})

t.test('what has no form throws', async (t) => {
  for (const value of [undefined, Number.NaN, { a: Number.POSITIVE_INFINITY }, { a: '\ud800' }, '\udc00']) {
    t.throws(() => canonicalBytes(value), JSON.stringify(value))
  }
})

t.test('any value is read from its form, whatever the order of its fields', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      let bytes: Buffer
      try {
        bytes = canonicalBytes(value)
      } catch {
        return // A lone surrogate.
      }
      t.ok(bytes.equals(canonicalBytes(parseCanonical(same, bytes))))
    }),
  )
})

t.test('another form of the same value is refused', async (t) => {
  for (const text of [
    '{"b":1,"a":2}',
    '{"a": 2,"b":1}',
    '{"a":2,"b":1}\n',
    ' {"a":2,"b":1}',
    '{"a":2.0,"b":1}',
    '{"a":2e0,"b":1}',
    '{"a":0,"a":2,"b":1}',
    '{"\\u0061":2,"b":1}',
    '\ufeff{"a":2,"b":1}',
    '{"a":"\\ud800"}',
    '{"a":1',
    '',
    'undefined',
  ]) {
    t.equal(await refusalOf(() => parseCanonical(same, Buffer.from(text))), 'damaged', text)
  }
  t.strictSame(parseCanonical(same, Buffer.from('{"a":2,"b":1}')), { a: 2, b: 1 })
})

t.test('bytes that are no UTF-8 are refused, though they decode to some text', async (t) => {
  const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xff), Buffer.from('"}')])
  t.equal(await refusalOf(() => parseCanonical(same, bytes)), 'damaged')
})

t.test('a form that nests too deep is refused', async (t) => {
  const deep = Buffer.from(`${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`)
  t.equal(await refusalOf(() => parseCanonical(same, deep)), 'damaged')
})

t.test('what others wrote may have their form', async (t) => {
  t.strictSame(parseJson(same, Buffer.from(' {"b": 1}')), { b: 1 })
  t.equal(await refusalOf(() => parseJson(same, Buffer.from('{'))), 'damaged')
  const picky = () => {
    throw new Error('with a reason that stays inside')
  }
  t.equal(await refusalOf(() => parseJson(picky, Buffer.from('{}'))), 'damaged')
})
