// The mirror: every test sits where its source does, and every source with logic is held by a test.
import { posix } from 'node:path'
import ts from 'typescript'
import type { CoverRow } from './cover.ts'
import { importsOf, targetOf } from './import.ts'
import { type Finding, isCode, type Source, walk } from './source.ts'

/** Folders of test/ that mirror no source folder. */
export const testArea: Readonly<Record<string, string>> = {
  contract: 'one suite per boundary, run on every adapter',
  examples: 'what pages and examples show, typed as a reader would',
  harness: 'what tests share',
  scenario: 'a real pond and a real orchestrator in one process',
  simulation: 'seeds',
  soak: 'long runs, started by hand',
  system: 'real parts and root',
  tidy: 'the rules of the house',
  vector: 'golden vectors of each protocol version',
}

/** test/system holds what needs root and real parts, so the tests of src/system stand elsewhere. */
const renamed = { source: 'src/system', test: 'world' } as const

/** Where the test of a source stands: src/x/y.ts → test/x/y.test.ts, the others keep their top folder. */
export function testPathOf(path: string): string {
  const folder = path.replace(`${renamed.source}/`, `src/${renamed.test}/`)
  return `test/${folder.replace(/^src\//, '').replace(/\.(ts|mjs)$/, '.test.ts')}`
}

/** A contract, a table or a list of schemas needs no test of its own; a function, a method or a refinement does. */
export function hasLogic(source: Source): boolean {
  for (const node of walk(source.tree)) {
    if (ts.isFunctionLike(node) && 'body' in node && node.body && !ts.isConstructorDeclaration(node)) return true
  }
  return false
}

interface Tree {
  readonly sources: readonly Source[]
  /** Paths of all files. */
  readonly files: ReadonlySet<string>
  readonly cover: readonly CoverRow[]
}

export function checkMirror(tree: Tree): readonly Finding[] {
  return [...checkTests(tree), ...checkCover(tree), ...checkSources(tree)]
}

function* checkTests({ files }: Tree): Generator<Finding> {
  const folders = new Set([...files].filter(isCode).map((path) => posix.dirname(path)))
  for (const path of files) {
    const area = /^test\/([^/]+)\/.*\.test\.ts$/.exec(path)?.[1]
    if (/^test\/[^/]+\.test\.ts$/.test(path))
      yield { where: path, what: 'lies loose in test/', why: 'a test stands where its source does' }
    if (area === undefined || area in testArea) continue
    const folder = posix.dirname(path).slice('test/'.length)
    if (folders.has(folder) || folders.has(`src/${folder}`) || folder === renamed.test) continue
    yield {
      where: path,
      what: `mirrors neither src/${folder} nor ${folder}`,
      why: 'a test stands where its source does',
    }
  }
}

function* checkCover({ sources, files, cover }: Tree): Generator<Finding> {
  for (const row of cover) {
    const reached = reach(row.test, sources)
    if (!files.has(row.test)) yield { where: row.test, what: 'is named in coverTable and does not exist', why: row.why }
    for (const path of row.covers) {
      const source = sources.find((one) => one.path === path)
      const own = files.has(testPathOf(path))
      const what = !source ? 'does not exist' : faultOfCovered(source, own, reached)
      if (what) yield { where: path, what: `is named in coverTable and ${what}`, why: 'a stale row hides the next gap' }
    }
  }
}

function faultOfCovered(source: Source, own: boolean, reached: ReadonlySet<string>): string | undefined {
  if (own) return 'has its own test'
  if (!hasLogic(source)) return 'has no logic'
  return reached.has(source.path) ? undefined : 'is never imported from there'
}

/** All files of ours that a file imports, directly or through others. */
function reach(from: string, sources: readonly Source[]): ReadonlySet<string> {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const seen = new Set([from])
  for (const path of seen) {
    const source = byPath.get(path)
    for (const { to } of source ? importsOf(source) : []) {
      const target = targetOf(path, to)
      if (target !== undefined) seen.add(target)
    }
  }
  return seen
}

function* checkSources({ sources, files, cover }: Tree): Generator<Finding> {
  const covered = new Set(cover.flatMap((row) => row.covers))
  for (const source of sources) {
    if (!/^(src|server)\//.test(source.path) || covered.has(source.path) || !hasLogic(source)) continue
    const own = testPathOf(source.path)
    if (files.has(own)) continue
    const near = sources.filter(({ path }) => isNear(path, own) && reach(path, sources).has(source.path))
    const hint = near.length > 0 ? ` (imported from ${near.map(({ path }) => path).join(', ')})` : ''
    yield {
      where: source.path,
      what: `has no ${own} and no row in coverTable of test/tidy/cover.ts${hint}`,
      why: 'logic without a test is a guess',
    }
  }
}

const isNear = (path: string, own: string) => posix.dirname(path) === posix.dirname(own) && path.endsWith('.test.ts')
