// What a plan becomes before it is spawned: folders, environment, the executable's path, the way into its cgroups. Spawns nothing.
import {
  accessSync,
  closeSync,
  constants,
  lchownSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import type { Box } from './box.ts'
import { type Plan, SetupError } from './contract.ts'

export interface Places {
  readonly work: string
  readonly home: string
  readonly tmp: string
  /** The file that becomes stdin. */
  readonly input: string
  readonly result: string
  readonly events: string
  /** The folder of the plan's files; absent where it has none. */
  readonly credentials?: string
}

export interface Argv {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** The shell that enters the cgroups, and what it would add to a process's environment if nobody took it out again. */
export interface Launcher {
  readonly shell: string
  /** Path of `env`, which gives and takes the variables that a shell does not hand through untouched. */
  readonly env: string
  readonly adds: readonly string[]
}

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
export const DEFAULT_LANG = 'C.UTF-8'

/** The process itself makes `result` and `events`. */
export function preparePlaces({ folder, work, home, tmp, uid }: Box, { input, files = {} }: Plan): Places {
  const file = input === undefined ? '/dev/null' : join(folder, 'input')
  const places = { work, home, tmp, input: file, result: join(folder, 'result'), events: join(folder, 'events') }
  const credentials = join(folder, 'credentials')
  const given = Object.entries(files)
  try {
    const own = (path: string) => uid !== undefined && lchownSync(path, uid, uid)
    if (input !== undefined) {
      writeFileSync(file, input, { mode: 0o600 })
      own(file)
    }
    if (given.length > 0) mkdirSync(credentials, 0o700)
    for (const [name, bytes] of given) {
      const path = join(credentials, name)
      writeFileSync(path, bytes, { mode: 0o600, flag: 'wx' })
      own(path)
    }
    if (given.length > 0) own(credentials)
  } catch (error) {
    throw new SetupError(`cannot write the job's input or files: ${reasonOf(error)}`, { cause: error })
  }
  return given.length > 0 ? { ...places, credentials } : places
}

/** As soon as nobody can read them any more. What fails here goes with the whole box. */
export function removeCredentials({ credentials }: Places): void {
  if (credentials !== undefined) rmSync(credentials, { recursive: true, force: true, maxRetries: 3 })
}

/** All that a process gets. A job may choose any name but POND_…, which are pond's word to the process. */
export function environmentOf(
  plan: Plan,
  places: Places,
  defaults: { path: string; lang: string },
): Record<string, string> {
  const chosen = Object.entries(plan.env).filter(([name]) => !name.startsWith('POND_'))
  return {
    PATH: defaults.path,
    LANG: defaults.lang,
    HOME: places.home,
    TMPDIR: places.tmp,
    ...Object.fromEntries(chosen),
    POND_JOB_ID: plan.jobId,
    POND_ATTEMPT: String(plan.attempt),
    ...(plan.arrayIndex === undefined ? {} : { POND_ARRAY_INDEX: String(plan.arrayIndex) }),
    POND_RESULT: places.result,
    POND_EVENTS: places.events,
    ...(places.credentials === undefined
      ? {}
      : { POND_CREDENTIALS: places.credentials, CREDENTIALS_DIRECTORY: places.credentials }),
  }
}

/** The absolute path of what `name` means in `cwd` with `path`, as execvp would find it; throws SetupError in plain words. */
export function findProgram(name: string, cwd: string, path: string): string {
  const direct = name.includes('/')
  const tries = direct ? [resolve(cwd, name)] : path.split(':').map((folder) => resolve(cwd, folder, name))
  let problem: string | undefined
  for (const file of name === '' ? [] : tries) {
    const found = problemWith(file, cwd)
    if (found === undefined) return file
    if (found !== ABSENT) problem ??= `${file} ${found}`
  }
  if (problem !== undefined) throw new SetupError(`cannot run ${JSON.stringify(name)}: ${problem}`)
  throw new SetupError(
    `cannot run ${JSON.stringify(name)}: ${direct ? `${tries[0]} does not exist` : `not found in PATH=${path}`}`,
  )
}

const ABSENT = 'does not exist'
/** What Linux reads of a script to find its interpreter. */
const FIRST_LINE_BYTES = 256

/**
 * Files in which no problem was found, each with what the kernel said of it, which changes with the file. Services run the same few
 * programs again and again; a bundle brings others with each job.
 */
const fit = new Map<string, number>()
const FIT_MOST = 256

function problemWith(file: string, cwd: string): string | undefined {
  let stats: Stats | undefined
  try {
    stats = statSync(file, { throwIfNoEntry: false })
    if (!stats) return ABSENT
    if (fit.get(file) === stats.ctimeMs) return undefined
    if (!stats.isFile()) return 'is not a file'
    accessSync(file, constants.X_OK)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return ABSENT
    return code === 'EACCES' ? 'is not executable' : reasonOf(error)
  }
  const interpreter = interpreterOf(file)
  if (interpreter === undefined) {
    if (fit.size === FIT_MOST) fit.clear()
    fit.set(file, stats.ctimeMs)
    return undefined
  }
  try {
    accessSync(resolve(cwd, interpreter), constants.X_OK)
    return undefined
  } catch {
    return `names the interpreter ${interpreter}, which cannot be run`
  }
}

/** Looked at here because the kernel reports a missing interpreter as if the script itself were missing. */
function interpreterOf(file: string): string | undefined {
  const bytes = Buffer.alloc(FIRST_LINE_BYTES)
  let length = 0
  try {
    const handle = openSync(file, 'r')
    length = readSync(handle, bytes)
    closeSync(handle)
  } catch {
    return undefined
  }
  return bytes.toString('latin1', 0, length).match(/^#![ \t]*([^ \t\n\0]+)/)?.[1]
}

/**
 * `$1…` up to `--` are files that take a process into a cgroup. The write happens before the exec, so that nothing can fork
 * outside, and in the child, because the kernel makes the writer wait (0.4 to 0.8 ms measured, much longer on large
 * machines). Moving the child from here instead would cost that wait on swarm's own thread and still lose early forks.
 */
const ENTER = [
  'while [ "$1" != -- ]; do',
  'echo 0 2>/dev/null >"$1" || { echo "swarm: this process could not enter $1" >&2; exit 125; }; shift;',
  'done; shift; unset PWD OLDPWD SHLVL _; exec "$@"',
].join(' ')

/**
 * Names that some /bin/sh sets, changes, obeys or drops; those that are no identifiers are dropped by each. Whole names where others make
 * names of their own with the same beginning: MAILGUN_KEY and COMPANY_TOKEN are secrets.
 */
const SHELL_NAME =
  /^(_|IFS|PPID|PWD|OLDPWD|OPT(ARG|ERR|IND)|PS\d|SHLVL|E?UID|GROUPS|RANDOM|SRANDOM|SECONDS|LINENO|HIST(CHARS|CMD|CONTROL|FILE|FILESIZE|IGNORE|SIZE|TIMEFORMAT)|EPOCH(REALTIME|SECONDS)|FUNC(NAME|NEST)|DIRSTACK|BASH(OPTS|PID)?|BASH_\w+|SHELLOPTS|POSIX(LY_CORRECT|_\w+)|ENV|LC_\w+|LANGUAGE|MAIL(CHECK|PATH)?|PIPESTATUS|HOSTNAME|(HOST|MACH|OS)TYPE|COMP(REPLY|_CWORD|_KEY|_LINE|_POINT|_TYPE|_WORDBREAKS|_WORDS)|TMOUT|COLUMNS|LINES|TIMEFORMAT|GLOB(IGNORE|SORT)|INPUTRC|CDPATH|EXECIGNORE|FIGNORE|COPROC|FCEDIT|IGNOREEOF|READLINE_\w+|CHILD_MAX)$/
const IDENTIFIER = /^[A-Za-z_]\w*$/

/**
 * The same program behind the shell that enters `doors` first. The shell hands the environment through, except for names of
 * its own: these travel as arguments of `env`, which costs 0.3 ms and shows their values in the list of processes until it
 * execs. No such name is one for a secret.
 */
export function throughDoors(argv: Argv, doors: readonly string[], launcher: Launcher): Argv {
  const plain: Record<string, string> = {}
  const given: string[] = []
  for (const [name, value] of Object.entries(argv.env)) {
    if (IDENTIFIER.test(name) && !SHELL_NAME.test(name)) plain[name] = value
    else given.push(`${name}=${value}`)
  }
  const taken = launcher.adds.flatMap((name) => ['-u', name])
  const target = [argv.file, ...argv.args]
  const command =
    taken.length + given.length === 0 ? target : [launcher.env, ...taken, ...given, ...pathWithEquals(target, launcher)]
  return { file: launcher.shell, args: ['-c', ENTER, 'sh', ...doors, '--', ...command], env: plain }
}

/** `env` would take a path with `=` in it for a variable; a shell that only execs does not. */
function pathWithEquals(target: readonly string[], launcher: Launcher): readonly string[] {
  return target[0]?.includes('=') ? [launcher.shell, '-c', 'exec "$@"', 'sh', ...target] : target
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
