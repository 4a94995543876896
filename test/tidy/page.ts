// Pages whose tables are printed from code. A block stands between `<!-- generated:NAME -->` and `<!-- end -->`; `npm run docs` rewrites it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './source.ts'

export interface Block {
  /** Relative to the root. */
  readonly file: string
  readonly name: string
  readonly print: () => string
}

const end = '<!-- end -->'

/** Undefined when the page says what the code says; otherwise a sentence that says what to do. */
export function checkGenerated(file: string, name: string, expected: string): string | undefined {
  const path = join(root, file)
  if (!existsSync(path)) return `${file} does not exist; it must hold ${begin(name)} … ${end}`
  return checkBlock({ page: readFileSync(path, 'utf8'), file, name, expected })
}

export function checkBlock({
  page,
  file,
  name,
  expected,
}: {
  page: string
  file: string
  name: string
  expected: string
}) {
  const found = readBlock(page, name)
  if (found === undefined) return `${file} has no block ${begin(name)} … ${end}`
  if (found === expected.trim()) return undefined
  return `${file}: the block ${name} differs from the code at ${firstDifference(found, expected.trim())}; run npm run docs`
}

export function readBlock(page: string, name: string): string | undefined {
  const from = page.indexOf(begin(name))
  const to = page.indexOf(end, from)
  return from < 0 || to < 0 ? undefined : page.slice(from + begin(name).length, to).trim()
}

export function replaceBlock(page: string, name: string, content: string): string {
  const found = readBlock(page, name)
  if (found === undefined) throw new Error(`no block ${begin(name)} … ${end}`)
  const from = page.indexOf(begin(name)) + begin(name).length
  return `${page.slice(0, from)}\n${content.trim()}\n${page.slice(page.indexOf(end, from))}`
}

/** Names of all blocks of a page, so that none stands there without a printer. */
export function blockNames(page: string): readonly string[] {
  return [...page.matchAll(/<!-- generated:([a-z0-9-]+) -->/g)].flatMap((match) => match[1] ?? [])
}

export function writeGenerated({ file, name, print }: Block): void {
  const path = join(root, file)
  writeFileSync(path, replaceBlock(readFileSync(path, 'utf8'), name, print()))
}

/** A Markdown table; a bar inside a cell is escaped. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}

const begin = (name: string) => `<!-- generated:${name} -->`

function firstDifference(found: string, expected: string): string {
  const wanted = expected.split('\n')
  const lines = found.split('\n')
  const at = Math.max(
    0,
    [...wanted, undefined].findIndex((line, index) => line !== lines[index]),
  )
  return `line ${at + 1} (page: ${lines[at] ?? 'nothing'}; code: ${wanted[at] ?? 'nothing'})`
}
