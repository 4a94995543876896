// Who waits for news of a job or a stream, in this process. News is a nudge: whoever is woken reads the facts again.

import type { ClaimId, JobId, ProjectId } from '../../src/protocol/id.ts'
import type { JobState, TallyView } from '../../src/protocol/job.ts'
import type { TelemetryRow } from '../store/row.ts'

/** A change of a job that was committed. */
export interface JobNews {
  readonly jobId: JobId
  readonly projectId: ProjectId
  readonly version: number
  readonly state: JobState
  readonly labels: Readonly<Record<string, string>>
  /** How far an array is. */
  readonly array?: TallyView
}

type Listener<T> = (news: T) => void

/** Listeners by topic; a topic without listeners takes no room. */
class Topic<K, T> {
  readonly #listeners = new Map<K, Set<Listener<T>>>()

  listen(key: K, listener: Listener<T>): () => void {
    const set = this.#listeners.get(key) ?? new Set()
    this.#listeners.set(key, set.add(listener))
    return () => {
      set.delete(listener)
      if (set.size === 0 && this.#listeners.get(key) === set) this.#listeners.delete(key)
    }
  }

  tell(key: K, news: T): void {
    for (const listener of [...(this.#listeners.get(key) ?? [])]) listener(news)
  }
}

export class Hub {
  readonly job = new Topic<JobId, JobNews>()
  readonly project = new Topic<ProjectId, JobNews>()
  /** A stream of the claim grew, or the claim ended. */
  readonly claim = new Topic<ClaimId, undefined>()

  readonly telemetry = new Topic<JobId, TelemetryRow>()

  changed(news: JobNews): void {
    this.job.tell(news.jobId, news)
    this.project.tell(news.projectId, news)
  }
}
