// Draining a worker from pond's side: an order in the worker's row. From the commit on it is offered nothing, what crossed it comes back, and it is told in each reply until it obeys.
//
// The order ends with the first poll of the session after the one that heard it and left in order, its last poll saying that it holds nothing and offers
// nothing; after any other end (a crash, a watchdog, an order that was never heard) the next session is told again. So a manager that restarts what failed
// does not cancel an order, and whoever starts a swarm again that was done wants it to work.
import type { BindingView } from '../../src/protocol/admin.ts'
import type { WorkerView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, WorkerId } from '../../src/protocol/id.ts'
import type { Directive, PollBody } from '../../src/protocol/orch.ts'
import type { WorkerDrain, WorkerRow } from '../store/row.ts'
import { recordAudit } from './audit.ts'
import { viewBinding } from './binding.ts'
import { saveWorker, type Write } from './change.ts'
import type { Core } from './core.ts'
import type { Polls } from './poll.ts'
import { viewWorker } from './view.ts'

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

interface Order<Id = WorkerId> {
  readonly id: Id
  readonly by: string
  readonly deadlineMs?: number | undefined
  readonly note?: string | undefined
}

/** A repeat can bring the deadline forward and name another reason; otherwise it changes nothing. */
export async function drainWorker({ core, polls }: Parts, order: Order): Promise<WorkerView> {
  const row = await core.store.write(async (tx) => {
    const row = await needWorker({ core, tx }, order.id)
    if (row.law.state === 'revoked') {
      throw new Refusal('not_possible', 'the worker was revoked and gets nothing', { state: row.law.state })
    }
    const next = await drainIn({ core, tx }, row, order)
    if (next !== row) tx.afterCommit(() => tellDrain(polls, next))
    return next
  })
  return viewWorker(core, polls, row)
}

/** Every worker that the binding has now, each as by itself. */
export async function drainBinding({ core, polls }: Parts, order: Order<BindingId>): Promise<BindingView> {
  const { id } = order
  const row = await core.store.write(async (tx) => {
    const row = await tx.getBinding(id)
    if (!row) throw new Refusal('not_found', `there is no binding ${id}`)
    if (row.state === 'revoked') {
      throw new Refusal('not_possible', 'the binding was revoked and gets nothing', { state: row.state })
    }
    const changed: WorkerRow[] = []
    for (const worker of await tx.listWorkers({ bindingId: id })) {
      const next = worker.law.state === 'revoked' ? worker : await drainIn({ core, tx }, worker, order)
      if (next !== worker) changed.push(next)
    }
    // Behind all of them, so that one reply tells all.
    tx.afterCommit(() => {
      for (const worker of changed) tellDrain(polls, worker)
    })
    return row
  })
  return viewBinding(core, polls, row)
}

async function drainIn({ core, tx }: Write, row: WorkerRow, order: Omit<Order, 'id'>): Promise<WorkerRow> {
  const drain = nextDrain(row.drain, order, core.clock.now())
  if (drain === row.drain) return row
  const next = { ...row, drain }
  await saveWorker({ core, tx }, next)
  const { by, note } = order
  await recordAudit(core, tx, { by, action: 'worker.drain', target: row.id, ...(note === undefined ? {} : { note }) })
  return next
}

function tellDrain(polls: Polls, { bindingId, id }: WorkerRow): void {
  polls.tellAnew(bindingId, { type: 'drain', worker_id: id })
}

/** What changed has to be heard anew. */
function nextDrain(
  before: WorkerDrain | undefined,
  { by, deadlineMs, note }: Omit<Order, 'id'>,
  now: number,
): WorkerDrain {
  const deadlineAt = Math.min(
    before?.deadlineAt ?? Number.POSITIVE_INFINITY,
    now + (deadlineMs ?? Number.POSITIVE_INFINITY),
  )
  const same =
    before && (note ?? before.note) === before.note && deadlineAt === (before.deadlineAt ?? Number.POSITIVE_INFINITY)
  if (same) return before
  const said = note ?? before?.note
  return {
    ...{ at: before?.at ?? now, by },
    ...(Number.isFinite(deadlineAt) ? { deadlineAt } : {}),
    ...(said === undefined ? {} : { note: said }),
  }
}

/** The worker may get jobs again. A repeat changes nothing. */
export async function resumeWorker({ core, polls }: Parts, { id, by }: Order): Promise<WorkerView> {
  const row = await core.store.write(async (tx) => {
    const row = await needWorker({ core, tx }, id)
    return row.drain ? await endDrain({ core, tx }, row, { by }) : row
  })
  return viewWorker(core, polls, row)
}

async function needWorker({ tx }: Write, id: WorkerId): Promise<WorkerRow> {
  const row = await tx.getWorker(id)
  if (!row) throw new Refusal('not_found', `there is no worker ${id}`)
  return row
}

async function endDrain(
  write: Write,
  { drain: _, ...row }: WorkerRow,
  who: { readonly by: string; readonly note?: string },
): Promise<WorkerRow> {
  const { core, tx } = write
  await saveWorker(write, row)
  await recordAudit(core, tx, { ...who, action: 'worker.resume', target: row.id })
  tx.afterCommit(() => core.ready.send(row.bindingId))
  return row
}

type Drained = Pick<PollBody, 'session' | 'workers'>

export const isAnyDrained = ({ fleet }: Core, { workers }: Pick<PollBody, 'workers'>): boolean =>
  workers.some(({ worker_id }) => fleet.get(worker_id)?.drain !== undefined)

/** For each drained worker of the poll whose session has not heard, or does not tell in its snapshot that it obeys. */
export function drainDirectives({ clock, fleet }: Core, { session, workers }: Drained): Directive[] {
  return workers.flatMap(({ worker_id }): Directive[] => {
    const { drain, report } = fleet.get(worker_id) ?? {}
    if (!drain || (drain.heardBy === session && report?.state === 'draining')) return []
    const { deadlineAt, note } = drain
    return [
      {
        ...{ type: 'drain', worker_id },
        ...(deadlineAt === undefined ? {} : { wait_ms: Math.max(0, deadlineAt - clock.now()) }),
        ...(note === undefined ? {} : { note }),
      },
    ]
  })
}

interface Hearing {
  readonly body: Pick<PollBody, 'session' | 'workers' | 'have'>
  /** Whether the session has the reply that told this worker to drain. */
  readonly heard: (workerId: WorkerId) => boolean
}

/** A poll tells who heard an order, who is done with all, and who was started again since. */
export async function hearDrains(core: Core, bindingId: BindingId, { body, heard }: Hearing): Promise<void> {
  const { session, have, workers } = body
  const isDone = have.length === 0 && workers.every(({ free }) => free.slots === 0)
  const who = { by: `binding:${bindingId}`, note: 'it was started again' }
  for (const { worker_id } of workers) {
    const next = (drain: WorkerDrain) => stepDrain(drain, session, { isDone, heard: heard(worker_id) })
    const known = core.fleet.get(worker_id)?.drain
    if (!known || next(known) === known) continue
    await core.store.write(async (tx) => {
      const row = await tx.getWorker(worker_id)
      if (!row?.drain) return
      const drain = next(row.drain)
      if (drain) await saveWorker({ core, tx }, { ...row, drain })
      else await endDrain({ core, tx }, row, who)
    })
  }
}

/** Undefined: the order has ended. */
function stepDrain(
  drain: WorkerDrain,
  session: string,
  { isDone, heard }: { readonly isDone: boolean; readonly heard: boolean },
): WorkerDrain | undefined {
  const { heardBy, done = false, ...order } = drain
  const isOwn = heardBy === session
  if (!isOwn && done) return undefined
  if (isOwn ? done === isDone : !heard) return drain
  return { ...order, heardBy: session, ...(isDone && { done: true }) }
}
