// Rules about the shape of one file: its name, its first line, its size, and constructs the house does without.
import { posix } from 'node:path'
import ts from 'typescript'
import { type Finding, lineOf, type Source, walk } from './source.ts'

/** A longer file holds two nouns. */
const fileLinesMost = 400
/** A longer function hides its branches. */
const functionLinesMost = 70
/** The fourth argument is the one that gets swapped; pass one named object. */
const parametersMost = 3

const emptyNames = new Set(['util', 'utils', 'common', 'helper', 'helpers', 'type', 'types', 'misc', 'shared'])

export function checkShape(source: Source): readonly Finding[] {
  const found = [...checkFile(source)]
  for (const node of walk(source.tree)) {
    const fault = faultOf(source, node)
    if (fault) found.push({ where: lineOf(source, node), ...fault })
  }
  return found
}

function* checkFile({ path, text }: Source): Generator<Finding> {
  const stem = posix.basename(path).replace(/(\.test)?\.(ts|mjs)$/, '')
  const name = { where: path, what: `is called ${stem}` }
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(stem)) yield { ...name, why: 'file names are kebab-case' }
  if (emptyNames.has(stem))
    yield { ...name, why: 'a file is named after its main noun or verb; such a name gathers anything' }
  const lines = text.trimEnd().split('\n')
  if (lines.length > fileLinesMost) {
    yield {
      where: path,
      what: `has ${lines.length} lines, over ${fileLinesMost}`,
      why: 'a longer file holds two nouns',
    }
  }
  const first = lines[0]?.startsWith('#!') ? lines[1] : lines[0]
  if (!first || !/^(\/\/|\/\*\*?) \S/.test(first)) {
    yield {
      where: `${path}:1`,
      what: 'does not begin with a comment',
      why: 'the first line says what lives here, and what must not',
    }
  }
  yield* checkComments(path, lines)
}

function* checkComments(path: string, lines: readonly string[]): Generator<Finding> {
  for (const [index, line] of lines.entries()) {
    const where = `${path}:${index + 1}`
    if (/\/[/*]\s*@ts-(ignore|expect-error|nocheck)/.test(line)) {
      yield { where, what: 'silences the compiler', why: 'what the compiler cannot see, a reader cannot either' }
    }
    if (/\/[/*]\s*biome-ignore/.test(line) && !/biome-ignore\S* \S+: \S+ \S+/.test(line)) {
      yield { where, what: 'silences the linter without a reason', why: 'each disabled rule carries its reason' }
    }
  }
}

type Fault = Pick<Finding, 'what' | 'why'>

const erasable = 'Node and tsx strip types; this needs code of its own'

function faultOf(source: Source, node: ts.Node): Fault | undefined {
  if (ts.isEnumDeclaration(node)) return { what: 'declares an enum', why: erasable }
  if (ts.isModuleDeclaration(node)) return { what: 'declares a namespace', why: erasable }
  if (node.kind === ts.SyntaxKind.AnyKeyword)
    return { what: 'says any', why: 'any turns the compiler off; say unknown and parse' }
  if (ts.isNonNullExpression(node))
    return { what: 'asserts with !', why: 'a wish is no check: test it, or assert with a message' }
  if (ts.isGetAccessor(node) && ts.isObjectLiteralExpression(node.parent) && !source.path.startsWith('test/'))
    return {
      what: 'has a getter in a literal',
      why: 'V8 makes each such object a hidden class of its own, which lives long',
    }
  if (isDefaultExport(node)) return { what: 'exports a default', why: 'a thing has one name everywhere' }
  if (ts.isFunctionLike(node) && 'body' in node && node.body) return faultOfFunction(source, node)
  return undefined
}

function faultOfFunction(source: Source, node: ts.SignatureDeclaration): Fault | undefined {
  const line = (position: number) => source.tree.getLineAndCharacterOfPosition(position).line
  const lines = line(node.getEnd()) - line(node.getStart(source.tree)) + 1
  const name = node.name?.getText(source.tree) ?? 'a function'
  if (lines > functionLinesMost) {
    return {
      what: `${name} has ${lines} lines, over ${functionLinesMost}`,
      why: 'a longer function hides its branches',
    }
  }
  // A callback written into a call has the shape that the callee asks for.
  if (node.parameters.length > parametersMost && !ts.isCallExpression(node.parent)) {
    const what = `${name} takes ${node.parameters.length} parameters, over ${parametersMost}`
    return { what, why: 'the fourth argument gets swapped; pass one named object' }
  }
  const owned = node.parameters.some((parameter) => parameter.modifiers?.some(ts.isModifier))
  return owned ? { what: `${name} has a parameter property`, why: erasable } : undefined
}

function isDefaultExport(node: ts.Node): boolean {
  if (ts.isExportAssignment(node)) return true
  if (ts.isExportSpecifier(node)) return node.name.text === 'default'
  return (
    ts.canHaveModifiers(node) &&
    (ts.getModifiers(node)?.some((one) => one.kind === ts.SyntaxKind.DefaultKeyword) ?? false)
  )
}
