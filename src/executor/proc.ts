// What Linux tells about processes in /proc. Only reading: who belongs to which job is decided in tree.ts.
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'

/** The fields of /proc/PID/stat that matter here. */
export interface ProcessStat {
  readonly pid: number
  /** One letter; `Z` and `X` are dead, whatever kill(pid, 0) says. */
  readonly state: string
  readonly parent: number
  readonly group: number
  readonly session: number
  /** Its own time and that of the children it has waited for, user and system. */
  readonly cpuMs: number
  /** Field 22, in clock ticks since boot. */
  readonly startTicks: number
}

/** The kernel reports ticks of 1/100 s to user space on every architecture that Node runs on. */
const TICK_MS = 10

/** The second field is the program's name in parentheses; it may hold spaces and parentheses, so the last `)` ends it. */
export function parseStat(text: string): ProcessStat | undefined {
  const nameEnd = text.lastIndexOf(')')
  const fields = text.slice(nameEnd + 2).split(' ')
  const [state, parent, group, session] = fields
  if (nameEnd < 0 || state === undefined || fields.length < 20) return undefined
  const ticks = Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])
  return {
    pid: Number.parseInt(text, 10),
    state,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    cpuMs: ticks * TICK_MS,
    startTicks: Number(fields[19]),
  }
}

/** Undefined when the process is gone, or where there is no /proc. */
export function readStat(pid: number): ProcessStat | undefined {
  let handle: number | undefined
  try {
    handle = openSync(`/proc/${pid}/stat`, 'r')
    return parseStat(page.toString('latin1', 0, readSync(handle, page)))
  } catch {
    return undefined
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
}

/** A stat line is some 300 bytes. One page for all of them: a scan reads every process, and takes half as long again with readFileSync. */
const page = Buffer.alloc(4096)

export function isAlive(stat: ProcessStat): boolean {
  return stat.state !== 'Z' && stat.state !== 'X'
}

/** Every process that can be seen, dead ones that nobody has waited for included. */
export function listProcesses(): ProcessStat[] {
  const found: ProcessStat[] = []
  for (const name of folderNames('/proc')) {
    if (name < '0' || name > ':') continue
    const stat = readStat(Number(name))
    if (stat !== undefined) found.push(stat)
  }
  return found
}

/** True when each of the `NAME=value` pairs stands in the environment that the process was started with. */
export function hasEnvironment(pid: number, pairs: readonly string[]): boolean {
  const text = read(`/proc/${pid}/environ`)
  if (text === undefined || text === '') return false
  const bounded = `\0${text}\0`
  return pairs.every((pair) => bounded.includes(`\0${pair}\0`))
}

/** The user that a process runs as. Its folder in /proc would tell another for one that hides its memory. */
export function userOf(pid: number): number | undefined {
  const uid = read(`/proc/${pid}/status`)?.match(/^Uid:\t(\d+)/m)?.[1]
  return uid === undefined ? undefined : Number(uid)
}

/** The most memory that the process ever had resident, in bytes; 0 when it is gone. */
export function peakMemory(pid: number): number {
  const line = read(`/proc/${pid}/status`)?.match(/^VmHWM:\s+(\d+) kB$/m)
  return line?.[1] === undefined ? 0 : Number(line[1]) * 1024
}

/** Differs after each reboot; empty where there is no /proc. */
export function readBootId(): string {
  return read('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
}

/** What `Trace.startTime` holds: it proves that a pid still means the same process. Empty where nothing can prove it. */
export function startTimeOf(bootId: string, stat: ProcessStat | undefined): string {
  return bootId === '' || stat === undefined ? '' : `${bootId}:${stat.startTicks}`
}

function folderNames(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** A process may end between any two looks at it, so a file that cannot be read is an answer, not an error. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
