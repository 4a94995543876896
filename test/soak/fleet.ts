// A mixed fleet and very many jobs of mixed needs, all at once and as a stream: nothing is ever over-committed, each runs once, and how well the machines are used
// stands beside what no schedule can beat and what a planner with perfect knowledge makes of the same.
import { createSeededRandom } from '../harness/seeded-random.ts'
import { lowerBoundMs, plannedMs, resourceNames, sizeOfJob, sizeOfMachine } from './fleet/bound.ts'
import { type FleetJob, type FleetMachine, jobKinds, makeFleet, makeJobs } from './fleet/workload.ts'
import { type FleetRun, runFleet } from './fleet/world.ts'
import type { RoundReport } from './run.ts'

export interface FleetWish {
  readonly seed: number
  readonly jobs: number
}

/** Seconds of virtual time, but for `wall_s`. */
export interface FleetFigures {
  readonly wall_s: number
  readonly makespan_s: number
  readonly bound_s: number
  readonly planned_s: number
  /** Of the makespan over the bound, and over what the planner makes. */
  readonly to_bound: number
  readonly to_planned: number
  /** Part of what the whole fleet could have done until the last job ended. */
  readonly used: Readonly<Record<string, number>>
  /** By kind of job. */
  readonly waits_s: Readonly<Record<string, { readonly p50: number; readonly p99: number }>>
}

export interface FleetReport extends RoundReport {
  readonly jobs: number
  readonly machines: number
  readonly burst: FleetFigures
  readonly stream: FleetFigures
}

/** Of what the fleet can do, so that a queue comes and goes. */
const STREAM_LOAD = 0.85

export async function soakFleet({ seed, jobs: count }: FleetWish): Promise<FleetReport> {
  const machines = makeFleet()
  const burst = makeJobs(diceOf(seed), { count, overMs: 0 })
  const burstRun = await measure(machines, burst, seed)
  // The same jobs, over the time in which the fleet could just do them at this load.
  const overMs = lowerBoundMs(burst, machines) / STREAM_LOAD
  const streamRun = await measure(machines, makeJobs(diceOf(seed), { count, overMs }), seed)
  return {
    ...{ jobs: count, machines: machines.length, burst: burstRun.figures, stream: streamRun.figures },
    faults: [...burstRun.faults, ...streamRun.faults],
  }
}

function diceOf(seed: number) {
  const dice = createSeededRandom(seed * 0x9e3779b1)
  dice.bytes(64)
  return dice
}

async function measure(machines: readonly FleetMachine[], jobs: readonly FleetJob[], seed: number) {
  const began = process.hrtime.bigint()
  const run = await runFleet(
    machines.map((machine) => ({ machine })),
    jobs,
    seed,
  )
  const wall = Number(process.hrtime.bigint() - began) / 1e9
  return { figures: figuresOf({ machines, jobs, run, wall }), faults: run.faults }
}

interface Measured {
  readonly machines: readonly FleetMachine[]
  readonly jobs: readonly FleetJob[]
  readonly run: FleetRun
  readonly wall: number
}

function figuresOf({ machines, jobs, run, wall }: Measured): FleetFigures {
  const bound = lowerBoundMs(jobs, machines)
  const planned = plannedMs(jobs, machines)
  const used = resourceNames.map((name) => {
    const there = machines.reduce((sum, machine) => sum + sizeOfMachine(machine)[name], 0)
    const done = jobs.reduce((sum, job) => sum + sizeOfJob(job.requires)[name] * job.durationMs, 0)
    return [name, round(done / (there * run.makespanMs))] as const
  })
  return {
    wall_s: round(wall),
    makespan_s: Math.round(run.makespanMs / 1000),
    bound_s: Math.round(bound / 1000),
    planned_s: Math.round(planned / 1000),
    to_bound: round(run.makespanMs / bound),
    to_planned: round(run.makespanMs / planned),
    used: Object.fromEntries(used),
    waits_s: Object.fromEntries(jobKinds.map((kind) => [kind, waitsOf(jobs, run, kind)])),
  }
}

function waitsOf(jobs: readonly FleetJob[], { startedMs }: FleetRun, kind: string) {
  const waits = jobs
    .filter((job) => job.kind === kind)
    .map(({ index, arrivesMs }) => ((startedMs[index] ?? Number.NaN) - arrivesMs) / 1000)
    .sort((one, other) => one - other)
  const at = (part: number) => Math.round(waits[Math.floor((waits.length - 1) * part)] ?? 0)
  return { p50: at(0.5), p99: at(0.99) }
}

const round = (value: number) => Math.round(value * 1000) / 1000
