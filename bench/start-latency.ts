// From the submit of a job to the start of its process, one job at a time, on a pool that waits for it. The same clock and the same words on both sides:
// it begins when the submit is about to be written, and ends when the worker's call that makes the process has returned.
import type { Child } from './child.ts'
import { interleave, percentile, printFigure, type Sample } from './figure.ts'
import { startLeastServer, startLeastWorker } from './least-rig.ts'
import { startPond, startSwarm, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'
import { now, type Started } from './worker-report.ts'

const JOBS = 200
/** The first ones pay for compiling code and opening connections. */
const WARM_JOBS = 20
/** Between two jobs, so that each meets a pool at rest with its poll parked. */
const REST_MS = 5
/** Writes when it is there itself: after whatever a worker puts around a process. In nanoseconds of wall time. */
const COMMAND = ['/bin/date', '+%s%N'] as const

const SLOTS = { slots: 4, executor: 'process' } as const

async function measure(worker: Child, submitOne: () => Promise<unknown>): Promise<Sample> {
  worker.say({ starts: true })
  const stages = { created: [] as number[], acknowledged: [] as number[], got: [] as number[], alive: [] as number[] }
  for (let job = 0; job < WARM_JOBS + JOBS; job++) {
    worker.say({ expect: 1 })
    const [began, wallBegan] = [now(), wallMs()]
    const since = (at: bigint) => Number(at - began) / 1e6
    await submitOne()
    const acknowledged = since(now())
    const { at, got } = await worker.hear<Started>('started')
    const { text } = await worker.hear<{ text: string }>('wrote')
    await worker.hear('done')
    if (job >= WARM_JOBS) {
      stages.created.push(since(BigInt(at)))
      stages.acknowledged.push(acknowledged)
      stages.got.push(since(BigInt(got)))
      stages.alive.push(Number(text) / 1e6 - wallBegan)
    }
    await new Promise((resolve) => setTimeout(resolve, REST_MS))
  }
  const { created, acknowledged, got, alive } = stages
  const p50 = (times: readonly number[]) => percentile(times, 50)
  return {
    value: p50(created),
    extras: {
      jobs: JOBS,
      p99: percentile(created, 99),
      acknowledged_p50: p50(acknowledged),
      got_p50: p50(got),
      alive_p50: p50(alive),
    },
  }
}

const wallMs = () => performance.timeOrigin + performance.now()

export async function startLatency({ runs }: BenchOptions): Promise<void> {
  const pond = await startPond()
  const swarm = await startSwarm(pond, SLOTS)
  const server = await startLeastServer()
  const worker = await startLeastWorker(server, SLOTS)
  const ours = (idempotent: boolean) => () =>
    measure(swarm.child, () => submit(pond, { command: [...COMMAND], idempotent }))
  const samples = await interleave(runs, {
    least: () => measure(worker, () => server.submit([COMMAND])),
    idempotent: ours(true),
    careful: ours(false),
  })
  await Promise.all([swarm.stop(), worker.stop()])
  await Promise.all([pond.stop(), server.stop()])
  const against = { name: 'least server', samples: samples.least }
  const figure = { bench: 'start-latency', unit: 'ms p50', against }
  printFigure({ ...figure, own: samples.idempotent, facts: { job: 'idempotent' } })
  printFigure({ ...figure, own: samples.careful, facts: { job: 'not idempotent: pond confirms first' } })
}
