// Reads the project's own files for the tidy tests: paths, text and syntax trees. Knows no rule.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** A file of code. A bad example in a test is one too: that is how each rule shows that it can fail. */
export interface Source {
  /** Relative to the project's root, with `/`. */
  readonly path: string
  readonly text: string
  readonly tree: ts.SourceFile
}

/** One complaint: where, what, and why it matters. */
export interface Finding {
  readonly where: string
  readonly what: string
  readonly why: string
}

const skipped = new Set(['node_modules', 'dist', '.git', '.tap', 'coverage'])

/** Paths of all files below a folder, relative to the root, sorted. */
export function listFiles(folder = ''): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => !skipped.has(entry.name))
    .flatMap((entry) => {
      const path = posix.join(folder, entry.name)
      return entry.isDirectory() ? listFiles(path) : entry.isFile() ? [path] : []
    })
    .sort()
}

export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

export function parseSource(path: string, text: string): Source {
  const kind = path.endsWith('.mjs') ? ts.ScriptKind.JS : ts.ScriptKind.TS
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true, kind) }
}

/** Fixtures are programs under test, not the project's code. */
export function isCode(path: string): boolean {
  return /\.(ts|mjs)$/.test(path) && /^(bin|src|server|test|bench|examples)\//.test(path) && !path.includes('/fixture/')
}

let cached: readonly Source[] | undefined

export function readSources(): readonly Source[] {
  cached ??= listFiles()
    .filter(isCode)
    .map((path) => parseSource(path, readText(path)))
  return cached
}

export function lineOf(source: Source, node: ts.Node): string {
  return `${source.path}:${source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line + 1}`
}

/** Every node of a file, parents first. */
export function* walk(node: ts.Node): Generator<ts.Node> {
  yield node
  const children: ts.Node[] = []
  ts.forEachChild(node, (child) => void children.push(child))
  for (const child of children) yield* walk(child)
}

/** True when `path` is the folder or file `place`, lies below it, or is a file whose name starts so (`…/sqlite` takes `…/sqlite-driver.ts`). */
export function isWithin(path: string, place: string): boolean {
  if (place === '' || path === place || path.startsWith(`${place}/`)) return true
  return path.startsWith(`${place}.`) || path.startsWith(`${place}-`)
}

/** Findings as lines a test can print; the empty list is what it wants. */
export function describe(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ where, what, why }) => `${where}: ${what}. Why: ${why}`)
}
