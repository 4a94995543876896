// What a service manager is told of a running swarm: ready, how it fares, that its poll loop turns, that it stops.
//
// The watchdog follows the loop and not pond's answers: a restart would kill the jobs that run, and brings no pond back. Only a loop that is stuck is left to
// the service manager.
import type { Notify } from '../executor/notify.ts'
import { type Clock, every } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { Swarm } from './contract.ts'
import type { SwarmStatus } from './status.ts'

export interface WatchdogParts {
  readonly clock: Clock
  readonly log: Log
  readonly swarm: Pick<Swarm, 'status' | 'health'>
  readonly notify: Notify
  /** A swarm that says nothing for so long is killed by the service manager; undefined: it is not watched. */
  readonly watchdogMs?: number | undefined
}

export interface Watchdog {
  /** The last that is told: after it, nothing. */
  close(): Promise<void>
}

const LOOK_MS = 1000
/** How often the status text is told where nobody watches. */
const STATUS_MS = 30_000

export function startWatchdog({ clock, log, swarm, notify, watchdogMs }: WatchdogParts): Watchdog {
  const periodMs = watchdogMs === undefined ? STATUS_MS : watchdogMs / 2
  let toldAt = Number.NEGATIVE_INFINITY
  let told: Standing = 'starting'
  let warned = false
  let canTell = true

  async function look(): Promise<void> {
    const status = swarm.status()
    const standing = standingOf(status)
    const changes = changesOf(told, standing)
    const now = clock.monotonic()
    const turns = swarm.health().turning
    if (!canTell || standing === 'starting' || !(changes.length > 0 || (now - toldAt >= periodMs && turns))) return
    const outcome = await notify([
      ...changes,
      textOf(status),
      ...(turns && watchdogMs !== undefined ? ['WATCHDOG=1'] : []),
    ])
    // What was not heard is told again at the next look, long before the service manager runs out of patience.
    canTell = outcome !== 'absent'
    if (outcome === 'heard') {
      toldAt = now
      told = standing
    } else if (!warned) {
      warned = true
      const why = canTell ? 'it did not answer' : 'there is no systemd-notify'
      log.warn('notify_failed', { message: `the service manager cannot be told how swarm fares: ${why}` })
    }
  }

  let looking: Promise<void> | undefined
  const cancel = every(clock, Math.min(LOOK_MS, periodMs), () => {
    looking = look()
    return looking
  })
  return {
    async close() {
      cancel()
      await looking
      await look()
    },
  }
}

/** A service manager that hears of stopping ends what still runs after its own time, so a swarm that drains stops only once it holds nothing. */
type Standing = 'starting' | 'working' | 'stopping'

function standingOf({ state, claims }: SwarmStatus): Standing {
  switch (state) {
    case 'starting':
      return 'starting'
    case 'draining':
      return claims.length === 0 ? 'stopping' : 'working'
    case 'ended':
      return 'stopping'
    case 'ready':
    case 'paused':
      return 'working'
    default:
      return state satisfies never
  }
}

function changesOf(before: Standing, now: Standing): readonly string[] {
  return [
    ...(before === 'starting' && now !== 'starting' ? ['READY=1'] : []),
    ...(before !== 'stopping' && now === 'stopping' ? ['STOPPING=1'] : []),
  ]
}

function textOf({ state, claims, healthy, since_poll_ms }: SwarmStatus): string {
  const polled = since_poll_ms === undefined ? 'never' : `${Math.round(since_poll_ms / 1000)} s ago`
  return `STATUS=${healthy || state === 'ended' ? state : `${state}, pond does not answer`}; ${claims.length} jobs; polled ${polled}`
}
