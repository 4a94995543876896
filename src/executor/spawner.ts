// The plain starter: each job is spawned for itself, behind a shell that enters cgroups made for it where there are any.
import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { type Cgroup, type Hierarchy, makeCgroup, type Naming, nextName } from './cgroup.ts'
import { SetupError } from './contract.ts'
import { cgroupTree, groupTree, type ProcessRung, scannedTree, type Tree } from './kill.ts'
import { type Launcher, reasonOf, throughDoors } from './launch.ts'
import { streamOutlet } from './outlet.ts'
import { type ProcessStat, readStat } from './proc.ts'
import type { Ended, Order, Started, Starter } from './starter.ts'
import { rootMarks } from './tree.ts'

export type Execa = typeof import('execa').execa

export interface SpawnerParts {
  readonly execa: Execa
  readonly rung: ProcessRung
  readonly hierarchies: readonly Hierarchy[]
  readonly launcher?: Launcher
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
  const { execa, launcher, remove } = parts
  const doors = cgroups.map((cgroup) => `${cgroup.folder}/cgroup.procs`)
  const { file, args, env } = launcher === undefined ? order : throughDoors(order, doors, launcher)
  // execa takes any descriptor; its types name only some.
  const input = openSync(order.input, 'r')
  const child = execa(file, args, { ...SPAWN, stdio: [input as 3, 'pipe', 'pipe'], cwd: order.cwd, env })
  closeSync(input)
  const { pid } = child
  if (pid === undefined) {
    const failure = await child
    throw new SetupError(`cannot start ${order.file}: ${reasonOf(failure.cause ?? failure)}`)
  }
  // Nothing may be awaited before this point: a process that has ended by now still shows in /proc until it is waited for.
  const stat = readStat(pid)
  return {
    pid,
    stat,
    stdout: streamOutlet(child.stdout as Readable),
    stderr: streamOutlet(child.stderr as Readable),
    ended: new Promise((resolve) => child.on('exit', (code, signal) => resolve(endedBy(code, signal)))),
    tree: treeOf(parts.rung, { cgroups, order, pid, stat }),
    cgroups,
    before: { oomKills: 0 },
    release: () => remove(cgroups),
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
  return scannedTree({ pid, startTicks, marks: rootMarks(order.jobId, order.attempt), ownsGroup: true })
}
