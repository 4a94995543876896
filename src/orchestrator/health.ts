// How a swarm fares, from the pulse of its poll loop: /healthz and status follow its answers, the watchdog its turning, for a restart cannot bring pond back and
// would kill what runs.
import { limit } from '../protocol/limit.ts'
import type { Pulse } from './poll.ts'

export interface SwarmHealth {
  /** A poll was answered within hold and grace. */
  readonly ok: boolean
  /** Milliseconds since then; absent before the first. */
  readonly since_poll_ms?: number
  /** Polls in a row whose whole time passed without any reply. */
  readonly missed_holds: number
  /** The poll loop goes on, answered or not. One that does not is stuck, and only a restart helps. */
  readonly turning: boolean
}

/** Timers come late on a busy machine. */
const LATE_MS = 15_000

export function healthOf({ answeredAt, turnsBy, missed, pondHoldMs }: Pulse, nowMs: number): SwarmHealth {
  const sinceMs = answeredAt === undefined ? undefined : Math.round(nowMs - answeredAt)
  return {
    ok: sinceMs !== undefined && sinceMs <= pondHoldMs + limit.pollGraceMs,
    ...(sinceMs !== undefined && { since_poll_ms: sinceMs }),
    missed_holds: missed,
    turning: nowMs <= turnsBy + LATE_MS,
  }
}
