// Which worker may get which job, and how many. Pure.
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
