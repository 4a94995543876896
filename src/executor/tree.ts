// Which processes belong to a job, by a scan of /proc. Nothing is signalled here.
//
// A process counts as the job's if it is the first process, stands in its session or process group, carries the job's
// POND_JOB_ID and POND_ATTEMPT in its environment, was seen as a member before, or descends from one of these. Out of
// reach is only a process that changed its session, cleared its environment and lost its parent between two looks:
// that one takes a cgroup, or a user of its own: whom no process of the job can leave, so that all of that user are the job's.
import { hasEnvironment, isAlive, listProcesses, type ProcessStat, userOf } from './proc.ts'

export interface TreeRoot {
  readonly pid: number
  readonly startTicks: number
  /** `NAME=value` pairs that no other attempt on this machine has. */
  readonly marks: readonly string[]
  /** Whether a session and group numbered like the root are its own even after the root has gone. Only its parent knows. */
  readonly ownsGroup: boolean
  /** The user that this job alone runs as. */
  readonly uid?: number | undefined
}

/** Members seen so far, pid → start ticks: a process that loses its parent later is still known by it. */
export type Known = Map<number, number>

export function rootMarks(jobId: string, attempt: number): readonly string[] {
  return [`POND_JOB_ID=${jobId}`, `POND_ATTEMPT=${attempt}`]
}

/** The living members now. Adds what it finds to `known`. */
export function findMembers(root: TreeRoot, known: Known): ProcessStat[] {
  const candidates = listProcesses().filter((one) => one.startTicks >= root.startTicks && one.pid !== process.pid)
  const atRoot = candidates.find((one) => one.pid === root.pid)
  const rootHeld = atRoot !== undefined && atRoot.startTicks === root.startTicks
  const groupIsOurs = rootHeld || (root.ownsGroup && atRoot === undefined)
  const isMarked = (pid: number) =>
    root.uid === undefined ? hasEnvironment(pid, root.marks) : userOf(pid) === root.uid
  const isKin = (one: ProcessStat): boolean => {
    if (groupIsOurs && (one.pid === root.pid || one.session === root.pid || one.group === root.pid)) return true
    return known.get(one.pid) === one.startTicks || (isAlive(one) && isMarked(one.pid))
  }
  const members = new Map<number, ProcessStat>()
  for (const one of candidates) if (isKin(one)) members.set(one.pid, one)
  addDescendants(members, candidates)
  for (const one of members.values()) known.set(one.pid, one.startTicks)
  return [...members.values()].filter(isAlive)
}

function addDescendants(members: Map<number, ProcessStat>, candidates: readonly ProcessStat[]): void {
  let before: number
  do {
    before = members.size
    for (const one of candidates) if (members.has(one.parent)) members.set(one.pid, one)
  } while (members.size > before)
}
