// When a swarm takes no more jobs, and why: asked, told by pond, after one job, idle for long, or up for long. The first reason stands.
import type { Cancel, Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { createDeadline } from './deadline.ts'

export type DrainReason = 'drained' | 'once' | 'idle' | 'max_uptime'

export interface DrainOptions {
  /** Takes one job at a time, and drains once one ran. */
  readonly once?: boolean
  /** Drains after this long without a job. */
  readonly idleExitMs?: number
  /** Drains after this long. */
  readonly maxUptimeMs?: number
  /** How long that drain may take; for ever unless said otherwise. */
  readonly maxUptimeDeadlineMs?: number
}

export interface Drain {
  /** The swarm is ready. */
  start(): void
  /** After `deadlineMs` what still runs is stopped; a later call can only bring the deadline forward. */
  begin(reason: DrainReason, deadlineMs?: number): void
  /** Undefined: jobs are taken. */
  reason(): DrainReason | undefined
  /** How many more jobs may be taken where so many claims are held. */
  room(held: number): number
  /** A job ran here, or had its last word. */
  ran(): void
  /** So many claims are held now. */
  holding(count: number): void
  /** From here on nothing begins, and no timer is left: what still ends is heard in vain. */
  close(): void
}

export interface DrainParts {
  readonly clock: Clock
  readonly log: Log
  readonly options: DrainOptions
  /** The deadline is over. */
  readonly stopAll: () => void
  readonly changed: () => void
}

export function createDrain({ clock, log, options, stopAll, changed }: DrainParts): Drain {
  const { once = false, idleExitMs, maxUptimeMs, maxUptimeDeadlineMs } = options
  const never: Cancel = () => {}
  let reason: DrainReason | undefined
  let cancelUptime = never
  let cancelIdle = never
  const deadline = createDeadline(clock, stopAll)
  let held = 0
  /** It rested for long enough. */
  let isOver = false
  let isClosed = false

  function begin(why: DrainReason, deadlineMs = Number.POSITIVE_INFINITY): void {
    if (isClosed) return
    deadline.bring(deadlineMs)
    if (reason) return
    reason = why
    log.info('drain', { reason, deadline_ms: Number.isFinite(deadlineMs) ? deadlineMs : undefined })
    changed()
  }

  /** A claim that comes and is declined is no job: only one that ran begins the time anew. */
  function rest(): void {
    if (isClosed || idleExitMs === undefined) return
    cancelIdle()
    isOver = false
    cancelIdle = clock.after(idleExitMs, () => {
      isOver = true
      holding(held)
    })
  }

  function holding(count: number): void {
    held = count
    if (isOver && held === 0) begin('idle')
  }

  return {
    start() {
      rest()
      if (maxUptimeMs !== undefined)
        cancelUptime = clock.after(maxUptimeMs, () => begin('max_uptime', maxUptimeDeadlineMs))
    },
    begin,
    reason: () => reason,
    room(held) {
      if (reason) return 0
      return once ? Math.max(0, 1 - held) : Number.POSITIVE_INFINITY
    },
    ran() {
      rest()
      if (once && !reason) begin('once')
    },
    holding,
    close() {
      isClosed = true
      for (const cancel of [cancelUptime, cancelIdle, deadline.close]) cancel()
    },
  }
}
