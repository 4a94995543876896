// Retention: what ended long ago goes, streams first, so that a crash in between leaves nothing that no row names.
import type { JobId, WorkerId } from '../../src/protocol/id.ts'
import { limit } from '../../src/protocol/limit.ts'
import { every } from '../../src/system/clock.ts'
import type { Bundles } from './bundle.ts'
import type { Core } from './core.ts'

const PERIOD_MS = 60_000
/** Jobs, bindings or bundles, removed in one go, so that live traffic is not held up. */
const BATCH = 100

export function startRetention(core: Core, bundles: Bundles): () => void {
  return every(core.clock, PERIOD_MS, async () => {
    try {
      while ((await removeEnded(core)) === BATCH);
      while ((await removeGone(core)) === BATCH);
      while ((await bundles.removeUnused(BATCH)) === BATCH);
      await core.store.write((tx) => tx.deleteIdempotency(core.clock.now() - limit.idempotencyKeyMs))
    } catch (error) {
      core.log.warn('retention.failed', { error: String(error) })
    }
  })
}

/** Removes a batch of ephemeral machines that left before the retention; answers how many. An attempt of a job that is older shows the worker's id for its name. */
async function removeGone(core: Core): Promise<number> {
  return core.store.write(async (tx) => {
    const ids = await tx.listGone(core.clock.now() - core.settings.retentionMs, BATCH)
    for (const id of ids) await tx.deleteBinding(id)
    tx.afterCommit(() => {
      for (const id of ids) {
        for (const worker of core.fleet.ofBinding(id)) forgetWorker(core, worker.id)
        core.fleet.forget(id)
      }
    })
    return ids.length
  })
}

function forgetWorker({ live, refusals }: Core, id: WorkerId): void {
  live.forget(id)
  refusals.took(id)
}

/** Removes a batch of jobs that ended before the retention; answers how many. */
export async function removeEnded(core: Core): Promise<number> {
  const ids = await core.store.read((tx) => tx.listEnded(core.clock.now() - core.settings.retentionMs, BATCH))
  // An array goes after its elements, which ended before it.
  const gone: JobId[] = []
  for (const id of ids) {
    if ((await core.store.read((tx) => tx.listJobs({ array: id, limit: 1 }))).length > 0) continue
    gone.push(id)
    const claims = await core.store.read((tx) => tx.listClaims(id))
    for (const claim of claims) await core.blobs.remove(claim.id)
  }
  await core.store.write(async (tx) => {
    for (const id of gone) await tx.deleteJob(id)
  })
  return gone.length
}
