// The queue in memory: ids of jobs that could be claimed now, per project and priority, first come first served. It mirrors committed rows; the row decides.
import type { JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { isPassedOver } from '../../src/state/match.ts'
import type { JobRow, QueuedRow } from '../store/row.ts'

const PRIORITIES = 10

export interface Waiting {
  readonly id: JobId
  readonly projectId: ProjectId
  readonly priority: number
  readonly confidential: boolean
  readonly passedOver: Readonly<Record<string, number>>
}

export const waitingOf = ({ id, projectId, priority, confidential, law }: JobRow): Waiting => ({
  ...{ id, projectId, priority, confidential },
  passedOver: law.passedOver,
})

/** The same of a row as the start reads it. */
export const waitingAgain = ({ id, projectId, priority, confidential, passedOver }: QueuedRow): Waiting => ({
  ...{ id, projectId, priority, confidential, passedOver },
})

interface Place {
  readonly job: Waiting
  /** Rises along both lines of a priority. */
  readonly number: number
}

/** A Map keeps the order of insertion and forgets an id at once, wherever it stands. */
type Line = Map<JobId, Place>

/** Confidential jobs stand in a line of their own: a worker that may not have them need not look past them, however many wait. */
interface Lines {
  readonly open: Line
  readonly confidential: Line
}

/** Who asks: `secrets` tells whether confidential jobs are for him. */
export interface Taker {
  readonly workerId: WorkerId
  readonly secrets: boolean
  readonly most: number
  readonly now: number
}

export class Queue {
  readonly #projects = new Map<ProjectId, readonly Lines[]>()
  #last = 0

  /** Puts a job at the end of its line; one that stands there already keeps its place. */
  add(job: Waiting): void {
    const line = this.#line(job)
    this.#last += 1
    line.set(job.id, { job, number: line.get(job.id)?.number ?? this.#last })
  }

  remove(job: Pick<Waiting, 'id' | 'projectId' | 'priority' | 'confidential'>): void {
    const lines = this.#projects.get(job.projectId)?.[job.priority]
    lines?.[job.confidential ? 'confidential' : 'open'].delete(job.id)
  }

  /** Takes up to `most` jobs for a worker, highest priority first; jobs that it lately declined are left standing. */
  take(projectId: ProjectId, { workerId, secrets, most, now }: Taker): Waiting[] {
    const taken: Waiting[] = []
    if (most <= 0) return taken
    const all = this.#projects.get(projectId) ?? []
    for (let priority = PRIORITIES - 1; priority >= 0 && taken.length < most; priority--) {
      const lines = all[priority]
      if (!lines) continue
      for (const { job } of secrets ? inOrder(lines) : lines.open.values()) {
        if (taken.length >= most) break
        if (isPassedOver(job.passedOver, workerId, now)) continue
        taken.push(job)
      }
    }
    for (const job of taken) this.remove(job)
    return taken
  }

  /** How many wait for a worker, which may have confidential ones or not. */
  size(projectId: ProjectId, { secrets }: Pick<Taker, 'secrets'> = { secrets: true }): number {
    const all = this.#projects.get(projectId) ?? []
    return all.reduce((sum, { open, confidential }) => sum + open.size + (secrets ? confidential.size : 0), 0)
  }

  #line(job: Waiting): Line {
    let all = this.#projects.get(job.projectId)
    if (!all) {
      all = Array.from({ length: PRIORITIES }, () => ({ open: new Map(), confidential: new Map() }))
      this.#projects.set(job.projectId, all)
    }
    const lines = all[job.priority]
    if (!lines) throw new Error(`a priority is 0 to ${PRIORITIES - 1}, not ${job.priority}`)
    return job.confidential ? lines.confidential : lines.open
  }
}

/** Both lines as one, first come first served. */
function* inOrder({ open, confidential }: Lines): Generator<Place> {
  const [here, there] = [open.values(), confidential.values()]
  let [one, other] = [here.next(), there.next()]
  while (!one.done || !other.done) {
    if (other.done || (!one.done && one.value.number < other.value.number)) {
      if (!one.done) yield one.value
      one = here.next()
    } else {
      yield other.value
      other = there.next()
    }
  }
}
