// Graphile Worker on PostgreSQL, both on their defaults, as a peer.
import { createRequire } from 'node:module'
import { startChild } from './child.ts'
import { peerFolder } from './peer.ts'
import type { SwarmOrder } from './pond-rig.ts'
import { startPostgres } from './postgres.ts'
import type { Sides } from './throughput.ts'

/** With those of the worker below what PostgreSQL takes by default. */
const CONNECTIONS = 32

/** The part of it that fills a queue; its package is not there when this is compiled. */
interface GraphileWorker {
  makeWorkerUtils(options: { readonly connectionString: string; readonly maxPoolSize: number }): Promise<{
    migrate(): Promise<void>
    addJob(task: string, payload: object): Promise<unknown>
    addJobs(jobs: readonly { readonly identifier: string; readonly payload: object }[]): Promise<unknown>
    release(): Promise<void>
  }>
}

/** A queue in a PostgreSQL of its own, and a worker process. One job is added by `addJob`, more of them at once by `addJobs`. */
export async function startGraphile({ slots }: SwarmOrder): Promise<Sides & { stop(): Promise<void> }> {
  const postgres = await startPostgres()
  const { makeWorkerUtils } = createRequire(peerFolder)('graphile-worker') as GraphileWorker
  const utils = await makeWorkerUtils({ connectionString: postgres.url, maxPoolSize: CONNECTIONS })
  await utils.migrate()
  const argv = [JSON.stringify({ slots, url: postgres.url })]
  const worker = startChild(`file://${peerFolder}graphile-worker.mjs`, { argv })
  await worker.hear('ready')
  return {
    server: { pid: postgres.pid, hasChildren: true },
    worker,
    submit([command = [], ...others]) {
      if (others.length === 0) return utils.addJob('job', { command })
      const jobs = [command, ...others].map((each) => ({ identifier: 'job', payload: { command: each } }))
      return utils.addJobs(jobs)
    },
    async stop() {
      await worker.stop()
      await utils.release()
      await postgres.stop()
    },
  }
}
