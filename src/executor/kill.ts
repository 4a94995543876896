// The ladder of whole-tree kill: which rung this machine has, and one attempt's tree on each rung, signalled and wiped out.
import { type Clock, sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { type Cgroup, cgroupMembers, killCgroup } from './cgroup.ts'
import type { TreeRung } from './contract.ts'
import { isAlive, listProcesses, readStat } from './proc.ts'
import { findMembers, type Known, type TreeRoot } from './tree.ts'

/** `pid-namespace` is not here: it takes an executor that makes one. */
export type ProcessRung = Exclude<TreeRung, 'pid-namespace'>

export interface Tree {
  /** Pids of its living processes, as far as the rung sees them. */
  members(): readonly number[]
  /** To each member once. */
  signal(name: NodeJS.Signals): void
  /** One round of SIGKILL; answers how many it found alive, so 0 is a clean look. */
  strike(): number
}

/**
 * A single clean look at /proc can miss a parent that forked behind it and ended before it; a cgroup's list has no such gap.
 * A look costs 0.4 to 0.7 ms with 93 processes on the machine, so a start on this rung costs swarm's own thread 2.3 ms
 * instead of the 1.4 ms on a cgroup.
 */
const CLEAN_LOOKS = { 'cgroup-v2': 1, 'cgroup-v1': 1, 'proc-scan': 2, 'process-group': 1 } as const
const LONGEST_PAUSE_MS = 100
/** A process in an uninterruptible system call dies only when the kernel lets it; somebody should know. */
const OVERDUE_MS = 10_000
/** A storm of forks is over once a look finds nothing new; more looks than this are left to the next round. */
const MOST_STOP_LOOKS = 50

export interface WipeParts {
  readonly tree: Tree
  readonly rung: ProcessRung
  readonly clock: Clock
  readonly log: Log
  readonly jobId: string
}

/** Strikes until nothing of the tree lives; resolves with how many were found alive at once, at most. */
export async function wipeOut({ tree, rung, clock, log, jobId }: WipeParts): Promise<number> {
  const started = clock.monotonic()
  let most = 0
  let clean = 0
  let pauseMs = 1
  let warned = false
  for (;;) {
    const alive = tree.strike()
    most = Math.max(most, alive)
    clean = alive === 0 ? clean + 1 : 0
    if (clean >= CLEAN_LOOKS[rung]) return most
    if (alive === 0) continue
    if (!warned && clock.monotonic() - started > OVERDUE_MS) {
      log.warn('executor.kill_overdue', { job: jobId, alive })
      warned = true
    }
    await sleep(clock, pauseMs)
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
  }
}

export interface CgroupRoot {
  /** The first process. Until it has entered it is in no list, and a kill that comes so early must not find nothing. It cannot fork before it is in. */
  readonly first?: Pick<TreeRoot, 'pid' | 'startTicks'>
  /** Stands inside too and is none of the job's. */
  readonly besides?: number
}

/** The tree of a job that stands in a cgroup. */
export function cgroupTree(cgroup: Cgroup, { first, besides }: CgroupRoot = {}): Tree {
  const members = () => {
    const inside = cgroupMembers(cgroup).filter((pid) => pid !== besides)
    const outside = first === undefined || inside.includes(first.pid) ? undefined : readStat(first.pid)
    if (outside === undefined || outside.startTicks !== first?.startTicks || !isAlive(outside)) return inside
    return [outside.pid, ...inside]
  }
  return {
    members,
    signal(name) {
      for (const pid of members()) send(pid, name)
    },
    strike() {
      const alive = members()
      if (alive.length > 0) killCgroup(cgroup, (pid) => pid === besides || send(pid, 'SIGKILL'))
      if (first !== undefined && alive.includes(first.pid)) send(first.pid, 'SIGKILL')
      return alive.length
    },
  }
}

/** The tree as /proc shows it. Its limits stand in tree.ts. */
export function scannedTree(root: TreeRoot): Tree {
  const known: Known = new Map()
  return {
    members: () => findMembers(root, known).map((one) => one.pid),
    signal(name) {
      for (const one of findMembers(root, known)) sendTo(one, name)
    },
    /** Stopping all before killing any keeps every parent in place, so that /proc still tells whose child is whose. */
    strike() {
      const stopped = new Set<number>()
      let members = findMembers(root, known)
      for (let looks = 0; looks < MOST_STOP_LOOKS; looks += 1) {
        const fresh = members.filter((one) => !stopped.has(one.pid))
        if (fresh.length === 0) break
        for (const one of fresh) {
          sendTo(one, 'SIGSTOP')
          stopped.add(one.pid)
        }
        members = findMembers(root, known)
      }
      for (const one of members) sendTo(one, 'SIGKILL')
      return members.length
    },
  }
}

/** A tree whose first process only keeps the others: their end is its end and the other way round, so that it hears nothing but the last signal. */
export function keptTree(tree: Tree, keeper: number): Tree {
  return {
    ...tree,
    signal(name) {
      for (const pid of tree.members()) if (pid !== keeper) send(pid, name)
    },
  }
}

/** All that a system without /proc offers: a process that leaves the group is out of reach. */
export function groupTree(rootPid: number): Tree {
  return {
    members: () => groupMembers(rootPid),
    signal(name) {
      send(-rootPid, name)
    },
    strike: () => (send(-rootPid, 'SIGKILL') ? groupMembers(rootPid).length : 0),
  }
}

/** A group of zombies can be signalled for as long as nobody waits for them; where /proc tells, they do not count. */
function groupMembers(rootPid: number): number[] {
  const all = listProcesses()
  if (all.length === 0) return send(-rootPid, 0) ? [rootPid] : []
  return all.filter((one) => one.group === rootPid && isAlive(one)).map((one) => one.pid)
}

/** The pid may have been given away since the look: its start time is compared once more, right before the signal. */
function sendTo(target: { pid: number; startTicks: number }, name: NodeJS.Signals): void {
  if (readStat(target.pid)?.startTicks === target.startTicks) send(target.pid, name)
}

/** False when there is nothing to signal any more; a group of zombies is refused on some systems, and is nothing too. */
function send(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch {
    return false
  }
}
