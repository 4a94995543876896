// Names and words that may stand in few places only, as data: the world comes in by parameter, and nothing of a builder's machine stays.
import ts from 'typescript'
import { type Finding, isWithin, lineOf, type Source, walk } from './source.ts'

export interface BanRow {
  /** As written: `name`, `object.name`, or `new Name()` without arguments. */
  readonly names: readonly string[]
  readonly within: readonly string[]
  /** Place → the reason why it may. */
  readonly except: Readonly<Record<string, string>>
  readonly why: string
}

const product = ['bin', 'src', 'server']

export const banTable: readonly BanRow[] = [
  {
    names: [
      'Date.now',
      'new Date()',
      'performance.now',
      'process.hrtime',
      'setTimeout',
      'setInterval',
      'AbortSignal.timeout',
    ],
    within: product,
    except: { 'src/system': 'the real clock lives here' },
    why: 'time comes from the Clock by parameter, so that a test and the simulator can drive it',
  },
  {
    names: ['setImmediate'],
    within: product,
    except: {
      'server/store/turn': 'a group commit gathers the works of one turn of the loop',
    },
    why: 'a turn of the event loop is a wait too, which a simulator must be able to order',
  },
  {
    names: ['Math.random', 'randomBytes', 'randomUUID', 'randomInt', 'randomFillSync', 'crypto.getRandomValues'],
    within: product,
    except: { 'src/system': 'the real source of randomness lives here' },
    why: 'randomness comes from Random by parameter, so that a seed replays a run',
  },
  {
    names: ['Date', 'Math.random', 'performance', 'process', 'crypto', 'globalThis'],
    within: ['src/state'],
    except: {},
    why: 'the law is pure: the same words and the same now give the same step',
  },
  {
    names: ['fetch', 'WebSocket', 'EventSource'],
    within: product,
    except: {},
    why: 'HTTP goes through Network by parameter; src/client is the one mouth',
  },
  {
    names: ['process.env'],
    within: ['src', 'server'],
    except: {},
    why: 'the environment enters in bin and is read in files named config*.ts, nowhere else',
  },
  {
    names: ['console', 'process.stdout', 'process.stderr'],
    within: ['src', 'server'],
    except: {},
    why: 'every printed byte passes src/cli/output.ts, which gets its streams from bin',
  },
]

/** Tests wait on events. Only the harness may turn a timer into a promise, to give a wait its deadline. */
const sleepers = ['test/harness', 'bench', 'examples']

export function checkNames(source: Source, table = banTable): readonly Finding[] {
  const found: Finding[] = []
  for (const node of walk(source.tree)) {
    if (isSleep(source, node)) {
      found.push({
        where: lineOf(source, node),
        what: 'sleeps',
        why: 'a test waits on an event; a fixed time is too short or too long',
      })
    }
    const names = namesOf(source, node)
    if (names.length === 0) continue
    for (const row of table) {
      const name = names.find((one) => row.names.includes(one))
      if (!name || !row.within.some((place) => isWithin(source.path, place)) || exceptionOf(source.path, name, row))
        continue
      found.push({ where: lineOf(source, node), what: `uses ${name}`, why: row.why })
    }
  }
  return found
}

/** The place whose exception covers this use. A test asks that each exception is still used. */
export function exceptionOf(path: string, name: string, row: BanRow): string | undefined {
  if (name === 'process.env' && /\/config[^/]*\.ts$/.test(path)) return 'config'
  return Object.keys(row.except).find((place) => isWithin(path, place))
}

export function namesOf(source: Source, node: ts.Node): readonly string[] {
  if (ts.isNewExpression(node)) return node.arguments?.length ? [] : [`new ${node.expression.getText(source.tree)}()`]
  if (ts.isPropertyAccessExpression(node))
    return [node.getText(source.tree), node.name.text].filter((one) => /random/i.test(one) || one.includes('.'))
  if (ts.isIdentifier(node) && isFreeName(node)) return [node.text]
  if (ts.isBindingElement(node)) return namesTakenApart(source, node)
  return []
}

/** `const { env } = process` uses `process.env`. */
function namesTakenApart(source: Source, { name, propertyName, parent }: ts.BindingElement): readonly string[] {
  const declared = parent.parent
  if (!ts.isVariableDeclaration(declared) || !declared.initializer) return []
  return [`${declared.initializer.getText(source.tree)}.${(propertyName ?? name).getText(source.tree)}`]
}

/** Not a member, a key, a declaration or a type: what is left is a use of a global or an import. */
function isFreeName(node: ts.Identifier): boolean {
  const parent = node.parent
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isTypeReferenceNode(parent) || ts.isQualifiedName(parent) || ts.isTypeQueryNode(parent)) return false
  if (ts.isShorthandPropertyAssignment(parent) || ts.isImportSpecifier(parent)) return true
  const declared = 'name' in parent && parent.name === node
  return !declared
}

function isSleep(source: Source, node: ts.Node): boolean {
  if (!source.path.startsWith('test/') || sleepers.some((place) => isWithin(source.path, place))) return false
  if (ts.isStringLiteral(node))
    return node.text === ['node:timers', 'promises'].join('/') && ts.isImportDeclaration(node.parent)
  if (!ts.isCallExpression(node) || node.expression.getText(source.tree) !== 'setTimeout') return false
  const around = ts.findAncestor(node.parent, (one) => ts.isFunctionLike(one))
  return !!around && ts.isNewExpression(around.parent) && around.parent.expression.getText(source.tree) === 'Promise'
}

interface WordRow {
  readonly pattern: RegExp
  /** Files that the rule looks at. */
  readonly within: RegExp
  readonly what: string
  readonly why: string
}

// The words are put together here, so that this file does not hold them.
const joined = (words: readonly string[], glue = '') => words.join(glue)

export const wordTable: readonly WordRow[] = [
  {
    pattern: new RegExp(`\\b(${joined(['TO', 'DO'])}|${joined(['FIX', 'ME'])}|X{3})\\b`),
    within: /./,
    what: 'holds a note to the writer',
    why: 'what is left to do is in the tracker, and what is not in scope is not in the code',
  },
  {
    pattern: /\.(only|skip|todo)\(|\b(only|skip|todo): (true|['"`])/,
    within: /^test\/.*\.test\.ts$/,
    what: 'switches a test off, or all others',
    why: 'a missing part is a failure, never a silent skip',
  },
  {
    pattern: new RegExp(`(^|[\\s"'\`(=:<])/(${joined(['work', 'farm'], '|')})/`),
    within: /./,
    what: 'names a path of one machine',
    why: 'it exists nowhere else',
  },
  {
    pattern: new RegExp(joined(['registry', '[a-z0-9-]+', '(org|com|net|io|dev)'], '\\.'), 'i'),
    within: /^(?!package-lock\.json$)/,
    what: 'names a package registry',
    why: 'which registry serves the packages is for the installing machine to say',
  },
]

export function checkWords(path: string, text: string): readonly Finding[] {
  const rows = wordTable.filter((row) => row.within.test(path))
  return text
    .split('\n')
    .flatMap((line, index) =>
      rows
        .filter((row) => row.pattern.test(line))
        .map(({ what, why }) => ({ where: `${path}:${index + 1}`, what, why })),
    )
}
