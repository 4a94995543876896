// Proves that the world comes in by parameter: while it is set, product code that asks the real clock or the real randomness is caught.
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Guard {
  /** What product code itself asked for, with the place. Each such call threw. */
  readonly caught: readonly string[]
  /** What a package asked for in a call of product code, by `package: name`. */
  readonly byPackage: ReadonlyMap<string, number>
  release(): void
}

/** What packages may ask for, and why it changes nothing. */
export const harmless: Readonly<Record<string, string>> = {
  'p-queue: Date.now': 'it notes when a job began, for a figure that nothing here reads',
}

type Callable = (...args: unknown[]) => unknown

const root = fileURLToPath(new URL('../../', import.meta.url))
const crypto = createRequire(import.meta.url)('node:crypto') as Record<string, unknown>

/** Functions that bring the real world in: where each lives, and its name. */
const watched: readonly (readonly [object, string, string])[] = [
  [Date, 'now', 'Date.now'],
  [Math, 'random', 'Math.random'],
  [performance, 'now', 'performance.now'],
  [globalThis, 'setTimeout', 'setTimeout'],
  [globalThis, 'setInterval', 'setInterval'],
  [AbortSignal, 'timeout', 'AbortSignal.timeout'],
  [process, 'hrtime', 'process.hrtime'],
  ...['randomBytes', 'randomUUID', 'randomInt', 'randomFillSync', 'generateKeyPairSync'].map(
    (name) => [crypto, name, `crypto.${name}`] as const,
  ),
]

export function setGuard(): Guard {
  const caught: string[] = []
  const byPackage = new Map<string, number>()
  const judge = (name: string) => {
    const { product, owner, place } = whoAsks()
    if (product) {
      caught.push(`${name} at ${place}`)
      throw new Error(`product code asked the real world: ${name} at ${place}`)
    }
    if (owner) byPackage.set(`${owner}: ${name}`, (byPackage.get(`${owner}: ${name}`) ?? 0) + 1)
  }
  const undo = watched.map(([home, key, name]) =>
    replace(home, key, (original) => {
      return function (this: unknown, ...args: unknown[]) {
        judge(name)
        return Reflect.apply(original, this, args)
      }
    }),
  )
  const RealDate = Date
  globalThis.Date = new Proxy(RealDate, {
    construct(target, args: [], newTarget) {
      if (args.length === 0) judge('new Date()')
      return Reflect.construct(target, args, newTarget === globalThis.Date ? target : newTarget) as object
    },
  })
  syncBuiltinESMExports()
  return {
    caught,
    byPackage,
    release() {
      globalThis.Date = RealDate
      for (const put of undo) put()
      syncBuiltinESMExports()
    },
  }
}

function replace(home: object, key: string, wrap: (original: Callable) => Callable): () => void {
  const before = Object.getOwnPropertyDescriptor(home, key)
  const original = Reflect.get(home, key) as Callable
  const wrapped = wrap(original)
  // Some carry more of the same, as `process.hrtime.bigint`.
  for (const more of Reflect.ownKeys(original)) {
    const found = Object.getOwnPropertyDescriptor(original, more)
    if (found && !Object.hasOwn(wrapped, more)) Object.defineProperty(wrapped, more, found)
  }
  Object.defineProperty(home, key, { value: wrapped, configurable: true, writable: true })
  return () => {
    if (before) Object.defineProperty(home, key, before)
    else Reflect.deleteProperty(home, key)
  }
}

/** The nearest caller decides; a package counts only when product code stands behind it. */
function whoAsks(): { product: boolean; owner?: string; place: string } {
  const frames = callers()
  const outside = frames.filter((frame) => !frame.includes(`simulation${sep}guard.`) && !frame.includes('node:'))
  const [first = ''] = outside
  const [, owner] = /node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)/.exec(first) ?? []
  const place = first.replace(root, '')
  if (owner === undefined) return { product: isProduct(first), place }
  return { product: false, place, ...(outside.some(isProduct) && { owner }) }
}

/** Each as `path:line`. Nobody looks up where it stands in its source: that takes longer than what asks. */
function callers(): string[] {
  const { stackTraceLimit, prepareStackTrace } = Error
  Error.stackTraceLimit = 40
  Error.prepareStackTrace = (_, sites) =>
    sites.map((site) => `${site.getFileName()?.replace('file://', '') ?? 'node:'}:${site.getLineNumber()}`)
  const frames = new Error().stack as unknown as string[]
  Object.assign(Error, { stackTraceLimit, prepareStackTrace })
  return frames
}

const isProduct = (frame: string) =>
  !frame.includes('node_modules') && ['src', 'server'].some((folder) => frame.includes(`${root}${folder}${sep}`))
