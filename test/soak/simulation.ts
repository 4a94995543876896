// The simulator for as long as one likes: each round is a batch of seeds that no round had before, run by several processes side by side.
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type { SeedReport } from '../simulation/run.ts'
import { replayCommand } from '../simulation/simulation.ts'
import type { Round, RoundReport } from './run.ts'

/** Of one round; the same for any number of workers, so that the seeds of a round stay its own. */
const BATCH = 400

/** Worlds die young: with more room for them fewer collections are needed. */
const nodeOptions = ['--import=tsx', '--max-semi-space-size=64']
const program = fileURLToPath(new URL('../simulation/run.ts', import.meta.url))

export interface SimulationReport extends RoundReport {
  readonly from: number
  readonly seeds: number
  readonly seeds_per_s: number
  readonly failures: number
}

export async function soakSimulation({ seed: round, workers }: Round): Promise<SimulationReport> {
  const from = (round - 1) * BATCH + 1
  const startOf = (worker: number) => from + Math.floor((worker * BATCH) / workers)
  const began = process.hrtime.bigint()
  const parts = await Promise.all(
    Array.from({ length: workers }, (_, worker) => runSeeds(startOf(worker), startOf(worker + 1) - startOf(worker))),
  )
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  const failures = parts.flatMap((part) => part.failures)
  const faults = [
    ...failures.map(({ seed, violations }) => `${replayCommand(seed)}: ${violations[0]}`),
    ...parts.flatMap(({ asked }) => asked.map((place) => `the real world was asked: ${place}`)),
  ]
  return { from, seeds: BATCH, seeds_per_s: Math.round((10 * BATCH) / seconds) / 10, failures: failures.length, faults }
}

/** In a process of its own, which exits 1 where a seed failed. */
async function runSeeds(from: number, count: number): Promise<SeedReport> {
  const args = [...nodeOptions, program, '--seed', `${from}`, '--count', `${count}`, '--json']
  const { stdout, stderr } = await execa(process.execPath, args, { reject: false })
  if (stdout === '') throw new Error(`the seeds from ${from} on were not run: ${stderr}`)
  return JSON.parse(stdout) as SeedReport
}
