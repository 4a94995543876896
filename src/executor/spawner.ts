// The plain starter: each job is spawned for itself, behind a shell that enters cgroups made for it where there are any, and behind
// what its sandbox takes: setpriv or bwrap.
import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { enclose } from './bubblewrap.ts'
import { type Cgroup, type Hierarchy, makeCgroup, type Naming, nextName } from './cgroup.ts'
import { SetupError } from './contract.ts'
import { cgroupTree, groupTree, keptTree, type ProcessRung, scannedTree, type Tree } from './kill.ts'
import { type Argv, type Launcher, reasonOf, throughDoors } from './launch.ts'
import { streamOutlet } from './outlet.ts'
import { type ProcessStat, readStat } from './proc.ts'
import type { Jail } from './sandbox.ts'
import type { Ended, Order, Started, Starter } from './starter.ts'
import { rootMarks } from './tree.ts'

export type Execa = typeof import('execa').execa

export interface SpawnerParts {
  readonly execa: Execa
  readonly rung: ProcessRung
  readonly hierarchies: readonly Hierarchy[]
  readonly launcher?: Launcher
  readonly jail: Jail
  readonly naming: Naming
  readonly remove: (cgroups: readonly Cgroup[]) => Promise<void>
}

export function createSpawner(parts: SpawnerParts): Starter {
  return {
    async start(order) {
      const cgroups = await makeCgroups(parts)
      try {
        return await spawn(parts, order, cgroups)
      } catch (error) {
        await parts.remove(cgroups)
        throw error
      }
    },
    close: async () => {},
  }
}

async function makeCgroups({ hierarchies, naming, remove }: SpawnerParts): Promise<Cgroup[]> {
  const made: Cgroup[] = []
  const name = nextName(naming)
  try {
    for (const hierarchy of hierarchies) made.push(makeCgroup(hierarchy, name))
    return made
  } catch (error) {
    await remove(made)
    throw new SetupError(`cannot make the job's cgroup: ${reasonOf(error)}`, { cause: error })
  }
}

async function spawn(parts: SpawnerParts, order: Order, cgroups: readonly Cgroup[]): Promise<Started> {
  const { execa, jail, launcher, remove } = parts
  const doors = cgroups.map((cgroup) => `${cgroup.folder}/cgroup.procs`)
  const { said, user, ...inside } = jailed(jail, order)
  const { file, args, env } = launcher === undefined ? inside : throughDoors(inside, doors, launcher)
  const input = openSync(order.input, 'r')
  // execa takes any descriptor; its types name only some.
  const three = [input as 3, 'pipe', 'pipe'] as const
  const stdio = said ? ([...three, 'pipe'] as const) : three
  const child = inPrivate(() => execa(file, args, { ...SPAWN, ...user, stdio, cwd: order.box.work, env }))
  closeSync(input)
  if (said) tell(child.stdio[3] as unknown as Writable, said)
  const { pid } = child
  if (pid === undefined) {
    const failure = await child
    throw new SetupError(`cannot start ${order.file}: ${reasonOf(failure.cause ?? failure)}`)
  }
  // Nothing may be awaited before this point: a process that has ended by now still shows in /proc until it is waited for.
  const stat = readStat(pid)
  const tree = treeOf(parts.rung, { cgroups, order, pid, stat })
  return {
    pid,
    stat,
    stdout: streamOutlet(child.stdout as Readable),
    stderr: streamOutlet(child.stderr as Readable),
    ended: new Promise((resolve) =>
      child.on('exit', (code, signal) => resolve(said ? endedInside(code, signal) : endedBy(code, signal))),
    ),
    tree: said ? keptTree(tree, pid) : tree,
    cgroups,
    before: { oomKills: 0 },
    release: () => remove(cgroups),
  }
}

interface Jailed extends Argv {
  /** For bwrap, over a pipe: among it is the job's environment, and every user of the machine may read its arguments. */
  readonly said?: readonly string[]
  /** From the first instruction on: nothing may run as root with an environment of the job's, which can name libraries to load. */
  readonly user?: { readonly uid: number; readonly gid: number }
}

function jailed(jail: Jail, order: Order): Jailed {
  const { file, args, env, box } = order
  switch (jail.kind) {
    case 'none':
      return { file, args, env }
    case 'uid': {
      const { uid } = box
      if (uid === undefined) throw new SetupError('there is no user for this job')
      return { file: jail.setpriv, args: ['--no-new-privs', '--', file, ...args], env, user: { uid, gid: uid } }
    }
    case 'bubblewrap': {
      // Never as bwrap's own environment, which would be obeyed outside.
      const pairs = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value])
      const said = [...enclose(jail.bubblewrap, box, order), ...pairs]
      return { file: jail.bubblewrap.file, args: ['--args', '3', '--', file, ...args], env: {}, said }
    }
    default:
      return jail satisfies never
  }
}

function tell(pipe: Writable, said: readonly string[]): void {
  // It may have ended before it read all.
  pipe.on('error', () => {})
  pipe.end(said.map((word) => `${word}\0`).join(''))
}

/** What a job leaves outside its own folders, nobody else can read, unless the job itself means it. A spawn takes the mask of its moment. */
export function inPrivate<T>(spawn: () => T): T {
  const before = process.umask(0o077)
  try {
    return spawn()
  } finally {
    process.umask(before)
  }
}

/** execa's conveniences are all off: own listeners on raw pipes cost nothing, buffering every byte a second time does. */
export const SPAWN = {
  detached: true,
  buffer: false,
  cleanup: false,
  encoding: 'buffer',
  reject: false,
  extendEnv: false,
  shell: false,
} as const

function endedBy(code: number | null, signal: NodeJS.Signals | null): Ended {
  return signal === null ? { rc: (code ?? 0) & 0xff } : { rc: 128 + constants.signals[signal], signal }
}

/** bwrap tells a signal as a shell does. */
function endedInside(code: number | null, signal: NodeJS.Signals | null): Ended {
  const name = Object.entries(constants.signals).find(([, number]) => 128 + number === code)?.[0]
  return code === null || name === undefined ? endedBy(code, signal) : { rc: code, signal: name }
}

interface TreeParts {
  readonly cgroups: readonly Cgroup[]
  readonly order: Order
  readonly pid: number
  readonly stat: ProcessStat | undefined
}

function treeOf(rung: ProcessRung, { cgroups, order, pid, stat }: TreeParts): Tree {
  const [killing] = cgroups
  const startTicks = stat?.startTicks ?? 0
  if (killing !== undefined) return cgroupTree(killing, { first: { pid, startTicks } })
  if (rung === 'process-group') return groupTree(pid)
  const marks = rootMarks(order.jobId, order.attempt)
  return scannedTree({ pid, startTicks, marks, ownsGroup: true, uid: order.box.uid })
}
