// swarm run: joins the real parts to a swarm, and turns signals and its end into orders and an exit code.
import { availableParallelism, loadavg, totalmem } from 'node:os'
import type { Client } from '../../client/contract.ts'
import { type Executor, SetupError } from '../../executor/contract.ts'
import { createNotify } from '../../executor/notify.ts'
import { createProcessExecutor } from '../../executor/process.ts'
import { serveControl } from '../../orchestrator/control.ts'
import type { Home } from '../../orchestrator/home.ts'
import type { LiveBinding } from '../../orchestrator/live-binding.ts'
import { createSwarm, type RunEnd, type Swarm } from '../../orchestrator/swarm.ts'
import { startWatchdog, type Watchdog } from '../../orchestrator/watchdog.ts'
import type { Sandbox, WorkerClass } from '../../protocol/field.ts'
import { parseKey } from '../../seal/key-text.ts'
import { systemDisk } from '../../system/disk.ts'
import type { Log } from '../../system/log.ts'
import { createMachine } from '../../system/machine.ts'
import { readServiceManager } from '../config.ts'
import { type ExitName, exitCode } from '../exit-code.ts'
import { Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createLog } from '../log.ts'
import { createOutput } from '../output.ts'
import { type BindingFlags, connectBound, executorParts, lockHome, needLive, openPoolHome } from './home.ts'
import { toRulesFailure } from './rule.ts'
import { leaveForGood } from './unpair.ts'

export interface RunFlags extends BindingFlags {
  readonly slots?: number
  /** Of the machine, for its jobs. */
  readonly cpus?: number
  readonly memory?: number
  readonly disk?: number
  readonly gpu?: readonly string[]
  readonly class?: WorkerClass
  readonly once?: boolean
  readonly idleExit?: number
  readonly maxUptime?: number
  /** Of the drain that a signal or its age begins. */
  readonly drainDeadline?: number
  readonly sandbox?: Sandbox
  readonly allowUnsandboxed?: boolean
  readonly boxes?: string
  /** `pond_signer_…` */
  readonly signer?: readonly string[]
}

export async function run(io: Io, flags: RunFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const home = await openPoolHome(io, flags)
  const unlock = await lockHome(home)
  const network = io.connect()
  try {
    const binding = await needLive(home)
    const log = await createLog(io)
    const client = connectBound({ io, network, binding, flags, log })
    const swarm = await assemble({ io, flags, home, binding, client, log, renew: network.renew })
    const control = await serveControl(home.controlPath, swarm)
    const deaf = listen(io, { swarm, log, deadlineMs: flags.drainDeadline })
    const watchdog = watch(io, swarm, log)
    try {
      const end = await swarm.run().catch((error: unknown) => {
        throw toRulesFailure(home, error)
      })
      if (end.reason === 'unauthenticated' || end.reason === 'upgrade_required') throw refusedByPond(end)
      const isInOrder = exitOfEnd[end.reason] === 'ok'
      if (binding.now().ephemeral && isInOrder) await leaveForGood({ client, home, out, binding: binding.now(), end })
      return exitCode(exitOfEnd[end.reason])
    } finally {
      deaf()
      await watchdog?.close()
      await control.close()
    }
  } finally {
    await network.close()
    await unlock()
  }
}

/** Under systemd (Type=notify). */
function watch({ clock, env }: Io, swarm: Swarm, log: Log): Watchdog | undefined {
  const manager = readServiceManager(env, process.pid)
  if (!manager) return undefined
  const { socket, watchdogMs } = manager
  return startWatchdog({ clock, log, swarm, notify: createNotify(socket), watchdogMs })
}

interface Assembly {
  readonly io: Io
  readonly flags: RunFlags
  readonly home: Home
  readonly binding: LiveBinding
  readonly client: Client
  readonly log: Log
  readonly renew: () => void
}

async function assemble({ io, flags, home, binding, client, log, renew }: Assembly): Promise<Swarm> {
  const { clock, random, version } = io
  const machine = createMachine({ now: clock.now })
  return createSwarm({
    client,
    clock,
    random,
    log,
    renew,
    disk: systemDisk,
    executor: await openExecutor({ io, flags, home, log }),
    home,
    binding,
    host: { ...hostFacts(flags), version, machine },
    options: {
      class: flags.class ?? binding.now().class ?? ((await machine.hasBattery()) ? 'laptop' : 'server'),
      slots: flags.slots ?? binding.now().workers[0].resources.slots,
      signers: (flags.signer ?? []).map(readSigner),
      ...(flags.once ? { once: true } : {}),
      ...(flags.allowUnsandboxed ? { allowUnsandboxed: true } : {}),
      ...(flags.idleExit === undefined ? {} : { idleExitMs: flags.idleExit }),
      ...(flags.maxUptime === undefined ? {} : { maxUptimeMs: flags.maxUptime }),
      ...(flags.drainDeadline === undefined ? {} : { maxUptimeDeadlineMs: flags.drainDeadline }),
    },
  })
}

const hostFacts = ({ cpus, memory, disk, gpu }: RunFlags) => ({
  os: process.platform,
  arch: process.arch,
  resources: { cpus: cpus ?? availableParallelism(), memory_bytes: memory ?? totalmem() },
  ...(disk !== undefined && { diskBytes: disk }),
  ...(gpu && { gpus: gpu }),
  load: () => loadavg()[0] ?? 0,
})

/** A sandbox that was asked for and does not hold is a reason not to run at all. */
async function openExecutor({ io, flags, home, log }: Pick<Assembly, 'io' | 'flags' | 'home' | 'log'>) {
  const executor = await createExecutor({ io, flags, home, log })
  const problem = problemWithGpus(flags.gpu, executor.gpus)
  if (problem === undefined) return executor
  await executor.close()
  throw problem
}

/** A device that is misspelt would be offered to nobody, and its jobs wait. */
export function problemWithGpus(asked: readonly string[] = [], there: Executor['gpus']): Failure | undefined {
  const absent = asked.find((uuid) => uuid !== NO_GPU && there.every((gpu) => gpu.uuid !== uuid))
  if (absent === undefined) return undefined
  const all = there.map(({ uuid, model }) => (model === undefined ? uuid : `${uuid} (${model})`)).join(', ')
  const next = all
    ? `Name one of ${all}, or none.`
    : 'Neither nvidia-smi nor rocm-smi tells of any; leave the flag out, or say --gpu none.'
  return usageFailure(`--gpu ${JSON.stringify(absent)} names no GPU of this machine`, next)
}

/** Of `--gpu`, which then names no device. */
const NO_GPU = 'none'

async function createExecutor({ io, flags, home, log }: Pick<Assembly, 'io' | 'flags' | 'home' | 'log'>) {
  try {
    const executor = await createProcessExecutor({
      ...executorParts(io, { home: home.path, boxes: flags.boxes }),
      log,
      ...sandboxOf(flags),
    })
    if (executor.sandbox === 'none' && !flags.allowUnsandboxed) log.warn('no_sandbox', { ...unsandboxed(executor) })
    return executor
  } catch (cause) {
    if (!(cause instanceof SetupError)) throw cause
    throw new Failure({
      what: 'jobs cannot be run here as asked',
      why: cause.message,
      next: 'Look with swarm doctor.',
      cause,
    })
  }
}

/** Otherwise its owner waits for jobs that are sealed by default, and sees none. */
const unsandboxed = ({ whyUnsandboxed }: Executor) => ({
  why: whyUnsandboxed,
  message: 'nothing keeps jobs apart here, so none with a credential, a bundle or recipients comes',
  next: 'run swarm as root, install bubblewrap, or say --allow-unsandboxed',
})

const sandboxOf = ({ sandbox }: RunFlags) => (sandbox === undefined ? {} : { sandbox })

function readSigner(text: string): string {
  const key = parseKey('signer', text)
  if (key !== undefined) return key
  throw usageFailure(
    `${JSON.stringify(text)} is no signer`,
    'Copy all of the text that pond identity shows: pond_signer_…',
  )
}

/** The error that ended a run for good. */
function refusedByPond({ reason, message = '' }: RunEnd): Failure {
  const isRemoved = reason === 'unauthenticated'
  return new Failure({
    what: isRemoved ? 'pond does not take this machine any more' : 'pond and this swarm do not understand each other',
    why: message,
    next: isRemoved
      ? 'Ask the operator for a code (pond pairing create) and pair anew: swarm unpair, then swarm pair URL#CODE.'
      : 'Bring the older of the two up to date.',
    exit: exitOfEnd[reason],
  })
}

const exitOfEnd: Readonly<Record<RunEnd['reason'], ExitName>> = {
  drained: 'ok',
  once: 'ok',
  idle: 'ok',
  max_uptime: 'ok',
  killed: 'failed',
  unauthenticated: 'unauthorised',
  upgrade_required: 'upgrade',
}

interface Listening {
  readonly swarm: Pick<Swarm, 'drain' | 'cancelAll' | 'killAll'>
  readonly log: Log
  readonly deadlineMs: number | undefined
}

/** The first signal drains, the second cancels all jobs, the third kills them. */
function listen(io: Io, { swarm, log, deadlineMs }: Listening): () => void {
  const steps = [
    { says: 'signal.drain', act: () => swarm.drain(deadlineMs === undefined ? {} : { deadlineMs }) },
    { says: 'signal.cancel', act: () => swarm.cancelAll() },
    { says: 'signal.kill', act: () => swarm.killAll() },
  ]
  const onSignal = () => {
    const step = steps.shift()
    if (!step) return
    log.warn(step.says, { next: steps[0]?.says ?? 'none' })
    step.act()
  }
  const off = [io.onSignal('SIGTERM', onSignal), io.onSignal('SIGINT', onSignal)]
  return () => {
    for (const stop of off) stop()
  }
}
