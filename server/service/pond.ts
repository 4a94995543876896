// All services together, started from the store and closed in order.
import { Access } from './access.ts'
import { startArrays } from './array.ts'
import { Bundles } from './bundle.ts'
import { type Core, createCore, loadCore } from './core.ts'
import { startDependencies } from './dependency.ts'
import { startLeaving } from './ephemeral.ts'
import { startExpiry } from './job.ts'
import { firstStart } from './key.ts'
import { startSweep } from './lease.ts'
import { startStops } from './order.ts'
import type { Parts } from './parts.ts'
import { Polls } from './poll.ts'
import { startRetention } from './retention.ts'
import { Streams } from './stream.ts'
import { Snapshots } from './worker.ts'

export interface Services {
  readonly core: Core
  readonly access: Access
  readonly polls: Polls
  readonly streams: Streams
  readonly snapshots: Snapshots
  readonly bundles: Bundles
  /** There at the first start only. */
  readonly adminToken?: string
  /** Answers what waits, stops the clocks; the store and the blobs stay the caller's. */
  close(): void
}

export async function startServices(parts: Parts): Promise<Services> {
  const core = createCore(parts)
  const access = new Access(core)
  const polls = new Polls(core)
  const bundles = new Bundles(core)
  startExpiry(core)
  startDependencies(core)
  startArrays(core)
  startStops(core)
  await loadCore(core)
  await access.load()
  await bundles.load()
  const adminToken = await firstStart({ core, access })
  const stopSweep = startSweep(core)
  const stopLeaving = startLeaving({ core, access, polls })
  const stopRetention = startRetention(core, bundles)
  return {
    core,
    access,
    polls,
    streams: new Streams(core),
    snapshots: new Snapshots(core),
    bundles,
    ...(adminToken === undefined ? {} : { adminToken }),
    close() {
      stopSweep()
      stopRetention()
      stopLeaving()
      core.later.close()
      core.expiring.close()
      core.settling.close()
      core.recalling.close()
      core.pauses.close()
      core.workerPauses.close()
      core.stops.close()
      polls.close()
    },
  }
}
