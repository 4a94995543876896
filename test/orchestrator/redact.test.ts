// What leaves a worker, against the naive redaction: any secrets, any bytes, any pieces.
import { deepStrictEqual, ok, strictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { listNeedles, type Secret } from '../../src/orchestrator/needle.ts'
import { createRedaction, MARK, type Redaction } from '../../src/orchestrator/redact.ts'
import { limit } from '../../src/protocol/limit.ts'

const latin1 = (text: string) => Buffer.from(text, 'latin1')

/** Cover every occurrence of every needle, then mark each run. */
function redactNaively(needles: readonly string[], text: string): string {
  const covered = new Array<boolean>(text.length).fill(false)
  for (const needle of needles) {
    for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + 1)) {
      covered.fill(true, at, at + needle.length)
    }
  }
  return [...text].map((byte, at) => (covered[at] ? (covered[at - 1] ? '' : MARK) : byte)).join('')
}

interface Told {
  readonly text: string
  readonly hits: number
  /** After each piece: what came out so far, and how much is held. */
  readonly steps: readonly { readonly text: string; readonly held: number }[]
}

function redactPieces(redaction: Redaction, pieces: readonly string[]): Told {
  const redactor = redaction.redactor()
  let text = ''
  const steps = pieces.map((piece) => {
    text += redactor.push(latin1(piece)).toString('latin1')
    return { text, held: redactor.held() }
  })
  text += redactor.flush().toString('latin1')
  strictEqual(redactor.held(), 0)
  return { text, hits: redactor.hits(), steps }
}

function* splitsOf(text: string): Generator<readonly string[]> {
  for (let cuts = 0; cuts < 2 ** (text.length - 1); cuts++) {
    const pieces = ['']
    for (const [at, letter] of [...text].entries()) {
      if (at > 0 && cuts & (1 << (at - 1))) pieces.push('')
      pieces[pieces.length - 1] += letter
    }
    yield pieces
  }
}

t.test('every split of short inputs', async (t) => {
  const cases: readonly { readonly secrets: readonly string[]; readonly text: string; readonly told: string }[] = [
    { secrets: ['secret'], text: 'xsecretsecry', told: `x${MARK}secry` },
    { secrets: ['secret'], text: 'secsecretsec', told: `sec${MARK}sec` },
    { secrets: ['aaaaaa'], text: 'baaaaaaaaabaaa', told: `b${MARK}baaa` },
    { secrets: ['abcdef', 'defghi'], text: 'xabcdefghiy', told: `x${MARK}y` },
    { secrets: ['abcdef', 'ghijkl'], text: 'xabcdefghijkl', told: `x${MARK}` },
    { secrets: ['abcdef', 'xxabcdefyy'], text: 'xxabcdefyyx', told: `${MARK}x` },
    { secrets: ['abcdef', 'xxabcdefyy'], text: 'xxabcdefyx', told: `xx${MARK}yx` },
    { secrets: ['cdefgh', 'efghij', 'abcdefghijkl'], text: 'abcdefghijk', told: `ab${MARK}k` },
    { secrets: ['abcdef', 'ghijkl', 'fxghijkly'], text: 'abcdefxghijkly', told: MARK },
    { secrets: ['abcdef', 'ghijkl', 'fxghijkly'], text: 'abcdefxghijklz', told: `${MARK}x${MARK}z` },
    { secrets: ['ababab'], text: 'abababxababa', told: `${MARK}xababa` },
  ]
  for (const { secrets, text, told } of cases) {
    const redaction = createRedaction(secrets)
    strictEqual(redactNaively(listNeedles(secrets).needles, text), told)
    for (const pieces of splitsOf(text)) strictEqual(redactPieces(redaction, pieces).text, told, pieces.join('|'))
    t.pass(`${text} → ${told}`)
  }
})

const letter = fc.constantFrom('a', 'b', '\n', '\xff')
const few = fc.array(letter, { maxLength: 12 }).map((letters) => letters.join(''))
const value = fc.array(letter, { minLength: 6, maxLength: 12 }).map((letters) => letters.join(''))
/** Strings of secrets themselves would be taken as UTF-8. */
const secretsOf = (values: readonly string[]): Secret[] => values.map(latin1)

const scene = fc.array(value, { minLength: 1, maxLength: 4 }).chain((values) => {
  const { needles } = listNeedles(secretsOf(values))
  const needle = needles.length === 0 ? few : fc.constantFrom(...needles)
  const beginning = fc.tuple(needle, fc.nat(12)).map(([whole, length]) => whole.slice(0, length))
  return fc.record({
    values: fc.constant(values),
    parts: fc.array(fc.oneof(needle, beginning, few), { maxLength: 12 }),
    cuts: fc.array(fc.nat(80), { maxLength: 12 }),
  })
})

function cutAt(text: string, cuts: readonly number[]): readonly string[] {
  const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length]
  return places.slice(1).map((to, index) => text.slice(places[index], to))
}

t.test('any split of any input', async () => {
  fc.assert(
    fc.property(scene, ({ values, parts, cuts }) => {
      const { needles } = listNeedles(secretsOf(values))
      const text = parts.join('')
      const expected = redactNaively(needles, text)
      const redaction = createRedaction(secretsOf(values))
      const longest = Math.max(0, ...needles.map(({ length }) => length))
      for (const pieces of [[text], parts, cutAt(text, cuts), [...text]]) {
        const told = redactPieces(redaction, pieces)
        strictEqual(told.text, expected)
        strictEqual(told.hits, expected.split(MARK).length - 1)
        for (const step of told.steps) {
          ok(expected.startsWith(step.text), 'what came out is never taken back')
          ok(step.held < Math.max(1, longest))
        }
        for (const between of told.text.split(MARK)) ok(needles.every((needle) => !between.includes(needle)))
      }
    }),
    { numRuns: 400 },
  )
})

t.test('what is held is exactly what may become a needle', async () => {
  fc.assert(
    fc.property(scene, ({ values, parts }) => {
      const { needles } = listNeedles(secretsOf(values))
      const text = parts.join('')
      const { steps } = redactPieces(createRedaction(secretsOf(values)), [...text])
      for (const [index, { text: out, held }] of steps.entries()) {
        const came = text.slice(0, index + 1)
        const ends = [...came].map((_, at) => came.slice(at))
        const undecided = ends.find((end) => needles.some((needle) => needle.startsWith(end))) ?? ''
        ok(held <= undecided.length)
        // Held bytes that are already covered are not counted: they never come out.
        if (!out.endsWith(MARK)) strictEqual(held, undecided.length)
      }
    }),
    { numRuns: 300 },
  )
})

t.test('a beginning is held until it is decided, and let go at the end of the stream', async (t) => {
  const redactor = createRedaction(['hunter2hunter2']).redactor()
  t.equal(redactor.push(Buffer.from('password: hunter')).toString(), 'password: ')
  t.equal(redactor.held(), 6)
  t.equal(redactor.push(Buffer.alloc(0)).length, 0, 'time decides nothing')
  t.equal(redactor.push(Buffer.from('s and hunter2hunt')).toString(), 'hunters and ')
  t.equal(redactor.held(), 11)
  t.equal(redactor.flush().toString(), 'hunter2hunt')
  t.equal(redactor.held(), 0)
  t.equal(redactor.hits(), 0)
})

t.test('a needle goes as soon as it is whole, though a longer one may follow', async (t) => {
  const redactor = createRedaction(['abcdef', 'abcdefghijkl']).redactor()
  t.equal(redactor.push(Buffer.from('-abcdef')).toString(), `-${MARK}`)
  t.equal(redactor.held(), 0)
  t.equal(redactor.push(Buffer.from('ghijkl')).length, 0)
  t.equal(redactor.push(Buffer.from('.')).toString(), '.')
  t.equal(redactor.hits(), 1)
})

t.test('bytes without a needle are handed on and not copied', async (t) => {
  const bytes = Buffer.from('nothing to see\n')
  t.equal(createRedaction(['a secret']).redactor().push(bytes), bytes)
})

t.test('what comes out is not the memory of the search', async (t) => {
  const redactor = createRedaction(['secret-value']).redactor()
  const beginning = () => Buffer.concat([redactor.push(Buffer.from('secret')), redactor.flush()])
  redactor.push(Buffer.from('secret'))
  redactor.flush().fill('x')
  t.equal(beginning().toString(), 'secret')
})

t.test('without secrets nothing is done', async (t) => {
  for (const secrets of [[], [''], ['short', '']]) {
    const redaction = createRedaction(secrets)
    const redactor = redaction.redactor()
    const bytes = Buffer.from('a short one')
    t.equal(redactor.push(bytes), bytes)
    t.equal(redactor.flush().length, 0)
    t.equal(redactor.held() + redactor.hits(), 0)
    const value = { a: ['short'] }
    t.equal(redaction.json(value), value)
    t.equal(redaction.text('short'), 'short')
    t.equal(redaction.jsonText('"short"'), '"short"')
    t.notOk(redaction.scanner().push(bytes))
  }
  t.strictSame(createRedaction(['short', 'long enough']).unsearched, [0])
  t.strictSame(createRedaction(['short']).unsearched, [0])
})

t.test('each form of a binary value and of every line of a file', async (t) => {
  const binary = Buffer.from('00ff80c3280a0dfe', 'hex')
  const file = '-----BEGIN KEY-----\nc2VjcmV0\n  b2YgYSBrZXk\n-----END KEY-----\n'
  const redaction = createRedaction([binary, file])
  const redactor = redaction.redactor()
  const out = redactor.push(Buffer.concat([Buffer.from('<'), binary, Buffer.from('>\n')]))
  t.equal(out.toString('latin1'), `<${MARK}>\n`)
  t.equal(redaction.text(file), `${MARK}\n`)
  t.equal(redaction.text('x c2VjcmV0 y b2YgYSBrZXk z'), `x ${MARK} y ${MARK} z`)
  t.equal(redaction.text(JSON.stringify({ file })), `{"file":"${MARK}"}`)
  for (const form of ['hex', 'base64', 'base64url'] as const) t.equal(redaction.text(binary.toString(form)), MARK)
})

t.test('a text keeps what is not in UTF-8 where nothing was taken out', async (t) => {
  const redaction = createRedaction(['secret-value'])
  t.equal(redaction.text('half \ud800'), 'half \ud800')
  t.equal(redaction.text('ü secret-value ü'), `ü ${MARK} ü`)
})

t.test('a secret that is part of the mark is taken out once', async (t) => {
  for (const secret of ['redacted', MARK, 'ted] and']) {
    const redaction = createRedaction([secret])
    t.equal(redaction.text(`a ${secret} b`), `a ${MARK} b`)
    t.equal(redaction.text(`${secret}.${secret}`), `${MARK}.${MARK}`)
  }
  t.equal(
    createRedaction(['redacted']).json(['a redacted b', 1]),
    MARK,
    'JSON that would still hold it goes as a whole',
  )
})

t.test('JSON: values, keys and numbers', async (t) => {
  const redaction = createRedaction(['s3cr3t-value', '12345678', 'say "hi"'])
  const untouched = { a: [1, null, true, 'x'], b: { c: 'd' } }
  t.equal(redaction.json(untouched), untouched)
  const value = {
    'the s3cr3t-value': 1,
    list: ['s3cr3t-value', { deep: 'czNjcjN0LXZhbHVl' }],
    n: 12345678,
    q: 'I say "hi"!',
  }
  t.strictSame(redaction.json(value), {
    [`the ${MARK}`]: 1,
    list: [MARK, { deep: MARK }],
    n: MARK,
    q: `I ${MARK}!`,
  })
  const trap = JSON.parse('{"__proto__": "s3cr3t-value"}')
  t.equal(JSON.stringify(redaction.json(trap)), `{"__proto__":"${MARK}"}`)
  t.equal(redaction.json(undefined), undefined)
})

t.test('JSON: a secret that spans keys and values', async (t) => {
  const redaction = createRedaction(['{\n"key":"abc","id":"def"\n}'])
  t.equal(redaction.json({ in: { key: 'abc', id: 'def' } }), MARK)
})

t.test('JSON: what is too deep to look at', async (t) => {
  const redaction = createRedaction(['s3cr3t-value'])
  const nest = (depth: number) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`)
  const fits = nest(limit.eventDepth)
  t.equal(redaction.json(fits), fits)
  const text = JSON.stringify(redaction.json(nest(100 * limit.eventDepth)))
  t.equal(text, `${'['.repeat(limit.eventDepth)}"${MARK}"${']'.repeat(limit.eventDepth)}`)
})

t.test('JSON text stays JSON, and to the byte the same where nothing was in it', async (t) => {
  const redaction = createRedaction(['nabcdef', '12345678'])
  const untouched = '{ "big": 9007199254740993.0, "a": "\\u0061" }'
  t.equal(redaction.jsonText(untouched), untouched)
  t.equal(redaction.jsonText('{"a": "\\u006eabcdef"}'), `{"a":"${MARK}"}`, 'however it was escaped')
  t.equal(redaction.jsonText('{"n": 12345678}'), `{"n":"${MARK}"}`)
  t.equal(redaction.jsonText('["\\nabcdef"]'), JSON.stringify(MARK), 'a needle that begins inside an escape')
  t.equal(redaction.jsonText('12345678.0e0 '), JSON.stringify(MARK))
  t.equal(redaction.jsonText('{ nabcdef'), `{ ${MARK}`, 'what is no JSON is text')
})

t.test('any JSON that is redacted is JSON, and holds no needle', async () => {
  const secrets = ['aaaaaa', '":"abab', 'a\\"b\\\\"', '0.5555']
  const { needles } = listNeedles(secrets)
  const redaction = createRedaction(secrets)
  const string = fc.oneof(
    fc.array(fc.constantFrom('a', 'b', '"', '\\', ':')).map((l) => l.join('')),
    fc.constantFrom(...secrets),
  )
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      string,
      fc.constantFrom(0.5555, 1, null),
      fc.array(tie('value')),
      fc.dictionary(string, tie('value')),
    ),
  })).value
  fc.assert(
    fc.property(json, (value) => {
      const text = JSON.stringify(redaction.json(value))
      ok(
        needles.every((needle) => !text.includes(needle)),
        text,
      )
      const same = redaction.jsonText(JSON.stringify(value))
      deepStrictEqual(JSON.parse(same), JSON.parse(text))
    }),
    { numRuns: 400 },
  )
})

t.test('a scanner tells whether any needle occurs, in any pieces', async () => {
  fc.assert(
    fc.property(scene, ({ values, parts, cuts }) => {
      const { needles } = listNeedles(secretsOf(values))
      const text = parts.join('')
      const scanner = createRedaction(secretsOf(values)).scanner()
      let came = ''
      for (const piece of cutAt(text, cuts)) {
        came += piece
        strictEqual(
          scanner.push(latin1(piece)),
          needles.some((needle) => came.includes(needle)),
        )
      }
    }),
  )
})
