// The network on its worst days: every fault in the middle of everything that a job does over one, a cell a round, then the proxy that cuts.
// Needs root, and the packages of test/system.
import { faultNames } from '../harness/nat.ts'
import { type Cell, moments, runCell } from './network-cell.ts'
import type { Round, RoundReport } from './run.ts'
import { runProxy } from './tls-proxy.ts'

const CELLS = faultNames.length * moments.length

/** Whoever goes through it again finds each cell with the other kind of output. */
export async function soakNetwork({ seed }: Round): Promise<RoundReport> {
  const [turn, index] = [Math.floor((seed - 1) / (CELLS + 1)), (seed - 1) % (CELLS + 1)]
  return index === CELLS ? runProxy({ idleSeconds: 30, jobs: 3 }) : runCell(cellOf(turn, index))
}

function cellOf(turn: number, index: number): Cell {
  const [row, column] = [Math.floor(index / moments.length), index % moments.length]
  const [fault, moment] = [faultNames[row], moments[column]]
  if (!fault || !moment) throw new Error(`there is no cell ${index}`)
  return { fault, moment, sealed: (row + column + turn) % 2 === 1 }
}
