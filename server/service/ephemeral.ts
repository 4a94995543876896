// Machines that came for one run: a binding whose swarm left without a word is removed once it has been silent for long and owes nothing.
import type { BindingId } from '../../src/protocol/id.ts'
import { limit, retryWait } from '../../src/protocol/limit.ts'
import { every } from '../../src/system/clock.ts'
import type { BindingRow } from '../store/row.ts'
import { type BindingParts, revokeBinding } from './binding.ts'
import { isMost, leaseMsOf } from './lease.ts'

const PERIOD_MS = 5000

/** A machine is paired first and started later, maybe by hand; and a pond that was just started has heard of nobody yet. */
const UNHEARD_MS = 3_600_000

/** What a machine runs of a claim that was lost it can still bring, and a person adopt; and a fault that took most machines away is mended by then. */
const LATE_MS = 24 * 3_600_000

/** Starts the look; the returned function stops it. */
export function startLeaving(parts: BindingParts): () => void {
  const { core } = parts
  const seen: Seen = { bindings: new Map(), someAt: core.listening.now(), isAlone: true, backAt: 0 }
  return every(core.clock, PERIOD_MS, async () => {
    try {
      if (look(parts, seen)) await removeGone(parts, seen)
    } catch (error) {
      core.log.warn('leaving.failed', { error: String(error) })
    }
  })
}

/** All in listening time. */
interface Seen {
  /** When each was last there. */
  bindings: ReadonlyMap<BindingId, number>
  /** When any was last heard of. */
  someAt: number
  isAlone: boolean
  /** When one was heard of again after a time without any: who is still silent may be on its way. */
  backAt: number
}

/** False while no machine at all is heard of, and for a day: the fault may be near pond. */
function look({ access, core, polls }: BindingParts, seen: Seen): boolean {
  const now = core.listening.now()
  const ids = [...access.bindings()].map(({ id }) => id)
  const isThere = (id: BindingId) => polls.isOnline(id) || core.live.ofBinding(id).size > 0
  seen.bindings = new Map(ids.map((id) => [id, isThere(id) ? now : (seen.bindings.get(id) ?? now)]))
  const isAlone = !ids.some((id) => polls.isOnline(id))
  if (seen.isAlone && !isAlone) seen.backAt = now
  if (!isAlone) seen.someAt = now
  seen.isAlone = isAlone
  return !isAlone || now - seen.someAt >= LATE_MS
}

async function removeGone(parts: BindingParts, { bindings: seen, backAt }: Seen): Promise<void> {
  const { access, core, polls } = parts
  const now = core.listening.now()
  const silentMs = ({ id }: BindingRow) => now - Math.max(backAt, seen.get(id) ?? now)
  const bindings = [...access.bindings()]
  const lately = bindings.filter((row) => polls.lastPollAt(row.id) !== undefined && silentMs(row) < LATE_MS)
  const silent = lately.filter(({ id }) => !polls.isOnline(id))
  const leastMs = isMost(silent.length, lately.length) ? LATE_MS : 0
  for (const row of bindings.filter(({ ephemeral }) => ephemeral)) {
    const { id } = row
    if (silentMs(row) < Math.max(leastMs, patienceMsOf(parts, id))) continue
    const unless = () => polls.isOnline(id) || core.live.ofBinding(id).size > 0
    await revokeBinding(parts, { id, by: 'pond', note: 'ephemeral, and gone without a word', unless })
  }
}

/** As long as it takes to lose a claim, and for a swarm that met an outage to poll again and be heard. */
function patienceMsOf({ core, polls }: BindingParts, id: BindingId): number {
  const workers = core.fleet.ofBinding(id).map((worker) => worker.id)
  if (workers.some((worker) => core.live.lingers(worker))) return LATE_MS
  const leases = workers.map((worker) => leaseMsOf(core, worker))
  const { leaseMs, pollHoldMs } = core.settings
  const graceMs = Math.max(leaseMs, ...leases) + retryWait.mostMs + pollHoldMs + limit.pollGraceMs
  return polls.lastPollAt(id) === undefined ? Math.max(UNHEARD_MS, graceMs) : graceMs
}
