// Machines that came for one run: a binding whose swarm left without a word is removed once it has been silent for long and owes nothing.
import type { BindingId } from '../../src/protocol/id.ts'
import { limit, retryWait } from '../../src/protocol/limit.ts'
import { every } from '../../src/system/clock.ts'
import { type BindingParts, revokeBinding } from './binding.ts'
import { isMost, leaseMsOf } from './lease.ts'

const PERIOD_MS = 5000
/** The same while no machine is ephemeral, and it only counts who is there: each look at ten thousand takes 30 ms, a tenth of what their polls cost. */
const IDLE_PERIOD_MS = 60_000

/** A machine is paired first and started later, maybe by hand; and a pond that was just started has heard of nobody yet. */
const UNHEARD_MS = 3_600_000

/** What a machine runs of a claim that was lost it can still bring, and a person adopt; and a fault that took most machines away is mended by then. */
const LATE_MS = 24 * 3_600_000

/** Starts the look; the returned function stops it. */
export function startLeaving(parts: BindingParts): () => void {
  const { access, core } = parts
  const now = core.listening.now()
  const seen: Seen = { bindings: new Map(), companyMs: 0, lookedAt: now, someAt: now }
  return every(core.clock, PERIOD_MS, async () => {
    if (!access.hasEphemeral() && core.listening.now() - seen.lookedAt < IDLE_PERIOD_MS) return
    try {
      await revokeSilent(parts, seen, look(parts, seen))
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
  bindings: Map<BindingId, number>
  companyMs: number
  /** Listening time of the last look, and of the last one that saw any machine. */
  lookedAt: number
  someAt: number
}

/** One pass over all bindings, for there may be ten thousand and nobody else is served meanwhile. True: a fault may have taken most machines away. */
function look({ access, core, polls }: BindingParts, seen: Seen): boolean {
  const now = core.listening.now()
  const rows = access.bindings()
  const hasCompany = some(rows, ({ id }) => polls.isOnline(id))
  const wasLongAlone = seen.lookedAt - seen.someAt >= LATE_MS
  if (hasCompany || wasLongAlone) seen.companyMs += now - seen.lookedAt
  // The day is over, and counts.
  else if (now - seen.someAt >= LATE_MS) seen.companyMs += now - seen.someAt
  const before = seen.bindings
  seen.bindings = new Map()
  let [lately, silent] = [0, 0]
  for (const { id } of rows) {
    const isOnline = polls.isOnline(id)
    const isThere = isOnline || core.live.ofBinding(id).size > 0
    const since = isThere ? seen.companyMs : (before.get(id) ?? seen.companyMs)
    seen.bindings.set(id, since)
    if (seen.companyMs - since >= LATE_MS || polls.lastPollAt(id) === undefined) continue
    lately++
    if (!isOnline) silent++
  }
  seen.lookedAt = now
  if (hasCompany) seen.someAt = now
  return isMost(silent, lately)
}

function some<T>(all: Iterable<T>, is: (one: T) => boolean): boolean {
  for (const one of all) if (is(one)) return true
  return false
}

async function revokeSilent(parts: BindingParts, { bindings, companyMs }: Seen, mostAreSilent: boolean): Promise<void> {
  const { access, core, polls } = parts
  const leastMs = mostAreSilent ? LATE_MS : 0
  for (const { id, ephemeral } of access.bindings()) {
    if (!ephemeral) continue
    const silentMs = companyMs - (bindings.get(id) ?? companyMs)
    if (silentMs < Math.max(leastMs, patienceMsOf(parts, id))) continue
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
