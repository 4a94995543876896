// Workers whose owners want nothing of what they get: after several refusals in a row such a worker is offered about one job a second,
// so that a long queue is not tried at the speed of the line. It is no mark against it, and all of it may be forgotten at a restart.
import type { WorkerId } from '../../src/protocol/id.ts'

/** So many may come together, as many slots do, and say nothing yet about the next job. */
const REFUSED_FREELY = 8
const PAUSE_MS = 1000

interface Row {
  count: number
  until: number
}

export class Refusals {
  readonly #rows = new Map<WorkerId, Row>()

  /** A job was refused. Answers until when the worker gets no other; undefined: it may have one at once. */
  refused(workerId: WorkerId, now: number): number | undefined {
    const row = this.#rows.get(workerId) ?? { count: 0, until: now }
    this.#rows.set(workerId, row)
    row.count += 1
    if (row.count < REFUSED_FREELY) return undefined
    row.until = now + PAUSE_MS
    return row.until
  }

  /** It takes jobs. */
  took(workerId: WorkerId): void {
    this.#rows.delete(workerId)
  }

  /** How many jobs it may get now. */
  room(workerId: WorkerId, now: number): number {
    const row = this.#rows.get(workerId)
    if (!row || row.count < REFUSED_FREELY) return Number.POSITIVE_INFINITY
    return now < row.until ? 0 : 1
  }
}
