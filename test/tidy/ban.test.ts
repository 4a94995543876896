// The world is used in its few places only, no file holds a banned word, and each rule can fail.
import t from 'tap'
import { banTable, checkNames, checkWords, exceptionOf, namesOf } from './ban.ts'
import { describe, listFiles, parseSource, readSources, readText, walk } from './source.ts'

t.test('every file of code', async (t) => {
  t.strictSame(describe(readSources().flatMap((source) => checkNames(source))), [])
})

t.test('every file of text', async (t) => {
  const files = listFiles().filter((path) => !/\.(png|gif|ico|wasm|tgz)$/.test(path))
  t.strictSame(describe(files.flatMap((path) => checkWords(path, readText(path)))), [])
})

t.test('every exception is still used', async (t) => {
  const used = new Set<string>()
  for (const source of readSources()) {
    for (const node of walk(source.tree)) {
      for (const name of namesOf(source, node)) {
        for (const row of banTable.filter((one) => one.names.includes(name)))
          used.add(`${row.names[0]} in ${exceptionOf(source.path, name, row)}`)
      }
    }
  }
  const listed = banTable.flatMap((row) => Object.keys(row.except).map((place) => `${row.names[0]} in ${place}`))
  t.strictSame(
    listed.filter((one) => !used.has(one)),
    [],
    'take it out of banTable',
  )
})

t.test('a banned name fails', async (t) => {
  const bad: readonly (readonly [path: string, text: string, complaint: RegExp])[] = [
    ['src/client/a.ts', 'const now = Date.now()', /uses Date\.now/],
    ['src/client/a.ts', 'const read = Date.now', /uses Date\.now/],
    ['src/client/a.ts', 'const now = new Date()', /uses new Date\(\)/],
    ['server/http/a.ts', 'setTimeout(run, 5)', /uses setTimeout/],
    ['server/http/a.ts', 'AbortSignal.timeout(5)', /uses AbortSignal\.timeout/],
    ['server/http/a.ts', 'setImmediate(run)', /uses setImmediate/],
    ['server/http/a.ts', "import { randomBytes } from 'node:crypto'", /uses randomBytes/],
    ['server/http/a.ts', 'crypto.randomUUID()', /uses randomUUID/],
    ['server/http/a.ts', 'const x = Math.random() * 3', /uses Math\.random/],
    ['src/state/a.ts', 'const x = new Date(5)', /uses Date.*pure/],
    ['src/cli/a.ts', 'await fetch(url)', /uses fetch/],
    ['src/cli/a.ts', 'const home = process.env.HOME', /uses process\.env/],
    ['src/cli/a.ts', 'const { env: world } = process', /uses process\.env/],
    ['src/cli/a.ts', "console.log('x')", /uses console/],
    ['src/cli/a.ts', "process.stdout.write('x')", /uses process\.stdout/],
    ['test/state/a.test.ts', 'await new Promise((resolve) => setTimeout(resolve, 50))', /sleeps/],
    ['test/state/a.test.ts', `import { setTimeout } from 'node:timers/${'promises'}'`, /sleeps/],
  ]
  for (const [path, text, complaint] of bad) t.match(describe(checkNames(parseSource(path, text))), [complaint], text)
})

t.test('a name in its place passes', async (t) => {
  const good: readonly (readonly [path: string, text: string])[] = [
    ['src/system/clock.ts', 'const now = Date.now()'],
    ['src/client/a.ts', 'const at = new Date(5).toISOString()'],
    ['src/client/a.ts', 'interface World { fetch(): void; console: string }'],
    ['src/client/a.ts', 'const text = world.fetch()'],
    ['src/cli/config-home.ts', 'const home = process.env.HOME'],
    ['bin/pond.ts', 'run(process.env, process.stdout)'],
  ]
  for (const [path, text] of good) t.strictSame(checkNames(parseSource(path, text)), [], text)
})

t.test('a banned word fails', async (t) => {
  const bad: readonly (readonly [path: string, text: string])[] = [
    ['src/a.ts', `// ${'TO'}DO later`],
    ['README.md', `${'FIX'}ME`],
    ['test/a/b.test.ts', `t.${'only'}('x')`],
    ['test/a/b.test.ts', `t.test('x', { ${'skip'}: true }, run)`],
    ['README.md', `cd /${'work'}/main`],
    ['.ci/run', `npm --registry https://${'registry'}.npmjs.org`],
  ]
  for (const [path, text] of bad) t.equal(checkWords(path, text).length, 1, text)
  t.strictSame(checkWords('src/a.ts', `reads.${'skip'}(3) // the work/ folder of a job`), [])
})
