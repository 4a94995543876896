// Control groups of both versions: finding where folders may be made, making one for each attempt, emptying and counting it.
// Which rung of the ladder is used is decided in kill.ts.
import { hash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Clock, sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'

export const CGROUP_ROOT = '/sys/fs/cgroup'

/** What a folder's files can do for us. A hybrid machine kills by version 2 and counts memory by version 1. */
export type CgroupDuty = 'v2' | 'freezer' | 'cpuacct' | 'memory'

/** One hierarchy at the place where swarm itself stands in it, so that the limits set on swarm hold for its jobs too. */
export interface Hierarchy {
  readonly duty: CgroupDuty
  readonly base: string
}

/** A folder in one hierarchy. */
export interface Cgroup {
  readonly duty: CgroupDuty
  readonly folder: string
  /** Files that are open, by name; undefined for what this kernel does not offer. */
  readonly files?: ReadonlyMap<string, number | undefined>
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

/**
 * Folders are named by the home whose swarm makes them, then by the life of that swarm: so a later life finds what an earlier
 * one left, two swarms of one machine keep apart, and a folder that somebody else made is never touched.
 */
export interface Naming {
  readonly home: string
  readonly life: string
}

/** `home` is the path of the pool's home; `startTicks` those of this very process. */
export function namingOf(home: string, startTicks: number): Naming {
  const mark = hash('sha256', home, 'hex').slice(0, 12)
  return { home: `pond-${mark}-`, life: `pond-${mark}-${process.pid}.${startTicks}-` }
}

let made = 0
export function nextName({ life }: Naming): string {
  made += 1
  return `${life}${made}`
}

/** Throws what the file system says. */
export function makeCgroup({ duty, base }: Hierarchy, name: string): Cgroup {
  const folder = join(base, name)
  mkdirSync(folder, 0o700)
  return { duty, folder }
}

/** What earlier lives of this home left, here and where `traced` says that they stood. No trace can aim us at a folder of others. */
export function findLeft(hierarchies: readonly Hierarchy[], naming: Naming, traced: readonly string[]): Cgroup[] {
  const here = hierarchies.flatMap(({ base }) => foldersIn(base))
  const left = [...here, ...traced].filter((folder) => {
    const name = basename(folder)
    return name.startsWith(naming.home) && !name.startsWith(naming.life) && existsSync(join(folder, 'cgroup.procs'))
  })
  return [...new Set(left)].map((folder) => ({ duty: dutyOf(folder), folder }))
}

function dutyOf(folder: string): CgroupDuty {
  if (existsSync(join(folder, 'freezer.state'))) return 'freezer'
  if (existsSync(join(folder, 'cgroup.events'))) return 'v2'
  return existsSync(join(folder, 'cpuacct.usage')) ? 'cpuacct' : 'memory'
}

/** What is read for each job, and written where a peak is lowered. Version 1 remembers its list of processes for a second after it was read, for who holds it open: there it is opened anew. */
const OFTEN: Readonly<Record<CgroupDuty, readonly string[]>> = {
  v2: ['cgroup.procs', 'cpu.stat', 'memory.peak', 'memory.events'],
  freezer: [],
  cpuacct: ['cpuacct.usage'],
  memory: ['memory.max_usage_in_bytes', 'memory.oom_control'],
}

/** The same with its files at hand, for a folder that serves one job after the other: to open one costs as much as to read it. */
export function openFiles(cgroup: Cgroup): Cgroup {
  const { duty, folder } = cgroup
  const open = (name: string) =>
    // Which may be there to be read and not to be lowered.
    (name === PEAK[duty] ? openThere(join(folder, name), 'r+') : undefined) ?? openThere(join(folder, name), 'r')
  return { ...cgroup, files: new Map(OFTEN[duty].map((name) => [name, open(name)])) }
}

function openThere(path: string, flags: 'r' | 'r+'): number | undefined {
  try {
    return openSync(path, flags)
  } catch {
    return undefined
  }
}

export function closeFiles({ files = new Map() }: Cgroup): void {
  for (const fd of files.values()) if (fd !== undefined) closeSync(fd)
}

const PEAK: Readonly<Partial<Record<CgroupDuty, string>>> = { v2: 'memory.peak', memory: 'memory.max_usage_in_bytes' }

/** Lowers the peak to what is in use now; false where the kernel does not. Version 2 does since Linux 6.12, for who asks through the same descriptor. */
export function lowerPeak({ duty, files }: Cgroup): boolean {
  const fd = files?.get(PEAK[duty] ?? '')
  try {
    if (fd !== undefined) writeSync(fd, '0', 0)
    return true
  } catch {
    return false
  }
}

/** A process may make folders below its own: they count as one with it. A pid of 0 stands in another pid namespace. */
export function cgroupMembers(cgroup: Cgroup): number[] {
  const inner = hasFolders(cgroup.folder) ? foldersIn(cgroup.folder).flatMap(foldersOf) : []
  const lines = [linesIn(cgroup, 'cgroup.procs'), ...inner.map((folder) => linesOf(join(folder, 'cgroup.procs')))]
  return lines
    .flat()
    .map(Number)
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

/** A folder is busy for a moment after its last process died. */
const REMOVE_TRIES = 20
const REMOVE_PAUSE_MS = 10

export async function removeAll(
  cgroups: readonly Cgroup[],
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  for (const cgroup of cgroups) {
    let removed = await removeCgroup(cgroup)
    for (let tries = 0; !removed && tries < REMOVE_TRIES; tries += 1) {
      await sleep(clock, REMOVE_PAUSE_MS)
      removed = await removeCgroup(cgroup)
    }
    if (!removed) log.warn('executor.cgroup_left', { folder: cgroup.folder })
  }
}

/** What the folders of one attempt counted together; a figure that none of them has is left out. */
export function readCounters(cgroups: readonly Cgroup[]): CgroupCounters {
  let counters: CgroupCounters = { oomKills: 0 }
  for (const cgroup of cgroups) counters = { ...counters, ...readCounter(cgroup) }
  return counters
}

function readCounter(cgroup: Cgroup): Partial<CgroupCounters> {
  const { duty } = cgroup
  if (duty === 'freezer') return {}
  if (duty === 'cpuacct') {
    const nanoseconds = numberIn(cgroup, 'cpuacct.usage')
    return nanoseconds === undefined ? {} : { cpuMs: nanoseconds / 1e6 }
  }
  const most = numberIn(cgroup, PEAK[duty] ?? '')
  const memory = most === undefined ? {} : { maxMemoryBytes: most }
  if (duty === 'memory') return { oomKills: namedNumber(cgroup, 'memory.oom_control', 'oom_kill') ?? 0, ...memory }
  const microseconds = namedNumber(cgroup, 'cpu.stat', 'usage_usec')
  const oomKills = namedNumber(cgroup, 'memory.events', 'oom_kill')
  return {
    ...memory,
    ...(microseconds === undefined ? {} : { cpuMs: microseconds / 1000 }),
    ...(oomKills === undefined ? {} : { oomKills }),
  }
}

/** The folder itself and all below it, parents first. */
function foldersOf(folder: string): string[] {
  return [folder, ...foldersIn(folder).flatMap(foldersOf)]
}

/** A look at the count of links costs a fifth of reading the folder. Where it tells nothing, the folder is read. */
function hasFolders(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.nlink !== LINKS_OF_A_LEAF
}

const LINKS_OF_A_LEAF = 2

function foldersIn(folder: string): string[] {
  try {
    const inner = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return inner.map((entry) => join(folder, entry.name))
  } catch {
    return []
  }
}

function numberIn(cgroup: Cgroup, name: string): number | undefined {
  const [line] = linesIn(cgroup, name)
  return line === undefined ? undefined : Number(line)
}

function namedNumber(cgroup: Cgroup, file: string, name: string): number | undefined {
  const line = linesIn(cgroup, file).find((one) => one.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}

/** Of a file of its own: through its descriptor where it is open. */
function linesIn({ folder, files }: Cgroup, name: string): string[] {
  const file = `${folder}/${name}`
  const open = files?.get(name)
  if (open === undefined && files?.has(name)) return []
  const fd = open ?? openThere(file, 'r')
  if (fd === undefined) return []
  try {
    const length = readSync(fd, page, 0, page.length, 0)
    // The kernel gives whole lines. A list that may go on is read the long way.
    if (length >= page.length - LONGEST_LINE_BYTES) return linesOf(file)
    return splitLines(page.toString('latin1', 0, length))
  } catch {
    return []
  } finally {
    if (open === undefined) closeSync(fd)
  }
}

const page = Buffer.alloc(4096)
const LONGEST_LINE_BYTES = 256

const splitLines = (text: string) => text.split('\n').filter((line) => line !== '')

function readWords(file: string): string[] {
  return linesOf(file).flatMap((line) => line.split(' '))
}

/** A file that is not there has no lines: kernels differ in what they offer. */
function linesOf(file: string): string[] {
  try {
    return splitLines(readFileSync(file, 'utf8'))
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
