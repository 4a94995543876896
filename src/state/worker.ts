// The law of a worker: how far pond trusts it with claims. Pure.
//
// A ready worker gets what it has room for. Three claims in a row that it did not confirm, declined or could not set up put it on probation: one claim at a
// time, with a growing pause. A key that is not the pinned one quarantines it, until a person looks.
import { notPossible, type Refused, type Table } from './table.ts'

export const workerStates = ['ready', 'probation', 'quarantined', 'revoked'] as const
export type WorkerState = (typeof workerStates)[number]

export interface Worker {
  readonly state: WorkerState
  /** Mishaps in a row. */
  readonly mishaps: number
  /** On probation: nothing is granted before this time. */
  readonly pausedUntil: number
}

export interface WorkerEvents {
  /** A claim was not confirmed, declined, or ended as setup_failed. */
  readonly mishap: object
  /** A claim came to another end. */
  readonly success: object
  readonly keyChanged: object
  readonly reinstate: object
  readonly revoke: object
}
export type WorkerEvent = {
  readonly [E in keyof WorkerEvents]: { readonly type: E } & WorkerEvents[E]
}[keyof WorkerEvents]

const MISHAPS_ALLOWED = 3
const PAUSE_BASE_MS = 1000
const PAUSE_MOST_MS = 60_000

const well: Worker = { state: 'ready', mishaps: 0, pausedUntil: 0 }

export const newWorker = well

const revoke = {
  to: ['revoked'] as const,
  says: 'it or its binding was revoked',
  step: (): Worker => ({ ...well, state: 'revoked' }),
}
const keyChanged = {
  to: ['quarantined'] as const,
  says: 'it showed another key than the pinned one',
  step: (): Worker => ({ ...well, state: 'quarantined' }),
}

export const workerTable: Table<Worker, WorkerEvents, WorkerState, Worker | Refused> = {
  ready: {
    mishap: { to: ['ready', 'probation'], says: 'the third in a row starts probation', step: mishap },
    success: { to: ['ready'], says: 'the row is broken', step: () => well },
    keyChanged,
    revoke,
  },
  probation: {
    mishap: { to: ['probation'], says: 'the pause doubles', step: mishap },
    success: { to: ['ready'], says: 'a claim went well', step: () => well },
    keyChanged,
    revoke,
  },
  quarantined: {
    reinstate: { to: ['ready'], says: 'a person looked', step: () => well },
    revoke,
  },
  revoked: {},
}

export function stepWorker(worker: Worker, event: WorkerEvent, now: number): Worker | Refused {
  const cell = workerTable[worker.state][event.type]
  return cell ? cell.step(worker, event, now) : notPossible
}

/** How many more claims the worker may get now, given how many it holds. */
export function allowance(worker: Worker, live: number, now: number): number {
  switch (worker.state) {
    case 'ready':
      return Number.POSITIVE_INFINITY
    case 'probation':
      return live === 0 && now >= worker.pausedUntil ? 1 : 0
    case 'quarantined':
    case 'revoked':
      return 0
    default:
      return worker.state satisfies never
  }
}

function mishap(worker: Worker, _: object, now: number): Worker {
  const mishaps = worker.mishaps + 1
  if (mishaps < MISHAPS_ALLOWED) return { ...worker, mishaps }
  const pauseMs = Math.min(PAUSE_BASE_MS * 2 ** Math.min(mishaps - MISHAPS_ALLOWED, 20), PAUSE_MOST_MS)
  return { state: 'probation', mishaps, pausedUntil: now + pauseMs }
}
