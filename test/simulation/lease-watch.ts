// Watches that no claim outlives its silence: while pond is up and listens, one of which nobody speaks ends within its lease and a grace.
import type { ClaimRow } from '../../server/store/row.ts'
import type { WorkerId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { MemoryRows } from '../harness/memory-store.ts'
import type { Place } from './place.ts'

export interface LeaseWatchParts {
  readonly place: Place
  readonly rows: () => MemoryRows
  /** Pond's life and health: each fault of its store or its life makes another count. */
  readonly listens: () => boolean
  readonly faults: () => number
  /** When pond was last reached by something about a claim, on the world's clock. */
  readonly heardOf: (claimId: string) => number | undefined
}

const LOOK_MS = 2000
/** The sweep's second, the longest gap that still counts as listening, and our own look. */
const GRACE_MS = 15_000

/** Looks for as long as the world's clock is moved on. */
export function watchLeases({ place, rows, listens, faults, heardOf }: LeaseWatchParts): void {
  const { clock } = place
  const { leaseMs = limit.leaseMs, confirmMs = limit.confirmMs } = place.storm.settings
  let seenFaults = faults()
  /** Since then pond has listened without a break. */
  let since = clock.monotonic()
  const firstSeen = new Map<string, number>()

  function look(): void {
    clock.after(LOOK_MS, look)
    if (!listens() || faults() !== seenFaults) since = clock.monotonic()
    seenFaults = faults()
    for (const claim of rows().claims.values()) {
      const { id, lease } = claim
      const seen = firstSeen.get(id) ?? clock.monotonic()
      firstSeen.set(id, seen)
      const silentMs = clock.monotonic() - Math.max(since, lease.state === 'granted' ? seen : (heardOf(id) ?? seen))
      if (silentMs > mostOf(claim) + GRACE_MS)
        place.violate('a_silent_claim_ends', { claim: id, state: lease.state, silent_ms: Math.round(silentMs) })
    }
  }

  /** A machine that says it is a laptop may be away for longer. */
  const silenceOf = (workerId: WorkerId) =>
    rows().workers.get(workerId)?.report?.class === 'laptop' ? Math.max(leaseMs, limit.awayMs) : leaseMs

  /** How long a claim in this state may go unheard. */
  function mostOf({ lease, workerId }: ClaimRow): number {
    switch (lease.state) {
      case 'granted':
        return confirmMs
      case 'confirmed':
        return silenceOf(workerId)
      case 'held':
        return silenceOf(workerId) + lease.holdMs
      default:
        return Number.POSITIVE_INFINITY
    }
  }

  look()
}
