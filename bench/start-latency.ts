// From the submit of a job to the start of its process, one job at a time, on a pool that waits for it. The same clock and the same words on both sides:
// it begins when the submit is about to be written, and ends when the worker's call that makes the process has returned.
import type { Child } from './child.ts'
import { note, percentile, printFigure, type Sample } from './figure.ts'
import { startLeastServer, startLeastWorker } from './least-rig.ts'
import { BULLMQ, installPeers, startBullmq } from './peer.ts'
import { type PondRig, startPond, startSwarm, submit } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'
import { now, type Started } from './worker-report.ts'

const JOBS = 1000
/**
 * The first ones pay for compiling code and opening connections, on each side: a service does that once. V8 still compiles 80 functions in the third
 * thousand, and a hundred seconds after a busy start it collects the whole heap and compiles some of them anew.
 */
const WARM_JOBS = 4000
/** Between two jobs, so that each meets a pool at rest with its poll parked. */
const REST_MS = 5
/** Writes when it is there itself: after whatever a worker puts around a process. In nanoseconds of wall time. */
const COMMAND = ['/bin/date', '+%s%N'] as const

const SLOTS = { slots: 4, executor: 'process' } as const

interface Side {
  readonly name: string
  readonly worker: Child
  submit(): Promise<unknown>
}

/** Milliseconds from the submit to each stage of one job. */
interface Stages {
  readonly created: number
  readonly acknowledged: number
  readonly got: number
  readonly alive: number
}

async function measureOne({ worker, submit }: Side): Promise<Stages> {
  worker.say({ expect: 1 })
  const [began, wallBegan] = [now(), wallMs()]
  const since = (at: bigint) => Number(at - began) / 1e6
  await submit()
  const acknowledged = since(now())
  const { at, got } = await worker.hear<Started>('started')
  const { text } = await worker.hear<{ text: string }>('wrote')
  await worker.hear('done')
  await new Promise((resolve) => setTimeout(resolve, REST_MS))
  return { created: since(BigInt(at)), acknowledged, got: since(BigInt(got)), alive: Number(text) / 1e6 - wallBegan }
}

/** A job of each side in turn, so that whatever else the machine does meets all of them. */
async function measureAll(sides: readonly Side[], jobs: number): Promise<readonly Sample[]> {
  const seen: readonly Stages[][] = sides.map(() => [])
  for (let job = 0; job < jobs; job++) {
    for (const [index, side] of sides.entries()) seen[index]?.push(await measureOne(side))
  }
  return seen.map((stages) => {
    const of = (name: keyof Stages, percent = 50) =>
      percentile(
        stages.map((it) => it[name]),
        percent,
      )
    const extras = { jobs, p99: of('created', 99), acknowledged_p50: of('acknowledged') }
    return { value: of('created'), extras: { ...extras, got_p50: of('got'), alive_p50: of('alive') } }
  })
}

const LEAST = 'least server'
const isOther = (name: string) => name === LEAST || name === BULLMQ

const wallMs = () => performance.timeOrigin + performance.now()

export async function startLatency({ runs, peers }: BenchOptions): Promise<void> {
  if (peers) installPeers()
  const bullmq = peers ? await startBullmq(SLOTS) : undefined
  const [pond, open] = [await startPond(), await startPond()]
  const swarm = await startSwarm(pond, SLOTS)
  const unsandboxed = await startSwarm(open, { ...SLOTS, sandbox: 'none' })
  const server = await startLeastServer()
  const worker = await startLeastWorker(server, SLOTS)
  const ours = (to: PondRig, idempotent: boolean) => () => submit(to, { command: [...COMMAND], idempotent })
  const sides: readonly Side[] = [
    { name: LEAST, worker, submit: () => server.submit([COMMAND]) },
    { name: 'idempotent', worker: swarm.child, submit: ours(pond, true) },
    { name: 'idempotent, without a sandbox', worker: unsandboxed.child, submit: ours(open, true) },
    { name: 'not idempotent: pond confirms first', worker: swarm.child, submit: ours(pond, false) },
    ...(bullmq ? [{ name: BULLMQ, worker: bullmq.worker, submit: () => bullmq.submit([COMMAND]) }] : []),
  ]
  for (const { worker } of sides) worker.say({ starts: true })
  note('the first jobs, which do not count')
  const first = await measureAll(sides, WARM_JOBS)
  const samples: readonly Sample[][] = sides.map(() => [])
  for (let run = 1; run <= runs; run++) {
    for (const [index, sample] of (await measureAll(sides, JOBS)).entries()) {
      const extras = { ...sample.extras, first_jobs: WARM_JOBS, first_p50: first[index]?.value ?? Number.NaN }
      samples[index]?.push({ ...sample, extras })
      note(`run ${run} of ${runs}: ${sides[index]?.name} ${JSON.stringify(sample)}`)
    }
  }
  await Promise.all([swarm.stop(), unsandboxed.stop(), worker.stop()])
  await Promise.all([pond.stop(), open.stop(), server.stop(), bullmq?.stop()])
  const others = sides.flatMap(({ name }, index) => (isOther(name) ? [{ name, samples: samples[index] ?? [] }] : []))
  for (const [index, { name }] of sides.entries()) {
    for (const against of isOther(name) ? [] : others) {
      printFigure({ bench: 'start-latency', unit: 'ms p50', own: samples[index] ?? [], against, facts: { job: name } })
    }
  }
}
