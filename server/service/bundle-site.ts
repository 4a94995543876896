// Which workers fetched which bundle, and so are likely to have it still: among equals they get the jobs that name it. A guess that may be wrong costs a download.
import type { WorkerId } from '../../src/protocol/id.ts'

/** Of one bundle, the latest to fetch it. */
const WORKERS_MOST = 64
/** The latest to be fetched. */
const BUNDLES_MOST = 1024

export class BundleSites {
  readonly #workers = new Map<string, Set<WorkerId>>()

  fetched(digest: string, workerId: WorkerId): void {
    const workers = this.#workers.get(digest) ?? new Set()
    workers.delete(workerId)
    shed(workers.add(workerId), WORKERS_MOST)
    this.#workers.delete(digest)
    shed(this.#workers.set(digest, workers), BUNDLES_MOST)
  }

  /** By its digest. */
  of(digest: string): ReadonlySet<WorkerId> {
    return this.#workers.get(digest) ?? nobody
  }
}

/** Both keep the order of insertion, so the oldest is the first. */
function shed<T>(kept: Set<T> | Map<T, unknown>, most: number): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= most) return
    kept.delete(oldest)
  }
}

const nobody: ReadonlySet<WorkerId> = new Set()
