// Stops in memory: to whom nothing new is handed (a cordon of a worker or a binding), and of what nothing is (a pause of a project). It mirrors committed rows.
//
// Whoever claims looks here inside the write that claims. The mirror follows the commit, and works of one group share it: a claim that is made behind a
// stop in its group would be committed with it and handed out once the stop was acknowledged. So a stop holds from the moment at which its write is asked for.
import type { BindingId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import type { CordonView, StopView } from '../../src/protocol/stop.ts'
import type { Clock } from '../../src/system/clock.ts'
import type { StopRow, StopTarget, WorkerRow } from '../store/row.ts'
import { recordAudit } from './audit.ts'
import type { Write } from './change.ts'
import type { Core } from './core.ts'
import { DueList } from './due.ts'

export class Stops {
  readonly #clock: Clock
  readonly #rows = new Map<StopTarget, StopRow>()
  /** How many writes that stop it are under way. */
  readonly #coming = new Map<StopTarget, number>()
  readonly #due: DueList<StopTarget>
  #onOver: (targets: readonly StopTarget[]) => void = () => {}

  constructor(clock: Clock) {
    this.#clock = clock
    this.#due = new DueList(clock, (targets) => this.#ring(targets))
  }

  /** Is told of stops whose time is over. */
  listen(onOver: (targets: readonly StopTarget[]) => void): void {
    this.#onOver = onOver
  }

  /** What holds now: its time ends it, whether or not its row could be taken away yet. */
  get(target: StopTarget): StopRow | undefined {
    if (this.#rows.size === 0) return undefined
    const row = this.#rows.get(target)
    return row && !isOver(row, this.#clock.now()) ? row : undefined
  }

  /** Whether nothing new may be claimed. */
  holds(target: StopTarget): boolean {
    return (this.#coming.size > 0 && this.#coming.has(target)) || this.get(target) !== undefined
  }

  set(row: StopRow): void {
    this.#rows.set(row.target, row)
    if (row.until !== undefined) this.#due.add(row.until, row.target)
  }

  delete(target: StopTarget): void {
    this.#rows.delete(target)
  }

  /** Its end could not be written, and is tried again then. */
  endLater(at: number, targets: readonly StopTarget[]): void {
    for (const target of targets) this.#due.add(at, target)
  }

  /** A write that stops it is asked for. */
  expect(target: StopTarget): void {
    this.#coming.set(target, (this.#coming.get(target) ?? 0) + 1)
  }

  /** That write came to its end, this way or that. */
  arrived(target: StopTarget): void {
    const left = (this.#coming.get(target) ?? 1) - 1
    if (left > 0) this.#coming.set(target, left)
    else this.#coming.delete(target)
  }

  close(): void {
    this.#due.close()
  }

  #ring(targets: readonly StopTarget[]): void {
    const now = this.#clock.now()
    const over = targets.filter((target) => {
      const row = this.#rows.get(target)
      return row && isOver(row, now)
    })
    if (over.length > 0) this.#onOver(over)
  }
}

export const isOver = ({ until }: StopRow, now: number) => until !== undefined && until <= now

/** Whether the worker gets nothing new, by its own cordon or that of its binding. */
export const isCordoned = ({ stops }: Core, { id, bindingId }: Pick<WorkerRow, 'id' | 'bindingId'>): boolean =>
  stops.holds(id) || stops.holds(bindingId)

/** Of two cordons the one that ends last: before that the worker gets nothing. */
export function cordonOf({ stops }: Core, worker: Pick<WorkerRow, 'id' | 'bindingId'>): CordonView | undefined {
  const [own, shared] = [stops.get(worker.id), stops.get(worker.bindingId)]
  if (own && endOf(own) > endOf(shared)) return { ...viewStop(own), of: 'worker' }
  return shared ? { ...viewStop(shared), of: 'binding' } : own && { ...viewStop(own), of: 'worker' }
}

function endOf(row: StopRow | undefined): number {
  return row ? (row.until ?? Number.POSITIVE_INFINITY) : Number.NEGATIVE_INFINITY
}

export const viewStop = ({ at, by, note, until }: StopRow): StopView => ({ at, by, note, until })

/** Of a binding or a project. */
export function viewStopOf({ stops }: Core, target: BindingId | ProjectId): StopView | undefined {
  const row = stops.get(target)
  return row && viewStop(row)
}

const actions = {
  wrk: { stop: 'worker.cordon', lift: 'worker.uncordon' },
  bnd: { stop: 'binding.cordon', lift: 'binding.uncordon' },
  prj: { stop: 'project.pause', lift: 'project.resume' },
} as const

/** What the audit calls it. */
export const actionsOf = (target: StopTarget) => actions[target.slice(0, 3) as keyof typeof actions]

/** Takes a stop away, inside a write; nothing where there is none. */
export async function liftStop(
  { core, tx }: Write,
  target: StopTarget,
  who: { readonly by: string; readonly note?: string },
): Promise<void> {
  if (!(await tx.getStop(target))) return
  await tx.deleteStop(target)
  await recordAudit(core, tx, { ...who, action: actionsOf(target).lift, target })
  tx.afterCommit(() => {
    core.stops.delete(target)
    wakeFor(core, target)
  })
}

/** What waits for the target is looked at again. */
export function wakeFor({ fleet, ready, wake }: Core, target: StopTarget): void {
  if (target.startsWith('prj_')) wake.send(target as ProjectId)
  else ready.send(fleet.get(target as WorkerId)?.bindingId ?? (target as BindingId))
}
