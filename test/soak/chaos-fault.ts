// What chaos does to a pond and its swarms: one function a fault, each counted only when it was felt. When they come is decided elsewhere.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { JobSpec } from '../../src/protocol/job.ts'
import { sleep, systemClock } from '../../src/system/clock.ts'
import type { Random } from '../../src/system/random.ts'
import type { FaultProxy } from '../harness/fault-proxy.ts'
import { type Program, type Rig, until } from '../harness/process-rig.ts'
import type { SmallDisk } from '../harness/small-disk.ts'
import { tarOf } from '../harness/tar-writer.ts'

export const chaosFaults = [
  'pond_killed',
  'pond_stopped',
  'pond_full',
  'eio_database',
  'eio_stream',
  'swarm_killed',
  'swarm_stopped',
  'swarm_full',
  'eio_journal',
] as const
export type ChaosFault = (typeof chaosFaults)[number]

/** A swarm's place: its home stays, on a disk of its own, and its process comes and goes. */
export interface Seat {
  readonly disk: SmallDisk
  readonly home: string
  swarm: Program
}

export interface Stage {
  readonly rig: Rig
  readonly proxy: FaultProxy
  readonly disk: SmallDisk
  readonly random: Random
  readonly flags: readonly string[]
  /** The longest that a program stands still, in milliseconds. */
  readonly longestStopMs: number
  readonly fired: Record<string, number>
  /** Broken promises. */
  readonly faults: string[]
  /** Jobs that only made programs write, by their ids. */
  readonly probes: Promise<readonly string[]>[]
}

const SHORTEST_STOP_MS = 1000
/** A disk stays full for long enough that somebody else meets it. */
const FULL_MS = 3000
/** A call that is never made cannot fail: somebody has to go on submitting, and an injection does not wait for it for ever. */
const INJECT_MS = 15_000
/** What strace writes behind a call that it let fail. */
const INJECTED = '(INJECTED)'
const LOOK_MS = 50
const PROBE_MS = 100
const probeJob: JobSpec = { command: ['echo', 'probe'], idempotent: true }
/** So many calls of a thread go well before the one that fails. */
const CALLS_MOST = 8

export const pondFaults = {
  async pond_killed(stage: Stage) {
    await stage.rig.pond().crash()
    await startPond(stage)
    fire(stage, 'pond_killed')
  },
  async pond_stopped(stage: Stage) {
    await standStill(stage, stage.rig.pond())
    fire(stage, 'pond_stopped')
  },
  async pond_full(stage: Stage) {
    const free = stage.disk.fill(stage.random.number() < 0.5 ? 0 : 1024 * 1024)
    await sleep(systemClock, FULL_MS)
    if (await until('a pond that says it is full', () => isFull(stage))) fire(stage, 'pond_full')
    free()
  },
  eio_database: (stage: Stage) => failSync(stage, 'fsync'),
  eio_stream: (stage: Stage) => failSync(stage, 'fdatasync'),
} as const satisfies Partial<Record<ChaosFault, (stage: Stage) => Promise<void>>>

export const swarmFaults = {
  async swarm_killed(stage: Stage, seat: Seat) {
    await seat.swarm.crash()
    seat.swarm = await stage.rig.startSwarm(seat.home)
    fire(stage, 'swarm_killed')
  },
  async swarm_stopped(stage: Stage, { swarm }: Seat) {
    await standStill(stage, swarm)
    fire(stage, 'swarm_stopped')
  },
  async swarm_full(stage: Stage, { disk, swarm }: Seat) {
    const [closed, opened] = [countOf(swarm, 'closed'), countOf(swarm, 'opened')]
    const free = disk.fill(stage.random.number() < 0.5 ? 0 : 1024 * 1024)
    await sleep(systemClock, FULL_MS)
    if (await until('a swarm that says it is full', () => countOf(swarm, 'closed') > closed)) fire(stage, 'swarm_full')
    free()
    await until('a swarm that has room again', () => countOf(swarm, 'opened') > opened)
  },
  async eio_journal(stage: Stage, { home, swarm }: Seat) {
    const journal = join(home, 'journal')
    const before = countOf(swarm, 'journal_sync_failed')
    const syncs = await attachStrace(stage, { pid: swarm.pid, call: 'fdatasync', files: [journal], when: 1 })
    await whileProbing(stage, () => syncs.failed())
    if (!(await syncs.detach()).includes(INJECTED)) return
    await until('a swarm that says so', () => countOf(swarm, 'journal_sync_failed') > before)
    fire(stage, 'eio_journal')
  },
} as const satisfies Partial<Record<ChaosFault, (stage: Stage, seat: Seat) => Promise<void>>>

/** Asked with something that disturbs no job. */
async function isFull({ rig }: Stage): Promise<boolean> {
  const headers = { authorization: `Bearer ${rig.token()}` }
  const reply = await fetch(`${rig.origin()}/v1/bundles`, { method: 'POST', headers, body: tarOf({ name: 'probe' }) })
  await reply.arrayBuffer()
  return reply.status === 507
}

/** A copy of the WAL is nobody's plan. */
function fire({ fired }: Stage, fault: ChaosFault | 'eio_copy'): void {
  fired[fault] = (fired[fault] ?? 0) + 1
}

export const startPond = ({ rig, flags }: Pick<Stage, 'rig' | 'flags'>) => rig.startPond({ flags })

async function standStill({ random, longestStopMs }: Stage, program: Program): Promise<void> {
  program.signal('SIGSTOP')
  await sleep(systemClock, SHORTEST_STOP_MS + random.number() * (longestStopMs - SHORTEST_STOP_MS))
  program.signal('SIGCONT')
}

const countOf = (swarm: Program, event: string) => swarm.stderr().split(`"event":"${event}"`).length - 1

/** One sync of the running pond fails with EIO: SQLite calls fsync, streams are synced by fdatasync. Pond must leave by itself, and is started again. */
async function failSync(stage: Stage, call: 'fsync' | 'fdatasync'): Promise<void> {
  const { rig } = stage
  const pond = rig.pond()
  const files = call === 'fsync' ? ['pond.db', 'pond.db-wal'].map((name) => join(rig.data, name)) : []
  const when = 1 + Math.floor(stage.random.number() * CALLS_MOST)
  const syncs = await attachStrace(stage, { pid: pond.pid, call, files, when })
  const end = () => Promise.race([pond.exited, sleep(systemClock, INJECT_MS)])
  let ended = await whileProbing(stage, end)
  const trace = await syncs.detach()
  const { file, isCopy } = failureIn(trace)
  if (!ended && isCopy) {
    // The store says why it lives through that one.
    fire(stage, 'eio_copy')
    return failSync(stage, call)
  }
  // It may have failed in the last moment of the wait.
  if (file) ended ??= await end()
  if (file) fire(stage, /\/streams\//.test(file) ? 'eio_stream' : 'eio_database')
  if (!ended && file) stage.faults.push(`pond went on after a failed ${call} of ${file}: ${trace.slice(-2000)}`)
  if (!ended) await pond.crash()
  else if (!file || ended.code === 0)
    stage.faults.push(`pond ended by itself: ${JSON.stringify(ended)} ${pond.stderr().slice(-2000)}`)
  await startPond(stage)
}

/** Small jobs are submitted until `work` is done, so that something is synced also when the workload is through or stands still. */
async function whileProbing<T>({ rig, probes }: Stage, work: () => Promise<T>): Promise<T> {
  const [keys, ids] = [`probe-${probes.length}`, [] as string[]]
  let over = false
  const probe = async () => {
    for (let index = 0; !over; index++) {
      // A pond that ends under it is started again, and answers the repeat.
      const answer = await rig.client.persist('submitJob', {
        body: { jobs: [probeJob] },
        idempotencyKey: `${keys}-${index}`,
      })
      // A full pond refuses it.
      if (answer.ok && 'items' in answer.reply) ids.push(...answer.reply.items.map(({ id }) => id))
      await sleep(systemClock, PROBE_MS)
    }
    return ids
  }
  const probing = probe()
  // Heard of at the end, with all the others.
  probing.catch(() => {})
  probes.push(probing)
  return work().finally(() => {
    over = true
  })
}

interface Target {
  readonly pid: number
  readonly call: 'fsync' | 'fdatasync'
  /** Only these count; none means all. */
  readonly files: readonly string[]
  /** Which of its calls fails, counted in each thread. */
  readonly when: number
}

interface Strace {
  /** What it saw, once it is gone. */
  detach(): Promise<string>
  /** Resolves when a sync failed, or none did for long enough. */
  failed(): Promise<void>
}

/** Lets one sync of each thread fail with EIO, and watches what is written before it. */
async function attachStrace({ rig }: Stage, { pid, call, files, when }: Target): Promise<Strace> {
  const trace = join(rig.folder, `trace-${pid}-${call}`)
  // What an earlier one saw of the same program is not news.
  rmSync(trace, { force: true })
  const calls = call === 'fsync' ? 'fsync,pwrite64' : call
  const inject = ['-e', `trace=${calls}`, '-e', `inject=${call}:error=EIO:when=${when}`]
  // Each thread by its own name and no -f: a child that is being born while strace leaves would stand still for ever.
  const threads = readdirSync(`/proc/${pid}/task`).flatMap((thread) => ['-p', thread])
  const words = ['-qq', '-y', '-s', '0', '-o', trace, ...threads, ...inject]
  const strace = spawn('strace', [...words, ...files.flatMap((file) => ['-P', file])], { stdio: 'ignore' })
  const detached = once(strace, 'close')
  const text = () => (existsSync(trace) ? readFileSync(trace, 'utf8') : '')
  return {
    async failed() {
      const deadline = systemClock.monotonic() + INJECT_MS
      while (!text().includes(INJECTED) && systemClock.monotonic() < deadline) await sleep(systemClock, LOOK_MS)
    },
    async detach() {
      strace.kill('SIGTERM')
      await detached
      return text()
    },
  }
}

/** The file whose sync the trace shows as failed, and whether that was the copy of the WAL. Other threads may have come between the call and its end. */
function failureIn(trace: string): { readonly file?: string; readonly isCopy: boolean } {
  const lines = trace.split('\n')
  const at = lines.findIndex((line) => line.includes(INJECTED))
  const [thread = ''] = lines[at]?.split(' ') ?? []
  const calls = lines
    .slice(0, at + 1)
    .filter((line) => line.startsWith(`${thread} `))
    .flatMap((line) => {
      const [, call, file] = /(\w+)\(\d+<([^>]+)>/.exec(line) ?? []
      return call && file ? [{ call, file }] : []
    })
  const [before, failed] = [calls.at(-2), calls.at(-1)]
  if (at < 0 || !failed) return { isCopy: false }
  // A commit syncs what it has just written to the WAL; a copy syncs the WAL again, and then the file.
  const isCopy = failed.file.endsWith('.db') || (failed.file.endsWith('-wal') && before?.call !== 'pwrite64')
  return { file: failed.file, isCopy }
}
