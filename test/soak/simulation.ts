// The simulator for as long as one likes: each round is a batch of seeds that no round had before.
import { setGuard } from '../simulation/guard.ts'
import { replayCommand, simulate } from '../simulation/simulation.ts'
import type { Round, RoundReport } from './run.ts'

const BATCH = 200

export interface SimulationReport extends RoundReport {
  readonly from: number
  readonly seeds: number
  readonly seeds_per_s: number
  readonly failures: number
}

export async function soakSimulation({ seed: round }: Round): Promise<SimulationReport> {
  const from = (round - 1) * BATCH + 1
  const began = process.hrtime.bigint()
  const guard = setGuard()
  const faults: string[] = []
  let failures = 0
  try {
    for (let seed = from; seed < from + BATCH; seed++) {
      const { violations } = await simulate(seed)
      if (violations.length === 0) continue
      failures++
      faults.push(`${replayCommand(seed)}: ${violations[0]}`)
    }
  } finally {
    guard.release()
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  faults.push(...guard.caught.map((place) => `the real world was asked: ${place}`))
  return { from, seeds: BATCH, seeds_per_s: Math.round((10 * BATCH) / seconds) / 10, failures, faults }
}
