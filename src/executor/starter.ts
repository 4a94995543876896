// The contract of starters: how an order becomes a first process whose tree can be followed. Spawned for itself, or born in a berth.
import type { Box } from './box.ts'
import type { Outside } from './bubblewrap.ts'
import type { Cgroup, CgroupCounters } from './cgroup.ts'
import type { Tree } from './kill.ts'
import type { Argv } from './launch.ts'
import type { Outlet } from './outlet.ts'
import type { ProcessStat } from './proc.ts'

export interface Order extends Argv, Outside {
  /** `work` is where it starts. */
  readonly box: Pick<Box, 'folder' | 'work' | 'home' | 'tmp' | 'uid'>
  /** The file that becomes stdin. */
  readonly input: string
  readonly jobId: string
  readonly attempt: number
}

/** How the first process ended. */
export interface Ended {
  /** 0–255; for a signal 128 + its number. */
  readonly rc: number
  readonly signal?: string
}

export interface Started {
  readonly pid: number
  /** Undefined when it has ended and was waited for by now. */
  readonly stat: ProcessStat | undefined
  readonly stdout: Outlet
  readonly stderr: Outlet
  readonly ended: Promise<Ended>
  readonly tree: Tree
  readonly cgroups: readonly Cgroup[]
  /** What the cgroups had counted before it. */
  readonly before: CgroupCounters
  /** Called once nothing of the tree lives and its figures were read. */
  release(): Promise<void>
}

export interface Starter {
  /** Rejects with SetupError when nothing was started. */
  start(order: Order): Promise<Started>
  /** Gives back what it keeps for the next start. */
  close(): Promise<void>
}
