// Whether this swarm can run what an intent asks for. What it does not fully understand it declines: half a job is worse than none.
import { hash } from 'node:crypto'
import { describeFault, judge } from '../protocol/fault.ts'
import type { Gpu, Sandbox } from '../protocol/field.ts'
import { type JobSpec, jobSpec } from '../protocol/job.ts'
import type { Intent } from '../protocol/orch.ts'
import { parseKey } from '../seal/key-text.ts'
import { lackOfWalls, needsOf } from '../state/match.ts'
import type { Gate } from './gate.ts'

/** A job that this swarm understands. */
export interface Admitted {
  readonly ok: true
  readonly job: JobSpec
  /** SHA-256 of its exact bytes. */
  readonly digest: string
  /** X25519 keys that its output is sealed to. */
  readonly recipients?: readonly string[]
}

export type Admission = Admitted | Unwilling

export interface Unwilling {
  readonly ok: false
  /** For people; travels with the word `declined`. */
  readonly message: string
  /** Not held against this swarm: it takes no jobs for now, or its owner does not want this one. */
  readonly cause?: 'drained' | 'refused'
}

export const refuse = (message: string, cause?: Unwilling['cause']): Unwilling => ({
  ok: false,
  message,
  ...(cause && { cause }),
})

/** What keeps the jobs of this swarm apart, and which of them its owner wants. */
export interface Walls {
  readonly sandbox: Sandbox
  /** The owner takes confidential jobs without a sandbox. */
  readonly allowUnsandboxed: boolean
  readonly gate: Pick<Gate, 'unwelcome' | 'spareDisk'>
  /** Devices that this swarm can give to a job. */
  readonly gpus: readonly Gpu[]
}

export function admit(intent: Intent, walls: Walls): Admission {
  const { job, digest } = read(intent.job)
  if (typeof job === 'string') return refuse(job)
  const recipients = job.recipients?.map((text) => parseKey('recipient', text))
  const slip = recipients?.indexOf(undefined) ?? -1
  if (slip >= 0) return refuse(`recipients.${slip} is no recipient: its checksum is wrong`)
  const unwalled = problemWithSandbox(job, walls)
  if (unwalled !== undefined) return refuse(unwalled)
  const missing = problemWithGpus(job, intent, walls)
  if (missing !== undefined) return refuse(missing)
  const full = problemWithDisk(job, walls)
  if (full !== undefined) return refuse(full, 'drained')
  const unwelcome = walls.gate.unwelcome(job.command)
  if (unwelcome !== undefined) return refuse(unwelcome, 'refused')
  return {
    ok: true,
    job,
    digest,
    ...(recipients && { recipients: recipients.filter((key) => key !== undefined) }),
  }
}

/** In words that name the field; what is not known here may ask for more than there is. Pond knows the rest before it gives a job, unless it is older. */
function problemWithSandbox(job: JobSpec, { sandbox, allowUnsandboxed }: Walls): string | undefined {
  const unknown = Object.keys(job.sandbox ?? {}).find((key) => key !== 'backend' && key !== 'network')
  if (unknown !== undefined) return `this swarm does not serve the field sandbox.${unknown}`
  const lack = lackOfWalls(needsOf(job), { sandbox, allow_unsandboxed: allowUnsandboxed })
  if (!lack) return undefined
  if (lack.requirement === 'secrets')
    return 'this swarm keeps nothing from its jobs, and its owner does not take confidential ones'
  const field = lack.requirement === 'sandbox' ? 'requires.sandbox' : lack.requirement
  return `${field} cannot be ${JSON.stringify(lack.wants)}: the sandbox of this swarm is ${sandbox}`
}

/** A device may have gone since pond was told of it. */
function problemWithGpus(job: JobSpec, { gpus: given = [] }: Intent, { gpus }: Walls): string | undefined {
  const wanted = job.requires?.gpus?.count ?? 0
  if (new Set(given).size !== wanted) return `requires.gpus asks for ${wanted}, and pond gave it ${given.length}`
  const absent = given.find((uuid) => gpus.every((gpu) => gpu.uuid !== uuid))
  return absent === undefined ? undefined : `there is no GPU ${absent} here`
}

/** Others may have filled it since pond was told. */
function problemWithDisk({ requires: { disk_bytes: wanted } = {} }: JobSpec, { gate }: Walls): string | undefined {
  if (wanted === undefined || wanted <= (gate.spareDisk() ?? 0)) return undefined
  return `less than the ${wanted} bytes of requires.disk_bytes are free here`
}

/** What the exact bytes of a job say, or why they say nothing. */
interface Read {
  readonly job: JobSpec | string
  readonly digest: string
}

/** By the text in which the bytes come. The elements of an array are all the same bytes, and services submit the same job again. */
const lately = new Map<string, Read>()
const LATELY_MOST = 64
/** Together at most a megabyte. */
const LATELY_CHARS_MOST = 16 * 1024

function read(text: string): Read {
  const known = lately.get(text)
  if (known) return known
  const bytes = Buffer.from(text, 'base64')
  const found = { job: parse(bytes), digest: hash('sha256', bytes, 'hex') }
  if (text.length > LATELY_CHARS_MOST) return found
  if (lately.size === LATELY_MOST) lately.clear()
  lately.set(text, found)
  return found
}

function parse(bytes: Buffer): JobSpec | string {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    return "the job's bytes are no JSON"
  }
  const judged = judge(jobSpec, value)
  return judged.ok ? judged.value : `this swarm does not understand the job: ${describeFault(judged.faults[0])}`
}
