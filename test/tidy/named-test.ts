// Pages that promise by naming tests: each `path`: “title” that stands in one exists, with that title.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { parseSource, readText, root, walk } from './source.ts'

/** As they stand in a cell: a path, then a title. */
export function namedIn(text: string): readonly { readonly path: string; readonly title: string }[] {
  return [...text.matchAll(/`(test\/[^`]+)`: “([^”]+)”/g)].map(([, path = '', title = '']) => ({ path, title }))
}

/** Rows of the page's tables, without their heads. `last`: the head of the last column, in which the tests are named. */
export function rowsIn(text: string, last: string): readonly string[] {
  const rows = text.split('\n').filter((line) => line.startsWith('| '))
  return rows.filter((line) => !line.endsWith(` ${last} |`))
}

/** What is named and does not exist. */
export function absentIn(text: string): readonly string[] {
  return namedIn(text).flatMap(({ path, title }) => {
    if (!existsSync(join(root, path))) return [`${path} does not exist`]
    return titlesIn(path, readText(path)).has(title) ? [] : [`${path} has no test “${title}”`]
  })
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
