// `npm run soak -- PART --minutes N`: round after round of one part, one JSON line each; a later call goes on behind the last round.
import { mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Argument, Command, InvalidArgumentError } from 'commander'
import { runRounds, type Wish } from './round.ts'

/** One round. The seed is the round's number, so that a failed one can be run again with `--from`. */
export interface Round {
  readonly seed: number
  /** Processes side by side, in the parts that can use them. */
  readonly workers: number
  /** In the parts that run as many as they are told. */
  readonly jobs?: number | undefined
}

export interface RoundReport {
  /** Each is one broken promise in a sentence; empty for a good round. */
  readonly faults: readonly string[]
}

export type Part = (round: Round) => Promise<RoundReport>

interface PartRow {
  readonly says: string
  /** How many rounds there are where nobody says it. */
  readonly rounds?: number
  /** Each brings a world of its own, so only the one that is meant is loaded. */
  readonly load: () => Promise<Part>
}

const parts: Readonly<Record<string, PartRow>> = {
  chaos: {
    says: 'kills, stops, full disks and failed syncs, all at once; pond and three swarms',
    load: async () => {
      const { chaos, fullRound } = await import('./chaos.ts')
      return ({ seed }) => chaos({ seed, ...fullRound })
    },
  },
  'chaos-pond': {
    says: 'kill -9 of pond while jobs run',
    load: async () => {
      const { chaosPond } = await import('./chaos-pond.ts')
      return ({ seed }) => chaosPond({ seed, jobs: 500, kills: 20 })
    },
  },
  'chaos-swarm': {
    says: 'kill -9 of swarm while it runs jobs',
    load: async () => {
      const { chaosSwarm } = await import('./chaos-swarm.ts')
      return ({ seed }) => chaosSwarm({ seed, jobs: 500, kills: 20 })
    },
  },
  network: {
    says: 'each fault of a network in each moment of a job, a cell a round',
    load: async () => (await import('./network.ts')).soakNetwork,
  },
  fleet: {
    says: 'a mixed fleet, GPUs and arm64 among it, and 100,000 jobs: nothing over-committed, and how well it is used',
    rounds: 1,
    load: async () => {
      const { soakFleet } = await import('./fleet.ts')
      return ({ seed, jobs = 100_000 }) => soakFleet({ seed, jobs })
    },
  },
  latency: {
    says: 'cancel, loss and first byte: how long people wait',
    load: async () => (await import('./latency.ts')).latency,
  },
  outage: {
    says: 'pond gone while jobs run',
    load: async () => (await import('./outage.ts')).soakOutage,
  },
  'power-cut': {
    says: 'the power goes under load; needs root',
    load: async () => {
      const { powerCut } = await import('./power-cut.ts')
      return ({ seed }) => powerCut({ seed, jobs: 150, kills: 6 })
    },
  },
  simulation: {
    says: 'seeds that no round had before, by several processes',
    load: async () => (await import('./simulation.ts')).soakSimulation,
  },
}

const USAGE = 2

const program: Command = createProgram()
program.parse()
const [name = ''] = program.args
const wish = program.opts<Wish>()
const row = parts[name]
const { seed } = program.opts<{ readonly seed?: number }>()
const asked: Wish = {
  ...(wish.minutes === undefined && row?.rounds !== undefined && { rounds: row.rounds }),
  ...wish,
  ...(seed !== undefined && { from: seed, rounds: 1 }),
}
if (!row || (asked.minutes ?? asked.rounds) === undefined)
  program.error('error: say how long: --minutes N or --rounds N')
const folder = fileURLToPath(new URL('../../.soak', import.meta.url))
mkdirSync(folder, { recursive: true })
const well = await runRounds({
  ...{ name, wish: asked, part: await row.load() },
  file: join(folder, `${name}.ndjson`),
  print: (line) => process.stdout.write(line),
})
process.exit(well ? 0 : 1)

function createProgram(): Command {
  const names = Object.keys(parts)
  const wide = Math.max(...names.map((one) => one.length))
  return new Command('npm run soak --')
    .description('Round after round of one part, one JSON line each; a later call goes on behind the last round.')
    .addArgument(new Argument('<part>', 'one of those below').choices(names))
    .option('--minutes <n>', 'begin no round after so long', aboveZero)
    .option('--rounds <n>', 'at most so many rounds', whole)
    .option('--from <round>', 'begin with this one (the one behind the last)', whole)
    .option('--seed <n>', 'this round alone', whole)
    .option('--jobs <n>', 'so many jobs, for fleet (100000)', whole)
    .option('--workers <n>', 'processes side by side, for simulation', whole, availableParallelism())
    .addHelpText(
      'after',
      `
Parts:
${names.map((one) => `  ${one.padEnd(wide)}  ${parts[one]?.says}`).join('\n')}

Lines are kept in .soak/PART.ndjson. A run with a fault, or of no round, ends with 1; a wrong word with 2.

Examples:
  $ npm run soak -- simulation --minutes 60
  $ npm run soak -- chaos --seed 7
  $ npm run soak -- fleet --jobs 20000`,
    )
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : USAGE))
    .configureOutput({ outputError: (text, write) => write(`soak: ${oneLine(text)}. Read npm run soak -- --help.\n`) })
}

/** commander writes its guesses below. */
function oneLine(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '')
}

function aboveZero(text: string): number {
  if (Number(text) > 0) return Number(text)
  throw new InvalidArgumentError('It must be a number above 0.')
}

function whole(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number above 0.')
}
