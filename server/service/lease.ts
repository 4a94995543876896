// Leases over time: renewals from polls and words, and the sweep that ends what fell silent.
import type { BindingId, ClaimId, WorkerId } from '../../src/protocol/id.ts'
import type { PollBody } from '../../src/protocol/orch.ts'
import { isLive, type LeaseEvent, stepLease } from '../../src/state/lease.ts'
import { every } from '../../src/system/clock.ts'
import type { ClaimRow, JobRow } from '../store/row.ts'
import { changeClaim, changeJob, changeWorker, type Write } from './change.ts'
import type { Core } from './core.ts'
import type { Fate, LiveClaim } from './live.ts'

/** With at least this many bindings at work, most of them silent at once means that the fault is near pond. */
const SILENCE_LEAST_BINDINGS = 4

/** How long a worker may be silent before its claims are lost, by the class that it last told. */
export function leaseMsOf({ fleet, settings }: Core, workerId: WorkerId): number {
  const { leaseMs, awayMs } = settings
  return fleet.get(workerId)?.report?.class === 'laptop' ? Math.max(leaseMs, awayMs) : leaseMs
}

/** A poll named these claims: each of the binding's own that is live is renewed. Only a held one needs a write. */
export async function renewClaims(core: Core, bindingId: BindingId, have: PollBody['have']): Promise<void> {
  for (const { claim_id } of have) {
    const claim = core.live.get(claim_id)
    if (claim?.bindingId !== bindingId) continue
    claim.heardAt = core.listening.now()
    if (claim.lease === 'held') await applyLease(core, claim.id, { type: 'renew' })
  }
}

/** Claims that a poll names and that died before pond's last start are looked up again, so that their worker hears the same as before. */
export async function recallDead(core: Core, bindingId: BindingId, have: PollBody['have']): Promise<void> {
  for (const { claim_id, state } of have) {
    // What is over for its worker gets no directive, whatever became of it.
    if (state === 'ended' || core.live.get(claim_id)) continue
    await core.store.read(async (tx) => {
      const claim = await tx.getClaim(claim_id)
      const job = claim && (await tx.getJob(claim.jobId))
      if (!claim || !job || claim.bindingId !== bindingId || isLive(claim.lease.state)) return
      if (core.live.fateOf(claim.workerId, claim_id) !== undefined || claim.lease.state === 'ended') return
      core.live.linger(claim, fateOf(claim, job))
    })
  }
}

/** Applies one event of time or trust to a claim and, as the lease's law says, to its job. */
async function applyLease(core: Core, claimId: ClaimId, event: TimedEvent): Promise<void> {
  await core.store.write(async (tx) => {
    const row = await tx.getClaim(claimId)
    if (row) await applyLeaseIn({ core, tx }, row, { event })
  })
}

type TimedEvent = Extract<LeaseEvent, { type: 'renew' | 'unconfirmed' | 'lapse' | 'holdOver' | 'revoke' }>

export async function applyLeaseIn(
  write: Write,
  row: ClaimRow,
  happened: { readonly event: TimedEvent; readonly note?: string },
): Promise<void> {
  const { core, tx } = write
  const { event, note } = happened
  const now = core.clock.now()
  const step = stepLease(row.lease, event, now)
  if ('refused' in step) return
  const patch = step.job ? { endedAt: now, ...(step.job === 'lose' ? { cause: lostCause(event) } : {}) } : {}
  await changeClaim(write, row, { step, patch })
  if (event.type === 'lapse') tx.afterCommit(() => core.meter?.lapsed())
  const job = step.job ? await tx.getJob(row.jobId) : undefined
  if (!job) return
  const who = { by: 'pond', claimId: row.id, ...(note === undefined ? {} : { note }) }
  if (step.job === 'lose') {
    const lost = await changeJob(write, {
      row: job,
      event: { type: 'lose', claimId: row.id, cause: lostCause(event) },
      who,
    })
    if ('refused' in lost) return
    const fate = fateOf({ ...row, lease: step.lease }, lost)
    tx.afterCommit(() => core.live.linger(row, fate))
  } else if (step.job === 'giveBack') {
    tx.afterCommit(() => core.meter?.returned('unconfirmed'))
    await changeJob(write, { row: job, event: { type: 'giveBack', claimId: row.id }, who })
    const worker = await tx.getWorker(row.workerId)
    if (worker) await changeWorker(write, worker, { type: 'mishap' })
  }
}

/** A worker that only was away too long may finish, where nobody else will: a person may want the result. */
export function fateOf(claim: ClaimRow, job: JobRow): Fate {
  const orphan = claim.lease.state === 'lost' && job.law.state === 'failed' && job.law.end?.cause === 'worker_lost'
  return orphan ? 'leave' : 'drop'
}

function lostCause(event: TimedEvent): 'worker_lost' | 'revoked' {
  return event.type === 'revoke' ? 'revoked' : 'worker_lost'
}

/** Starts the sweep; the returned function stops it. */
export function startSweep(core: Core): () => void {
  return every(core.clock, core.settings.sweepMs, async () => {
    if (!core.listening.sweep()) {
      core.log.warn('sweep.absent', { claims: core.live.size })
      return
    }
    try {
      await sweepOnce(core)
    } catch (error) {
      core.listening.storeFailed()
      core.log.warn('sweep.failed', { error: String(error) })
    }
  })
}

/** Ends every claim whose time is over. One write for all of them. */
export async function sweepOnce(core: Core): Promise<void> {
  const due = [...core.live.all()].flatMap((claim) => {
    const event = dueEvent(core, claim)
    return event ? [{ claim, event }] : []
  })
  const lapsing = due.filter(({ event }) => event.type === 'lapse')
  if (
    lapsing.length > 0 &&
    mostSilent(
      core,
      lapsing.map(({ claim }) => claim),
    )
  ) {
    core.log.error('lease.most_silent', { claims: lapsing.length })
    due.splice(0, due.length, ...due.filter(({ event }) => event.type !== 'lapse'))
  }
  if (due.length === 0) return
  await core.store.write(async (tx) => {
    for (const { claim, event } of due) {
      const row = await tx.getClaim(claim.id)
      // A word may have come between the look at the memory and this write.
      if (row && dueEvent(core, claim)) await applyLeaseIn({ core, tx }, row, { event, note: says[event.type] })
    }
  })
  for (const bindingId of new Set(due.map(({ claim }) => claim.bindingId))) core.tell.send(bindingId)
}

const says = {
  unconfirmed: 'not confirmed in time',
  lapse: 'its worker fell silent for a full lease',
  holdOver: 'hold_ms is over',
} as const

function dueEvent(core: Core, claim: LiveClaim): { type: keyof typeof says } | undefined {
  const silentMs = core.listening.now() - claim.heardAt
  switch (claim.lease) {
    case 'granted':
      return core.listening.now() - claim.grantedAt >= core.settings.confirmMs ? { type: 'unconfirmed' } : undefined
    case 'confirmed':
      return silentMs >= leaseMsOf(core, claim.workerId) ? { type: 'lapse' } : undefined
    case 'held':
      return holdIsOver(core, claim) ? { type: 'holdOver' } : undefined
    default:
      return undefined
  }
}

/** A hold runs by the wall, but it ends no claim whose worker had no time to come back since pond was away. */
function holdIsOver(core: Core, { heldUntil, workerId }: LiveClaim): boolean {
  if (heldUntil === undefined || core.clock.now() < heldUntil) return false
  return core.listening.sinceAway() >= leaseMsOf(core, workerId)
}

/** True when more than half of the bindings that hold claims would lose one in the same sweep. */
function mostSilent(core: Core, lapsing: readonly LiveClaim[]): boolean {
  const atWork = new Set([...core.live.all()].map((claim) => claim.bindingId))
  const silent = new Set(lapsing.map((claim) => claim.bindingId))
  return isMost(silent.size, atWork.size)
}

/** So many bindings silent out of so many that were there: then the fault is near pond, and nobody is gone. */
export function isMost(silent: number, there: number): boolean {
  return there >= SILENCE_LEAST_BINDINGS && silent * 2 > there
}
