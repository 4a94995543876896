// A PostgreSQL of a bench's own, on its defaults: each commit is synced before it is acknowledged.
import { execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, readdirSync } from 'node:fs'
import { freePort, makeFolder, ownChild, removeFolder } from './child.ts'
import { note } from './figure.ts'

const HOME = '/usr/lib/postgresql'
/** As whom it runs where we are root, which it refuses to be. */
const USER = 'postgres'
/** For clients to leave before they are cut. */
const LEAVE_MS = 5000

export interface Postgres {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** Installs what is missing. */
export function installPostgres(): void {
  if (existsSync(HOME)) return
  note('installing postgresql')
  execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'postgresql'], { stdio: 'ignore' })
}

export async function startPostgres(): Promise<Postgres> {
  const [version = ''] = readdirSync(HOME).sort((one, other) => Number(other) - Number(one))
  const bin = `${HOME}/${version}/bin`
  const data = makeFolder()
  const isRoot = process.getuid?.() === 0
  if (isRoot) chownSync(data, idOf('-u'), idOf('-g'))
  const drop = isRoot ? ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--init-groups'] : []
  const line = (program: string, ...args: readonly string[]): readonly [string, string[]] => {
    const [first = '', ...rest] = [...drop, `${bin}/${program}`, ...args]
    return [first, rest]
  }
  execFileSync(...line('initdb', '-D', data, '-A', 'trust', '-U', USER), { stdio: 'ignore' })
  const port = await freePort()
  const options = ['-D', data, '-k', data, '-h', '127.0.0.1', '-p', String(port)]
  const child = spawn(...line('postgres', ...options), { stdio: 'ignore' })
  ownChild(child)
  const ended = new Promise((resolve) => child.once('exit', resolve))
  while (!isReady(bin, port)) await new Promise((resolve) => setTimeout(resolve, 50))
  return {
    url: `postgres://${USER}@127.0.0.1:${port}/postgres`,
    pid: child.pid ?? 0,
    async stop() {
      // Smart: who is still leaving may, for a pool whose client is cut throws out of nowhere.
      child.kill('SIGTERM')
      const cut = setTimeout(() => child.kill('SIGINT'), LEAVE_MS)
      await ended
      clearTimeout(cut)
      await removeFolder(data)
    },
  }
}

function isReady(bin: string, port: number): boolean {
  try {
    execFileSync(`${bin}/pg_isready`, ['-q', '-h', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const idOf = (which: '-u' | '-g') => Number(execFileSync('id', [which, USER], { encoding: 'utf8' }))
