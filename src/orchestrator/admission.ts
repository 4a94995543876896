// Whether this swarm can run what an intent asks for. What it does not fully understand it declines: half a job is worse than none.
import { type JobSpec, jobSpec } from '../protocol/job.ts'
import type { Intent } from '../protocol/orch.ts'

export type Admission = { readonly ok: true; readonly job: JobSpec } | Unwilling

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
const unserved = [
  'sandbox',
  'credential',
  'bundle',
  'recipients',
  'artifacts',
] as const satisfies readonly (keyof JobSpec)[]

export function admit(intent: Intent): Admission {
  const job = read(intent.job)
  if (typeof job === 'string') return refuse(job)
  const field = unserved.find((name) => job[name] !== undefined)
  if (field !== undefined) return refuse(`this swarm does not serve the field ${field}`)
  if (job.requires?.sandbox !== undefined) return refuse('this swarm does not serve the field requires.sandbox')
  if (intent.cred_request !== undefined) return refuse('this swarm does not serve credentials')
  if (intent.source_bundle !== undefined) return refuse('this swarm does not serve bundles')
  return { ok: true, job }
}

function read(base64: string): JobSpec | string {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'))
  } catch {
    return "the job's bytes are no JSON"
  }
  const parsed = jobSpec.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  return `this swarm does not understand the job: ${issue?.path.join('.')} ${issue?.message}`
}
