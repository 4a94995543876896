// What chaos does to a pond and its swarms: one function a fault, each counted only when it was felt. When they come is decided elsewhere.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
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
] as const
export type ChaosFault = (typeof chaosFaults)[number]

/** A swarm's place: its home stays, its process comes and goes. */
export interface Seat {
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
}

const SHORTEST_STOP_MS = 1000
/** A disk stays full for long enough that somebody else meets it. */
const FULL_MS = 3000
/** A call that is never made cannot fail, so an injection does not wait for it for ever. */
const INJECT_MS = 15_000
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
} as const satisfies Partial<Record<ChaosFault, (stage: Stage, seat: Seat) => Promise<void>>>

/** Asked with something that disturbs no job. */
async function isFull({ rig }: Stage): Promise<boolean> {
  const headers = { authorization: `Bearer ${rig.token()}` }
  const reply = await fetch(`${rig.origin()}/v1/bundles`, { method: 'POST', headers, body: tarOf({ name: 'probe' }) })
  await reply.arrayBuffer()
  return reply.status === 507
}

function fire({ fired }: Stage, fault: ChaosFault): void {
  fired[fault] = (fired[fault] ?? 0) + 1
}

export const startPond = ({ rig, flags }: Pick<Stage, 'rig' | 'flags'>) => rig.startPond({ flags })

async function standStill({ random, longestStopMs }: Stage, program: Program): Promise<void> {
  program.signal('SIGSTOP')
  await sleep(systemClock, SHORTEST_STOP_MS + random.number() * (longestStopMs - SHORTEST_STOP_MS))
  program.signal('SIGCONT')
}

/** One sync of the running pond fails with EIO: SQLite calls fsync, streams are synced by fdatasync. Pond must leave by itself, and is started again. */
async function failSync(stage: Stage, call: 'fsync' | 'fdatasync'): Promise<void> {
  const { rig, random } = stage
  const pond = rig.pond()
  const trace = join(rig.folder, `trace-${call}`)
  const when = 1 + Math.floor(random.number() * CALLS_MOST)
  const files = call === 'fsync' ? ['pond.db', 'pond.db-wal'].flatMap((name) => ['-P', join(rig.data, name)]) : []
  const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:error=EIO:when=${when}`, ...files]
  const strace = spawn('strace', ['-f', '-qq', '-y', '-o', trace, '-p', `${pond.pid}`, ...inject], { stdio: 'ignore' })
  const detached = once(strace, 'close')
  const end = () => Promise.race([pond.exited, sleep(systemClock, INJECT_MS)])
  let ended = await end()
  if (!ended) strace.kill('SIGTERM')
  await detached
  const file = failedFile(readFileSync(trace, 'utf8'))
  // It may have failed in the last moment of the wait.
  if (file) ended ??= await end()
  if (file) fire(stage, /\/streams\//.test(file) ? 'eio_stream' : 'eio_database')
  if (!ended && file) stage.faults.push(`pond went on after a failed ${call} of ${file}`)
  if (!ended) await pond.crash()
  else if (!file || ended.code === 0)
    stage.faults.push(`pond ended by itself: ${JSON.stringify(ended)} ${pond.stderr().slice(-2000)}`)
  await startPond(stage)
}

/** The file whose sync the trace shows as failed. Other threads may have come between the call and its end. */
function failedFile(trace: string): string | undefined {
  const lines = trace.split('\n')
  const at = lines.findIndex((line) => line.includes('(INJECTED)'))
  const [thread = ''] = lines[at]?.split(' ') ?? []
  const call = lines.slice(0, at + 1).findLast((line) => line.startsWith(`${thread} `) && line.includes('sync('))
  return /sync\(\d+<([^>]+)>/.exec(call ?? '')?.[1]
}
