// How long people wait: from a cancel to the SIGTERM of the process, from the death of a worker to the word about its job, from a byte to `pond logs -f`.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sleep, systemClock } from '../../src/system/clock.ts'
import { systemRandom } from '../../src/system/random.ts'
import { createRig, type Rig, runProgram, startProgram, until } from '../harness/process-rig.ts'

export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface LatencyReport {
  /** Each is a figure beyond its promise. */
  readonly faults: readonly string[]
  readonly cancel_to_sigterm_ms: Spread & { readonly count: number }
  readonly death_to_end_s: number
  readonly byte_to_logs_ms: Readonly<Record<'plain' | 'sealed', Spread & { readonly count: number }>>
}

const CANCELS = 200
const TRIES = 50
/** So many readers wait side by side; their bytes come one after another. */
const READERS = 5
const CANCEL_MOST_MS = 2000
/** A lease and a sweep. */
const DEATH_MOST_S = 91
const BYTE_MOST_MS = 1000
/** Programs that follow are started and have asked by then; their own start is not what is measured. */
const ATTACH_MS = 4000

function spreadOf(values: readonly number[]): Spread & { readonly count: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0)
  return { p50: at(0.5), p99: at(0.99), max: at(1), count: values.length }
}

export async function latency(): Promise<LatencyReport> {
  const rig = await createRig()
  try {
    await rig.startPond()
    const home = await rig.pair('latency', ['--slots', '8'])
    // Jobs of this rig write outside of their folder, and sealed ones come only to a sandbox or to whom does without.
    const swarm = await rig.startSwarm(home, ['--allow-unsandboxed'])
    const cancel_to_sigterm_ms = spreadOf(await cancelTimes(rig))
    const plain = spreadOf(await byteTimes(rig, ['--plain']))
    const sealed = spreadOf(await byteTimes(rig, []))
    const lost = await rig.submit({ command: ['sleep', '1000'] })
    await rig.ended(lost, ({ state }) => state === 'running')
    const died = systemClock.monotonic()
    await swarm.crash()
    await rig.ended(lost)
    const death_to_end_s = Math.round((systemClock.monotonic() - died) / 100) / 10
    const faults = [
      ...(cancel_to_sigterm_ms.p99 > CANCEL_MOST_MS ? ['a cancel takes more than 2 s to reach its process'] : []),
      ...(death_to_end_s > DEATH_MOST_S ? ['a dead worker was noticed later than a lease and a sweep'] : []),
      ...([plain, sealed].some(({ max }) => max > BYTE_MOST_MS) ? ['a byte takes more than 1 s to be seen'] : []),
    ]
    return { faults, cancel_to_sigterm_ms, death_to_end_s, byte_to_logs_ms: { plain, sealed } }
  } finally {
    await rig.close()
  }
}

/** Each job writes down, in milliseconds since the epoch, when it was asked to end. */
async function cancelTimes(rig: Rig): Promise<readonly number[]> {
  const folder = join(rig.folder, 'asked')
  mkdirSync(folder)
  const program = `trap 'date +%s%3N >"$ASKED/$POND_JOB_ID"; exit 0' TERM; touch "$ASKED/up-$POND_JOB_ID"; while :; do sleep 0.02; done`
  const times: number[] = []
  while (times.length < CANCELS) {
    const id = await rig.submit({ command: ['sh', '-c', program], env: { ASKED: folder } })
    await until('a job that listens', () => existsSync(join(folder, `up-${id}`)))
    const from = systemClock.now()
    await rig.client.persist('cancelJob', { params: { id } })
    const asked = await until('a SIGTERM', () => Number(read(join(folder, id))) || undefined)
    times.push(asked - from)
  }
  return times
}

interface Reader {
  /** Lets its job write. Resolves with how long the byte took to be seen, in milliseconds. */
  first(): Promise<number>
  close(): Promise<void>
}

async function byteTimes(rig: Rig, flags: readonly string[]): Promise<readonly number[]> {
  const times: number[] = []
  while (times.length < TRIES) {
    const readers: Reader[] = []
    while (readers.length < READERS) readers.push(await openReader(rig, flags))
    await sleep(systemClock, ATTACH_MS)
    for (const reader of readers) times.push(await reader.first())
    await Promise.all(readers.map((reader) => reader.close()))
  }
  return times
}

/** A reader is there first; then the job writes its first byte, which tells when. */
async function openReader(rig: Rig, flags: readonly string[]): Promise<Reader> {
  const options = { env: { ...rig.env(), POND_TRUST: 'first' } }
  const gate = join(rig.folder, `gate-${systemRandom.bytes(8).toString('hex')}`)
  const program = `until [ -e "$GATE" ]; do sleep 0.01; done; date +%s%3N; sleep 100`
  const words = ['run', '--detach', '--json', ...flags, '--env', `GATE=${gate}`, '--', 'sh', '-c', program]
  const { stdout, stderr } = await runProgram('pond', words, options)
  const [, id = ''] = /"id":"(job_\w+)"/.exec(stdout) ?? []
  if (id === '') throw new Error(`pond run said ${stdout} ${stderr}`)
  let [seenAt, text] = [0, '']
  const take = (bytes: Buffer) => {
    seenAt ||= systemClock.now()
    text += bytes
  }
  const logs = startProgram('pond', ['logs', '-f', id], { ...options, take })
  await rig.ended(id, ({ state }) => state === 'running')
  return {
    async first() {
      writeFileSync(gate, '')
      await until('the first byte', () => text.includes('\n'))
      return seenAt - Number(text)
    },
    async close() {
      await rig.client.persist('cancelJob', { params: { id } })
      await logs.exited
    },
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // It is not there yet.
    return ''
  }
}
