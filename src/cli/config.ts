// Where pond is and who we are to it, in one order: flag, environment, `pond login`, the data folder of a pond on this host.
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseBaseUrl } from '../client/base-url.ts'
import type { ProxySettings } from '../client/proxy.ts'
import { systemDisk } from '../system/disk.ts'
import { Failure, usageFailure } from './failure.ts'
import type { Io } from './io.ts'

/** As the program hands them over: a variable of the environment already stands in for a flag that was not typed. */
export interface ConnectionFlags {
  readonly url?: string
  readonly tokenFile?: string
  readonly project?: string
  readonly home?: string
  readonly insecureHttp?: boolean
  readonly json?: boolean
}

export interface Connection {
  readonly url: string
  readonly token: string
  readonly project: string | undefined
  readonly insecureHttp: boolean
  /** The client's own folder. */
  readonly home: string
}

type Env = Io['env']

export async function resolveConnection(io: Io, flags: ConnectionFlags): Promise<Connection> {
  const home = clientHome(io.env, flags.home)
  const state = await readState(home)
  const local = await readLocal(io.env)
  const given = flags.url ?? state.current ?? local.url
  if (given === undefined) {
    throw usageFailure('no pond is known here', 'Give --url URL or POND_URL, or log in once: pond login URL.')
  }
  const url = checkUrl(given, flags.insecureHttp === true)
  const token = (await readToken(io, flags)) ?? state.ponds[url]?.token ?? (local.url === url ? local.token : undefined)
  if (token === undefined) {
    throw new Failure({
      what: `there is no token for ${url}`,
      next: 'Give POND_TOKEN or --token-file FILE, or log in once: pond login URL.',
      exit: 'unauthorised',
    })
  }
  return { url, token, project: flags.project, insecureHttp: flags.insecureHttp === true, home }
}

/** A flag or a variable that names a pond in a way that cannot be used is a mistake of the command line. */
export function checkUrl(text: string, insecureHttp: boolean): string {
  const base = parseBaseUrl(text, insecureHttp)
  if (base.ok) return base.url
  throw usageFailure(base.why, 'Give an https:// URL; for a trusted network --insecure-http allows http://.')
}

/** From a file (`-`: stdin), else from POND_TOKEN, else from the service manager's credentials folder. */
export async function readToken(io: Io, { tokenFile }: ConnectionFlags): Promise<string | undefined> {
  if (tokenFile === '') {
    throw usageFailure(
      'the name of the token file is empty',
      'Name a file with --token-file or POND_TOKEN_FILE, or leave both out.',
    )
  }
  if (tokenFile === '-') return checkToken((await io.stdin.readAll()).toString('utf8'), 'stdin')
  if (tokenFile !== undefined) return checkToken(await readText(tokenFile), tokenFile)
  const variable = present(io.env.POND_TOKEN)
  if (variable !== undefined) return checkToken(variable, 'POND_TOKEN')
  const folder = present(io.env.CREDENTIALS_DIRECTORY)
  const credential = folder && (await readOptional(join(folder, 'pond-token')))
  return credential ? checkToken(credential, 'pond-token') : undefined
}

/** The text itself never stands in the message. */
export function checkToken(text: string, from: string): string {
  const token = text.trim()
  if (/^[\x21-\x7e]+$/.test(token)) return token
  throw new Failure({
    what: `${from} holds no token`,
    next: 'A token is one line without blanks.',
    exit: 'unauthorised',
  })
}

export interface PondState {
  readonly token?: string
  readonly last_job?: string
  readonly last_array?: string
}

export interface State {
  readonly current?: string
  readonly ponds: Readonly<Record<string, PondState>>
}

const stateFile = (home: string) => join(home, 'config.json')

export async function readState(home: string): Promise<State> {
  const text = await readOptional(stateFile(home))
  return text === undefined ? { ponds: {} } : shapeOf(parseState(stateFile(home), text))
}

/** Keeps the token of a pond or the latest job; the file and its folder are for their owner only. */
export async function writeState(
  home: string,
  url: string,
  change: PondState & { readonly current?: boolean },
): Promise<void> {
  await systemDisk.makeFolder(home)
  const { current, ...pond } = change
  const before = await readState(home)
  const after: State = {
    ...before,
    ...(current ? { current: url } : {}),
    ponds: { ...before.ponds, [url]: { ...before.ponds[url], ...pond } },
  }
  const conf = await openConf(home)
  conf.store = after
}

/**
 * Loaded late and for writing only: it costs more than a whole verb that reads. What conf writes with delivers each first signal to this
 * process once more, so that one Ctrl-C would count as two; its handlers are taken off again.
 */
async function openConf(home: string): Promise<{ store: object }> {
  const before = new Set(signals.flatMap((signal) => process.listeners(signal)))
  const { default: Conf } = await import('conf')
  for (const signal of signals) {
    for (const listener of process.listeners(signal)) if (!before.has(listener)) process.off(signal, listener)
  }
  return new Conf<Record<string, unknown>>({ cwd: home, configName: 'config', configFileMode: 0o600 })
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function parseState(path: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const found: unknown = JSON.parse(text)
    if (typeof found === 'object' && found !== null) return { ...found }
    throw new Error('it holds no object')
  } catch (cause) {
    throw new Failure({ what: `could not read ${path}`, why: String(cause), next: 'Mend or remove the file.', cause })
  }
}

function shapeOf(store: Readonly<Record<string, unknown>>): State {
  const ponds = typeof store.ponds === 'object' && store.ponds !== null ? store.ponds : {}
  return { ponds: ponds as State['ponds'], ...(typeof store.current === 'string' ? { current: store.current } : {}) }
}

/** Where both spellings are set, the lower-case one counts, as for curl. */
export function readProxies(env: Env): ProxySettings {
  const of = (name: string) => present(env[name.toLowerCase()]) ?? present(env[name])
  const [https, http, no] = [of('HTTPS_PROXY'), of('HTTP_PROXY'), of('NO_PROXY')]
  return { ...(https && { https }), ...(http && { http }), ...(no && { no }) }
}

export interface ServiceManager {
  readonly socket: string
  readonly watchdogMs?: number
}

/** Undefined where no service manager waits to be told, or another process is the one that it watches. */
export function readServiceManager(env: Env, pid: number): ServiceManager | undefined {
  const socket = present(env.NOTIFY_SOCKET)
  if (socket === undefined) return undefined
  const watched = present(env.WATCHDOG_PID) === undefined || Number(env.WATCHDOG_PID) === pid
  const usec = Number(env.WATCHDOG_USEC)
  return { socket, ...(watched && usec > 0 && { watchdogMs: usec / 1000 }) }
}

export function clientHome(env: Env, flag?: string): string {
  return flag ?? join(present(env.XDG_CONFIG_HOME) ?? join(userHome(env), '.config'), 'pond')
}

export function poolHome(env: Env, flag?: string): string {
  const named = flag ?? present(env.STATE_DIRECTORY)
  return named ?? join(present(env.XDG_STATE_HOME) ?? join(userHome(env), '.local', 'state'), 'swarm')
}

/** `pond serve` leaves its URL and its first admin token in its data folder; only its own user can read them. */
async function readLocal(env: Env): Promise<{ url?: string; token?: string }> {
  const data = pondHome(env)
  const url = (await readOptional(join(data, 'url')))?.trim()
  const token = (await readOptional(join(data, 'admin-token')))?.trim()
  const base = url ? parseBaseUrl(url) : undefined
  return { ...(base?.ok ? { url: base.url } : {}), ...(token ? { token } : {}) }
}

/** Where `pond serve` of this user keeps its data. */
export function pondHome(env: Env): string {
  const named = present(env.POND_DATA) ?? present(env.STATE_DIRECTORY)
  return named ?? join(present(env.XDG_DATA_HOME) ?? join(userHome(env), '.local', 'share'), 'pond')
}

export function userHome(env: Env): string {
  return present(env.HOME) ?? homedir()
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new Failure({
      what: `could not read ${path}`,
      why: cause instanceof Error ? cause.message : String(cause),
      cause,
    })
  }
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return undefined
  }
}

const present = (value: string | undefined) => (value === '' ? undefined : value)
