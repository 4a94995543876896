// The rounds of one part: as many as were asked for, from behind the last that its file tells of, a line each.
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import type { Part, RoundReport } from './run.ts'

export interface Wish {
  readonly minutes?: number
  readonly rounds?: number
  readonly from?: number
  readonly workers: number
  readonly jobs?: number
}

export interface Rounds {
  /** Of the part, as its lines tell it. */
  readonly name: string
  readonly part: Part
  /** Has the lines of all calls. */
  readonly file: string
  readonly wish: Wish
  readonly print: (line: string) => void
}

const MINUTE_MS = 60_000
const FAULTS_SHOWN = 20

/** True when all rounds were good. A run of no round has shown nothing. */
export async function runRounds({ name, part, file, wish, print }: Rounds): Promise<boolean> {
  const { minutes = Number.POSITIVE_INFINITY, rounds = Number.POSITIVE_INFINITY, workers, jobs } = wish
  const until = Date.now() + minutes * MINUTE_MS
  const before = existsSync(file) ? readFileSync(file, 'utf8') : ''
  // Behind a line that broke off the next would be lost with it.
  if (before !== '' && !before.endsWith('\n')) appendFileSync(file, '\n')
  const first = wish.from ?? lastRound(before) + 1
  let well = true
  let seed = first
  for (; seed < first + rounds && Date.now() < until; seed++) {
    const began = Date.now()
    const report = await part({ seed, workers, jobs }).catch(
      (error: Error): RoundReport => ({ faults: [error.stack ?? error.message] }),
    )
    const faults = report.faults.slice(0, FAULTS_SHOWN)
    const facts = {
      part: name,
      round: seed,
      ok: report.faults.length === 0,
      seconds: seconds(began),
      ...report,
      faults,
    }
    const line = `${JSON.stringify(facts)}\n`
    appendFileSync(file, line)
    print(line)
    well &&= facts.ok
  }
  return well && seed > first
}

function seconds(began: number): number {
  return Math.round((Date.now() - began) / 100) / 10
}

function lastRound(lines: string): number {
  return Math.max(0, ...lines.split('\n').map(roundOf))
}

/** A line that broke off counts for nothing. */
function roundOf(line: string): number {
  try {
    return (JSON.parse(line) as { round: number }).round
  } catch {
    return 0
  }
}
