// The ignore file: a table of lines and names, as gitignore(5) reads them.
import t from 'tap'
import { BundleError } from '../../src/bundle/error.ts'
import { parseIgnore } from '../../src/bundle/ignore.ts'

/** Lines of the file; names that stay at home; names that are packed. A folder's name ends in a slash. */
const table: readonly (readonly [lines: string, ignored: readonly string[], packed: readonly string[]])[] = [
  ['', ['.git/', '.git', 'sub/.git/', 'sub/.git'], ['.gitignore', 'a.git', '.github/', '.pondignore']],
  ['!.git', [], ['.git/', 'sub/.git']],
  ['# note\n\n   \na', ['a', 'a/', 'b/a', 'b/c/a/'], ['# note', 'ab', 'ba', 'A']],
  ['\\#a\n\\!b', ['#a', '!b'], ['a', 'b']],
  ['a\r\nb\r\n', ['a', 'b'], ['c']],
  ['\uFEFFa', ['a'], []],
  ['a  ', ['a'], ['a  ']],
  ['a\\ ', ['a '], ['a']],
  ['/a', ['a', 'a/'], ['b/a']],
  ['a/b', ['a/b', 'a/b/'], ['c/a/b', 'b']],
  ['a/', ['a/', 'b/a/'], ['a', 'b/a']],
  ['/a/', ['a/'], ['a', 'b/a/']],
  ['*.o', ['x.o', '.o', 'a/y.o'], ['x.os', 'o']],
  ['/*.o', ['x.o'], ['a/y.o']],
  ['a/*', ['a/b', 'a/c/'], ['a/', 'a/b/c', 'a']],
  ['a?c', ['abc', 'a\u00fcc', 'a\nc'], ['ac', 'abbc', 'a/c']],
  ['**/a', ['a', 'b/a', 'b/c/a'], ['ba']],
  ['**/a/b', ['a/b', 'c/a/b'], ['b', 'xa/b']],
  ['a/**', ['a/b', 'a/b/c', 'a/d/'], ['a', 'a/']],
  ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['ab', 'a/xb', 'x/a/b']],
  ['a/**/**/b', ['a/b', 'a/x/y/b'], ['ab']],
  ['**', ['a', 'a/b'], []],
  ['a**b', ['ab', 'axxb'], ['a/b']],
  ['[ab]x', ['ax', 'bx'], ['cx', 'x']],
  ['[a-c]x', ['bx'], ['dx', '-x']],
  ['[!a]x', ['bx'], ['ax', 'y/ax', '/x']],
  ['[^a]x', ['bx'], ['ax']],
  ['[]a]x', [']x', 'ax'], ['bx']],
  ['[a\\]]x', [']x', 'ax'], ['\\x']],
  ['[a\\-c]x', ['-x', 'ax', 'cx'], ['bx']],
  ['[^^]x', ['ax'], ['^x']],
  ['a[/]b', [], ['a/b']],
  ['a[!x]b', ['ayb'], ['a/b']],
  ['a.b+(c)|{d}$', ['a.b+(c)|{d}$'], ['aXb+(c)|{d}$']],
  ['\\*', ['*'], ['a']],
  ['*\n!keep', ['a', 'b/'], ['keep', 'a/keep']],
  ['!keep\n*', ['keep'], []],
  ['*.log\n!/top.log\nsub/top.log', ['a.log', 'sub/top.log', 'x/top.log'], ['top.log']],
  ['/', [], ['a', '/']],
]

for (const [lines, ignored, packed] of table) {
  t.test(`lines ${JSON.stringify(lines)}`, async (t) => {
    const ignores = parseIgnore(lines)
    const ask = (name: string) => ignores(name.replace(/\/$/, ''), name.endsWith('/'))
    for (const name of ignored) t.ok(ask(name), `${JSON.stringify(name)} stays at home`)
    for (const name of packed) t.notOk(ask(name), `${JSON.stringify(name)} is packed`)
  })
}

t.test('a line that cannot match is refused, and named', async (t) => {
  for (const line of ['a[b', 'a\\', '[z-a]', '[[:alpha:]]', '[']) {
    t.throws(() => parseIgnore(`ok\n${line}`), new BundleError('bad_ignore', line))
  }
})
