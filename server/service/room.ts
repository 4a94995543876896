// Room: what a worker may get now, from what its poll said and what became known since.
import type { ClaimId, WorkerId } from '../../src/protocol/id.ts'
import type { PollBody } from '../../src/protocol/orch.ts'
import type { Means } from '../../src/state/match.ts'
import { nothing, roomOf } from '../../src/state/room.ts'
import type { WorkerRow } from '../store/row.ts'
import type { Taker } from './choice.ts'
import type { Core } from './core.ts'
import { isCordoned } from './stop.ts'

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

/** What a worker may get now; undefined where it is nothing. `ended`: claims that end in the write under way, so what they hold is free already. */
export function takerOf(
  core: Core,
  told: Told,
  { workerId, ended }: { readonly workerId: WorkerId; readonly ended: ReadonlySet<ClaimId> },
): Taker | undefined {
  const { clock, fleet, live, refusals } = core
  const worker = fleet.get(workerId)
  const said = told.body.workers.find((it) => it.worker_id === workerId)
  if (!worker || !said || worker.drain || isCordoned(core, worker)) return undefined
  const coming = live.coming(workerId)
  const lingering = live.lingering(workerId)
  const held = lingering.filter((one) => one !== nothing)
  for (const one of coming) if (one.held !== nothing) held.push(one.held)
  let claims = coming.length + lingering.length
  // Claims that the poll could not know of fill its free slots already.
  let freeSlots = said.free.slots - coming.length
  for (const claim of live.ofBinding(worker.bindingId)) {
    if (claim.workerId !== workerId || ended.has(claim.id)) continue
    claims++
    if (claim.held !== nothing) held.push(claim.held)
    if (!told.have.has(claim.id)) freeSlots--
  }
  if (told.body.refill) {
    for (const [id, filled] of told.filling) {
      if (filled === workerId && (ended.has(id) || isOver(core, told, id))) freeSlots++
    }
  }
  const now = clock.now()
  const { law, resources } = worker
  const most = refusals.room(workerId, now)
  const room = roomOf({ worker: law, resources, freeSlots, claims, held, most }, now)
  if (room.slots < 1) return undefined
  return {
    workerId,
    bindingId: worker.bindingId,
    ladder: core.ladders.of(worker),
    means: meansOf(worker),
    room,
    ended,
    now,
  }
}

/** A row does not change, so neither does what a match goes by. */
const known = new WeakMap<WorkerRow, Means>()

export function meansOf(worker: WorkerRow): Means {
  const means = known.get(worker) ?? { ...worker.report, labels: worker.labels, resources: worker.resources }
  known.set(worker, means)
  return means
}
