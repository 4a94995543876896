// Machines that came for one run: a binding whose swarm left without a word is removed once it has been silent for long and holds nothing.
import type { BindingId } from '../../src/protocol/id.ts'
import { every } from '../../src/system/clock.ts'
import { type BindingParts, revokeBinding } from './binding.ts'
import { leaseMsOf } from './lease.ts'

const PERIOD_MS = 5000

/** Starts the look; the returned function stops it. */
export function startLeaving(parts: BindingParts): () => void {
  const { core } = parts
  /** Listening time when each was last there. */
  let seen: ReadonlyMap<BindingId, number> = new Map()
  return every(core.clock, PERIOD_MS, async () => {
    try {
      seen = await removeGone(parts, seen)
    } catch (error) {
      core.log.warn('leaving.failed', { error: String(error) })
    }
  })
}

/** While no machine at all is heard of, the fault may be near pond, and nobody is gone. */
async function removeGone(
  parts: BindingParts,
  seen: ReadonlyMap<BindingId, number>,
): Promise<ReadonlyMap<BindingId, number>> {
  const { access, core, polls } = parts
  const bindings = [...access.bindings()]
  const deaf = !bindings.some(({ id }) => polls.isOnline(id))
  const now = core.listening.now()
  const next = new Map<BindingId, number>()
  for (const { id } of bindings.filter(({ ephemeral }) => ephemeral)) {
    const unless = () => polls.isOnline(id) || core.live.ofBinding(id).size > 0
    const at = deaf || unless() ? now : (seen.get(id) ?? now)
    if (now - at < graceMsOf(parts, id)) next.set(id, at)
    else await revokeBinding(parts, { id, by: 'pond', note: 'ephemeral, and gone without a word', unless })
  }
  return next
}

/** As long as it takes to lose a claim, and a poll. */
function graceMsOf({ core }: BindingParts, id: BindingId): number {
  const leases = core.fleet.ofBinding(id).map((worker) => leaseMsOf(core, worker.id))
  return Math.max(core.settings.leaseMs, ...leases) + core.settings.pollHoldMs
}
