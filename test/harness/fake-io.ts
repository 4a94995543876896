// A verb's world in memory: what it prints is kept, signals and answers come from the test, and time stands still until moved.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Io, SignalName } from '../../src/cli/io.ts'
import { runProgram } from '../../src/cli/main.ts'
import { createPondProgram } from '../../src/cli/pond.ts'
import { createSwarmProgram } from '../../src/cli/swarm.ts'
import { createNetwork } from '../../src/client/network.ts'
import { systemClock } from '../../src/system/clock.ts'
import type { Network } from '../../src/system/network.ts'
import { createFakePond, FAKE_TOKEN, FAKE_URL, type FakePond } from './fake-pond.ts'
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts'

export interface FakeIo extends Io {
  readonly clock: VirtualClock
  readonly env: Record<string, string | undefined>
  readonly pond: FakePond
  readonly home: string
  /** Everything written so far, stdout and stderr apart. */
  printed(): { readonly out: string; readonly err: string }
  /** Both streams in the order of the writes. */
  readonly writes: (readonly ['out' | 'err', string])[]
  signal(name: SignalName): void
  /** What the next question gets. */
  answer: string | undefined
  /** Takes the reader of stdout away. */
  closeStdout(): void
  input: string
  network: Network
}

/** One folder a test process, short enough for a socket in it, gone with the process. */
const root = mkdtempSync(join(tmpdir(), 'pond-cli-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))

export function makeFolder(): string {
  return mkdtempSync(join(root, 'h'))
}

export function createFakeIo({ tty = false }: { readonly tty?: boolean } = {}): FakeIo {
  const clock = createVirtualClock()
  const pond = createFakePond(clock)
  const writes: ['out' | 'err', string][] = []
  const listeners = new Map<SignalName, Set<() => void>>()
  const home = makeFolder()
  let broken = false
  const sink = (to: 'out' | 'err') => ({
    isTty: tty,
    async write(data: string | Uint8Array) {
      if (broken && to === 'out') throw Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
      writes.push([to, typeof data === 'string' ? data : Buffer.from(data).toString('latin1')])
    },
  })
  const all = (to: 'out' | 'err') => writes.flatMap(([name, text]) => (name === to ? [text] : [])).join('')
  const io: FakeIo = {
    clock,
    pond,
    home,
    writes,
    answer: undefined,
    input: '',
    network: pond.network,
    env: { POND_URL: FAKE_URL, POND_TOKEN: FAKE_TOKEN, POND_PLAIN: '1', HOME: home },
    version: '0.0.1',
    random: { bytes: (count) => Buffer.alloc(count, 7), number: () => 0.5 },
    stdin: { isTty: tty, readAll: async () => Buffer.from(io.input) },
    stdout: sink('out'),
    stderr: sink('err'),
    connect(socketPath) {
      if (socketPath !== undefined) return createNetwork({ clock: systemClock, socketPath })
      return { request: (request) => io.network(request), renew: () => {}, close: async () => {} }
    },
    onSignal(name, run) {
      const set = listeners.get(name) ?? new Set()
      listeners.set(name, set.add(run))
      return () => set.delete(run)
    },
    choose: async () => io.answer,
    askSecret: async () => io.answer,
    printed: () => ({ out: all('out'), err: all('err') }),
    signal: (name) => {
      for (const run of listeners.get(name) ?? []) run()
    },
    closeStdout: () => {
      broken = true
    },
  }
  return io
}

/** Verbs load what they need when they run; loaded before, that costs no time of the virtual clock. */
await Promise.all([
  import('cli-table3'),
  import('../../src/cli/consumer/logs.ts'),
  import('../../src/cli/consumer/login.ts'),
  import('../../src/cli/consumer/ps.ts'),
  import('../../src/cli/operator/binding.ts'),
  import('../../src/cli/pool/doctor.ts'),
  import('../../src/cli/pool/pair.ts'),
  import('../../src/cli/pool/run.ts'),
])

/** A verb on its way: `code` is its exit code once it ended. */
export interface Going {
  readonly code: Promise<number>
}

export function startPond(io: Io, ...words: readonly string[]): Going {
  return { code: runProgram(io, words, (act) => createPondProgram({ act, version: io.version })) }
}

export function startSwarm(io: Io, ...words: readonly string[]): Going {
  return { code: runProgram(io, words, (act) => createSwarmProgram({ act, version: io.version })) }
}

/** Lets time pass until `promise` is done. Steps are small, because verbs also read real files meanwhile. */
export async function drive<T>(io: Pick<FakeIo, 'clock'>, promise: Promise<T>): Promise<T> {
  let done = false
  const mark = () => {
    done = true
  }
  promise.then(mark, mark)
  while (!done) await io.clock.advance(1)
  return promise
}

/** Of real turns; whatever a test waits for comes long before. */
const TURNS_MOST = 20_000
const REST_TURNS = 10

/** Lets time pass until `met`; throws with what was printed when it never is. */
export async function waitFor(io: FakeIo, met: () => boolean): Promise<void> {
  for (let turn = 0; !met(); turn++) {
    if (turn > TURNS_MOST) throw new Error(`never met: ${met}\n${JSON.stringify(io.printed())}`)
    await io.clock.advance(1)
    // Verbs read real files, which a busy machine is slow to give.
    if (turn % REST_TURNS === 0) await setTimeout(1)
  }
}

export function pond(io: FakeIo, ...words: readonly string[]): Promise<number> {
  return drive(io, startPond(io, ...words).code)
}

export function swarm(io: FakeIo, ...words: readonly string[]): Promise<number> {
  return drive(io, startSwarm(io, ...words).code)
}
