// What is told to whoever measures pond, as it happens. Only numbers and names out of closed lists: whoever reads figures need not be whom jobs are for.
import type { Cause, FinalState } from '../../src/protocol/job.ts'
import type { RouteName } from '../../src/protocol/route.ts'

/** Without one nobody measures, and that costs nothing. */
export interface Meter {
  submitted(jobs: number): void
  claimed(waitMs: number): void
  /** `ranMs` is absent where no process ran. */
  ended(state: FinalState, cause: Cause, ranMs: number | undefined): void
  /** So many elements of an array ended without having begun. */
  dropped(jobs: number, state: FinalState, cause: Cause): void
  /** A claim came back unstarted: the time to confirm it was over, or its worker declined, and said why or did not. */
  returned(reason: Cause | 'unconfirmed' | 'declined'): void
  /** A worker was silent for a full lease. */
  lapsed(): void
  /** So much output is stored for good. */
  stored(bytes: number): void
  /** `tookMs` is absent of a call that waits for something by its nature. */
  answered(route: RouteName | 'other', status: number, tookMs: number | undefined): void
  audited(action: Alarm): void
}

/** Entries of the audit log that an operator wants to hear of without looking for them. */
export const alarms = [
  'enrollment.wrong_keys',
  'enrollment.wrong_mac',
  'pairing.wrong_keys',
  'pairing.wrong_mac',
  'poll.session_conflict',
  'seal.refused',
  'worker.key_changed',
] as const
export type Alarm = (typeof alarms)[number]
