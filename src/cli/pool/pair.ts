// swarm pair: makes this machine a worker of a pond, by the line that pond's operator got.
import { availableParallelism, hostname, totalmem, userInfo } from 'node:os'
import { createClient } from '../../client/client.ts'
import type { BoundWorker } from '../../orchestrator/home.ts'
import { systemKeyPair } from '../../orchestrator/key.ts'
import { pair as makeBinding, PairError } from '../../orchestrator/pair.ts'
import type { WorkerClass } from '../../protocol/field.ts'
import type { SignCall } from '../../seal/request-signature.ts'
import { silentLog } from '../../system/log.ts'
import { checkUrl } from '../config.ts'
import { pairs } from '../consumer/show.ts'
import { callFailure, Failure, usageFailure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput } from '../output.ts'
import { type BindingFlags, openPoolHome, requirePrivateHome } from './home.ts'
import { fingerprintOf } from './key.ts'

export interface PairFlags extends BindingFlags {
  /** `URL#CODE`, or `CODE` with `pond`, or `-`. */
  readonly code: string
  readonly pond?: string
  readonly name?: string
  readonly label?: Readonly<Record<string, string>>
  readonly withoutLabel?: readonly string[]
  readonly slots?: number
  readonly class?: WorkerClass
  readonly yes?: boolean
}

export async function pair(io: Io, flags: PairFlags): Promise<number> {
  const out = createOutput(io, { program: 'swarm', json: flags.json === true })
  const text = flags.code === '-' ? (await io.stdin.readAll()).toString('utf8').trim() : flags.code
  const { pond, code } = splitCode(text, flags.pond)
  const baseUrl = checkUrl(pond, flags.insecureHttp === true)
  const home = await openPoolHome(io, flags)
  await requirePrivateHome(home)
  await agree(io, flags, baseUrl)
  const network = io.connect()
  const connect = (sign: SignCall) =>
    createClient({
      network: network.request,
      clock: io.clock,
      random: io.random,
      log: silentLog,
      baseUrl,
      sign,
      version: io.version,
      insecureHttp: flags.insecureHttp === true,
    })
  try {
    const binding = await makeBinding(
      { home, makeKeyPair: systemKeyPair, connect },
      {
        pond: baseUrl,
        code,
        name: flags.name ?? nameOf(hostname()),
        labels: { ...flags.label },
        ...(flags.withoutLabel && { withoutLabels: flags.withoutLabel }),
        ...(flags.class && { class: flags.class }),
        resources: {
          slots: flags.slots ?? availableParallelism(),
          cpus: availableParallelism(),
          memory_bytes: totalmem(),
        },
      },
    )
    const { token: _, ...shown } = binding
    const print = fingerprintOf(binding.workers[0])
    await out.result({ ...shown, fingerprint: print }, () => [
      `paired with ${binding.pond} as ${binding.name} (project ${binding.project}, ${binding.binding_id})`,
      `fingerprint ${print}, the same as pond workers shows`,
      ...describeLabels(binding.workers[0]),
    ])
    if (!out.json && io.stdout.isTty) await out.note('take jobs with: swarm run')
    return 0
  } catch (error) {
    throw toPairFailure('pair', error)
  } finally {
    await network.close()
  }
}

export function splitCode(text: string, pond: string | undefined): { readonly pond: string; readonly code: string } {
  const at = text.lastIndexOf('#')
  const url = at < 0 ? pond : text.slice(0, at)
  if (!url)
    throw usageFailure('the code does not say which pond', 'Type swarm pair URL#CODE, or swarm pair CODE --pond URL.')
  if (at >= 0 && pond !== undefined && pond !== url) throw usageFailure(`the code is for ${url}, not for ${pond}`)
  return { pond: url, code: text.slice(at + 1) }
}

/** Pairing lets others run programs here, so a person at a terminal is told once. */
async function agree(io: Io, flags: PairFlags, url: string): Promise<void> {
  if (flags.yes || !io.stdin.isTty || !io.stderr.isTty) return
  const answer = await io.choose(`Consumers of ${url} will run programs here as ${userName()}. Pair?`, [
    { value: 'yes', label: 'yes' },
    { value: 'no', label: 'no' },
  ])
  if (answer !== 'yes') throw new Failure({ what: 'nothing was paired', exit: 'interrupted' })
}

/** In a container the user may be a number and no more. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `user ${process.getuid?.() ?? ''}`.trim()
  }
}

/** Host names may hold what names may not. */
function nameOf(host: string): string {
  const name = host
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 63)
  return name.replace(/[^A-Za-z0-9]+$/, '') || 'worker'
}

/** A worker without any is told nothing of them. */
export function describeLabels({ labels }: Pick<BoundWorker, 'labels'>): readonly string[] {
  return Object.keys(labels).length > 0 ? [`labels ${pairs(labels)}`] : []
}

export function toPairFailure(what: string, error: unknown): unknown {
  if (!(error instanceof PairError)) return error
  if (error.call) return callFailure(what, error.call)
  return new Failure({ what: `could not ${what}`, why: error.message, cause: error })
}
