// npx tsx test/simulation/run.ts --seed N [--count M] [--verbose] [--storm JSON] [--bug NAME]: replays a seed, or runs many from it on.
import { parseArgs } from 'node:util'
import { bugs } from './bug.ts'
import { setGuard } from './guard.ts'
import { replayCommand, simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    storm: { type: 'string', default: '{}' },
    bug: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
  },
})

const write = (line: string) => process.stdout.write(`${line}\n`)
const from = Number(values.seed)
let failures = 0
const guard = setGuard()
const bug = Object.hasOwn(bugs, values.bug) ? bugs[values.bug] : undefined
if (values.bug !== '' && !bug) throw new Error(`no such bug; there are: ${Object.keys(bugs).join(', ')}`)
const storm = { ...bug?.storm, ...JSON.parse(values.storm) }
for (let seed = from; seed < from + Number(values.count); seed++) {
  const outcome = await simulate(seed, {
    storm,
    ...(bug && { plant: bug.plant() }),
    ...(values.verbose && { print: write }),
  })
  const { violations, digest, events, jobs, virtualMs } = outcome
  if (violations.length > 0) failures++
  if (values.count === '1' || violations.length > 0) {
    write(
      `seed ${seed}: ${jobs} jobs, ${events} events, ${Math.round(virtualMs / 1000)} s, history ${digest.slice(0, 16)}`,
    )
    for (const violation of violations) write(`  ${violation}`)
    if (violations.length > 0) write(`  ${replayCommand(seed)}`)
  }
}
guard.release()
for (const place of guard.caught) write(`the real world was asked: ${place}`)
if (Number(values.count) > 1) write(`${values.count} seeds, ${failures} with violations`)
process.exitCode = failures > 0 || guard.caught.length > 0 ? 1 : 0
