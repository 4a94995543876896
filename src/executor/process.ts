// The plain executor: a plan becomes a process of swarm's own user, in its own session, reachable as a whole by the kill ladder.
// It is no sandbox: the process can read what swarm's user can read, and one that means to can leave its cgroup.
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { type Clock, sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { adoptCgroup, type Cgroup, cgroupMembers, cgroupName, makeCgroup, removeCgroup } from './cgroup.ts'
import { type Execution, type Executor, type Exit, type Plan, SetupError, type Trace, type Watch } from './contract.ts'
import { cgroupTree, groupTree, type ProcessRung, scannedTree, type Tree, wipeOut } from './kill.ts'
import { type Ladder, surveyLadder } from './ladder.ts'
import {
  type Argv,
  DEFAULT_LANG,
  DEFAULT_PATH,
  environmentOf,
  findProgram,
  type Places,
  preparePlaces,
  reasonOf,
  throughDoors,
} from './launch.ts'
import { type EventTail, followEvents, readResult } from './message.ts'
import { drainPipe } from './pipe.ts'
import { readBootId, readStat, startTimeOf } from './proc.ts'
import { rootMarks } from './tree.ts'
import { type Meter, startMeter } from './usage.ts'

export interface ProcessExecutorParts {
  readonly clock: Clock
  readonly log: Log
  /** Uses this rung or rejects; by default the best one that holds is found by trying. */
  readonly rung?: ProcessRung
  /** PATH of every job that names none itself. */
  readonly path?: string
  /** LANG of every job that names none itself. */
  readonly lang?: string
  /** Where cgroups are mounted. */
  readonly cgroupRoot?: string
}

/** From the end of the first process to the end of its pipes; also the longest wait for what it left behind to die. */
const DRAIN_MS = 5000
/** A folder is busy for a moment after its last process died. */
const REMOVE_TRIES = 20
const REMOVE_PAUSE_MS = 10

type Execa = typeof import('execa').execa

interface House {
  readonly parts: ProcessExecutorParts
  readonly ladder: Ladder
  readonly bootId: string
  readonly execa: Execa
}

export async function createProcessExecutor(parts: ProcessExecutorParts): Promise<Executor> {
  const { execa } = await import('execa')
  const run = (argv: Argv) => runShort(execa, argv)
  const ladder = await surveyLadder({
    run,
    cgroupRoot: parts.cgroupRoot ?? '/sys/fs/cgroup',
    ...(parts.rung === undefined ? {} : { rung: parts.rung }),
  })
  const house: House = { parts, ladder, bootId: readBootId(), execa }
  return {
    name: 'process',
    rung: ladder.rung,
    start: (plan, watch) => start(house, plan, watch),
    sweep: (trace) => sweep(house, trace),
  }
}

async function runShort(execa: Execa, argv: Argv): Promise<string | undefined> {
  const result = await execa(argv.file, argv.args, { env: argv.env, extendEnv: false, reject: false, stdin: 'ignore' })
  return result.exitCode === 0 ? `${result.stdout}\n` : undefined
}

async function start(house: House, plan: Plan, watch: Watch): Promise<Execution> {
  const places = preparePlaces(plan.folder)
  const { path = DEFAULT_PATH, lang = DEFAULT_LANG } = house.parts
  const env = environmentOf(plan, places, { path, lang })
  const [name, ...args] = plan.command
  const argv = { file: findProgram(name, places.work, env.PATH ?? ''), args, env }
  const cgroups = await makeCgroups(house, plan.claimId)
  try {
    return await spawn(house, { plan, watch, places, cgroups, argv })
  } catch (error) {
    await removeAll(cgroups, house.parts)
    throw error
  }
}

async function makeCgroups({ ladder, parts }: House, claimId: string): Promise<Cgroup[]> {
  const made: Cgroup[] = []
  try {
    for (const hierarchy of ladder.hierarchies) made.push(makeCgroup(hierarchy, cgroupName(claimId)))
    return made
  } catch (error) {
    await removeAll(made, parts)
    throw new SetupError(`cannot make the job's cgroup: ${reasonOf(error)}`, { cause: error })
  }
}

interface SpawnParts {
  readonly plan: Plan
  readonly watch: Watch
  readonly places: Places
  readonly cgroups: readonly Cgroup[]
  readonly argv: Argv
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

async function spawn(house: House, parts: SpawnParts): Promise<Execution> {
  const { plan, places, cgroups } = parts
  const { clock, log } = house.parts
  const { launcher } = house.ladder
  const doors = cgroups.map((cgroup) => `${cgroup.folder}/cgroup.procs`)
  const { file, args, env } = launcher === undefined ? parts.argv : throughDoors(parts.argv, doors, launcher)
  const child = house.execa(file, args, { ...SPAWN, cwd: places.work, env })
  const { pid } = child
  if (pid === undefined) {
    const failure = await child
    throw new SetupError(`cannot start ${parts.argv.file}: ${reasonOf(failure.cause ?? failure)}`)
  }
  // Nothing may be awaited before this point: a process that has ended by now still shows in /proc until it is waited for.
  const stat = readStat(pid)
  const ended = new Promise<Ended>((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })))
  const trace: Trace = {
    claimId: plan.claimId,
    jobId: plan.jobId,
    attempt: plan.attempt,
    pid,
    startTime: startTimeOf(house.bootId, stat),
    cgroups: cgroups.map((cgroup) => cgroup.folder),
  }
  const tree = treeOf(house.ladder.rung, { cgroups, trace, startTicks: stat?.startTicks ?? 0, ownsGroup: true })
  const pipes = new Pipes(child, parts, log)
  const meter = startMeter({ clock, cgroups, tree, sampled: house.ladder.sampled })
  const events = followEvents({ path: places.events, clock, event: (value) => deliver(house, parts, value) })
  const wipe = once(() => wipeOut({ tree, rung: house.ladder.rung, clock, log, jobId: plan.jobId }))
  let over = false
  const exited = finish({ house, parts, ended, pipes, meter, events, wipe }).finally(() => {
    over = true
  })
  // Once it is over, its numbers may be given to others: then nothing is signalled any more.
  return {
    trace,
    exited,
    terminate() {
      if (over) return
      tree.signal('SIGTERM')
      tree.signal('SIGCONT')
    },
    async kill() {
      if (!over) await wipe()
    },
  }
}

/** A watcher's failure must not cost the exit its resolution. */
function deliver(
  { parts: { log } }: House,
  { plan, watch }: SpawnParts,
  value: Readonly<Record<string, unknown>>,
): void {
  try {
    watch.event(value)
  } catch (error) {
    log.error('executor.watch_failed', { job: plan.jobId, stream: 'events', reason: reasonOf(error) })
  }
}

/** execa's conveniences are all off: own listeners on raw pipes cost nothing, buffering every byte a second time does. */
const SPAWN = {
  stdio: ['pipe', 'pipe', 'pipe'],
  detached: true,
  buffer: false,
  cleanup: false,
  encoding: 'buffer',
  reject: false,
  extendEnv: false,
  shell: false,
} as const

/** The three pipes of one process. */
class Pipes {
  readonly #drained: Promise<unknown>
  readonly #readables: readonly Readable[]

  constructor(child: { stdin: Writable; stdout: Readable; stderr: Readable }, { plan, watch }: SpawnParts, log: Log) {
    // A process need not read its input: a broken pipe is its choice.
    child.stdin.on('error', () => {})
    child.stdin.end(plan.input)
    this.#readables = [child.stdout, child.stderr]
    const drain = (stream: 'stdout' | 'stderr') =>
      drainPipe({
        readable: child[stream],
        output: (bytes) => watch.output(stream, bytes),
        failed: (error) => log.error('executor.watch_failed', { job: plan.jobId, stream, reason: reasonOf(error) }),
      })
    this.#drained = Promise.all([drain('stdout'), drain('stderr')])
  }

  /** False when the pipes were cut because somebody still held them, or took too long to take their bytes. */
  async finish(clock: Clock, withinMs: number): Promise<boolean> {
    const inTime = await settlesWithin(this.#drained, clock, withinMs)
    if (!inTime) for (const readable of this.#readables) readable.destroy()
    return inTime
  }
}

interface FinishParts {
  readonly house: House
  readonly parts: SpawnParts
  readonly ended: Promise<Ended>
  readonly pipes: Pipes
  readonly meter: Meter
  readonly events: EventTail
  readonly wipe: () => Promise<number>
}

async function finish({ house, parts, ended, pipes, meter, events, wipe }: FinishParts): Promise<Exit> {
  const { clock, log } = house.parts
  const { code, signal } = await ended
  const job = parts.plan.jobId
  const deadline = clock.monotonic() + DRAIN_MS
  if (!(await settlesWithin(wipe(), clock, DRAIN_MS))) log.warn('executor.left_behind', { job })
  if (!(await pipes.finish(clock, Math.max(0, deadline - clock.monotonic())))) log.warn('executor.pipe_cut', { job })
  const [eventsSkipped, result] = await Promise.all([events.finish(), readResult(parts.places.result)])
  const { usage, oomKills } = meter.finish()
  await removeAll(parts.cgroups, house.parts)
  return { ...exitOf(code, signal, oomKills), usage, eventsSkipped, ...result }
}

/** A kill for want of memory anywhere in the tree explains a failure, but does not make one of a success. */
function exitOf(
  code: number | null,
  signal: NodeJS.Signals | null,
  oomKills: number,
): Pick<Exit, 'cause' | 'rc' | 'signal'> {
  const rc = signal === null ? (code ?? 0) & 0xff : 128 + constants.signals[signal]
  const cause = oomKills > 0 && rc !== 0 ? 'oom' : signal === null ? 'exit' : 'signal'
  return { cause, rc, ...(signal === null ? {} : { signal }) }
}

async function removeAll(cgroups: readonly Cgroup[], { clock, log }: ProcessExecutorParts): Promise<void> {
  for (const cgroup of cgroups) {
    let removed = await removeCgroup(cgroup)
    for (let tries = 0; !removed && tries < REMOVE_TRIES; tries += 1) {
      await sleep(clock, REMOVE_PAUSE_MS)
      removed = await removeCgroup(cgroup)
    }
    if (!removed) log.warn('executor.cgroup_left', { folder: cgroup.folder })
  }
}

interface TreeParts {
  readonly cgroups: readonly Cgroup[]
  readonly trace: Trace
  readonly startTicks: number
  readonly ownsGroup: boolean
}

function treeOf(rung: ProcessRung, { cgroups, trace, startTicks, ownsGroup }: TreeParts): Tree {
  const [killing] = cgroups
  if (killing !== undefined) return cgroupTree(killing, { pid: trace.pid, startTicks })
  if (rung === 'process-group') return groupTree(trace.pid)
  return scannedTree({ pid: trace.pid, startTicks, marks: rootMarks(trace.jobId, trace.attempt), ownsGroup })
}

/**
 * Works from the trace alone: the former swarm may have stood on another rung. Its cgroups are emptied first, then /proc is
 * scanned for what stood in none. Where nothing can prove that a pid is still the same process, nothing is killed. A trace
 * without a pid is a claim whose process nobody wrote down: what carries the attempt in its environment is it.
 */
async function sweep({ parts, ladder, bootId }: House, trace: Trace): Promise<number> {
  const { clock, log } = parts
  const [tracedBoot, ticks = trace.pid === 0 ? '0' : undefined] = trace.startTime.split(':')
  if (bootId === '' || ticks === undefined) {
    log.warn('executor.sweep_unproven', { job: trace.jobId, pid: trace.pid })
    return 0
  }
  if (trace.pid !== 0 && tracedBoot !== bootId) return 0
  const victims = new Set<number>()
  const likely = ladder.hierarchies.map(({ base }) => join(base, cgroupName(trace.claimId)))
  const folders = trace.pid === 0 ? likely : trace.cgroups
  const cgroups = folders.flatMap((folder) => adoptCgroup(folder, trace.claimId) ?? [])
  for (const cgroup of cgroups) {
    for (const pid of cgroupMembers(cgroup)) victims.add(pid)
    await wipeOut({ tree: cgroupTree(cgroup), rung: 'cgroup-v2', clock, log, jobId: trace.jobId })
  }
  const tree = treeOf('proc-scan', { cgroups: [], trace, startTicks: Number(ticks), ownsGroup: false })
  for (const pid of tree.members()) victims.add(pid)
  await wipeOut({ tree, rung: 'proc-scan', clock, log, jobId: trace.jobId })
  await removeAll(cgroups, parts)
  return victims.size
}

/** While one run is going on, whoever asks gets that one. */
function once<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return () => {
    running ??= run().finally(() => {
      running = undefined
    })
    return running
  }
}

/** Resolves with false when `promise` has not settled after `withinMs`. */
function settlesWithin(promise: Promise<unknown>, clock: Clock, withinMs: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(withinMs, () => resolve(false))
    promise.then(() => resolve(true), reject).finally(cancel)
  })
}
