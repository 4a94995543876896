// Jobs per second: no-op jobs, which show the price of the queue, and /bin/true, which shows what is left of the machine's own rate of spawning.
import { spawn } from 'node:child_process'
import type { JobSpec } from '../src/protocol/job.ts'
import { type Child, cpuUs } from './child.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { startLeastServer, startLeastWorker } from './least-rig.ts'
import { installPeer, startPeer } from './peer.ts'
import { type PondRig, type SwarmOrder, startPond, startSwarm, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'

const NOOP_SLOTS = [1, 8, 64]
const PROCESS_SLOTS = 8
const PROCESS_JOBS = 2000
/** The first ones pay for compiling code and opening connections, on each side: a service does that once. */
const WARM_JOBS = 2000
const BATCH = 200
const COMMAND = ['/bin/true'] as const

/** One server and its worker. */
export interface Sides {
  readonly server: { readonly pid: number }
  readonly worker: Child
  submit(commands: readonly (readonly string[])[]): Promise<unknown>
}

/** A warm side's rate, and as an extra that of its first jobs. */
async function drain(sides: Sides, jobs: number): Promise<Sample> {
  const { server, worker } = sides
  const first = await drainOnce(sides, WARM_JOBS)
  const cpuBegan = [cpuUs(server.pid), cpuUs(worker.pid)] as const
  const warm = await drainOnce(sides, jobs)
  return {
    value: warm.rate,
    extras: {
      jobs,
      first_jobs: WARM_JOBS,
      first_rate: first.rate,
      submit_share: warm.submitShare,
      server_cpu_us: (cpuUs(server.pid) - cpuBegan[0]) / jobs,
      worker_cpu_us: (cpuUs(worker.pid) - cpuBegan[1]) / jobs,
    },
  }
}

/** From the first submit to the moment when the last word of the last job is durable and acknowledged; submitting is part of it. */
async function drainOnce({ worker, submit }: Sides, jobs: number): Promise<{ rate: number; submitShare: number }> {
  worker.say({ expect: jobs })
  const began = performance.now()
  for (let sent = 0; sent < jobs; sent += BATCH) await submit(times(Math.min(BATCH, jobs - sent), COMMAND))
  const submitted = performance.now()
  await worker.hear('done')
  const ended = performance.now()
  return { rate: (jobs / (ended - began)) * 1000, submitShare: (submitted - began) / (ended - began) }
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)

export async function drainPond(pond: PondRig, order: SwarmOrder, jobs: number): Promise<Sample> {
  const swarm = await startSwarm(pond, order)
  const jobOf = ([program = '', ...args]: readonly string[]): JobSpec => ({
    command: [program, ...args],
    idempotent: true,
  })
  try {
    return await drain(
      { server: pond, worker: swarm.child, submit: (commands) => submit(pond, { jobs: commands.map(jobOf) }) },
      jobs,
    )
  } finally {
    await swarm.stop()
  }
}

async function drainLeast(order: SwarmOrder, jobs: number): Promise<Sample> {
  const server = await startLeastServer()
  const worker = await startLeastWorker(server, order)
  try {
    return await drain({ server, worker, submit: server.submit }, jobs)
  } finally {
    await worker.stop()
    await server.stop()
  }
}

async function drainPeer(order: SwarmOrder, jobs: number): Promise<Sample> {
  const peer = await startPeer(order)
  try {
    return await drain(peer, jobs)
  } finally {
    await peer.stop()
  }
}

const PEER = 'BullMQ, appendfsync always'

export async function noopThroughput({ runs, peers }: BenchOptions): Promise<void> {
  if (peers) installPeer()
  for (const slots of NOOP_SLOTS) {
    const jobs = 500 + 100 * slots
    const order = { slots, executor: 'noop' } as const
    const pond = await startPond()
    const samples = await interleave(runs, {
      pond: () => drainPond(pond, order, jobs),
      least: () => drainLeast(order, jobs),
      ...(peers && { peer: () => drainPeer(order, jobs) }),
    })
    await pond.stop()
    const figure = { bench: 'noop-throughput', unit: 'jobs/s', own: samples.pond, facts: { slots } }
    printFigure({ ...figure, against: { name: 'least server', samples: samples.least } })
    if (samples.peer) printFigure({ ...figure, against: { name: PEER, samples: samples.peer } })
  }
}

export async function processThroughput({ runs, peers }: BenchOptions): Promise<void> {
  if (peers) installPeer()
  const order = { slots: PROCESS_SLOTS, executor: 'process' } as const
  const pond = await startPond()
  const samples = await interleave(runs, {
    pond: () => drainPond(pond, order, PROCESS_JOBS),
    unsandboxed: () => drainPond(pond, { ...order, sandbox: 'none' }, PROCESS_JOBS),
    least: () => drainLeast(order, PROCESS_JOBS),
    bare: () => spawnBare(PROCESS_JOBS),
    ...(peers && { peer: () => drainPeer(order, PROCESS_JOBS) }),
  })
  await pond.stop()
  const figure = { bench: 'process-throughput', unit: 'jobs/s', own: samples.pond, facts: { slots: PROCESS_SLOTS } }
  printFigure({ ...figure, against: { name: 'least server', samples: samples.least } })
  printFigure({ ...figure, against: { name: 'bare spawn loop', samples: samples.bare } })
  printFigure({ ...figure, against: { name: 'without a sandbox', samples: samples.unsandboxed } })
  if (samples.peer) printFigure({ ...figure, against: { name: PEER, samples: samples.peer } })
}

/** What this machine starts and ends at most with so many at a time. */
export async function spawnBare(jobs: number): Promise<Sample> {
  let left = jobs
  const began = performance.now()
  const slot = async () => {
    while (left-- > 0) {
      const child = spawn(COMMAND[0], [], { stdio: ['ignore', 'pipe', 'pipe'] })
      child.stdout.resume()
      child.stderr.resume()
      await new Promise((resolve) => child.once('close', resolve))
    }
  }
  await Promise.all(times(PROCESS_SLOTS, undefined).map(slot))
  return { value: (jobs / (performance.now() - began)) * 1000 }
}
