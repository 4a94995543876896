// Draining a worker from pond's side: an order in the worker's row. It gets nothing from the commit on, and is told in each reply until it obeys.
//
// Whoever starts a swarm again after it had heard of the order wants it to work, so the order ends with the first poll of another session. One that was never
// heard stays: the machine was away.
import type { WorkerView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, WorkerId } from '../../src/protocol/id.ts'
import type { Directive, PollBody, SnapshotBody } from '../../src/protocol/orch.ts'
import type { WorkerDrain, WorkerRow } from '../store/row.ts'
import { recordAudit } from './audit.ts'
import { saveWorker, type Write } from './change.ts'
import type { Core } from './core.ts'
import type { Polls } from './poll.ts'
import { viewWorker } from './view.ts'

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

interface Order {
  readonly id: WorkerId
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
    const drain = nextDrain(row.drain, order, core.clock.now())
    if (drain === row.drain) return row
    const next = { ...row, drain }
    await saveWorker({ core, tx }, next)
    const { by, id: target, note } = order
    await recordAudit(core, tx, { by, action: 'worker.drain', target, ...(note === undefined ? {} : { note }) })
    tx.afterCommit(() => core.tell.send(row.bindingId))
    return next
  })
  return viewWorker(core, polls, row)
}

/** What changed has to be heard anew. */
function nextDrain(before: WorkerDrain | undefined, { by, deadlineMs, note }: Order, now: number): WorkerDrain {
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
  tx.afterCommit(() => core.wake.send(row.projectId))
  return row
}

type Drained = Pick<PollBody, 'session' | 'workers'>

/** For each drained worker of the poll that has not told in a snapshot of this session that it obeys. */
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

/** A poll tells who knows of a drain, and who was started again since. `told`: of this worker in a reply to an earlier poll of the session. */
export async function hearDrains(
  core: Core,
  bindingId: BindingId,
  { body, told }: { readonly body: Drained; readonly told: (workerId: WorkerId) => boolean },
): Promise<void> {
  for (const { worker_id, free } of body.workers) {
    const drain = core.fleet.get(worker_id)?.drain
    const again = drain?.heardBy !== undefined && drain.heardBy !== body.session
    // A swarm that has nothing to finish leaves before its next snapshot: that it offers nothing any more shows as much.
    const heard = drain && drain.heardBy === undefined && free.slots === 0 && told(worker_id)
    if (!again && !heard) continue
    await core.store.write(async (tx) => {
      const row = await tx.getWorker(worker_id)
      if (row?.drain?.heardBy !== drain.heardBy || !row?.drain) return
      const who = { by: `binding:${bindingId}`, note: 'it was started again' }
      if (again) await endDrain({ core, tx }, row, who)
      else await saveWorker({ core, tx }, withHearer(row, body.session))
    })
  }
}

/** The row of a worker whose snapshot says that it drains. */
export function hearDraining(row: WorkerRow, session: SnapshotBody['session']): WorkerRow {
  return row.report?.state === 'draining' && row.drain?.heardBy === undefined ? withHearer(row, session) : row
}

function withHearer(row: WorkerRow, heardBy: string): WorkerRow {
  return row.drain ? { ...row, drain: { ...row.drain, heardBy } } : row
}
