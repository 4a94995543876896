// Room: what a worker may get now, from what its poll said and what became known since.
import type { ClaimId, WorkerId } from '../../src/protocol/id.ts'
import type { PollBody } from '../../src/protocol/orch.ts'
import type { Means } from '../../src/state/match.ts'
import { nothing, type Room, slotsOf, wholeOf, without } from '../../src/state/room.ts'
import type { WorkerRow } from '../store/row.ts'
import type { Asker, Taker } from './choice.ts'
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
  if (body.have.length === 0) return { body, have: noClaims, filling: nothingFilled }
  const filling = new Map<ClaimId, WorkerId>()
  for (const { claim_id, state } of body.have) {
    const claim = core.live.get(claim_id)
    if (claim && state !== 'ended') filling.set(claim_id, claim.workerId)
  }
  return { body, have: new Set(body.have.map(({ claim_id }) => claim_id)), filling }
}

/** Of most polls, while they are parked. */
const noClaims: ReadonlySet<ClaimId> = new Set()
const nothingFilled: ReadonlyMap<ClaimId, WorkerId> = new Map()

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
  const { clock, fleet, refusals } = core
  const worker = fleet.get(workerId)
  if (!worker || worker.drain || isCordoned(core, worker)) return undefined
  const { left, freeSlots, claims } =
    ended.size > 0 ? count(core, told, { worker, ended }) : balanceOf(core, told, worker)
  if (freeSlots < 1) return undefined
  const now = clock.now()
  const slots = slotsOf({ worker: worker.law, freeSlots, claims, most: refusals.room(workerId, now), ...worker }, now)
  if (slots < 1) return undefined
  return {
    workerId,
    bindingId: worker.bindingId,
    ladder: core.ladders.of(worker),
    means: meansOf(worker),
    room: { ...left, slots },
    ended,
    now,
  }
}

/** A worker as it asks for jobs, whatever is free of it. */
export function askerOf({ clock, ladders }: Core, worker: WorkerRow): Asker {
  const { id: workerId, bindingId } = worker
  return { workerId, bindingId, ladder: ladders.of(worker), means: meansOf(worker), now: clock.now() }
}

/** What pond counts for a worker under one of its polls. */
interface Balance {
  /** What its claims leave, slots aside. */
  readonly left: Room
  /** Of those that it said are free. */
  readonly freeSlots: number
  readonly claims: number
}

/** The latest of each worker, good until its row, its poll or its claims change: where many wait every parked poll is looked at again and again. */
const balances = new WeakMap<WorkerRow, Balance & { readonly told: Told; readonly changes: number }>()

function balanceOf(core: Core, told: Told, worker: WorkerRow): Balance {
  const changes = core.live.changesOf(worker.id)
  const known = balances.get(worker)
  if (known?.told === told && known.changes === changes) return known
  const balance = { told, changes, ...count(core, told, { worker, ended: noClaims }) }
  balances.set(worker, balance)
  return balance
}

function count(
  core: Core,
  told: Told,
  { worker, ended }: { readonly worker: WorkerRow; readonly ended: ReadonlySet<ClaimId> },
): Balance {
  const { live } = core
  const { id: workerId, resources } = worker
  const said = told.body.workers.find((it) => it.worker_id === workerId)
  const coming = live.coming(workerId)
  const lingering = live.lingering(workerId)
  const held = lingering.filter((one) => one !== nothing)
  for (const one of coming) if (one.held !== nothing) held.push(one.held)
  let claims = coming.length + lingering.length
  // Claims that the poll could not know of fill its free slots already.
  let freeSlots = (said?.free.slots ?? Number.NEGATIVE_INFINITY) - coming.length
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
  const whole = wholeOf(resources, 0)
  return { left: held.length === 0 ? whole : without(whole, held), freeSlots, claims }
}

/** A row does not change, so neither does what a match goes by. */
const known = new WeakMap<WorkerRow, Means>()

export function meansOf(worker: WorkerRow): Means {
  const { labels, resources, report } = worker
  // What the operator granted comes last: no report of a worker stands over it.
  const means = known.get(worker) ?? Object.assign({}, report, { labels, resources })
  known.set(worker, means)
  return means
}
