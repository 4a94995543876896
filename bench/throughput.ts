// Jobs per second: no-op jobs, which show the price of the queue, and /bin/true, which shows what is left of the machine's own rate of spawning.
import { spawn } from 'node:child_process'
import type { JobSpec } from '../src/protocol/job.ts'
import { type Child, cpuUs, cpuUsOfAll } from './child.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { startGraphile } from './graphile.ts'
import { startLeastServer, startLeastWorker } from './least-rig.ts'
import { BULLMQ, installPeers, startBullmq } from './peer.ts'
import { type PondRig, type SwarmOrder, startPond, startSwarm, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'

const NOOP_SLOTS = [1, 8, 64]
const PROCESS_SLOTS = 8
const PROCESS_JOBS = 2000
/** The first ones pay for compiling code and opening connections, on each side: a service does that once. */
export const WARM_JOBS = 2000
const COMMAND = ['/bin/true'] as const

/** How jobs are sent: so many in a call, and so many calls at a time. */
interface Pace {
  readonly batch: number
  readonly calls: number
}
const inBatches: Pace = { batch: 200, calls: 1 }
/** As many at a time as there are slots. */
const singly: Pace = { batch: 1, calls: 64 }
const SINGLE_SLOTS = 64
const SINGLE_JOBS = 3000
/** It takes long, and shows nothing new with fewer. */
const GRAPHILE_SLOTS = 64

interface Load {
  readonly jobs: number
  readonly pace?: Pace
}

/** One server and its worker. */
export interface Sides {
  readonly server: { readonly pid: number; readonly hasChildren?: boolean }
  readonly worker: Child
  submit(commands: readonly (readonly string[])[]): Promise<unknown>
}

/** A warm side's rate, and as an extra that of its first jobs. */
async function drain(sides: Sides, { jobs, pace = inBatches }: Load): Promise<Sample> {
  const { server, worker } = sides
  const first = await drainOnce(sides, WARM_JOBS, pace)
  const cpuOf = server.hasChildren ? cpuUsOfAll : cpuUs
  const cpuBegan = [cpuOf(server.pid), cpuUs(worker.pid)] as const
  const warm = await drainOnce(sides, jobs, pace)
  return {
    value: warm.rate,
    extras: {
      jobs,
      first_jobs: WARM_JOBS,
      first_rate: first.rate,
      submit_share: warm.submitShare,
      server_cpu_us: (cpuOf(server.pid) - cpuBegan[0]) / jobs,
      worker_cpu_us: (cpuUs(worker.pid) - cpuBegan[1]) / jobs,
    },
  }
}

/** From the first submit to the moment when the last word of the last job is durable and acknowledged; submitting is part of it. */
export async function drainOnce(
  { worker, submit }: Sides,
  jobs: number,
  { batch, calls }: Pace = inBatches,
): Promise<{ rate: number; submitShare: number }> {
  worker.say({ expect: jobs })
  const began = performance.now()
  let left = jobs
  const sender = async () => {
    while (left > 0) {
      const count = Math.min(batch, left)
      left -= count
      await submit(times(count, COMMAND))
    }
  }
  await Promise.all(Array.from({ length: calls }, sender))
  const submitted = performance.now()
  await worker.hear('done')
  const ended = performance.now()
  return { rate: (jobs / (ended - began)) * 1000, submitShare: (submitted - began) / (ended - began) }
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)

export function specOf([program = '', ...args]: readonly string[]): JobSpec {
  return { command: [program, ...args], idempotent: true }
}

export async function drainPond(pond: PondRig, order: SwarmOrder, load: Load): Promise<Sample> {
  const swarm = await startSwarm(pond, order)
  const send: Sides['submit'] = ([first = [], ...others]) =>
    submit(pond, others.length === 0 ? specOf(first) : { jobs: [first, ...others].map(specOf) })
  try {
    return await drain({ server: pond, worker: swarm.child, submit: send }, load)
  } finally {
    await swarm.stop()
  }
}

async function drainLeast(order: SwarmOrder, load: Load): Promise<Sample> {
  const server = await startLeastServer()
  const worker = await startLeastWorker(server, order)
  try {
    return await drain({ server, worker, submit: server.submit }, load)
  } finally {
    await worker.stop()
    await server.stop()
  }
}

type StartPeer = (order: SwarmOrder) => Promise<Sides & { stop(): Promise<void> }>

async function drainPeer(start: StartPeer, order: SwarmOrder, load: Load): Promise<Sample> {
  const peer = await start(order)
  try {
    return await drain(peer, load)
  } finally {
    await peer.stop()
  }
}

const GRAPHILE = 'Graphile Worker, PostgreSQL on defaults'

export async function noopThroughput({ runs, peers }: BenchOptions): Promise<void> {
  if (peers) installPeers()
  for (const slots of NOOP_SLOTS) await noop({ slots, load: { jobs: 500 + 100 * slots }, runs, peers })
}

/** Jobs that are sent one a call, as services mostly do, and as many calls at a time as there are slots. */
export async function noopSingly({ runs, peers }: BenchOptions): Promise<void> {
  if (peers) installPeers()
  await noop({ slots: SINGLE_SLOTS, load: { jobs: SINGLE_JOBS, pace: singly }, runs, peers })
}

async function noop({ slots, load, runs, peers }: BenchOptions & { readonly slots: number; readonly load: Load }) {
  const order = { slots, executor: 'noop' } as const
  const pond = await startPond()
  const samples = await interleave(runs, {
    pond: () => drainPond(pond, order, load),
    least: () => drainLeast(order, load),
    ...(peers && { bullmq: () => drainPeer(startBullmq, order, load) }),
    ...(peers && slots === GRAPHILE_SLOTS && { graphile: () => drainPeer(startGraphile, order, load) }),
  })
  await pond.stop()
  const bench = load.pace === singly ? 'noop-singly' : 'noop-throughput'
  const figure = { bench, unit: 'jobs/s', own: samples.pond, facts: { slots } }
  printFigure({ ...figure, against: { name: 'least server', samples: samples.least } })
  if (samples.bullmq) printFigure({ ...figure, against: { name: BULLMQ, samples: samples.bullmq } })
  if (samples.graphile) printFigure({ ...figure, against: { name: GRAPHILE, samples: samples.graphile } })
}

export async function processThroughput({ runs, peers }: BenchOptions): Promise<void> {
  if (peers) installPeers()
  const order = { slots: PROCESS_SLOTS, executor: 'process' } as const
  const load = { jobs: PROCESS_JOBS }
  const pond = await startPond()
  const samples = await interleave(runs, {
    pond: () => drainPond(pond, order, load),
    unsandboxed: () => drainPond(pond, { ...order, sandbox: 'none' }, load),
    least: () => drainLeast(order, load),
    bare: () => spawnBare(PROCESS_JOBS),
    ...(peers && { peer: () => drainPeer(startBullmq, order, load) }),
  })
  await pond.stop()
  const figure = { bench: 'process-throughput', unit: 'jobs/s', own: samples.pond, facts: { slots: PROCESS_SLOTS } }
  printFigure({ ...figure, against: { name: 'least server', samples: samples.least } })
  printFigure({ ...figure, against: { name: 'bare spawn loop', samples: samples.bare } })
  printFigure({ ...figure, against: { name: 'without a sandbox', samples: samples.unsandboxed } })
  if (samples.peer) printFigure({ ...figure, against: { name: BULLMQ, samples: samples.peer } })
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
