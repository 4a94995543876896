// The queue in memory: ids of jobs that could be claimed now, per project and priority, first come first served. It mirrors committed rows; the row decides.
import type { JobId, ProjectId, WorkerId } from '../../src/protocol/id.ts'
import { isPassedOver } from '../../src/state/match.ts'
import type { JobRow } from '../store/contract.ts'

const PRIORITIES = 10

export interface Waiting {
  readonly id: JobId
  readonly projectId: ProjectId
  readonly priority: number
  readonly passedOver: Readonly<Record<string, number>>
}

export const waitingOf = ({ id, projectId, priority, law }: JobRow): Waiting => ({
  id,
  projectId,
  priority,
  passedOver: law.passedOver,
})

/** A Map keeps the order of insertion and forgets an id at once, wherever it stands. */
type Line = Map<JobId, Waiting>

export class Queue {
  readonly #projects = new Map<ProjectId, Line[]>()

  /** Puts a job at the end of its line; one that stands there already keeps its place. */
  add(job: Waiting): void {
    this.#line(job).set(job.id, job)
  }

  remove(job: Pick<Waiting, 'id' | 'projectId' | 'priority'>): void {
    this.#projects.get(job.projectId)?.[job.priority]?.delete(job.id)
  }

  /** Takes up to `most` jobs for a worker, highest priority first; jobs that it lately declined are left standing. */
  take(
    projectId: ProjectId,
    { workerId, most, now }: { readonly workerId: WorkerId; readonly most: number; readonly now: number },
  ): Waiting[] {
    const taken: Waiting[] = []
    if (most <= 0) return taken
    const lines = this.#projects.get(projectId) ?? []
    for (let priority = PRIORITIES - 1; priority >= 0 && taken.length < most; priority--) {
      for (const job of lines[priority]?.values() ?? []) {
        if (taken.length >= most) break
        if (isPassedOver(job.passedOver, workerId, now)) continue
        taken.push(job)
      }
    }
    for (const job of taken) this.remove(job)
    return taken
  }

  size(projectId: ProjectId): number {
    return (this.#projects.get(projectId) ?? []).reduce((sum, line) => sum + line.size, 0)
  }

  #line(job: Waiting): Line {
    let lines = this.#projects.get(job.projectId)
    if (!lines) {
      lines = Array.from({ length: PRIORITIES }, () => new Map())
      this.#projects.set(job.projectId, lines)
    }
    const line = lines[job.priority]
    if (!line) throw new Error(`a priority is 0 to ${PRIORITIES - 1}, not ${job.priority}`)
    return line
  }
}
