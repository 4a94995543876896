// The ignore file at the top of a packed folder, with the meaning of gitignore(5): which names stay at home.
import { BundleError } from './error.ts'

export const IGNORE_FILE = '.pondignore'

/** More lines are no list that a person keeps. */
export const IGNORE_BYTES_MOST = 64 * 1024

/** Takes a name within the folder, with `/` between its steps and none behind. Whatever is in an ignored folder is not asked about. */
export type Ignores = (name: string, isFolder: boolean) => boolean

interface Rule {
  readonly pattern: RegExp
  readonly keeps: boolean
  readonly onlyFolders: boolean
}

/** Before the file's own lines, so that they can take it back: history is large, and holds what was deleted for a reason. */
const ALWAYS = '.git'

/** As git reads it; a line that git would never match, and a class like `[[:alpha:]]`, is refused. The last line that matches decides. */
export function parseIgnore(text: string): Ignores {
  const lines = [ALWAYS, ...text.replace(/^\uFEFF/, '').split(/\r?\n/)]
  const rules = lines.flatMap((line) => parseLine(line) ?? []).reverse()
  return (name, isFolder) => {
    const rule = rules.find(({ pattern, onlyFolders }) => (isFolder || !onlyFolders) && pattern.test(name))
    return rule !== undefined && !rule.keeps
  }
}

function parseLine(line: string): Rule | undefined {
  // Spaces at the end do not count, unless the last of them is written `\ `.
  let glob = line.replace(/(?<!\\) +$/, '')
  if (glob === '' || glob.startsWith('#')) return undefined
  const keeps = glob.startsWith('!')
  if (keeps) glob = glob.slice(1)
  const onlyFolders = glob.endsWith('/')
  if (onlyFolders) glob = glob.slice(0, -1)
  const isAnchored = glob.includes('/')
  if (glob.startsWith('/')) glob = glob.slice(1)
  if (glob === '') return undefined
  try {
    const pattern = new RegExp(`^${isAnchored ? '' : '(?:.*/)?'}${translate(glob)}$`, 'su')
    return { pattern, keeps, onlyFolders }
  } catch (error) {
    throw new BundleError('bad_ignore', line, { cause: error })
  }
}

/** What stands for more than itself, tried in this order. A class takes `]` as a member when it comes first. */
const token =
  /(?<anyDepth>(?<=^|\/)\*\*+\/)|(?<below>(?<=\/)\*\*+$)|(?<stars>\*+)|(?<one>\?)|\[(?<not>[!^]?)(?<set>\]?(?:\\.|[^\]\\])*)\]|\\(?<escaped>.)|(?<plain>[^\\[])|(?<broken>.)/gsu

function translate(glob: string): string {
  return [...glob.matchAll(token)].map(({ groups = {} }) => translateToken(groups)).join('')
}

function translateToken({ anyDepth, below, stars, one, ...rest }: Record<string, string | undefined>): string {
  if (anyDepth !== undefined) return '(?:.*/)?'
  if (below !== undefined) return '.+'
  if (stars !== undefined) return '[^/]*'
  if (one !== undefined) return '[^/]'
  if (rest.set !== undefined) return translateClass(rest.set, rest.not !== '')
  if (rest.broken !== undefined) throw new SyntaxError('a bracket or a backslash has no end')
  return quote(rest.escaped ?? rest.plain ?? '')
}

/** A class never matches a slash, whatever is in it. */
function translateClass(set: string, isNegated: boolean): string {
  if (/\[[:.=]/.test(set)) throw new SyntaxError('named classes are not known')
  const members = set.replace(/\\(.)|([\\^[\]&~])/gsu, (_, escaped?: string, special?: string) =>
    quote(escaped ?? special ?? ''),
  )
  return `(?!/)[${isNegated ? '^' : ''}${members}]`
}

const quote = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/gu, '\\$&')
