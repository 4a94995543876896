// What a service manager is told of a running swarm: ready, how it fares, that its poll loop turns, that it stops.
//
// The watchdog follows the loop and not pond's answers: a restart would kill the jobs that run, and brings no pond back. Only a loop that is stuck is left to
// the service manager.
import { type Cancel, type Clock, every } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { Swarm } from './contract.ts'
import type { SwarmState } from './status.ts'

export interface WatchdogParts {
  readonly clock: Clock
  readonly log: Log
  readonly swarm: Pick<Swarm, 'status' | 'health'>
  /** False: nobody was told. */
  readonly notify: (facts: readonly string[]) => Promise<boolean>
  /** A swarm that says nothing for so long is killed by the service manager; undefined: it is not watched. */
  readonly watchdogMs?: number | undefined
}

const LOOK_MS = 1000
/** How often the status text is told where nobody watches. */
const STATUS_MS = 30_000

export function startWatchdog({ clock, log, swarm, notify, watchdogMs }: WatchdogParts): Cancel {
  const periodMs = watchdogMs === undefined ? STATUS_MS : watchdogMs / 2
  let toldAt = Number.NEGATIVE_INFINITY
  let told: SwarmState = 'starting'
  let warned = false

  async function look(): Promise<void> {
    const { state, claims, healthy, since_poll_ms } = swarm.status()
    const changes = changesOf(told, state)
    const isDue = clock.monotonic() - toldAt >= periodMs
    const turns = swarm.health().turning
    if (state === 'starting' || !(changes.length > 0 || (isDue && turns))) return
    toldAt = clock.monotonic()
    told = state
    const polled = since_poll_ms === undefined ? 'never' : `${Math.round(since_poll_ms / 1000)} s ago`
    const text = `STATUS=${healthy ? state : `${state}, pond does not answer`}; ${claims.length} jobs; polled ${polled}`
    const isHeard = await notify([...changes, text, ...(turns && watchdogMs !== undefined ? ['WATCHDOG=1'] : [])])
    if (isHeard || warned) return
    warned = true
    log.warn('notify_failed', {
      message: 'the service manager cannot be told how swarm fares: is systemd-notify there?',
    })
  }

  return every(clock, Math.min(LOOK_MS, periodMs), look)
}

function changesOf(before: SwarmState, now: SwarmState): readonly string[] {
  const isOver = (state: SwarmState) => state === 'draining' || state === 'ended'
  return [
    ...(before === 'starting' && now !== 'starting' ? ['READY=1'] : []),
    ...(!isOver(before) && isOver(now) ? ['STOPPING=1'] : []),
  ]
}
