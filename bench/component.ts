// From a profile to the components of the program: each sample belongs to the innermost frame that a row of the table knows.
import type { Profiler } from 'node:inspector'

export interface ComponentRow {
  readonly name: string
  /** Paths below the folder of what was compiled, packages as `node_modules/NAME/`, Node's own as `node:NAME`. */
  readonly files: RegExp
  /** Only these functions of the files. */
  readonly functions?: RegExp
}

/** What no row says, and what is not JavaScript of anybody. */
const REST = 'other'
/** Waiting for work is no work. */
const IDLE = '(idle)'
const NATIVE: Readonly<Record<string, string>> = { '(garbage collector)': 'gc', '(program)': 'loop', '(root)': REST }

const nodeHttp = /^node:(_http|net|http|dns|tls|timers|internal\/(http|streams|stream_base|timers|net|js_stream))/
const nodeLoop = /^node:internal\/process/

/**
 * Pond. `commit` is what begins and ends a group, with its fsync; `sql` the statements, `rows` what makes their values and reads them, `group` what runs works in
 * one transaction.
 */
export const pondTable: readonly ComponentRow[] = [
  { name: 'commit', files: /^server\/store\/sqlite\/connection\.js$/, functions: /^exec$/ },
  { name: 'sql', files: /^server\/store\/sqlite\/connection\.js$/, functions: /^(run|insert|get|all|prepared)$/ },
  { name: 'rows', files: /^server\/store\/sqlite\/(?!connection|driver|tx)/ },
  { name: 'group', files: /^server\/store\/(group-commit|work|turn|sqlite|sqlite\/tx)\.js$/ },
  { name: 'signature', files: /^(src\/seal\/(request-signature|body-mac)|server\/service\/access)\.js$/ },
  {
    name: 'attestation',
    files: /^(src\/seal\/(attestation|dsse)|src\/protocol\/attestation|server\/service\/attestation)\.js$/,
  },
  { name: 'canonical', files: /^(node_modules\/canonicalize\/|src\/seal\/canonical)/ },
  { name: 'schema', files: /^(node_modules\/zod\/|src\/protocol\/fault)/ },
  { name: 'json', files: /^server\/http\/(parse|message)\.js$/ },
  { name: 'token', files: /^src\/seal\/token\.js$/ },
  { name: 'ids', files: /^node_modules\/ulid\/|^src\/system\/random/ },
  { name: 'law', files: /^src\/state\// },
  { name: 'submit', files: /^server\/service\/(submit|kind|dependency|recipient|view|job|event)\.js$/ },
  { name: 'words', files: /^server\/service\/word\.js$/ },
  { name: 'claim', files: /^server\/service\/(claim|queue|live|room|intent|refusal)\.js$/ },
  { name: 'poll', files: /^server\/service\/(poll|session|directive|drain|lease)\.js$/ },
  { name: 'change', files: /^server\/service\/(change|hub|stats|window|due)\.js$/ },
  { name: 'route', files: /^(server\/http\/(answer|handler|sealed)\.js|src\/protocol\/)/ },
  { name: 'services', files: /^server\/(service|blob)\// },
  { name: 'http', files: nodeHttp },
  {
    name: 'http',
    files: /^(server\/http\/|node_modules\/(fastify|@fastify|find-my-way|avvio|secure-json|process-warning)\b)/,
  },
  { name: 'loop', files: nodeLoop },
]

export const swarmTable: readonly ComponentRow[] = [
  { name: 'signature', files: /^src\/seal\/(request-signature|body-mac)\.js$/ },
  {
    name: 'attestation',
    files: /^(src\/seal\/(attestation|dsse)|src\/protocol\/attestation|src\/orchestrator\/(statement|last-word))\.js$/,
  },
  { name: 'canonical', files: /^(node_modules\/canonicalize\/|src\/seal\/canonical)/ },
  { name: 'schema', files: /^(node_modules\/zod\/|src\/protocol\/|src\/client\/decode)/ },
  { name: 'client', files: /^src\/client\/(client|base-url|explain|proxy)/ },
  { name: 'http', files: /^(node_modules\/undici\/|src\/client\/network)/ },
  { name: 'journal', files: /^(src\/orchestrator\/(journal|journal-entry|trace)|src\/system\/disk)/ },
  { name: 'output', files: /^src\/orchestrator\/(output|spool|sender|encoder|redact|needle|left-output|artifact)/ },
  { name: 'words', files: /^src\/orchestrator\/words/ },
  { name: 'poll', files: /^src\/orchestrator\/(poll|hold|grant|slot-group|watchdog|renewal|swarm)/ },
  { name: 'attempt', files: /^src\/(orchestrator|executor)\/|^bench\/swarm-process/ },
  { name: 'clock', files: /^src\/system\// },
  { name: 'http', files: nodeHttp },
  { name: 'files', files: /^node:(internal\/)?fs/ },
  { name: 'loop', files: nodeLoop },
]

/** The least server and its worker, which have no parts worth a name. */
export const leastTable: readonly ComponentRow[] = [
  { name: 'http', files: nodeHttp },
  { name: 'http', files: /^node_modules\/undici\// },
  { name: 'own', files: /^bench\// },
  { name: 'loop', files: nodeLoop },
]

export interface Sorted {
  /** Microseconds by component. */
  readonly parts: Readonly<Record<string, number>>
  /** Microseconds by `component function file:line`, the innermost frame that is anybody's. */
  readonly hot: Readonly<Record<string, number>>
}

type Frame = Profiler.ProfileNode['callFrame']

export function sortProfile(
  { nodes, samples = [], timeDeltas = [] }: Profiler.Profile,
  table: readonly ComponentRow[],
  root: string,
): Sorted {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)))
  const parts: Record<string, number> = Object.fromEntries(
    [...table.map(({ name }) => name), 'gc', REST].map((name) => [name, 0]),
  )
  const hot: Record<string, number> = {}
  const known = new Map<number, readonly [part: string, place: string]>()
  const judge = (id: number): readonly [string, string] => {
    const leaf = byId.get(id)
    if (!leaf) return [REST, '']
    const native = NATIVE[leaf.callFrame.functionName]
    if (native !== undefined && leaf.callFrame.url === '') return [native, leaf.callFrame.functionName]
    for (let node: Profiler.ProfileNode | undefined = leaf; node; node = parents.get(node.id)) {
      const name = nameOf(node.callFrame, table, root)
      if (name !== undefined) return [name, placeOf(node.callFrame, root)]
    }
    return [REST, placeOf(leaf.callFrame, root)]
  }
  for (const [index, id] of samples.entries()) {
    const node = byId.get(id)
    // A sample holds until the next one.
    const us = timeDeltas[index + 1] ?? 0
    if (!node || node.callFrame.functionName === IDLE) continue
    const [part, place] = known.get(id) ?? judge(id)
    known.set(id, [part, place])
    parts[part] = (parts[part] ?? 0) + us
    hot[`${part} ${place}`] = (hot[`${part} ${place}`] ?? 0) + us
  }
  return { parts, hot }
}

function nameOf({ url, functionName }: Frame, table: readonly ComponentRow[], root: string): string | undefined {
  const path = pathOf(url, root)
  if (path === '') return undefined
  return table.find(({ files, functions }) => files.test(path) && (functions?.test(functionName) ?? true))?.name
}

function placeOf(frame: Frame, root: string): string {
  return `${frame.functionName || '(anonymous)'} ${pathOf(frame.url, root)}:${frame.lineNumber + 1}`
}

export function pathOf(url: string, root: string): string {
  if (url.startsWith(root)) return url.slice(root.length)
  const at = url.lastIndexOf('node_modules/')
  return at < 0 ? url : url.slice(at)
}
