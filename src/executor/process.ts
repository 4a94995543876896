// The plain executor: a plan becomes a process in its own group, in the sandbox that this machine has, reachable as a whole by the kill
// ladder. With the sandbox `none` it can read what swarm's user can read, and one that means to can leave its cgroup.
import type { Duplex } from 'node:stream'
import { networks, type Sandbox } from '../protocol/field.ts'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { KILLED, type LauncherProcess } from './berth.ts'
import { openBerths } from './berth-pool.ts'
import { type Box, Boxes, boxesInside, handOver, sweepBoxes } from './box.ts'
import { CGROUP_ROOT, type Cgroup, type Naming, namingOf, removeAll } from './cgroup.ts'
import { type Execution, type Executor, type Exit, type Plan, SetupError, type Trace, type Watch } from './contract.ts'
import { type Device, filesFor, findDevices, variablesOf } from './gpu.ts'
import { type ProcessRung, scannedTree, wipeOut } from './kill.ts'
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
  removeCredentials,
} from './launch.ts'
import { LAUNCHER_NAMES, type LauncherName } from './launcher-program.ts'
import { followEvents, readResult } from './message.ts'
import { readBootId, readStat, startTimeOf } from './proc.ts'
import { type Jail, surveyJails } from './sandbox.ts'
import { createSpawner, type Execa, inPrivate, SPAWN } from './spawner.ts'
import type { Started, Starter } from './starter.ts'
import { clearAll, createSweep } from './sweep.ts'
import { boxesAt, isJobUid, PLACE } from './uid.ts'
import { startMeter } from './usage.ts'

export interface ProcessExecutorParts {
  readonly clock: Clock
  readonly log: Log
  /** Path of the pool's home: what its swarm leaves behind is found by it. No two swarms share one. */
  readonly home: string
  /** Uses this rung or rejects; by default the best one that holds is found by trying. */
  readonly rung?: ProcessRung
  /** Uses this sandbox or rejects; by default the one that holds is found by trying. */
  readonly sandbox?: Sandbox
  /** Where jobs have their folders when each is a user of its own. */
  readonly place?: string
  /** Folders of which a job in bubblewrap sees nothing, beside the home. Other users are kept out by the modes of what is in them. */
  readonly hidden?: readonly string[]
  /** PATH of every job that names none itself. */
  readonly path?: string
  /** LANG of every job that names none itself. */
  readonly lang?: string
  /** PATH of the tools that tell of GPUs. */
  readonly tools?: string
  /** Where cgroups are mounted. */
  readonly cgroupRoot?: string
  /** The programs that may stand in berths, best first; with none of them each job is spawned for itself. */
  readonly launchers?: readonly LauncherName[]
}

/** A tool of a driver that hangs must not keep swarm from starting. */
const SHORT = { timeout: 10_000, killSignal: 'SIGKILL' } as const

/** From the end of the first process to the end of its pipes; also the longest wait for what it left behind to die. */
const DRAIN_MS = 5000

interface House {
  readonly parts: ProcessExecutorParts
  readonly rung: ProcessRung
  /** Whether figures come from /proc. */
  readonly sampled: boolean
  readonly bootId: string
  readonly jail: Jail
  readonly starter: Starter
  readonly boxes: Boxes
  readonly devices: readonly Device[]
}

export async function createProcessExecutor(parts: ProcessExecutorParts): Promise<Executor> {
  const { execa } = await import('execa')
  const { clock, log, home, cgroupRoot = CGROUP_ROOT, place = PLACE, hidden = [] } = parts
  const naming = namingOf(home, readStat(process.pid)?.startTicks ?? 0)
  const best = await surveyLadder({
    run: (argv) => runShort(execa, argv),
    cgroupRoot,
    naming,
    ...(parts.rung === undefined ? {} : { rung: parts.rung }),
  })
  const { jail, boxRoot } = await surveyJails({
    ...{ clock, naming, home, place, hidden },
    run: (argv) => runShort(execa, argv),
    ...(parts.sandbox === undefined ? {} : { sandbox: parts.sandbox }),
  })
  const devices = await findDevices({
    run: (argv) => runShort(execa, argv),
    path: parts.tools ?? DEFAULT_PATH,
    failed: (tool) => log.warn('gpus_unknown', { tool, message: 'it told nothing, so its GPUs are given to nobody' }),
  })
  const bootId = readBootId()
  const { starter, ladder } = await openStarter(parts, { execa, ladder: best, naming, jail })
  const { rung, hierarchies, sampled } = ladder
  const boxes = new Boxes({ root: boxRoot, naming, clock, log, ...(jail.kind === 'uid' ? { uids: jail.uids } : {}) })
  const house: House = { parts, rung, sampled, bootId, jail, starter, boxes, devices }
  const sweep = createSweep({ clock, log, naming, cgroupRoot, bootId })
  return {
    name: 'process',
    // Whoever ends bubblewrap ends all that it holds.
    rung: jail.kind === 'bubblewrap' && hierarchies.length === 0 ? 'pid-namespace' : rung,
    sandbox: jail.kind,
    folder: boxRoot,
    gpus: devices.map(({ kind: _kind, node: _node, ...gpu }) => gpu),
    ...(jail.kind === 'none' ? { whyUnsandboxed: jail.why } : {}),
    start: (plan, watch) => start(house, plan, watch),
    async sweep(traces) {
      let killed = await sweep(traces)
      const clear = async (uid: number) => {
        killed += await clearUser(parts, uid)
      }
      // A former life may have had another sandbox.
      for (const root of [boxesInside(home), boxesAt(place, naming)]) await sweepBoxes(root, { naming, log, clear })
      return killed
    },
    async close() {
      await Promise.all([starter.close(), boxes.close()])
    },
  }
}

interface StarterParts {
  readonly execa: Execa
  readonly ladder: Ladder
  readonly naming: Naming
  readonly jail: Jail
}

/** Berths, except for bubblewrap: what it takes to start dwarfs what they save. Answers the ladder on which its jobs stand, too. */
async function openStarter(
  { clock, log, launchers }: ProcessExecutorParts,
  { execa, ladder, naming, jail }: StarterParts,
): Promise<{ readonly starter: Starter; readonly ladder: Ladder }> {
  const { hierarchies } = ladder
  if (hierarchies.length > 0 && jail.kind !== 'bubblewrap') {
    const berths = await openBerths({
      ...{ hierarchies, naming, clock },
      // To change a user takes a fork, which costs Perl half of what it costs Python.
      launchers: launchers ?? (jail.kind === 'uid' ? [...LAUNCHER_NAMES].reverse() : LAUNCHER_NAMES),
      // A setuid program gives their jobs nothing then.
      behind: jail.kind === 'uid' ? [jail.setpriv, '--no-new-privs', '--'] : [],
      spawn: (argv) => spawnLauncher(execa, argv),
      clear: (left) => clearAll(left, { clock, log }),
    })
    if (berths) return { starter: berths, ladder }
  }
  // The shell that enters a cgroup would do it as root with the job's environment; a user's processes are found without.
  const own: Ladder = jail.kind === 'uid' ? { rung: 'proc-scan', hierarchies: [], sampled: true } : ladder
  const remove = (empty: readonly Cgroup[]) => removeAll(empty, { clock, log })
  return { starter: createSpawner({ ...own, naming, jail, execa, remove }), ladder: own }
}

/** Kills all that run as the owner of a box that was left; answers how many. */
async function clearUser({ clock, log }: ProcessExecutorParts, uid: number): Promise<number> {
  if (!isJobUid(uid)) return 0
  const tree = scannedTree({ pid: 0, startTicks: 0, marks: [], ownsGroup: false, uid })
  return await wipeOut({ tree, rung: 'proc-scan', clock, log, jobId: `of user ${uid}` })
}

async function runShort(execa: Execa, argv: Argv): Promise<string | undefined> {
  const { file, args, env } = argv
  const result = await execa(file, args, { env, extendEnv: false, reject: false, stdin: 'ignore', ...SHORT })
  return result.exitCode === 0 ? `${result.stdout}\n` : undefined
}

function spawnLauncher(execa: Execa, { file, args, env }: Argv): LauncherProcess {
  const stdio = ['ignore', 'pipe', 'ignore', 'pipe'] as const
  const child = inPrivate(() => execa(file, args, { ...SPAWN, stdio, cwd: '/', env }))
  return Object.assign(child, { orders: child.stdio[3] as unknown as Duplex })
}

async function start(house: House, plan: Plan, watch: Watch): Promise<Execution> {
  const { path = DEFAULT_PATH, lang = DEFAULT_LANG } = house.parts
  const { jobId, attempt, network = 'host' } = plan
  if (!networks[house.jail.kind].includes(network))
    throw new SetupError('this machine cannot keep a job from the network')
  const box = house.boxes.take()
  try {
    const places = preparePlaces(box, plan)
    if (plan.prepare) {
      await plan.prepare(box.work)
      if (box.uid !== undefined) await handOver(box.work, box.uid)
    }
    await plan.confirm?.()
    const env = { ...environmentOf(plan, places, { path, lang }), ...variablesOf(house.devices, plan.gpus) }
    const [name, ...args] = plan.command
    const file = findProgram(name, places.work, env.PATH ?? '')
    const devices = house.jail.kind === 'bubblewrap' ? filesFor(house.devices, plan.gpus) : []
    const order = { file, args, env, box, network, devices, input: places.input, jobId, attempt }
    return follow(house, { plan, watch, box, places, cleared: false, started: await house.starter.start(order) })
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
  /** Nothing of it lives any more. */
  cleared: boolean
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
    release: async () => {
      if (running.cleared) await house.boxes.giveBack(running.box)
      else house.boxes.abandon()
    },
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
  const {
    plan,
    places,
    started,
    box: { uid },
  } = running
  const { cgroups, tree, before } = started
  const job = plan.jobId
  const pipes = drainBoth(house, running)
  const meter = startMeter({ clock, cgroups, tree, before, sampled: house.sampled })
  const events = followEvents({ path: places.events, uid, clock, event: (value) => deliver(house, running, value) })
  const ended = await started.ended
  const deadline = clock.monotonic() + DRAIN_MS
  const wiped = wipe().then(() => {
    running.cleared = true
  })
  if (!(await settlesWithin(wiped, clock, DRAIN_MS))) log.warn('executor.left_behind', { job })
  removeFiles(house, running)
  started.stdout.finish()
  started.stderr.finish()
  if (!(await settlesWithin(pipes, clock, Math.max(0, deadline - clock.monotonic())))) {
    // Somebody still holds them, or takes too long to take their bytes.
    started.stdout.cut()
    started.stderr.cut()
    log.warn('executor.pipe_cut', { job })
  }
  const [eventsSkipped, result] = await Promise.all([events.finish(), readResult({ path: places.result, uid })])
  const { usage, oomKills } = meter.finish()
  await started.release()
  // What it wrote went with its launcher. Its own code would say that all of that is there.
  const { rc, signal } = started.stdout.lost || started.stderr.lost ? KILLED : ended
  // A kill for want of memory anywhere in the tree explains a failure, but does not make one of a success.
  const cause = oomKills > 0 && rc !== 0 ? 'oom' : signal === undefined ? 'exit' : 'signal'
  const how = { ...(signal === undefined ? {} : { signal }), ...(cause === 'oom' && { oomKills }) }
  return { cause, rc, ...how, usage, eventsSkipped, ...result }
}

/** Its box may have to wait until pond was told of the end; what is secret in it does not. */
function removeFiles({ parts: { log } }: House, { plan, places }: Running): void {
  try {
    removeCredentials(places)
  } catch (error) {
    log.error('executor.credentials_left', { job: plan.jobId, reason: reasonOf(error) })
  }
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
