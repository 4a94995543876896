// Checks what a file imports against import-map.ts. Dynamic imports count; type imports count too, since they bind folders together just the same.
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import ts from 'typescript'
import { builtinMap, type FolderRow, folderMap, type PackageRow, packageMap } from './import-map.ts'
import { type Finding, isWithin, lineOf, type Source, walk } from './source.ts'

interface Import {
  readonly node: ts.Node
  /** Undefined when it is computed. */
  readonly to: string | undefined
}

export function checkImports(source: Source): readonly Finding[] {
  const row = rowOf(source.path)
  if (!row) return []
  return importsOf(source).flatMap(({ node, to }) => {
    const fault = to === undefined ? computed : faultOf(source.path, row, to)
    return fault ? [{ where: lineOf(source, node), ...fault }] : []
  })
}

type Fault = Pick<Finding, 'what' | 'why'>

const computed: Fault = {
  what: 'imports a computed name',
  why: 'an import that cannot be read cannot be checked',
}

function faultOf(path: string, row: FolderRow & { readonly folder: string }, to: string): Fault | undefined {
  if (to.startsWith('.')) return faultOfOwn(path, row, to)
  if (to.startsWith('node:')) return faultOfBuiltin(path, row, to)
  if (isBuiltin(to))
    return { what: `imports ${to} without node:`, why: 'the prefix keeps built-ins apart from packages' }
  return faultOfPackage(path, to)
}

function faultOfOwn(path: string, row: FolderRow & { readonly folder: string }, to: string): Fault | undefined {
  if (!/\.(ts|mjs|json)$/.test(to)) return { what: `imports ${to} without its ending`, why: 'Node resolves no endings' }
  const target = posix.join(posix.dirname(path), to)
  const within = (place: string) => isWithin(target, place)
  const own = isWithin(target, row.folder) && rowOf(target)?.folder === row.folder
  const allowed = own || (row.mayImport.some(within) && !row.never?.some(within))
  if (allowed) return undefined
  const list = row.mayImport.length > 0 ? row.mayImport.join(', ') : 'nothing of ours'
  const but = row.never ? ` but not ${row.never.join(', ')}` : ''
  return { what: `${row.folder} imports ${target}; it may import ${list}${but}`, why: row.why }
}

function faultOfBuiltin(path: string, row: FolderRow & { readonly folder: string }, to: string): Fault | undefined {
  if (!row.builtins) return { what: `${row.folder} imports ${to}; it may import no built-in module`, why: row.why }
  return faultOfPlace(path, to, builtinMap[to])
}

function faultOfPackage(path: string, to: string): Fault | undefined {
  const name = packageOf(to)
  const row = packageMap[name]
  if (!row)
    return {
      what: `imports ${name}, which test/tidy/import-map.ts does not know`,
      why: 'each dependency has one reason and one place',
    }
  return faultOfPlace(path, name, row)
}

/** `@scope/name/part` → `@scope/name`. */
export function packageOf(to: string): string {
  const parts = to.split('/')
  return parts.slice(0, to.startsWith('@') ? 2 : 1).join('/')
}

function faultOfPlace(path: string, name: string, row: PackageRow | undefined): Fault | undefined {
  if (!row || row.places.some((place) => isWithin(path, place))) return undefined
  const places = row.places.length > 0 ? `only in ${row.places.join(', ')}` : 'nowhere'
  return { what: `imports ${name}, which is allowed ${places}`, why: row.why }
}

/** The row of the longest folder that holds a file; undefined outside of bin, src and server. */
export function rowOf(path: string): (FolderRow & { readonly folder: string }) | undefined {
  const folder = Object.keys(folderMap)
    .filter((name) => path.startsWith(`${name}/`))
    .sort((a, b) => b.length - a.length)[0]
  const row = folder === undefined ? undefined : folderMap[folder]
  return folder !== undefined && row ? { folder, ...row } : undefined
}

const known = new WeakMap<Source, readonly Import[]>()

export function importsOf(source: Source): readonly Import[] {
  const found = known.get(source) ?? [...findImports(source)]
  known.set(source, found)
  return found
}

function* findImports(source: Source): Generator<Import> {
  for (const node of walk(source.tree)) {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
      yield { node, to: literal(node.moduleSpecifier) }
    }
    if (ts.isImportTypeNode(node))
      yield { node, to: ts.isLiteralTypeNode(node.argument) ? literal(node.argument.literal) : undefined }
    if (ts.isCallExpression(node) && isImportCall(node)) yield { node, to: literal(node.arguments[0]) }
  }
}

function isImportCall(node: ts.CallExpression): boolean {
  const called = node.expression
  return called.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(called) && called.text === 'require')
}

/** Path of the file of ours that an import names; undefined for packages and built-ins. */
export function targetOf(path: string, to: string | undefined): string | undefined {
  return to?.startsWith('.') ? posix.join(posix.dirname(path), to) : undefined
}

function literal(node: ts.Node | undefined): string | undefined {
  return node && ts.isStringLiteralLike(node) ? node.text : undefined
}
