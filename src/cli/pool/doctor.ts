// swarm doctor: looks at everything a swarm needs, one line each, with what to do next where something is wrong.
import { stat } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { SKEW_WARN_MS } from '../../client/client.ts'
import { ProxySettingError, proxyFor } from '../../client/proxy.ts'
import type { Executor } from '../../executor/contract.ts'
import { createProcessExecutor } from '../../executor/process.ts'
import type { Binding, Home } from '../../orchestrator/home.ts'
import { type LiveBinding, openLiveBinding } from '../../orchestrator/live-binding.ts'
import { keptBytes } from '../../orchestrator/rule.ts'
import { openRuleFile } from '../../orchestrator/rule-file.ts'
import { limit } from '../../protocol/limit.ts'
import { systemDisk } from '../../system/disk.ts'
import { silentLog } from '../../system/log.ts'
import { readProxies, userHome } from '../config.ts'
import { formatDuration } from '../duration.ts'
import { exitCode } from '../exit-code.ts'
import type { Io } from '../io.ts'
import { createOutput } from '../output.ts'
import { describeResources } from '../resource.ts'
import { formatSize } from '../size.ts'
import { askSwarm } from './control.ts'
import { type BindingFlags, type BoundParts, connectBound, executorParts, openPoolHome } from './home.ts'

export interface Check {
  readonly check: string
  readonly level: 'ok' | 'warn' | 'fail'
  readonly says: string
  readonly next?: string
}

/** Beyond this only what pond's replies tell of the time keeps swarm's signatures valid. */
const SKEW_FAIL_MS = limit.signatureSkewMs
const DISK_WARN_BYTES = 1024 ** 3
const DISK_FAIL_BYTES = 64 * 1024 ** 2

export interface DoctorFlags extends BindingFlags {
  readonly boxes?: string
}

export async function doctor(io: Io, flags: DoctorFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const home = await openPoolHome(io, flags)
  const binding = await home.readBinding().catch(() => undefined)
  const live = await openLiveBinding(home).catch(() => undefined)
  const checks = [
    await checkFolder(home.path),
    checkPairing(home, binding, live),
    ...(live ? checkProxy(io, live.now().pond) : []),
    ...(live ? await checkPond({ io, flags, binding: live }) : []),
    await checkRunning(io, home),
    ...(await checkExecutor(io, flags, home)),
    await checkDisk(home),
  ]
  const columns = [
    { title: 'CHECK', cell: ({ check }: Check) => check },
    { title: '', cell: ({ level }: Check) => level },
    { title: 'FOUND', cell: ({ says, next }: Check) => (next === undefined ? says : `${says}. ${next}`) },
  ]
  await out.list(checks, columns, '')
  return exitCode(checks.some(({ level }) => level === 'fail') ? 'failed' : 'ok')
}

async function checkFolder(path: string): Promise<Check> {
  const loose: string[] = []
  for (const file of ['', 'binding.json', 'keys.json', 'journal']) {
    const mode = await stat(join(path, file)).then(
      (found) => found.mode & 0o077,
      () => 0,
    )
    if (mode !== 0) loose.push(file || '.')
  }
  if (loose.length === 0) return { check: 'home', level: 'ok', says: `${path} is private` }
  return {
    check: 'home',
    level: 'fail',
    says: `others may read ${loose.join(', ')} in ${path}`,
    next: `Type: chmod -R go= ${path}`,
  }
}

function checkPairing(home: Home, binding: Binding | undefined, live: LiveBinding | undefined): Check {
  if (binding && !live) {
    const says = `${home.path} is paired, and its keys are gone or damaged`
    return { check: 'pairing', level: 'fail', says, next: 'Type: swarm unpair --force, then swarm pair URL#CODE' }
  }
  if (binding)
    return { check: 'pairing', level: 'ok', says: `${binding.name} with ${binding.pond}, project ${binding.project}` }
  return { check: 'pairing', level: 'fail', says: `${home.path} is not paired`, next: 'Type: swarm pair URL#CODE' }
}

/** Nothing to say where pond is reached directly. */
function checkProxy(io: Io, pond: string): readonly Check[] {
  try {
    const proxy = proxyFor(pond, readProxies(io.env))
    return proxy ? [{ check: 'proxy', level: 'ok', says: `${pond} is reached through ${proxy.origin}` }] : []
  } catch (error) {
    if (!(error instanceof ProxySettingError)) throw error
    return [{ check: 'proxy', level: 'fail', says: error.message, next: 'Mend or unset it' }]
  }
}

async function checkPond(parts: Omit<BoundParts, 'network'>): Promise<readonly Check[]> {
  const { io } = parts
  const { pond, pond_key } = parts.binding.now()
  const network = io.connect()
  try {
    const client = connectBound({ ...parts, network })
    const answer = await client.call('orchWhoami')
    if (!answer.ok) return [{ check: 'pond', level: 'fail', says: answer.error.message, next: answer.error.help }]
    const sameKey = answer.reply.pond_key === pond_key
    const key: Check = sameKey
      ? { check: 'pond', level: 'ok', says: `${pond} knows this binding (protocol ${answer.reply.protocol})` }
      : {
          check: 'pond',
          level: 'fail',
          says: 'it does not show the key that was pinned at pairing',
          next: 'Ask the operator; pair anew if the key was replaced.',
        }
    const others = [...(answer.reply.ladder?.friends ?? []), ...(answer.reply.ladder?.public ? ['everybody'] : [])]
    const serves: Check = {
      check: 'serves',
      level: 'ok',
      says: [`project ${answer.reply.project}`, ...others].join(', then '),
    }
    return [key, serves, checkSkew(client.skewMs())]
  } finally {
    await network.close()
  }
}

export function checkSkew(skewMs: number): Check {
  const off = Math.abs(skewMs)
  const says = `${formatDuration(off)} away from pond's`
  if (off < SKEW_WARN_MS) return { check: 'clock', level: 'ok', says }
  return {
    check: 'clock',
    level: off < SKEW_FAIL_MS ? 'warn' : 'fail',
    says,
    next: 'Let NTP set the clock of this machine.',
  }
}

async function checkRunning(io: Io, home: Home): Promise<Check> {
  try {
    const status = await askSwarm(io, { home: home.path, order: 'status' })
    if (status.healthy) return { check: 'swarm', level: 'ok', says: `${status.state}, ${status.claims.length} claims` }
    return {
      check: 'swarm',
      level: 'warn',
      says: `${status.state}, pond does not answer its polls`,
      next: 'Read its log.',
    }
  } catch {
    return { check: 'swarm', level: 'warn', says: 'none is running on this home', next: 'Type: swarm run' }
  }
}

async function checkExecutor(io: Io, { boxes }: DoctorFlags, home: Home): Promise<readonly Check[]> {
  try {
    const parts = executorParts(io, { home: home.path, boxes })
    const executor = await createProcessExecutor({ ...parts, log: silentLog })
    const offer = await checkOffer(io, home, executor)
    await executor.close()
    return [checkRung(executor), await checkSandbox(executor, userHome(io.env)), offer]
  } catch (error) {
    return [{ check: 'executor', level: 'fail', says: error instanceof Error ? error.message : String(error) }]
  }
}

/** What a swarm without flags offers to jobs. */
async function checkOffer(io: Io, home: Home, { folder, gpus }: Executor): Promise<Check> {
  const rules = await openRuleFile({ disk: systemDisk, clock: io.clock }, home.rulesPath)
    .read()
    .catch(() => ({}))
  const free = await systemDisk.freeBytes(folder)
  const disk_bytes = Math.max(0, free - keptBytes(rules))
  const machine = { cpus: availableParallelism(), memory_bytes: totalmem(), disk_bytes, gpus: [...gpus] }
  return {
    check: 'for jobs',
    level: 'ok',
    says: `${describeResources(machine)}, all that is there; less by flags of swarm run`,
  }
}

function checkRung({ name, rung }: Executor): Check {
  const says = `${name}, kills whole trees by ${rung}`
  if (rung !== 'process-group') return { check: 'executor', level: 'ok', says }
  return {
    check: 'executor',
    level: 'warn',
    says,
    next: 'A process that leaves its group survives; run on Linux with cgroups or /proc.',
  }
}

async function checkSandbox({ sandbox, whyUnsandboxed }: Executor, owner: string): Promise<Check> {
  const check = 'sandbox'
  if (sandbox === 'none') {
    const says = `none: ${whyUnsandboxed}. Jobs can read what swarm can, and no confidential one comes`
    return { check, level: 'warn', says, next: 'Run swarm as root, or install bubblewrap.' }
  }
  if (sandbox === 'bubblewrap')
    return { check, level: 'ok', says: 'bubblewrap: each job sees its own files and processes' }
  const says = 'uid: each job is a user of its own'
  const open = await stat(owner).then(
    ({ mode }) => (mode & 0o007) !== 0,
    () => false,
  )
  if (!open) return { check, level: 'ok', says }
  return {
    check,
    level: 'warn',
    says: `${says}, but every user may look into ${owner}`,
    next: `Type: chmod o= ${owner}`,
  }
}

async function checkDisk(home: Home): Promise<Check> {
  const free = await systemDisk.freeBytes(home.path)
  const says = `${formatSize(free)} free at ${home.path}`
  if (free >= DISK_WARN_BYTES) return { check: 'disk', level: 'ok', says }
  return {
    check: 'disk',
    level: free < DISK_FAIL_BYTES ? 'fail' : 'warn',
    says,
    next: 'Free some; output of jobs waits here while pond is away.',
  }
}
