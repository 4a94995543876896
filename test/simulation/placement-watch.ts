// Watches that nobody waits for nothing: once all is calm, a job that suits a machine with room for it comes to run, and one that waited for others goes on when they ended.
import type { JobRow } from '../../server/store/row.ts'
import { isFinal } from '../../src/protocol/job.ts'
import type { MemoryRows } from '../harness/memory-store.ts'
import { isReleased } from './after-rule.ts'
import { specOf } from './checker.ts'
import { hasRoom } from './fit.ts'
import type { Law } from './invariant.ts'
import type { Place } from './place.ts'
import type { SwarmHost } from './swarm-host.ts'

export interface PlacementWatchParts {
  readonly place: Place
  readonly rows: () => MemoryRows
  readonly swarms: readonly SwarmHost[]
}

const LOOK_MS = 5000
/** Room may be kept for another job for 10 minutes, and a worker that declined a job is passed over for 5. */
const QUEUED_MOST_MS = 16 * 60_000
/** A pond that is down when the calm comes is up again in 20 s, and settles then what it died over. */
const WAITING_MOST_MS = 2 * 60_000

export function watchPlacement({ place, rows, swarms }: PlacementWatchParts): void {
  const { clock } = place
  const since = new Map<string, number>()

  /** How long it has been so, at each look. */
  function lasts(id: string, isSo: boolean): number {
    if (!isSo) since.delete(id)
    else if (!since.has(id)) since.set(id, clock.monotonic())
    return clock.monotonic() - (since.get(id) ?? clock.monotonic())
  }

  function look(): void {
    clock.after(LOOK_MS, look)
    for (const job of rows().jobs.values()) {
      if (isFinal(job.law.state)) continue
      const stays = (law: Law, ms: number) => place.violate(law, { job: job.id, for_ms: Math.round(ms) })
      const queuedMs = lasts(`queued ${job.id}`, job.law.state === 'queued' && suitsSomebody(job))
      const waitingMs = lasts(
        `waiting ${job.id}`,
        job.law.state === 'waiting' && isReleased(rows(), specOf(rows(), job.id)),
      )
      if (queuedMs > QUEUED_MOST_MS) stays('what_suits_has_run', queuedMs)
      if (waitingMs > WAITING_MOST_MS) stays('what_was_released_does_not_wait', waitingMs)
    }
  }

  function suitsSomebody({ id, law }: JobRow): boolean {
    if (law.notBefore !== undefined && law.notBefore > clock.now()) return false
    const requires = specOf(rows(), id)?.requires ?? {}
    return swarms.some((swarm) => swarm.isOpen() && hasRoom(swarm.gear, swarm.load.holdings(), requires))
  }

  look()
}
