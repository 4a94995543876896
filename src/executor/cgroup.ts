// Control groups of both versions: finding where folders may be made, making one for each attempt, emptying and counting it.
// Which rung of the ladder is used is decided in kill.ts.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** What a folder's files can do for us. A hybrid machine kills by version 2 and counts memory by version 1. */
export type CgroupDuty = 'v2' | 'freezer' | 'cpuacct' | 'memory'

/** One hierarchy at the place where swarm itself stands in it, so that the limits set on swarm hold for its jobs too. */
export interface Hierarchy {
  readonly duty: CgroupDuty
  readonly base: string
}

/** The folder of one attempt in one hierarchy. */
export interface Cgroup {
  readonly duty: CgroupDuty
  readonly folder: string
}

export interface CgroupCounters {
  readonly cpuMs?: number
  readonly maxMemoryBytes?: number
  /** How many of its processes the kernel killed for want of memory. */
  readonly oomKills: number
}

/** The hierarchies mounted at or below `mountRoot`, whether or not swarm may write there. */
export function findHierarchies(mountRoot: string): Hierarchy[] {
  const own = ownPaths()
  const found: Hierarchy[] = []
  for (const line of linesOf('/proc/self/mountinfo')) {
    const [front = '', back = ''] = line.split(' - ')
    const [, , , root = '/', point = ''] = front.split(' ')
    const [type, , options = ''] = back.split(' ')
    if (point !== mountRoot && !point.startsWith(`${mountRoot}/`)) continue
    for (const duty of dutiesOf(type, options)) {
      const path = own.get(duty === 'v2' ? '' : duty)
      if (path !== undefined) found.push({ duty, base: join(point, root === '/' ? path : path.replace(root, '')) })
    }
  }
  return found
}

function dutiesOf(type: string | undefined, options: string): CgroupDuty[] {
  if (type === 'cgroup2') return ['v2']
  if (type !== 'cgroup') return []
  const controllers = options.split(',')
  return (['freezer', 'cpuacct', 'memory'] as const).filter((duty) => controllers.includes(duty))
}

/** Controller → path from /proc/self/cgroup; version 2 stands under the empty name. */
function ownPaths(): Map<string, string> {
  const paths = new Map<string, string>()
  for (const line of linesOf('/proc/self/cgroup')) {
    const [, controllers = '', ...path] = line.split(':')
    for (const name of controllers.split(',')) paths.set(name, path.join(':'))
  }
  return paths
}

/** Asks version 2 to count memory below `base`. Refused where processes stand in `base` itself; then memory is sampled. */
export function countMemory(base: string): void {
  if (readWords(join(base, 'cgroup.controllers')).includes('memory'))
    writeLine(join(base, 'cgroup.subtree_control'), '+memory')
}

export function cgroupName(claimId: string): string {
  return `pond-${claimId}`
}

/** Throws what the file system says. A folder that a former run left empty is made anew, so that its counters start at 0. */
export function makeCgroup(hierarchy: Hierarchy, name: string): Cgroup {
  const folder = join(hierarchy.base, name)
  try {
    mkdirSync(folder, 0o700)
  } catch (error) {
    if (!existsSync(folder)) throw error
    rmdirSync(folder)
    mkdirSync(folder, 0o700)
  }
  return { duty: hierarchy.duty, folder }
}

/** A folder that a trace names; undefined when it is not the claim's own, or gone, so that no journal can aim us at another. */
export function adoptCgroup(folder: string, claimId: string): Cgroup | undefined {
  if (basename(folder) !== cgroupName(claimId) || !existsSync(join(folder, 'cgroup.procs'))) return undefined
  if (existsSync(join(folder, 'freezer.state'))) return { duty: 'freezer', folder }
  if (existsSync(join(folder, 'cgroup.events'))) return { duty: 'v2', folder }
  return { duty: existsSync(join(folder, 'cpuacct.usage')) ? 'cpuacct' : 'memory', folder }
}

/** A process may make folders below its own: they count as one with it. A pid of 0 stands in another pid namespace. */
export function cgroupMembers(cgroup: Cgroup): number[] {
  return foldersOf(cgroup.folder)
    .flatMap((folder) => linesOf(join(folder, 'cgroup.procs')).map(Number))
    .filter((pid) => pid > 0)
}

/**
 * One round of SIGKILL to all inside. `cgroup.kill` reaches forks in flight; without it the group is frozen first, so that
 * nothing forks away between the list and the signals. The signals work when it thaws.
 */
export function killCgroup(cgroup: Cgroup, send: (pid: number) => void): void {
  if (cgroup.duty === 'v2' && writeLine(join(cgroup.folder, 'cgroup.kill'), '1')) return
  const [file, frozen, thawed] =
    cgroup.duty === 'v2' ? ['cgroup.freeze', '1', '0'] : ['freezer.state', 'FROZEN', 'THAWED']
  writeLine(join(cgroup.folder, file), frozen)
  for (const pid of cgroupMembers(cgroup)) send(pid)
  writeLine(join(cgroup.folder, file), thawed)
}

/**
 * False while something inside still dies: then try again. Not on swarm's own thread: taking a memory folder away keeps the
 * kernel busy for 0.2 ms and more.
 */
export async function removeCgroup(cgroup: Cgroup): Promise<boolean> {
  for (const folder of foldersOf(cgroup.folder).reverse()) {
    try {
      await rmdir(folder)
    } catch {
      return !existsSync(folder)
    }
  }
  return true
}

/** What the folders of one attempt counted together; a figure that none of them has is left out. */
export function readCounters(cgroups: readonly Cgroup[]): CgroupCounters {
  let counters: CgroupCounters = { oomKills: 0 }
  for (const { duty, folder } of cgroups) counters = { ...counters, ...readCounter(duty, folder) }
  return counters
}

function readCounter(duty: CgroupDuty, folder: string): Partial<CgroupCounters> {
  if (duty === 'freezer') return {}
  if (duty === 'cpuacct') {
    const nanoseconds = numberIn(join(folder, 'cpuacct.usage'))
    return nanoseconds === undefined ? {} : { cpuMs: nanoseconds / 1e6 }
  }
  if (duty === 'memory') {
    const most = numberIn(join(folder, 'memory.max_usage_in_bytes'))
    const oomKills = namedNumber(join(folder, 'memory.oom_control'), 'oom_kill') ?? 0
    return most === undefined ? { oomKills } : { maxMemoryBytes: most, oomKills }
  }
  const microseconds = namedNumber(join(folder, 'cpu.stat'), 'usage_usec')
  const most = numberIn(join(folder, 'memory.peak'))
  const oomKills = namedNumber(join(folder, 'memory.events'), 'oom_kill')
  return {
    ...(microseconds === undefined ? {} : { cpuMs: microseconds / 1000 }),
    ...(most === undefined ? {} : { maxMemoryBytes: most }),
    ...(oomKills === undefined ? {} : { oomKills }),
  }
}

/** The folder itself and all below it, parents first. */
function foldersOf(folder: string): string[] {
  try {
    const inner = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return [folder, ...inner.flatMap((entry) => foldersOf(join(folder, entry.name)))]
  } catch {
    return []
  }
}

function numberIn(file: string): number | undefined {
  const [line] = linesOf(file)
  return line === undefined ? undefined : Number(line)
}

function namedNumber(file: string, name: string): number | undefined {
  const line = linesOf(file).find((one) => one.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}

function readWords(file: string): string[] {
  return linesOf(file).flatMap((line) => line.split(' '))
}

/** A file that is not there has no lines: kernels differ in what they offer. */
function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  } catch {
    return []
  }
}

/** Never makes a file: one that the kernel does not offer is a no. */
function writeLine(file: string, line: string): boolean {
  try {
    writeFileSync(file, line, { flag: 'r+' })
    return true
  } catch {
    return false
  }
}
