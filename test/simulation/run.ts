// npx tsx test/simulation/run.ts --seed N [--count M] [--verbose] [--storm JSON] [--bug NAME] [--json]: replays a seed, or runs many from it on.
import { parseArgs } from 'node:util'
import { bugs } from './bug.ts'
import { setGuard } from './guard.ts'
import { type Outcome, replayCommand, simulate } from './simulation.ts'

/** What `--json` prints. */
export interface SeedReport {
  readonly seeds: number
  readonly failures: readonly { readonly seed: number; readonly violations: readonly string[] }[]
  /** Where product code asked the real world. */
  readonly asked: readonly string[]
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    storm: { type: 'string', default: '{}' },
    bug: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
for (const [flag, text] of [
  ['seed', values.seed],
  ['count', values.count],
]) {
  if (Number.isInteger(Number(text)) && Number(text) > 0) continue
  process.stderr.write(`--${flag} must be a whole number above 0, not ${text}\n`)
  process.exit(2)
}

const write = (line: string) => process.stdout.write(`${line}\n`)
const from = Number(values.seed)
const count = Number(values.count)
const failures: SeedReport['failures'][number][] = []
const guard = setGuard()
const bug = Object.hasOwn(bugs, values.bug) ? bugs[values.bug] : undefined
if (values.bug !== '' && !bug) throw new Error(`no such bug; there are: ${Object.keys(bugs).join(', ')}`)
const storm = { ...bug?.storm, ...JSON.parse(values.storm) }
for (let seed = from; seed < from + count; seed++) {
  const outcome = await simulate(seed, {
    storm,
    ...(bug && { plant: bug.plant() }),
    ...(values.verbose && { print: write }),
  })
  const { violations } = outcome
  if (violations.length > 0) failures.push({ seed, violations })
  if (!values.json && (count === 1 || violations.length > 0)) show(outcome)
}
guard.release()
const report: SeedReport = { seeds: count, failures, asked: guard.caught }
if (values.json) write(JSON.stringify(report))
else {
  for (const place of guard.caught) write(`the real world was asked: ${place}`)
  if (count > 1) write(`${count} seeds, ${failures.length} with violations`)
}
process.exitCode = failures.length > 0 || guard.caught.length > 0 ? 1 : 0

function show({ seed, violations, digest, events, jobs, virtualMs }: Outcome): void {
  write(
    `seed ${seed}: ${jobs} jobs, ${events} events, ${Math.round(virtualMs / 1000)} s, history ${digest.slice(0, 16)}`,
  )
  for (const violation of violations) write(`  ${violation}`)
  if (violations.length > 0) write(`  ${replayCommand(seed)}`)
}
