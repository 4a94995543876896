// The power goes while jobs run and submits go on: what pond had acknowledged is there afterwards, and what swarm had begun does not begin again.
import { join } from 'node:path'
import { sleep, systemClock } from '../../src/system/clock.ts'
import { type Acknowledged, openRecorder, type Recorder } from '../harness/acknowledged.ts'
import { createWorkload, judge, type Verdict, type Workload } from '../harness/chaos-workload.ts'
import { attemptsOf, readStream } from '../harness/job-facts.ts'
import { createPowerDisk } from '../harness/power-cut.ts'
import { createRig, type Living, marked, type Rig, until } from '../harness/process-rig.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { type Chaos, killTimes } from './kill-time.ts'

export interface PowerCutVerdict extends Verdict {
  /** What was looked for behind the cuts. */
  readonly checked: Readonly<Record<keyof Acknowledged, number>>
}

const DISK_BYTES = 256 * 1024 * 1024
/** A program goes on for so long without its disk. */
const DARK_MS = 300

/** Once under pond and once under swarm. */
export async function powerCut({ seed, jobs, kills }: Chaos) {
  const pond = await powerCutPond({ seed, jobs, kills })
  const swarm = await powerCutSwarm({ seed, jobs, kills })
  return { faults: [...pond.faults, ...swarm.faults], pond, swarm }
}

/** Pond's data is on the disk that goes. */
export async function powerCutPond({ seed, jobs, kills }: Chaos): Promise<PowerCutVerdict> {
  const random = createSeededRandom(seed)
  const disk = await createPowerDisk(DISK_BYTES)
  let recorder: Recorder | undefined
  const front = async (origin: string) => {
    recorder = await openRecorder(origin)
    return recorder.url
  }
  const rig = await createRig({ data: join(disk.folder, 'pond'), front })
  try {
    await startPond(rig)
    if (!recorder) throw new Error('a rig that starts pond opens its front')
    await rig.startSwarm(await rig.pair('power', ['--slots', '8']))
    const workload = createWorkload({ folder: rig.folder, jobs, random, longestMs: 300 })
    const submitted = workload.submit(rig)
    const faults: string[] = []
    const checked = { submits: 0, cancels: 0, chunks: 0, finals: 0 }
    const doomed: string[] = []
    for await (const _ of killTimes({ workload, random, kills })) {
      // It is never finished by itself, so that its end tells that the cancel was kept.
      doomed.push(await rig.submit({ command: ['sleep', '1000'] }))
      await rig.client.persist('cancelJob', { params: { id: doomed.at(-1) ?? '' } })
      // The cut blocks this process, and with it the recorder: what is recorded by now was acknowledged before.
      const acknowledged = recorder.take()
      disk.cut()
      await sleep(systemClock, random.number() * DARK_MS)
      await rig.pond().crash()
      // An ext4 that is shut down in the middle of an fsync may answer it well and keep nothing. No machine goes on to tell of that.
      recorder.take()
      await disk.restore()
      await startPond(rig)
      for (const kind of Object.keys(checked) as (keyof Acknowledged)[]) checked[kind] += acknowledged[kind].size
      faults.push(...(await missing(rig, acknowledged, workload)))
    }
    await submitted
    for (const id of doomed) {
      const { state } = await rig.ended(id)
      if (state !== 'cancelled') faults.push(`${id} was cancelled and ended ${state}`)
    }
    const verdict = await judge(rig, workload, { mayLose: false, others: doomed })
    const idle = Object.entries(checked).flatMap(([kind, count]) =>
      count === 0 ? [`no ${kind} were acknowledged`] : [],
    )
    return { ...verdict, checked, faults: [...verdict.faults, ...faults, ...idle] }
  } finally {
    await rig.close()
    await recorder?.close()
    await disk.close()
  }
}

const startPond = (rig: Rig) => rig.startPond({ flags: ['--reserve', '8M'] })

/** What was acknowledged before the cut and is not there behind it. */
async function missing(rig: Rig, acknowledged: Acknowledged, workload: Workload): Promise<readonly string[]> {
  const { submits, cancels, chunks, finals } = acknowledged
  const faults: string[] = []
  const jobOf = async (id: string) => {
    const answer = await rig.client.persist('getJob', { params: { id } })
    return answer.ok ? answer.reply : undefined
  }
  for (const id of submits) if (!(await jobOf(id))) faults.push(`${id} was acknowledged and is not there`)
  for (const id of cancels) {
    const log = await rig.client.persist('listTransitions', { params: { id } })
    const kept = log.ok && JSON.stringify(log.reply).includes('cancel')
    if (!kept && !(await jobOf(id))?.state.startsWith('cancel')) faults.push(`the cancel of ${id} is not there`)
  }
  for (const [id, rc] of finals) {
    const job = await jobOf(id)
    if (job?.cause === undefined || job.rc !== rc)
      faults.push(`${id} had ended with ${rc} and is ${job?.state} ${job?.rc}`)
  }
  for (const [key, committed] of chunks) faults.push(...(await chunkFaults(rig, workload, { key, committed })))
  return faults
}

async function chunkFaults(
  rig: Rig,
  workload: Workload,
  { key, committed }: { readonly key: string; readonly committed: number },
): Promise<readonly string[]> {
  const [id = '', claim = '', name = ''] = key.split(' ')
  const found = (await attemptsOf(rig, id)).find(({ claim_id }) => claim_id === claim)
  if (!found) return [`${claim} had sent chunks and is not there`]
  // What was never confirmed is no attempt yet, and nobody can ask for its output.
  if (found.confirmed_at === undefined) return []
  const { attempt } = found
  const bytes = await readStream(rig, id, { name, attempt, follow: false })
  const index = [...workload.acknowledged].find(([, job]) => job === id)?.[0] ?? -1
  const plan = workload.plans[index]
  if (bytes.length < committed) return [`${name} of ${id} had ${committed} bytes and has ${bytes.length}`]
  const wanted = plan && workload.written(name === 'stderr' ? plan.stderr : plan.stdout)
  const same = !wanted || wanted.subarray(0, bytes.length).equals(bytes)
  return same ? [] : [`${name} of ${id} is not what its process wrote`]
}

export interface SwarmCutVerdict extends Verdict {
  /** Jobs that must not run twice and were running when the power went. */
  readonly caught: number
}

/** The home of swarm is on the disk that goes, and all of its processes go at the same moment. */
export async function powerCutSwarm({ seed, jobs, kills }: Chaos): Promise<SwarmCutVerdict> {
  const random = createSeededRandom(seed)
  const disk = await createPowerDisk(DISK_BYTES)
  const rig = await createRig()
  try {
    // Claims of which no journal tells any more come back by their lease.
    await rig.startPond({ flags: ['--lease', '5s'] })
    const home = await rig.pair(join(disk.folder, 'swarm'), ['--slots', '8'])
    let swarm = await rig.startSwarm(home)
    const workload = createWorkload({ folder: rig.folder, jobs, random, longestMs: 800 })
    const submitted = workload.submit(rig)
    let caught = 0
    for await (const _ of killTimes({ workload, random, kills })) {
      // Nothing is said between the cut and the end: swarm would decline what comes, and be passed over for it.
      swarm.signal('SIGSTOP')
      disk.cut()
      await swarm.crash()
      caught += onlyOnce(workload, marked(disk.folder))
      // What was just being born is found by a later look.
      await until('a machine where nothing runs', () => killAll(marked(disk.folder)) === 0)
      await disk.restore()
      swarm = await rig.startSwarm(home)
    }
    await submitted
    const verdict = await judge(rig, workload, { mayLose: true })
    const idle = caught === 0 ? ['no cut found a job that must not run twice, so nothing was shown'] : []
    return { ...verdict, caught, faults: [...verdict.faults, ...idle] }
  } finally {
    await rig.close()
    await disk.close()
  }
}

/** How many of these processes are such a job's own. */
function onlyOnce(workload: Workload, running: readonly Living[]): number {
  const pids = new Set(running.map(({ pid }) => pid))
  const once = (id: string) =>
    [...workload.acknowledged].some(([at, job]) => job === id && !workload.plans[at]?.spec.idempotent)
  return workload.effects().filter(({ pid, jobId }) => pids.has(pid) && once(jobId)).length
}

function killAll(running: readonly Living[]): number {
  for (const { pid } of running) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }
  return running.length
}
