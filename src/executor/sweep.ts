// What a former life of this home's swarm left running, found by its cgroups and its traces, and killed.
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { type Cgroup, cgroupMembers, findHierarchies, findLeft, type Naming, removeAll } from './cgroup.ts'
import type { Trace } from './contract.ts'
import { cgroupTree, scannedTree, wipeOut } from './kill.ts'
import { rootMarks } from './tree.ts'

export interface SweepParts {
  readonly clock: Clock
  readonly log: Log
  readonly naming: Naming
  readonly cgroupRoot: string
  readonly bootId: string
}

/**
 * Works on every rung, since the former swarm may have stood on another. Its cgroups are emptied first, then /proc is scanned
 * for what stood in none. Where nothing can prove that a pid is still the same process, nothing is killed by it. Resolves with
 * how many processes were killed.
 */
export function createSweep(parts: SweepParts): (traces: readonly Trace[]) => Promise<number> {
  return async (traces) => {
    const victims = await sweepCgroups(
      parts,
      traces.flatMap((trace) => trace.cgroups),
    )
    for (const trace of traces) for (const pid of await sweepTree(parts, trace)) victims.add(pid)
    return victims.size
  }
}

async function sweepCgroups(parts: SweepParts, traced: readonly string[]): Promise<Set<number>> {
  const left = findLeft(findHierarchies(parts.cgroupRoot), parts.naming, traced)
  const victims = new Set(left.flatMap(cgroupMembers))
  await clearAll(left, parts)
  return victims
}

/** Kills what stands in them, then removes them. */
export async function clearAll(
  cgroups: readonly Cgroup[],
  { clock, log }: Pick<SweepParts, 'clock' | 'log'>,
): Promise<void> {
  for (const cgroup of cgroups) {
    await wipeOut({ tree: cgroupTree(cgroup), rung: 'cgroup-v2', clock, log, jobId: cgroup.folder })
  }
  await removeAll(cgroups, { clock, log })
}

/** A trace without a pid is a claim whose process nobody wrote down: what carries the attempt in its environment is it. */
async function sweepTree({ clock, log, bootId }: SweepParts, trace: Trace): Promise<readonly number[]> {
  const { jobId, attempt, pid } = trace
  const [tracedBoot, ticks = pid === 0 ? '0' : undefined] = trace.startTime.split(':')
  if (bootId === '' || ticks === undefined) {
    log.warn('executor.sweep_unproven', { job: jobId, pid })
    return []
  }
  if (pid !== 0 && tracedBoot !== bootId) return []
  const tree = scannedTree({ pid, startTicks: Number(ticks), marks: rootMarks(jobId, attempt), ownsGroup: false })
  const victims = tree.members()
  await wipeOut({ tree, rung: 'proc-scan', clock, log, jobId })
  return victims
}
