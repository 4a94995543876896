// Which rung of the kill ladder holds on this machine: each is tried with a real process before it is relied on.
import { existsSync } from 'node:fs'
import {
  type CgroupCounters,
  type CgroupDuty,
  countMemory,
  findHierarchies,
  type Hierarchy,
  makeCgroup,
  type Naming,
  nextName,
  readCounters,
  removeCgroup,
} from './cgroup.ts'
import { SetupError } from './contract.ts'
import type { ProcessRung } from './kill.ts'
import { type Argv, codeOf, DEFAULT_PATH, findProgram, type Launcher, throughDoors } from './launch.ts'

export interface Ladder {
  readonly rung: ProcessRung
  /** Where each attempt gets a folder, the one that kills first; empty below the cgroup rungs. */
  readonly hierarchies: readonly Hierarchy[]
  /** Whether its cgroups leave cpu time or memory uncounted. */
  readonly sampled: boolean
  /** Present with the cgroup rungs. */
  readonly launcher?: Launcher
}

export interface SurveyParts {
  /** Runs a short program with no input; answers its stdout, or undefined unless it exits 0. */
  readonly run: (argv: Argv) => Promise<string | undefined>
  /** Only hierarchies mounted at or below it are tried. */
  readonly cgroupRoot: string
  readonly naming: Naming
  /** Tries this rung alone; rejects with SetupError when it does not hold. */
  readonly rung?: ProcessRung
}

const SHELL = '/bin/sh'

/** The best rung that holds. */
export async function surveyLadder(parts: SurveyParts): Promise<Ladder> {
  for (const rung of parts.rung === undefined ? LADDER : [parts.rung]) {
    const ladder = await tryRung(rung, parts)
    if (ladder !== undefined) return ladder
  }
  throw new SetupError(`this machine does not offer the rung ${parts.rung}`)
}

const LADDER: readonly ProcessRung[] = ['cgroup-v2', 'cgroup-v1', 'proc-scan', 'process-group']

async function tryRung(rung: ProcessRung, parts: SurveyParts): Promise<Ladder | undefined> {
  switch (rung) {
    case 'cgroup-v2':
      return await tryCgroups(rung, 'v2', parts)
    case 'cgroup-v1':
      return await tryCgroups(rung, 'freezer', parts)
    case 'proc-scan':
      return existsSync('/proc/self/environ') ? { rung, hierarchies: [], sampled: true } : undefined
    case 'process-group':
      return { rung, hierarchies: [], sampled: true }
    default:
      return rung satisfies never
  }
}

/** The killing hierarchy must hold; accounting is added where it holds and the killing one does not count already. */
async function tryCgroups(rung: ProcessRung, killing: CgroupDuty, parts: SurveyParts): Promise<Ladder | undefined> {
  const all = findHierarchies(parts.cgroupRoot)
  const launcher = await findLauncher(parts.run)
  const first = all.find((one) => one.duty === killing)
  if (first === undefined || launcher === undefined) return undefined
  if (killing === 'v2') countMemory(first.base)
  const killer = await tryHierarchy(first, launcher, parts)
  if (killer === undefined) return undefined
  let counted = killer
  const hierarchies = [first]
  for (const [duty, figure] of ACCOUNTING) {
    const more = all.find((one) => one.duty === duty)
    if (more === undefined || counted[figure] !== undefined) continue
    const counters = await tryHierarchy(more, launcher, parts)
    if (counters === undefined) continue
    hierarchies.push(more)
    counted = { ...counted, ...counters }
  }
  const sampled = counted.cpuMs === undefined || counted.maxMemoryBytes === undefined
  return { rung, hierarchies, sampled, launcher }
}

const ACCOUNTING = [
  ['cpuacct', 'cpuMs'],
  ['memory', 'maxMemoryBytes'],
] as const

/** Puts a real process into a real folder and lets it say where it stands; answers what the folder counted. */
async function tryHierarchy(
  hierarchy: Hierarchy,
  launcher: Launcher,
  { run, naming }: SurveyParts,
): Promise<CgroupCounters | undefined> {
  const name = nextName(naming)
  try {
    const cgroup = makeCgroup(hierarchy, name)
    try {
      const cat = { file: findProgram('cat', '/', DEFAULT_PATH), args: ['/proc/self/cgroup'], env: {} }
      const said = await run(throughDoors(cat, [`${cgroup.folder}/cgroup.procs`], launcher))
      return said?.includes(`/${name}\n`) ? readCounters([cgroup]) : undefined
    } finally {
      await removeCgroup(cgroup)
    }
  } catch (error) {
    if (codeOf(error) === undefined && !(error instanceof SetupError)) throw error
    return undefined
  }
}

/** Asks the shell itself what it adds to an empty environment: dash nothing, bash SHLVL. */
async function findLauncher(run: SurveyParts['run']): Promise<Launcher | undefined> {
  try {
    const env = findProgram('env', '/', DEFAULT_PATH)
    const shell = findProgram(SHELL, '/', DEFAULT_PATH)
    const said = await run(throughDoors({ file: env, args: [], env: {} }, [], { shell, env, adds: [] }))
    if (said === undefined) return undefined
    const adds = said.split('\n').flatMap((line) => (line.includes('=') ? [line.slice(0, line.indexOf('='))] : []))
    return { shell, env, adds }
  } catch (error) {
    if (error instanceof SetupError) return undefined
    throw error
  }
}
