// Which worker may get which job, and how many. Pure.
import type { Sandbox } from '../protocol/field.ts'
import type { JobSpec } from '../protocol/job.ts'
import { allowance, type Worker } from './worker.ts'

export interface Candidate {
  readonly workerId: string
  readonly worker: Worker
  /** Slots the worker has in all. */
  readonly slots: number
  /** Slots it says are free now. */
  readonly freeSlots: number
  /** Claims that pond's own ledger still counts for it, lost ones included until the worker says they are gone. */
  readonly held: number
}

/** Claims that may be granted now: the least of what the worker says, what the ledger says and how far it is trusted. */
export function grants(candidate: Candidate, now: number): number {
  const ledger = candidate.slots - candidate.held
  return Math.max(0, Math.min(candidate.freeSlots, ledger, allowance(candidate.worker, candidate.held, now)))
}

/** True when this worker lately declined this job. */
export function isPassedOver(passedOver: Readonly<Record<string, number>>, workerId: string, now: number): boolean {
  const until = passedOver[workerId]
  return until !== undefined && until > now
}

/** A job that brings a secret to its worker, or whose output is one. */
export function isConfidential(job: Pick<JobSpec, 'credential' | 'bundle' | 'recipients'>): boolean {
  return job.credential !== undefined || job.bundle !== undefined || job.recipients !== undefined
}

/** What a worker said of the walls between its jobs. */
export interface Walls {
  readonly sandbox?: Sandbox | undefined
  readonly allow_unsandboxed?: boolean | undefined
}

/** Whether a worker may get confidential jobs: where other jobs could read them, only if its owner says so. One that has said nothing has no walls. */
export function mayKeepSecrets({ sandbox = 'none', allow_unsandboxed = false }: Walls = {}): boolean {
  return sandbox !== 'none' || allow_unsandboxed
}
