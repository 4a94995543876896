// Jobs whose every byte is known beforehand, and the judge who compares what pond has with what ran. Kills are dealt out elsewhere.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AttemptView, JobView } from '../../src/protocol/consumer.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import type { Random } from '../../src/system/random.ts'
import { attemptsOf, readStream, sha256 } from './job-facts.ts'
import { type Rig, until } from './process-rig.ts'

/** One start of a job's process, as it wrote it down itself. */
export interface Effect {
  readonly pid: number
  readonly jobId: string
  readonly attempt: number
}

interface Slice {
  readonly from: number
  readonly length: number
}

interface Plan {
  readonly spec: JobSpec
  readonly stdout: Slice
  readonly stderr: Slice
  readonly rc: number
}

export interface Workload {
  readonly plans: readonly Plan[]
  /** What was acknowledged: index of the plan → id of the job. */
  readonly acknowledged: Map<number, string>
  /** Submits all plans, alone and in batches, through every outage. Resolves when the last one is acknowledged. */
  submit(rig: Rig): Promise<void>
  effects(): readonly Effect[]
  /** What a process wrote. */
  written(slice: Slice): Buffer
}

const DATA_BYTES = 1024 * 1024
/** A few streams are longer than one chunk. */
const LONG_EVERY = 25
const LONG_BYTES = 600 * 1024
const SHORT_BYTES = 8 * 1024
const BATCH = 10
/** What a job ends with that found no room for its result. */
const NO_ROOM_CODE = 111

/**
 * `$DATA` holds the bytes, `$1 $2` are the slice for stdout, `$3 $4` for stderr, `$5` the exit code, `$6` how long it takes.
 * It leaves a child of another session behind, which must not outlive it.
 */
const program = `
echo "$$ $POND_JOB_ID $POND_ATTEMPT" >>"$EFFECTS"
setsid sleep 100 >/dev/null 2>&1 </dev/null &
tail -c "+$1" "$DATA" | head -c "$2"
tail -c "+$3" "$DATA" | head -c "$4" >&2
sleep "$6"
echo "{\\"slice\\": [$1, $2]}" >"$POND_RESULT" || exit ${NO_ROOM_CODE}
exit "$5"
`

export interface WorkloadOptions {
  readonly folder: string
  readonly jobs: number
  readonly random: Random
  /** The longest that a job sleeps, in milliseconds. */
  readonly longestMs: number
}

export function createWorkload({ folder, jobs, random, longestMs }: WorkloadOptions): Workload {
  const [data, effects] = [join(folder, 'data'), join(folder, 'effects')]
  const bytes = random.bytes(DATA_BYTES)
  writeFileSync(data, bytes)
  writeFileSync(effects, '')
  const env = { DATA: data, EFFECTS: effects }
  const below = (most: number) => Math.floor(random.number() * most)
  const slice = (most: number): Slice => ({ from: 1 + below(DATA_BYTES - most), length: below(most) })
  const plans = Array.from({ length: jobs }, (_, index): Plan => {
    const stdout = slice(index % LONG_EVERY === 0 ? LONG_BYTES : SHORT_BYTES)
    const stderr = slice(SHORT_BYTES)
    const rc = index % 7 === 0 ? 1 + below(100) : 0
    const words = [stdout.from, stdout.length, stderr.from, stderr.length, rc, below(longestMs) / 1000]
    const idempotent = index % 2 === 0
    return {
      stdout,
      stderr,
      rc,
      spec: {
        command: ['sh', '-c', program, 'job', ...words.map(String)],
        env,
        idempotent,
        retry: { attempts: 100, backoff_ms: 10 },
      },
    }
  })
  const acknowledged = new Map<number, string>()
  return {
    plans,
    acknowledged,
    submit(rig) {
      const submitted = submitAll(rig, { plans, acknowledged, starts: () => readEffects(effects).length })
      // Who awaits it hears of a failure, however late; until then it must not end the whole run.
      submitted.catch(() => {})
      return submitted
    },
    effects: () => readEffects(effects),
    written: ({ from, length }) => bytes.subarray(from - 1, from - 1 + length),
  }
}

interface Submitting {
  readonly plans: readonly Plan[]
  readonly acknowledged: Map<number, string>
  readonly starts: () => number
}

/** Submits go on as long as jobs do: they keep only so far ahead. */
async function submitAll(rig: Rig, { plans, acknowledged, starts }: Submitting): Promise<void> {
  for (let index = 0; index < plans.length; ) {
    const enough = index - plans.length / 3
    await until('a start', () => starts() >= enough)
    const jobs = plans.slice(index, index + (index % 3 === 0 ? BATCH : 1)).map(({ spec }) => spec)
    const answer = await rig.client.persist('submitJob', { body: { jobs }, idempotencyKey: `chaos-${index}` })
    if (!answer.ok) throw new Error(`a submit was refused: ${answer.error.message}`)
    if (!('items' in answer.reply)) throw new Error('a batch was answered with one job')
    for (const job of answer.reply.items) acknowledged.set(index++, job.id)
  }
}

function readEffects(path: string): readonly Effect[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const [pid = '', jobId = '', attempt = ''] = line.split(' ')
    return { pid: Number(pid), jobId, attempt: Number(attempt) }
  })
}

export interface Verdict {
  /** Each is one broken promise in a sentence. */
  readonly faults: readonly string[]
  readonly ends: Readonly<Record<string, number>>
  /** Processes that were started. */
  readonly starts: number
}

/** Of jobs, in a run that kills their swarms. */
const MOST_LOST = 0.2

export interface Leniency {
  /** Swarm was killed, so a job that must not run twice may end as lost. */
  readonly mayLose: boolean
  /** So were disks under swarm full, or failed: a job may end for that, if it says so. */
  readonly disksFail?: boolean
  /** Of all jobs, how many may end so; one that should and does not is no better. */
  readonly mostLost?: number
  /** Jobs of pond that are not of this workload. */
  readonly others?: readonly string[]
}

/** Waits for the end of every job and judges it. */
export async function judge(rig: Rig, workload: Workload, leniency: Leniency): Promise<Verdict> {
  const { mayLose, mostLost = mayLose ? MOST_LOST : 0, others = [] } = leniency
  const faults: string[] = []
  const ends: Record<string, number> = {}
  let lost = 0
  const waiting = [...workload.acknowledged]
  const judgeOn = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, id] = next
      const job = await rig.ended(id)
      const end = `${job.state} ${job.cause}`
      ends[end] = (ends[end] ?? 0) + 1
      if (job.cause === 'worker_lost' || isDiskEnd(job)) lost++
      faults.push(...(await faultsOf(rig, { workload, index, job, ...leniency })).map((fault) => `${id}: ${fault}`))
    }
  }
  await Promise.all(Array.from({ length: 8 }, judgeOn))
  if (lost > mostLost * workload.acknowledged.size) faults.push(`${lost} jobs were given up`)
  const effects = workload.effects()
  faults.push(...startFaults(rig, effects, mayLose))
  faults.push(...(await countJobs(rig, [...workload.acknowledged.values(), ...others])))
  return { faults, ends, starts: effects.length }
}

/**
 * A claim is started once, and nothing runs that no swarm started. A swarm that is killed may leave a start behind that it did not log, and a
 * process may be killed before its first word, when pond has given up its claim.
 */
function startFaults(rig: Rig, effects: readonly Effect[], killed: boolean): readonly string[] {
  const logged = rig.logged('job_started')
  const again = twice(logged.map(({ claim_id }) => claim_id)).map((claim) => `${claim} was started twice`)
  if (killed) return again
  const starts = new Map<string, number>()
  for (const { job_id } of logged) starts.set(String(job_id), (starts.get(String(job_id)) ?? 0) + 1)
  for (const { jobId } of effects) starts.set(jobId, (starts.get(jobId) ?? 0) - 1)
  const odd = [...starts].filter(([, left]) => left < 0)
  return [...again, ...odd.map(([job, left]) => `${job} ran ${-left} times more often than it was started`)]
}

interface Judged {
  readonly workload: Workload
  readonly index: number
  readonly job: JobView
  readonly mayLose: boolean
  readonly disksFail?: boolean
}

async function faultsOf(
  rig: Rig,
  { workload, index, job, mayLose, disksFail = false }: Judged,
): Promise<readonly string[]> {
  const plan = workload.plans[index]
  if (!plan) return ['nobody submitted it']
  const starts = workload.effects().filter(({ jobId }) => jobId === job.id)
  const idempotent = plan.spec.idempotent === true
  const attempts = await attemptsOf(rig, job.id)
  const doubled = twice(starts.map(({ attempt }) => attempt)).filter((attempt) => {
    // A claim that is given back burns no attempt: the next one has the same number, and its process is no double.
    const claims = attempts.filter((one) => one.attempt === attempt).length
    return starts.filter((one) => one.attempt === attempt).length > claims
  })
  if (doubled.length > 0) return [`attempt ${doubled} has more starts than claims`]
  if (!idempotent && starts.length > 1) return [`it is not idempotent and was started ${starts.length} times`]
  const isLost = job.cause === 'worker_lost'
  if (isLost && (!mayLose || idempotent)) return ['it was lost']
  if (isLost || (disksFail && isDiskEnd(job))) return prefixFaults(rig, { plan, job, workload, attempts, mayLose })
  if (job.cause !== 'exit' || job.rc !== plan.rc)
    return [`it ended ${job.state} ${job.cause} ${job.rc}, not ${plan.rc}`]
  if (starts.length === 0) return ['it ended and never ran']
  return [
    ...(await streamFaults(rig, { plan, job, workload, attempts, mayLose })),
    ...(await resultFaults(rig, plan, job)),
  ]
}

const isDiskEnd = ({ cause, rc }: JobView) => cause === 'disk_full' || cause === 'output_lost' || rc === NO_ROOM_CODE

/** Whatever became of it: what is there is what it wrote first. */
async function prefixFaults(rig: Rig, { plan, job, workload, attempts }: Ran): Promise<readonly string[]> {
  const faults: string[] = []
  for (const { attempt, started_at } of attempts) {
    if (started_at === undefined) continue
    for (const name of ['stdout', 'stderr'] as const) {
      const written = workload.written(plan[name])
      const all = await readStream(rig, job.id, { name, attempt })
      // Without room for its result the shell says so behind it.
      const bytes = job.rc === NO_ROOM_CODE && name === 'stderr' ? all.subarray(0, written.length) : all
      if (!written.subarray(0, bytes.length).equals(bytes))
        faults.push(`${name} of attempt ${attempt} is no prefix of what was written`)
    }
  }
  return faults
}

interface Ran {
  readonly plan: Plan
  readonly job: JobView
  readonly workload: Workload
  readonly attempts: readonly AttemptView[]
  readonly mayLose: boolean
}

async function streamFaults(rig: Rig, { plan, job, workload, attempts, mayLose }: Ran): Promise<readonly string[]> {
  const last = attempts.findLast((one) => one.cause === 'exit')
  if (!last) return ['no attempt of it exited']
  if (!rig.logged('job_started').some(({ claim_id }) => claim_id === last.claim_id))
    return [`${last.claim_id} never ran`]
  const faults: string[] = []
  for (const name of ['stdout', 'stderr'] as const) {
    const wanted = sha256(workload.written(plan[name]))
    const bytes = await readStream(rig, job.id, { name, attempt: last.attempt })
    if (sha256(bytes) !== wanted) faults.push(`${name} has ${bytes.length} bytes, not the ${plan[name].length} written`)
    const told = last.streams.find((stream) => stream.name === name)
    // A swarm whose spool is gone tells so, and of less than pond has.
    const honest = told?.end === 'lost' && mayLose
    if (told?.sha256 !== undefined && told.sha256 !== wanted && !honest)
      faults.push(`${name} was reported ${told.end} with another digest`)
  }
  return faults
}

async function resultFaults(rig: Rig, plan: Plan, job: JobView): Promise<readonly string[]> {
  const answer = await rig.client.persist('getResult', { params: { id: job.id } })
  const got = answer.ok ? String(answer.reply).trim() : answer.error.code
  const wanted = `{"slice": [${plan.stdout.from}, ${plan.stdout.length}]}`
  return got === wanted ? [] : [`its result is ${got}, not ${wanted}`]
}

/** Every repeat of a submit under its key made nothing new. */
async function countJobs(rig: Rig, known: readonly string[]): Promise<readonly string[]> {
  const ids = new Set<string>()
  for (let cursor: string | undefined; ; ) {
    const page = await rig.client.persist('listJobs', { query: { limit: 1000, cursor } })
    if (!page.ok) return [`the jobs cannot be listed: ${page.error.message}`]
    for (const { id } of page.reply.items) ids.add(id)
    if (page.reply.next === null) break
    cursor = page.reply.next
  }
  const acknowledged = new Set(known)
  const missing = [...acknowledged].filter((id) => !ids.has(id)).map((id) => `${id} was acknowledged and is not there`)
  const extra = [...ids].filter((id) => !acknowledged.has(id)).map((id) => `${id} is there and was never acknowledged`)
  return [...missing, ...extra]
}

const twice = (values: readonly unknown[]) => values.filter((value, index) => values.indexOf(value) !== index)
