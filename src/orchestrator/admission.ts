// Whether this swarm can run what an intent asks for. What it does not fully understand it declines: half a job is worse than none.
import { createHash } from 'node:crypto'
import { type JobSpec, jobSpec } from '../protocol/job.ts'
import type { Intent } from '../protocol/orch.ts'
import { parseKey } from '../seal/key-text.ts'

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
  /** This swarm takes no more jobs: it is not held against it. */
  readonly cause?: 'drained'
}

export const refuse = (message: string, cause?: 'drained'): Unwilling => ({
  ok: false,
  message,
  ...(cause && { cause }),
})

/** Fields that change what a job may do or read; running a job as if they were not there would break its promise. */
const unserved = ['sandbox'] as const satisfies readonly (keyof JobSpec)[]

export function admit(intent: Intent): Admission {
  const bytes = Buffer.from(intent.job, 'base64')
  const job = read(bytes)
  if (typeof job === 'string') return refuse(job)
  const field = unserved.find((name) => job[name] !== undefined)
  if (field !== undefined) return refuse(`this swarm does not serve the field ${field}`)
  if (job.requires?.sandbox !== undefined) return refuse('this swarm does not serve the field requires.sandbox')
  const recipients = job.recipients?.map((text) => parseKey('recipient', text))
  const slip = recipients?.indexOf(undefined) ?? -1
  if (slip >= 0) return refuse(`recipients.${slip} is no recipient: its checksum is wrong`)
  return {
    ok: true,
    job,
    digest: createHash('sha256').update(bytes).digest('hex'),
    ...(recipients && { recipients: recipients.filter((key) => key !== undefined) }),
  }
}

function read(bytes: Buffer): JobSpec | string {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    return "the job's bytes are no JSON"
  }
  const parsed = jobSpec.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  return `this swarm does not understand the job: ${issue?.path.join('.')} ${issue?.message}`
}
