// The automaton against the naive search, over any needles, bytes and pieces; and its work, counted, on inputs made to hurt it.
import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { type Automaton, createAutomaton } from '../../src/orchestrator/automaton.ts'

type Find = readonly [end: number, length: number]

function search(automaton: Automaton, pieces: readonly string[]): { finds: Find[]; undecided: string } {
  const cursor = { node: 0 }
  const finds: Find[] = []
  let before = 0
  for (const piece of pieces) {
    automaton.scan(cursor, Buffer.from(piece, 'latin1'), (end, length) => finds.push([before + end, length]))
    before += piece.length
  }
  return { finds, undecided: automaton.undecided(cursor).toString('latin1') }
}

function searchNaively(needles: readonly string[], text: string): { finds: Find[]; undecided: string } {
  const finds: Find[] = []
  for (let end = 1; end <= text.length; end++) {
    const lengths = needles.filter((needle) => text.slice(0, end).endsWith(needle)).map(({ length }) => length)
    if (lengths.length > 0) finds.push([end, Math.max(...lengths)])
  }
  const ends = [...text].map((_, index) => text.slice(index))
  return { finds, undecided: ends.find((end) => needles.some((needle) => needle.startsWith(end))) ?? '' }
}

/** Few letters, so that needles meet, nest and overlap; the last two bring a hash of blocks to a test. */
const letter = fc.constantFrom('a', 'b', 'c', '\x00', '\xff')
const word = (most: number) => fc.array(letter, { minLength: 3, maxLength: most }).map((letters) => letters.join(''))

const scene = fc.array(word(20), { minLength: 1, maxLength: 8 }).chain((needles) =>
  fc.record({
    needles: fc.constant(needles),
    pieces: fc.array(
      fc.oneof(
        fc.constantFrom('', ...needles),
        word(40),
        fc.array(letter).map((l) => l.join('')),
      ),
    ),
  }),
)

t.test('finds what the naive search finds, in any pieces', async () => {
  fc.assert(
    fc.property(scene, ({ needles, pieces }) => {
      const text = pieces.join('')
      const expected = searchNaively(needles, text)
      const automaton = createAutomaton(needles)
      deepStrictEqual(search(automaton, pieces), expected)
      deepStrictEqual(search(automaton, [text]), expected)
      deepStrictEqual(search(automaton, [...text]), expected)
    }),
    { numRuns: 500 },
  )
})

t.test('needles of every byte', async () => {
  const needle = fc.uint8Array({ minLength: 3, maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  fc.assert(
    fc.property(fc.array(needle, { minLength: 1, maxLength: 40 }), fc.string(), (needles, between) => {
      const text = needles.join(between)
      deepStrictEqual(search(createAutomaton(needles), [text]), searchNaively(needles, text))
    }),
    { numRuns: 100 },
  )
})

t.test('a needle of less than a block is the mistake of who asks', async (t) => {
  t.throws(() => createAutomaton(['abcdef', 'ab']))
})

const SIZE = 20_000
const fill = (pattern: string) => pattern.repeat(Math.ceil(SIZE / pattern.length)).slice(0, SIZE)
const deep = `${'a'.repeat(1000)}b`

/** Each would be quadratic, or cost the depth of the tree at each byte, for a search that forgets what it saw. */
const cruel: Readonly<Record<string, { readonly needles: readonly string[]; readonly text: string }>> = {
  'a needle everywhere': { needles: ['aaaaaa'], text: fill('a') },
  'almost a needle everywhere': { needles: [deep], text: fill('a') },
  'a deep fall again and again': { needles: [deep], text: fill(`${'a'.repeat(999)}c`) },
  'all beginnings of one needle': {
    needles: Array.from({ length: 200 }, (_, index) => 'a'.repeat(index + 6)),
    text: fill('a'),
  },
  'beginnings of needles and nothing else': {
    needles: ['abcabcabcabd', 'bcabcabcabce', 'cabcabcabcaf'],
    text: fill('abc'),
  },
  'a needle inside each turn of a longer one': {
    needles: ['abcdef', `${'abcdefX'.repeat(1000)}Z`],
    text: fill('abcdefX'),
  },
  'first and last block right, the middle wrong': { needles: ['abcdefghijkl'], text: fill('abcdefgh_jkl') },
  'four letters, many needles': {
    needles: Array.from({ length: 64 }, (_, index) => index.toString(4).padStart(12, '0123')),
    text: fill('0123012310231302'),
  },
}

/** A byte is read at most a few times, and a fall is paid by the climb before it. */
const LOOKS_A_BYTE = 12

for (const [name, { needles, text }] of Object.entries(cruel)) {
  t.test(`linear: ${name}`, async (t) => {
    for (const size of [1, 7, SIZE]) {
      const automaton = createAutomaton(needles)
      const built = automaton.looks()
      search(automaton, text.match(new RegExp(`.{1,${size}}`, 'g')) ?? [])
      const looks = (automaton.looks() - built) / SIZE
      t.ok(looks <= LOOKS_A_BYTE, `${looks.toFixed(1)} look-ups a byte in pieces of ${size}`)
    }
  })
}

t.test('building is linear too', async (t) => {
  t.ok(createAutomaton([deep.repeat(20)]).looks() <= 3 * 20 * deep.length)
})

t.test('bytes that hold no needle are mostly skipped', async (t) => {
  const automaton = createAutomaton(['a secret of this length', 'another one, as long'])
  const built = automaton.looks()
  search(automaton, [fill('2026-11-03 10:00:00 INFO nothing is said here that anybody would hide\n')])
  t.ok((automaton.looks() - built) / SIZE < 0.2)
})
