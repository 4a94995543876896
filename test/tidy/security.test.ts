// SECURITY.md promises nothing without a test: each that it names exists, with that title.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { parseSource, readText, root, walk } from './source.ts'

const page = readText('SECURITY.md')

/** As they stand in a cell: a path, then a title. */
function namedIn(text: string): readonly { readonly path: string; readonly title: string }[] {
  return [...text.matchAll(/`(test\/[^`]+)`: “([^”]+)”/g)].map(([, path = '', title = '']) => ({ path, title }))
}

/** Titles are texts of their own, rows of a table, or what stands behind a name that a loop puts in. */
function titlesIn(path: string, text: string): ReadonlySet<string> {
  const titles = new Set<string>()
  for (const node of walk(parseSource(path, text).tree)) {
    if (ts.isStringLiteralLike(node)) titles.add(node.text)
    else if (ts.isTemplateTail(node)) titles.add(node.text.replace(/^: /, ''))
  }
  return titles
}

function faultsOf(text: string): readonly string[] {
  return namedIn(text).flatMap(({ path, title }) => {
    if (!existsSync(join(root, path))) return [`${path} does not exist`]
    return titlesIn(path, readText(path)).has(title) ? [] : [`${path} has no test “${title}”`]
  })
}

t.test('each test that is named exists', async (t) => {
  t.ok(namedIn(page).length >= 50)
  t.strictSame(faultsOf(page), [])
})

t.test('each row names one', async (t) => {
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && !/Proved by \|$/.test(line))
  t.strictSame(
    rows.filter((row) => namedIn(row).length === 0),
    [],
  )
})

t.test('it can fail', async (t) => {
  const absent = ['no', 'such', 'title'].join(' ')
  t.strictSame(faultsOf(`\`test/none.test.ts\`: “a”; \`test/tidy/security.test.ts\`: “${absent}”`), [
    'test/none.test.ts does not exist',
    `test/tidy/security.test.ts has no test “${absent}”`,
  ])
})
