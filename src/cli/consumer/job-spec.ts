// Flags become a job as pond takes it. Judges nothing that pond judges.
import { readFile } from 'node:fs/promises'
import type { Cause, JobSpec, Requires } from '../../protocol/job.ts'
import type { ConnectionFlags } from '../config.ts'
import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'

export interface JobFlags {
  readonly env?: Readonly<Record<string, string>>
  readonly label?: Readonly<Record<string, string>>
  readonly priority?: number
  readonly timeout?: number
  readonly ttl?: number
  readonly idempotent?: boolean
  readonly onLost?: 'fail' | 'rerun' | 'hold'
  readonly hold?: number
  readonly retry?: number
  readonly retryOn?: readonly string[]
  readonly streamLimit?: number
  readonly input?: string
  readonly credential?: string
  /** A folder, or the digest of a bundle that pond has. */
  readonly bundle?: string
  /** Trusted workers that the bundle is sealed to, in place of pond. */
  readonly sealTo?: readonly string[]
  readonly sign?: boolean
  readonly artifact?: readonly string[]
  /** Jobs that it waits for. */
  readonly after?: readonly string[]
  readonly afterEnd?: readonly string[]
  /** An array of so many. */
  readonly count?: number
  readonly maxParallel?: number
  /** What its worker must have. */
  readonly require?: NonNullable<Requires['labels']>
  readonly cpus?: number
  readonly memory?: number
  readonly disk?: number
  readonly gpus?: number
  readonly gpuModel?: string
  readonly gpuMemory?: number
  readonly os?: string
  readonly arch?: string
  readonly sandbox?: string
  /** Output is not sealed. */
  readonly plain?: boolean
  /** Sealed to these too. */
  readonly recipient?: readonly string[]
}

export interface SubmitFlags extends ConnectionFlags, JobFlags {
  readonly command: readonly string[]
  readonly idempotencyKey?: string
  /** How long to try to submit, in milliseconds. Without it a full quota is waited for without end. */
  readonly patience?: number
  /** No line about waiting. */
  readonly quiet?: boolean
}

export async function buildJob(
  io: Pick<Io, 'stdin'>,
  flags: JobFlags & { readonly command: readonly string[]; readonly recipients?: readonly string[] | undefined },
): Promise<JobSpec> {
  const retry = {
    ...(flags.retry === undefined ? {} : { attempts: flags.retry }),
    ...(flags.retryOn === undefined ? {} : { on: flags.retryOn as Cause[] }),
  }
  const job: { readonly [K in keyof JobSpec]: JobSpec[K] | undefined } = {
    command: flags.command as [string, ...string[]],
    env: flags.env,
    input: flags.input === undefined ? undefined : await readInput(io, flags.input),
    labels: flags.label,
    priority: flags.priority,
    timeout_ms: flags.timeout,
    ttl_ms: flags.ttl,
    idempotent: flags.idempotent,
    on_lost: flags.onLost,
    hold_ms: flags.hold,
    retry: Object.keys(retry).length > 0 ? retry : undefined,
    limits: flags.streamLimit === undefined ? undefined : { stream_bytes: flags.streamLimit },
    credential: flags.credential,
    // Its digest is known once it is sent.
    bundle: undefined,
    recipients: flags.recipients && [...flags.recipients],
    artifacts: flags.artifact && [...flags.artifact],
    requires: requiresOf(flags),
    after: afterOf(flags),
    count: flags.count,
    max_parallel: flags.maxParallel,
  }
  return given(job) as JobSpec
}

function afterOf({ after = [], afterEnd = [] }: JobFlags) {
  const all = [...after, ...afterEnd.map((job) => ({ job, on: 'end' as const }))]
  return all.length > 0 ? all : undefined
}

/** A model or a size of memory alone means one GPU of that kind. */
function requiresOf({ require: labels, cpus, memory, disk, gpus, gpuModel, gpuMemory, os, arch, sandbox }: JobFlags) {
  const kind = given({ model: gpuModel, min_vram_bytes: gpuMemory })
  const wanted = gpus ?? (Object.keys(kind).length > 0 ? 1 : undefined)
  const devices = wanted === undefined ? undefined : { count: wanted, ...kind }
  const all = given({ labels, cpus, memory_bytes: memory, disk_bytes: disk, gpus: devices, os, arch, sandbox })
  return Object.keys(all).length > 0 ? (all as Requires) : undefined
}

const given = (fields: object) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

async function readInput(io: Pick<Io, 'stdin'>, name: string): Promise<string> {
  try {
    const bytes = name === '-' ? await io.stdin.readAll() : await readFile(name)
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    const why =
      cause instanceof TypeError ? 'it is not UTF-8 text' : cause instanceof Error ? cause.message : String(cause)
    throw new Failure({ what: `could not take ${name === '-' ? 'stdin' : name} as input`, why, exit: 'usage', cause })
  }
}
