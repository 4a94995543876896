// Which sandbox holds on this machine: each is tried with a real process before it is relied on, and what stands between is told.
import { chmodSync, lchownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Sandbox } from '../protocol/field.ts'
import type { Clock } from '../system/clock.ts'
import { boxesInside } from './box.ts'
import { type Bubblewrap, enclose, FLAGS, foldersToHide } from './bubblewrap.ts'
import { type Naming, nextName } from './cgroup.ts'
import { SetupError } from './contract.ts'
import { type Argv, DEFAULT_PATH, findProgram, reasonOf } from './launch.ts'
import { boxesAt, makeOpen, openPlace, openUids, type Uids } from './uid.ts'

export type Jail =
  | { readonly kind: 'uid'; readonly setpriv: string; readonly uids: Uids }
  | { readonly kind: 'bubblewrap'; readonly bubblewrap: Bubblewrap }
  | { readonly kind: 'none'; readonly why: string }

export interface Held {
  readonly jail: Jail
  /** Where boxes are made. */
  readonly boxRoot: string
}

export interface JailParts {
  readonly clock: Clock
  readonly naming: Naming
  /** Runs a short program with no input; answers its stdout, or undefined unless it exits 0. */
  readonly run: (argv: Argv) => Promise<string | undefined>
  readonly home: string
  /** Where jobs that are users of their own have their boxes. */
  readonly place: string
  /** Folders that a job in bubblewrap must not see, beside the home. */
  readonly hidden: readonly string[]
  /** Tries this one alone; rejects with SetupError when it does not hold. */
  readonly sandbox?: Sandbox
}

/** What must fail and what must not: to read a file of swarm's, `$1`, and to write to a folder of its own, `$2`. */
const TRIAL = 'if cat "$1" 2>/dev/null; then exit 1; fi; cd "$2" && echo >"$2/trial" && echo held'

/** The sandbox that holds. Root gives each job a user; bubblewrap under root would leave the job root's real number. */
export async function surveyJails(parts: JailParts): Promise<Held> {
  const { sandbox = process.getuid?.() === 0 ? 'uid' : 'bubblewrap' } = parts
  try {
    mkdirSync(parts.home, { recursive: true, mode: 0o700 })
    if (sandbox === 'uid') return await tryUid(parts)
    if (sandbox === 'bubblewrap') return await tryBubblewrap(parts)
    return without(parts, 'none was asked for')
  } catch (error) {
    if (!(error instanceof SetupError) || parts.sandbox !== undefined) throw error
    return without(parts, reasonOf(error))
  }
}

function without({ home }: JailParts, why: string): Held {
  return { jail: { kind: 'none', why }, boxRoot: boxesInside(home) }
}

async function tryUid(parts: JailParts): Promise<Held> {
  const { clock, home, naming, run } = parts
  if (process.getuid?.() !== 0) throw new SetupError('only root can give each job a user of its own')
  const setpriv = findProgram('setpriv', '/', DEFAULT_PATH)
  const place = openPlace(parts.place)
  const uids = await openUids({ place, clock })
  const boxRoot = boxesAt(place, naming)
  makeOpen(boxRoot)
  // A service manager may have made it for all to read.
  chmodSync(home, 0o700)
  const held = await tryOut(boxRoot, parts, (secret, folder) => {
    const uid = uids.next()
    lchownSync(folder, uid, uid)
    const { file, args, env } = trialOf(secret, folder)
    const drop = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs', '--']
    return run({ file: setpriv, args: [...drop, file, ...args], env })
  })
  if (!held) throw new SetupError('setpriv could not start a process as another user')
  return { jail: { kind: 'uid', setpriv, uids }, boxRoot }
}

async function tryBubblewrap(parts: JailParts): Promise<Held> {
  const { home, run } = parts
  if (process.getuid?.() === 0) throw new SetupError('root gives each job a user of its own instead of bubblewrap')
  const file = findProgram('bwrap', '/', DEFAULT_PATH)
  const hidden = foldersToHide([home, ...parts.hidden])
  const boxRoot = boxesInside(home)
  mkdirSync(boxRoot, { recursive: true, mode: 0o700 })
  for (const flags of FLAGS) {
    const bubblewrap = { file, flags, hidden }
    const held = await tryOut(boxRoot, parts, (secret, folder) => {
      const box = { folder, work: folder, tmp: folder }
      const trial = trialOf(secret, folder)
      return run({
        file,
        args: [...enclose(bubblewrap, box, { network: 'host', devices: [] }), '--', trial.file, ...trial.args],
        env: {},
      })
    })
    if (held) return { jail: { kind: 'bubblewrap', bubblewrap }, boxRoot }
  }
  throw new SetupError('bwrap is installed and cannot make a namespace here')
}

const trialOf = (secret: string, folder: string): Argv => ({
  file: '/bin/sh',
  args: ['-c', TRIAL, 'sh', secret, folder],
  env: { PATH: DEFAULT_PATH },
})

async function tryOut(
  root: string,
  { home, naming }: JailParts,
  run: (secret: string, folder: string) => Promise<string | undefined>,
): Promise<boolean> {
  const name = nextName(naming)
  const [secret, folder] = [join(home, name), join(root, name)]
  mkdirSync(folder, 0o700)
  try {
    writeFileSync(secret, 'read', { mode: 0o600 })
    return (await run(secret, folder)) === 'held\n'
  } finally {
    rmSync(secret, { force: true })
    rmSync(folder, { recursive: true, force: true })
  }
}
