// What an operator orders about who gets work: a cordon of a worker or a binding, a pause of a project. Each is set, replaced, taken back, or ends by its time.
import type { BindingView, ProjectView } from '../../src/protocol/admin.ts'
import type { WorkerView } from '../../src/protocol/consumer.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId, WorkerId } from '../../src/protocol/id.ts'
import { retryWait } from '../../src/protocol/limit.ts'
import type { ReadTx } from '../store/contract.ts'
import type { BindingRow, ProjectRow, StopRow, StopTarget, WorkerRow } from '../store/row.ts'
import { recordAudit } from './audit.ts'
import { viewBinding } from './binding.ts'
import type { Core } from './core.ts'
import { projectByName, viewProject } from './key.ts'
import type { Polls } from './poll.ts'
import { actionsOf, isOver, liftStop, wakeFor } from './stop.ts'
import { viewWorker } from './view.ts'

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

export interface Order {
  readonly by: string
  /** It ends by itself after so long. */
  readonly forMs?: number | undefined
  readonly note?: string | undefined
}

/** The worker gets nothing new from now on. */
export async function cordonWorker({ core, polls }: Parts, id: WorkerId, order: Order): Promise<WorkerView> {
  const find = async (tx: ReadTx) => {
    const row = await findWorker(tx, id)
    if (row.law.state === 'revoked') throw shutOut('worker')
    return row
  }
  return viewWorker(core, polls, await stop(core, { target: id, find }, order))
}

export async function uncordonWorker({ core, polls }: Parts, id: WorkerId, by: string): Promise<WorkerView> {
  return viewWorker(core, polls, await lift(core, { target: id, find: (tx) => findWorker(tx, id) }, by))
}

/** None of its workers gets anything new from now on, those that join it later neither. */
export async function cordonBinding({ core, polls }: Parts, id: BindingId, order: Order): Promise<BindingView> {
  const find = async (tx: ReadTx) => {
    const row = await findBinding(tx, id)
    if (row.state === 'revoked') throw shutOut('binding')
    return row
  }
  return viewBinding(core, polls, await stop(core, { target: id, find }, order))
}

export async function uncordonBinding({ core, polls }: Parts, id: BindingId, by: string): Promise<BindingView> {
  return viewBinding(core, polls, await lift(core, { target: id, find: (tx) => findBinding(tx, id) }, by))
}

/** No job of the project is handed out from now on. */
export async function pauseProject({ core }: Parts, name: string, order: Order): Promise<ProjectView> {
  return viewProject(core, await stop(core, projectCalled(core, name), order))
}

export async function resumeProject({ core }: Parts, name: string, by: string): Promise<ProjectView> {
  return viewProject(core, await lift(core, projectCalled(core, name), by))
}

/** Ends what is over by its time, now and whenever it is so. */
export function startStops(core: Core): void {
  core.stops.listen((targets) => void endOver(core, targets))
}

/** It holds nobody any more; that its row is there still changes nothing, and the next start ends it too. */
async function endOver(core: Core, targets: readonly StopTarget[]): Promise<void> {
  for (const target of targets) wakeFor(core, target)
  try {
    await core.store.write(async (tx) => {
      for (const target of targets) {
        const row = await tx.getStop(target)
        // It may have been replaced meanwhile.
        if (row && isOver(row, core.clock.now())) {
          await liftStop({ core, tx }, target, { by: 'pond', note: 'its time is over' })
        }
      }
    })
  } catch (error) {
    core.log.warn('stop.failed', { error: String(error) })
    core.stops.endLater(core.clock.now() + core.settings.sweepMs, targets)
  }
}

/** Who is stopped, and the row that must be there. */
interface Subject<Row> {
  readonly target: StopTarget
  find(tx: ReadTx): Promise<Row>
}

async function stop<Row>(core: Core, { target, find }: Subject<Row>, order: Order): Promise<Row> {
  core.stops.expect(target)
  try {
    return await core.store.write(async (tx) => {
      const found = await find(tx)
      const before = await tx.getStop(target)
      const next = nextStop(before, { target, order, now: core.clock.now() })
      if (next === before) return found
      await tx.putStop(next)
      const { by } = order
      await recordAudit(core, tx, { by, action: actionsOf(target).stop, target, ...noteOf(next) })
      tx.afterCommit(() => core.stops.set(next))
      return found
    })
  } finally {
    core.stops.arrived(target)
    // It came to nothing, and somebody may have been passed over for it.
    if (!core.stops.holds(target)) wakeFor(core, target)
  }
}

/** The same words within the time of a retry are the same call once more. Later ones count anew, so that who says two hours again gets two hours. */
function nextStop(
  before: StopRow | undefined,
  { target, order, now }: { readonly target: StopTarget; readonly order: Order; readonly now: number },
): StopRow {
  const { by, forMs, note } = order
  const next: StopRow = {
    ...{ target, at: now, by },
    ...(note === undefined ? {} : { note }),
    ...(forMs === undefined ? {} : { until: now + forMs }),
  }
  if (!before || isOver(before, now) || before.note !== note) return next
  const isRetry = now - before.at < retryWait.mostMs
  const lengthMs = before.until === undefined ? undefined : before.until - before.at
  return lengthMs === forMs && (forMs === undefined || isRetry) ? before : next
}

function noteOf({ note, until }: StopRow): { readonly note?: string } {
  const said = [note, until === undefined ? undefined : `until ${new Date(until).toISOString()}`]
  const text = said.filter((part) => part !== undefined).join(', ')
  return text === '' ? {} : { note: text }
}

function lift<Row>(core: Core, { target, find }: Subject<Row>, by: string): Promise<Row> {
  return core.store.write(async (tx) => {
    const found = await find(tx)
    await liftStop({ core, tx }, target, { by })
    return found
  })
}

function projectCalled(core: Core, name: string): Subject<ProjectRow> {
  const target = projectByName(core, name)
  return {
    target,
    async find(tx) {
      const row = await tx.getProject(target)
      if (!row) throw new Refusal('not_found', `there is no project ${name}`, { field: 'name' })
      return row
    },
  }
}

async function findWorker(tx: ReadTx, id: WorkerId): Promise<WorkerRow> {
  const row = await tx.getWorker(id)
  if (!row) throw new Refusal('not_found', `there is no worker ${id}`)
  return row
}

async function findBinding(tx: ReadTx, id: BindingId): Promise<BindingRow> {
  const row = await tx.getBinding(id)
  if (!row) throw new Refusal('not_found', `there is no binding ${id}`)
  return row
}

const shutOut = (what: string) =>
  new Refusal('not_possible', `the ${what} was revoked and gets nothing`, { state: 'revoked' })
