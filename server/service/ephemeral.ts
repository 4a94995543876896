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
  const now = core.listening.now()
  const seen: Seen = { bindings: new Map(), companyMs: 0, lookedAt: now, someAt: now }
  return every(core.clock, PERIOD_MS, async () => {
    try {
      look(parts, seen)
      await revokeSilent(parts, seen)
    } catch (error) {
      core.log.warn('leaving.failed', { error: String(error) })
    }
  })
}

/**
 * Silence counts in company: while pond hears of no machine at all the fault may be near pond, and time stands still for all, though for no longer than a day.
 */
interface Seen {
  /** How long pond has had company, when each was last there. */
  bindings: ReadonlyMap<BindingId, number>
  companyMs: number
  /** Listening time of the last look, and of the last one that saw any machine. */
  lookedAt: number
  someAt: number
}

function look({ access, core, polls }: BindingParts, seen: Seen): void {
  const now = core.listening.now()
  const ids = [...access.bindings()].map(({ id }) => id)
  const hasCompany = ids.some((id) => polls.isOnline(id))
  const wasLongAlone = seen.lookedAt - seen.someAt >= LATE_MS
  if (hasCompany || wasLongAlone) seen.companyMs += now - seen.lookedAt
  // The day is over, and counts.
  else if (now - seen.someAt >= LATE_MS) seen.companyMs += now - seen.someAt
  const isThere = (id: BindingId) => polls.isOnline(id) || core.live.ofBinding(id).size > 0
  seen.bindings = new Map(
    ids.map((id) => [id, isThere(id) ? seen.companyMs : (seen.bindings.get(id) ?? seen.companyMs)]),
  )
  seen.lookedAt = now
  if (hasCompany) seen.someAt = now
}

async function revokeSilent(parts: BindingParts, { bindings: seen, companyMs }: Seen): Promise<void> {
  const { access, core, polls } = parts
  const silentMs = ({ id }: BindingRow) => companyMs - (seen.get(id) ?? companyMs)
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
