// Pond gone, or nothing in between that answers, while jobs print, write artifacts and end: all of it arrives afterwards, and nothing ran twice.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobSpec } from '../../src/protocol/job.ts'
import { sleep, systemClock } from '../../src/system/clock.ts'
import { openFaultProxy } from '../harness/fault-proxy.ts'
import { attemptsOf, readArtifact, readResult, readStream, sha256 } from '../harness/job-facts.ts'
import { createRig, type Rig, until } from '../harness/process-rig.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'

export interface Outage {
  readonly awayMs: number
  /** As `pond serve --lease` takes it. */
  readonly lease: string
}

export interface OutageReport {
  /** Each is one broken promise in a sentence. */
  readonly faults: readonly string[]
  readonly away_s: number
  readonly jobs: number
  /** How many jobs ended before anybody could be told. */
  readonly ended_alone: number
  /** From pond's return to the last end. */
  readonly arrived_after_s: number
  readonly states: readonly string[]
}

/** How long jobs take, as shares of the outage: some end early in it, some near its end, some go on behind it. */
const lengths = [0.1, 0.3, 0.5, 0.7, 0.9, 1.1] as const
const LINES = 200
const ARTIFACT_LINES = 300_000

/** `$1` is the sleep between two lines. Starts and ends are written down where no outage reaches. */
const program = `
echo "start $POND_JOB_ID" >>"$NOTES"
mkdir out
for i in $(seq ${LINES}); do echo "line $i of $POND_JOB_ID"; echo "error $i" >&2; sleep "$1"; done
seq ${ARTIFACT_LINES} >out/numbers
echo '{"lines": ${LINES}}' >"$POND_RESULT"
echo "end $POND_JOB_ID" >>"$NOTES"
`

interface Jobs {
  readonly ids: readonly string[]
  /** What the processes wrote down: `start` or `end` and the job. */
  notes(): readonly string[]
}

async function submitAll(rig: Rig, { awayMs }: Outage, specs: readonly Partial<JobSpec>[]): Promise<Jobs> {
  const path = join(rig.folder, 'notes')
  writeFileSync(path, '')
  const ids: string[] = []
  for (const [index, spec] of specs.entries()) {
    const pause = ((lengths[index % lengths.length] ?? 1) * awayMs) / LINES / 1000
    const command: JobSpec['command'] = ['sh', '-c', program, 'job', pause.toFixed(4)]
    ids.push(await rig.submit({ command, env: { NOTES: path }, artifacts: ['out/**'], ...spec }))
  }
  const notes = () => readFileSync(path, 'utf8').split('\n').slice(0, -1)
  await until('a start of each', () => notes().length >= specs.length)
  return { ids, notes }
}

const count = (notes: readonly string[], what: 'start' | 'end') => notes.filter((it) => it.startsWith(what)).length

/** What a job's process wrote is what pond has under this attempt. */
async function outputFaults(rig: Rig, id: string, attempt: number): Promise<readonly string[]> {
  const lines = Array.from({ length: LINES }, (_, index) => index + 1)
  const numbers = Array.from({ length: ARTIFACT_LINES }, (_, index) => `${index + 1}\n`).join('')
  const wanted = {
    stdout: lines.map((line) => `line ${line} of ${id}\n`).join(''),
    stderr: lines.map((line) => `error ${line}\n`).join(''),
  }
  const faults: string[] = []
  for (const name of ['stdout', 'stderr'] as const) {
    const bytes = await readStream(rig, id, { name, attempt })
    if (sha256(bytes) !== sha256(wanted[name]))
      faults.push(`${id}: ${name} has ${bytes.length} bytes of ${wanted[name].length}`)
  }
  const artifact = await readArtifact(rig, id, `out/numbers?attempt=${attempt}`)
  if (sha256(artifact) !== sha256(numbers))
    faults.push(`${id}: the artifact has ${artifact.length} bytes of ${numbers.length}`)
  return faults
}

/** Ten real minutes of both, beside each other, under the lease that pond has by default. */
export async function soakOutage(): Promise<{ readonly faults: readonly string[]; readonly outages: object }> {
  const options = { awayMs: 600_000, lease: '90s' }
  const [killed, dark] = await Promise.all([outage(options), blackHole(options)])
  return { faults: [...killed.faults, ...dark.faults], outages: { killed, dark } }
}

/** kill -9 of pond, and a start of it so much later. */
export async function outage(options: Outage): Promise<OutageReport> {
  const rig = await createRig()
  try {
    const flags = ['--lease', options.lease]
    await rig.startPond({ flags })
    await rig.startSwarm(await rig.pair('outage', ['--slots', '6']))
    const specs: readonly Partial<JobSpec>[] = lengths.map(() => ({}))
    const jobs = await submitAll(rig, options, specs)
    await rig.pond().crash()
    await sleep(systemClock, options.awayMs)
    const alone = count(jobs.notes(), 'end')
    await rig.startPond({ flags })
    const back = systemClock.monotonic()
    const faults: string[] = []
    const states: string[] = []
    for (const id of jobs.ids) {
      const { state, cause } = await rig.ended(id)
      states.push(`${state} ${cause}`)
      if (state !== 'succeeded') faults.push(`${id} ended ${state} ${cause}`)
      const attempts = await attemptsOf(rig, id)
      if (attempts.length !== 1) faults.push(`${id} has ${attempts.length} claims`)
      if ((await readResult(rig, id)) !== `{"lines": ${LINES}}`) faults.push(`${id} has another result`)
      faults.push(...(await outputFaults(rig, id, 1)))
    }
    return report({ options, jobs, faults, states, alone, back })
  } finally {
    await rig.close()
  }
}

interface Told {
  readonly options: Outage
  readonly jobs: Jobs
  readonly faults: readonly string[]
  readonly states: readonly string[]
  readonly alone: number
  readonly back: number
}

function report({ options, jobs, faults, states, alone, back }: Told): OutageReport {
  const notes = jobs.notes()
  const odd = (['start', 'end'] as const)
    .filter((what) => count(notes, what) !== jobs.ids.length)
    .map((what) => `${jobs.ids.length} jobs and ${count(notes, what)} times ${what}`)
  return {
    faults: [...faults, ...odd, ...(alone === 0 ? ['no job ended while nobody listened'] : [])],
    away_s: options.awayMs / 1000,
    jobs: jobs.ids.length,
    ended_alone: alone,
    arrived_after_s: Math.round((systemClock.monotonic() - back) / 100) / 10,
    states,
  }
}

/**
 * Pond lives, and nothing between it and one swarm answers, for longer than the lease. Two other swarms are heard, so pond does listen: the leases lapse.
 * Jobs with `hold` come back to their claims; the others end as lost, and their results are kept beside them. Nothing is killed.
 */
export async function blackHole(options: Outage): Promise<OutageReport> {
  const rig = await createRig()
  const random = createSeededRandom(1)
  await rig.startPond({ flags: ['--lease', options.lease, '--poll-hold', '2s'] })
  const proxy = await openFaultProxy({ origin: rig.origin(), random, shares: {} })
  try {
    await rig.startSwarm(await rig.pair('dark', ['--slots', '6'], { url: proxy.url }))
    const holds = { on_lost: 'hold', hold_ms: options.awayMs * 4 } as const
    const specs = lengths.map((_, index) => (index % 2 === 0 ? holds : {}))
    const jobs = await submitAll(rig, options, specs)
    proxy.blackhole()
    for (const name of ['bright', 'brighter']) await rig.startSwarm(await rig.pair(name))
    await sleep(systemClock, options.awayMs)
    const alone = count(jobs.notes(), 'end')
    const dark = await Promise.all(jobs.ids.map(async (id) => (await attemptsOf(rig, id)).at(-1)?.state))
    const faults = dark.flatMap((state, index) =>
      state === (index % 2 === 0 ? 'held' : 'lost') ? [] : [`claim ${index} was ${state} while nobody heard of it`],
    )
    proxy.heal()
    const back = systemClock.monotonic()
    const states: string[] = []
    for (const [index, id] of jobs.ids.entries()) {
      const { state, cause } = await rig.ended(id)
      states.push(`${state} ${cause}`)
      const wanted = index % 2 === 0 ? 'succeeded exit' : 'failed worker_lost'
      if (states.at(-1) !== wanted) faults.push(`${id} ended ${states.at(-1)}, not ${wanted}`)
      const kept = await until(`the word about ${id}`, async () =>
        (await attemptsOf(rig, id)).find(({ rc, orphan }) => rc === 0 && orphan === (index % 2 === 1)),
      )
      faults.push(...(await outputFaults(rig, id, kept.attempt)))
    }
    return report({ options, jobs, faults, states, alone, back })
  } finally {
    await rig.close()
    await proxy.close()
  }
}
