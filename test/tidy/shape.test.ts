// Every file has the shape of the house, and each rule about shape can fail.
import t from 'tap'
import { checkShape } from './shape.ts'
import { describe, parseSource, readSources } from './source.ts'

t.test('every file', async (t) => {
  t.strictSame(describe(readSources().flatMap(checkShape)), [])
})

const first = '// What lives here.\n'

t.test('it can fail', async (t) => {
  const bad: readonly (readonly [path: string, text: string, complaint: RegExp])[] = [
    ['src/a/utils.ts', first, /is called utils/],
    ['src/a/jobState.ts', first, /kebab-case/],
    ['src/a/b.ts', 'export const x = 1\n', /does not begin with a comment/],
    ['bin/b.ts', '#!/usr/bin/env node\nrun()\n', /does not begin with a comment/],
    ['src/a/b.ts', `${first}${'\n'.repeat(400)}run()\n`, /402 lines, over 400/],
    ['src/a/b.ts', `${first}function long() {${'\n'.repeat(70)}}\n`, /long has 71 lines, over 70/],
    ['src/a/b.ts', `${first}const x = (a: A, b: B, c: C, d: D) => a\n`, /takes 4 parameters, over 3/],
    ['src/a/b.ts', `${first}class X { constructor(readonly a: A) {} }\n`, /parameter property/],
    ['src/a/b.ts', `${first}enum X { a }\n`, /declares an enum/],
    ['src/a/b.ts', `${first}namespace X { run() }\n`, /declares a namespace/],
    ['src/a/b.ts', `${first}let x: any\n`, /says any/],
    ['src/a/b.ts', `${first}const x = y!.z\n`, /asserts with !/],
    ['src/a/b.ts', `${first}const x = { get y() { return 1 } }\n`, /getter in a literal/],
    ['src/a/b.ts', `${first}export default 1\n`, /exports a default/],
    ['src/a/b.ts', `${first}export default function x() {}\n`, /exports a default/],
    ['src/a/b.ts', `${first}export { x as default }\n`, /exports a default/],
    ['src/a/b.ts', `${first}// @ts-${'ignore'}\nrun()\n`, /silences the compiler/],
    ['src/a/b.ts', `${first}// biome-${'ignore'} lint/x\nrun()\n`, /without a reason/],
  ]
  for (const [path, text, complaint] of bad) {
    t.match(describe(checkShape(parseSource(path, text))), [complaint], text.slice(0, 60))
  }
})

t.test('it can pass', async (t) => {
  const text = `${first}// biome-${'ignore'} lint/x: the parser counts on it\nexport function run(a: A, b: B, c: C) { return a !== b }\nproperty((a, b, c, d) => a)\n`
  t.strictSame(checkShape(parseSource('src/a/b-c.ts', text)), [])
})
