// The plain executor: a plan becomes a process of swarm's own user, in its own group, reachable as a whole by the kill ladder.
// It is no sandbox: the process can read what swarm's user can read, and one that means to can leave its cgroup.
import { join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { LauncherProcess } from './berth.ts'
import { openBerths } from './berth-pool.ts'
import { type Box, Boxes } from './box.ts'
import { CGROUP_ROOT, namingOf, removeAll } from './cgroup.ts'
import type { Execution, Executor, Exit, Plan, Trace, Watch } from './contract.ts'
import { type ProcessRung, wipeOut } from './kill.ts'
import { surveyLadder } from './ladder.ts'
import {
  type Argv,
  DEFAULT_LANG,
  DEFAULT_PATH,
  environmentOf,
  findProgram,
  type Places,
  preparePlaces,
  reasonOf,
} from './launch.ts'
import { LAUNCHER_NAMES, type LauncherName } from './launcher-program.ts'
import { followEvents, readResult } from './message.ts'
import { readBootId, readStat, startTimeOf } from './proc.ts'
import { createSpawner, type Execa, SPAWN } from './spawner.ts'
import type { Started, Starter } from './starter.ts'
import { clearAll, createSweep } from './sweep.ts'
import { startMeter } from './usage.ts'

export interface ProcessExecutorParts {
  readonly clock: Clock
  readonly log: Log
  /** Path of the pool's home: what its swarm leaves behind is found by it. No two swarms share one. */
  readonly home: string
  /** Uses this rung or rejects; by default the best one that holds is found by trying. */
  readonly rung?: ProcessRung
  /** PATH of every job that names none itself. */
  readonly path?: string
  /** LANG of every job that names none itself. */
  readonly lang?: string
  /** Where cgroups are mounted. */
  readonly cgroupRoot?: string
  /** The programs that may stand in berths, best first; with none of them each job is spawned for itself. */
  readonly launchers?: readonly LauncherName[]
}

/** From the end of the first process to the end of its pipes; also the longest wait for what it left behind to die. */
const DRAIN_MS = 5000

interface House {
  readonly parts: ProcessExecutorParts
  readonly rung: ProcessRung
  /** Whether figures come from /proc. */
  readonly sampled: boolean
  readonly bootId: string
  readonly starter: Starter
  readonly boxes: Boxes
}

export async function createProcessExecutor(parts: ProcessExecutorParts): Promise<Executor> {
  const { execa } = await import('execa')
  const { clock, log, home, cgroupRoot = CGROUP_ROOT } = parts
  const naming = namingOf(home, readStat(process.pid)?.startTicks ?? 0)
  const ladder = await surveyLadder({
    run: (argv) => runShort(execa, argv),
    cgroupRoot,
    naming,
    ...(parts.rung === undefined ? {} : { rung: parts.rung }),
  })
  const { rung, hierarchies, sampled } = ladder
  const bootId = readBootId()
  const cgroups = { hierarchies, naming }
  const starter =
    (hierarchies.length > 0
      ? await openBerths({
          ...cgroups,
          clock,
          launchers: parts.launchers ?? LAUNCHER_NAMES,
          spawn: (argv) => spawnLauncher(execa, argv),
          clear: (left) => clearAll(left, { clock, log }),
        })
      : undefined) ??
    createSpawner({ ...ladder, ...cgroups, execa, remove: (empty) => removeAll(empty, { clock, log }) })
  const boxes = new Boxes({ root: join(home, 'boxes'), naming, clock, log })
  const house: House = { parts, rung, sampled, bootId, starter, boxes }
  const sweep = createSweep({ clock, log, naming, cgroupRoot, bootId })
  return {
    name: 'process',
    rung,
    start: (plan, watch) => start(house, plan, watch),
    async sweep(traces) {
      const killed = await sweep(traces)
      await boxes.sweep()
      return killed
    },
    async close() {
      await Promise.all([starter.close(), boxes.close()])
    },
  }
}

async function runShort(execa: Execa, argv: Argv): Promise<string | undefined> {
  const result = await execa(argv.file, argv.args, { env: argv.env, extendEnv: false, reject: false, stdin: 'ignore' })
  return result.exitCode === 0 ? `${result.stdout}\n` : undefined
}

function spawnLauncher(execa: Execa, { file, args, env }: Argv): LauncherProcess {
  return execa(file, args, { ...SPAWN, stdio: ['pipe', 'pipe', 'ignore'], cwd: '/', env })
}

async function start(house: House, plan: Plan, watch: Watch): Promise<Execution> {
  const { path = DEFAULT_PATH, lang = DEFAULT_LANG } = house.parts
  const { jobId, attempt } = plan
  const box = house.boxes.take()
  try {
    const places = preparePlaces(box, plan)
    await plan.prepare?.(box.work)
    const env = environmentOf(plan, places, { path, lang })
    const [name, ...args] = plan.command
    const file = findProgram(name, places.work, env.PATH ?? '')
    const order = { file, args, env, cwd: places.work, input: places.input, jobId, attempt }
    return follow(house, { plan, watch, box, places, started: await house.starter.start(order) })
  } catch (error) {
    await house.boxes.giveBack(box)
    throw error
  }
}

interface Running {
  readonly plan: Plan
  readonly watch: Watch
  readonly box: Box
  readonly places: Places
  readonly started: Started
}

function follow(house: House, running: Running): Execution {
  const { clock, log } = house.parts
  const { plan, started } = running
  const { tree } = started
  const wipe = once(() => wipeOut({ tree, rung: house.rung, clock, log, jobId: plan.jobId }))
  let over = false
  const exited = finish(house, running, wipe).finally(() => {
    over = true
  })
  // Once it is over, its numbers may be given to others: then nothing is signalled any more.
  return {
    trace: traceOf(house, running),
    work: running.places.work,
    exited,
    terminate() {
      if (over) return
      tree.signal('SIGTERM')
      tree.signal('SIGCONT')
    },
    async kill() {
      if (!over) await wipe()
    },
    release: () => house.boxes.giveBack(running.box),
  }
}

/** Of a process that has ended by now, only what it left behind can still be there, and that is found by its claim. */
function traceOf({ bootId }: House, { plan, started }: Running): Trace {
  const { pid, stat, cgroups } = started
  return {
    claimId: plan.claimId,
    jobId: plan.jobId,
    attempt: plan.attempt,
    pid: stat === undefined ? 0 : pid,
    startTime: startTimeOf(bootId, stat),
    cgroups: cgroups.map((cgroup) => cgroup.folder),
  }
}

async function finish(house: House, running: Running, wipe: () => Promise<number>): Promise<Exit> {
  const { clock, log } = house.parts
  const { plan, places, started } = running
  const { cgroups, tree, before } = started
  const job = plan.jobId
  const pipes = drainBoth(house, running)
  const meter = startMeter({ clock, cgroups, tree, before, sampled: house.sampled })
  const events = followEvents({ path: places.events, clock, event: (value) => deliver(house, running, value) })
  const { rc, signal } = await started.ended
  const deadline = clock.monotonic() + DRAIN_MS
  if (!(await settlesWithin(wipe(), clock, DRAIN_MS))) log.warn('executor.left_behind', { job })
  started.stdout.finish()
  started.stderr.finish()
  if (!(await settlesWithin(pipes, clock, Math.max(0, deadline - clock.monotonic())))) {
    // Somebody still holds them, or takes too long to take their bytes.
    started.stdout.cut()
    started.stderr.cut()
    log.warn('executor.pipe_cut', { job })
  }
  const [eventsSkipped, result] = await Promise.all([events.finish(), readResult(places.result)])
  const { usage, oomKills } = meter.finish()
  await started.release()
  // A kill for want of memory anywhere in the tree explains a failure, but does not make one of a success.
  const cause = oomKills > 0 && rc !== 0 ? 'oom' : signal === undefined ? 'exit' : 'signal'
  return { cause, rc, ...(signal === undefined ? {} : { signal }), usage, eventsSkipped, ...result }
}

/** Resolves once every byte of both was taken. */
function drainBoth({ parts: { log } }: House, { plan, watch, started }: Running): Promise<unknown> {
  const drain = (stream: 'stdout' | 'stderr') =>
    started[stream].drain({
      output: (bytes) => watch.output(stream, bytes),
      failed: (error) => log.error('executor.watch_failed', { job: plan.jobId, stream, reason: reasonOf(error) }),
    })
  return Promise.all([drain('stdout'), drain('stderr')])
}

/** A watcher's failure must not cost the exit its resolution. */
function deliver({ parts: { log } }: House, { plan, watch }: Running, value: Readonly<Record<string, unknown>>): void {
  try {
    watch.event(value)
  } catch (error) {
    log.error('executor.watch_failed', { job: plan.jobId, stream: 'events', reason: reasonOf(error) })
  }
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
