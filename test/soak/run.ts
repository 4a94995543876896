// `npm run soak -- PART --minutes N [--rounds N] [--workers N]`: round after round of one part, one JSON line each; a later call goes on behind the last round.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** One round. The seed is the round's number, so that a failed one can be run again with `--from`. */
export interface Round {
  readonly seed: number
  /** Processes side by side, in the parts that can use them. */
  readonly workers: number
}

export interface RoundReport {
  /** Each is one broken promise in a sentence; empty for a good round. */
  readonly faults: readonly string[]
}

export type Part = (round: Round) => Promise<RoundReport>

/** Loaded one by one, because each brings a world of its own. */
const parts: Readonly<Record<string, () => Promise<Part>>> = {
  chaos: async () => {
    const { chaos, fullRound } = await import('./chaos.ts')
    return ({ seed }) => chaos({ seed, ...fullRound })
  },
  'chaos-pond': async () => {
    const { chaosPond } = await import('./chaos-pond.ts')
    return ({ seed }) => chaosPond({ seed, jobs: 500, kills: 20 })
  },
  'chaos-swarm': async () => {
    const { chaosSwarm } = await import('./chaos-swarm.ts')
    return ({ seed }) => chaosSwarm({ seed, jobs: 500, kills: 20 })
  },
  network: async () => (await import('./network.ts')).soakNetwork,
  latency: async () => (await import('./latency.ts')).latency,
  outage: async () => (await import('./outage.ts')).soakOutage,
  'power-cut': async () => {
    const { powerCut } = await import('./power-cut.ts')
    return ({ seed }) => powerCut({ seed, jobs: 150, kills: 6 })
  },
  simulation: async () => (await import('./simulation.ts')).soakSimulation,
}

const MINUTE_MS = 60_000
const FAULTS_SHOWN = 20

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string' },
    rounds: { type: 'string' },
    from: { type: 'string' },
    workers: { type: 'string', default: `${availableParallelism()}` },
  },
})
const [name = ''] = positionals
const load = parts[name]
const bad = Object.entries(values).filter(([, text]) => !(Number(text) > 0))
if (!load || positionals.length !== 1 || (values.minutes ?? values.rounds) === undefined || bad.length > 0) {
  for (const [flag, text] of bad) process.stderr.write(`--${flag} must be a number above 0, not ${text}\n`)
  process.stderr.write(
    `npm run soak -- PART --minutes N [--rounds N] [--from ROUND] [--workers N], PART one of ${Object.keys(parts).join(', ')}\n`,
  )
  process.exit(2)
}
const folder = fileURLToPath(new URL('../../.soak', import.meta.url))
mkdirSync(folder, { recursive: true })
process.exit((await soak(await load(), join(folder, `${name}.ndjson`))) ? 0 : 1)

async function soak(part: Part, file: string): Promise<boolean> {
  const until = Date.now() + Number(values.minutes ?? Number.POSITIVE_INFINITY) * MINUTE_MS
  const first = Number(values.from ?? lastRound(file) + 1)
  const workers = Number(values.workers)
  let well = true
  let seed = first
  for (; seed < first + Number(values.rounds ?? Number.POSITIVE_INFINITY) && Date.now() < until; seed++) {
    const began = Date.now()
    const report = await part({ seed, workers }).catch(
      (error: Error): RoundReport => ({ faults: [error.stack ?? error.message] }),
    )
    const faults = report.faults.slice(0, FAULTS_SHOWN)
    const line = { part: name, round: seed, ok: report.faults.length === 0, seconds: seconds(began), ...report, faults }
    appendFileSync(file, `${JSON.stringify(line)}\n`)
    process.stdout.write(`${JSON.stringify(line)}\n`)
    well &&= line.ok
  }
  // A run of no round has shown nothing.
  return well && seed > first
}

function seconds(began: number): number {
  return Math.round((Date.now() - began) / 100) / 10
}

function lastRound(file: string): number {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
  return Math.max(0, ...lines.map(roundOf))
}

/** A line that broke off counts for nothing. */
function roundOf(line: string): number {
  try {
    return (JSON.parse(line) as { round: number }).round
  } catch {
    return 0
  }
}
