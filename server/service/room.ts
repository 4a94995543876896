// Room: how many claims a worker may get now, from what its poll said and what became known since.
import type { ClaimId, WorkerId } from '../../src/protocol/id.ts'
import type { PollBody } from '../../src/protocol/orch.ts'
import { grants } from '../../src/state/match.ts'
import type { Core } from './core.ts'

/** A poll, and what pond knew of its claims when it came. */
export interface Told {
  readonly body: PollBody
  /** Every claim that it named. */
  readonly have: ReadonlySet<ClaimId>
  /** Those that filled a slot, by worker. */
  readonly filling: ReadonlyMap<ClaimId, WorkerId>
}

export function tell(core: Core, body: PollBody): Told {
  const filling = new Map<ClaimId, WorkerId>()
  for (const { claim_id, state } of body.have) {
    const claim = core.live.get(claim_id)
    if (claim && state !== 'ended') filling.set(claim_id, claim.workerId)
  }
  return { body, have: new Set(body.have.map(({ claim_id }) => claim_id)), filling }
}

/** Whether the claim's final word came behind the poll that named it. A claim that died otherwise may still be running. */
export function isOver({ live }: Core, { filling }: Told, id: ClaimId): boolean {
  const workerId = filling.get(id)
  return workerId !== undefined && !live.get(id) && live.fateOf(workerId, id) === undefined
}

/** `ended`: claims that end in the write under way, so their slots are free already. */
export function roomOf(
  core: Core,
  told: Told,
  { workerId, ended }: { readonly workerId: WorkerId; readonly ended: ReadonlySet<ClaimId> },
): number {
  const { clock, fleet, live, refusals } = core
  const worker = fleet.get(workerId)
  const said = told.body.workers.find((it) => it.worker_id === workerId)
  if (!worker || !said || worker.drain) return 0
  const { bindingId, law, resources } = worker
  let held = live.held(bindingId, workerId)
  // Claims that the poll could not know of fill its free slots already.
  let freeSlots = said.free.slots - live.coming(workerId)
  for (const claim of live.ofBinding(bindingId)) {
    if (claim.workerId !== workerId) continue
    if (ended.has(claim.id)) held--
    else if (!told.have.has(claim.id)) freeSlots--
  }
  if (told.body.refill) {
    for (const [id, filled] of told.filling) {
      if (filled === workerId && (ended.has(id) || isOver(core, told, id))) freeSlots++
    }
  }
  const most = refusals.room(workerId, clock.now())
  return Math.min(most, grants({ workerId, worker: law, slots: resources.slots, freeSlots, held }, clock.now()))
}
