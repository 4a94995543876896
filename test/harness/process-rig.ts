// Real processes as a person starts them: pond and swarm from dist on folders of their own, killed, restarted and asked over HTTP.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createClient } from '../../src/client/client.ts'
import type { Client } from '../../src/client/contract.ts'
import { createNetwork } from '../../src/client/network.ts'
import { isAlive, listProcesses } from '../../src/executor/proc.ts'
import type { PairingBody } from '../../src/protocol/admin.ts'
import type { JobView } from '../../src/protocol/consumer.ts'
import { isFinal, type JobSpec } from '../../src/protocol/job.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLog } from '../../src/system/log.ts'
import { systemRandom } from '../../src/system/random.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** No single wait of these tests is this long on a slow machine; a lost event then shows as a failure and not as silence. */
const WAIT_MS = 90_000

/** The longest that a job may take to end, its queue included. */
const ENDED_MS = 120_000

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Program {
  readonly pid: number
  /** All that it printed so far. */
  stdout(): string
  stderr(): string
  /** Resolves with the match when either stream holds it; rejects when the program ends without. */
  says(pattern: RegExp): Promise<RegExpMatchArray>
  readonly exited: Promise<Ended>
  signal(name: NodeJS.Signals): void
  /** kill -9, and waits for the end. */
  crash(): Promise<void>
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Words in front of the program: strace and its flags. */
  readonly under?: readonly string[]
  readonly input?: string
  /** Takes stdout instead of it being kept. */
  readonly take?: (bytes: Buffer) => void
}

/**
 * Starts `pond` or `swarm` with nothing of our own environment but PATH. Jobs touch files of the test, so that nothing may keep them from
 * it; what a sandbox does is tested on its own.
 */
export function startProgram(name: 'pond' | 'swarm', words: readonly string[], options: ProgramOptions = {}): Program {
  const file = join(root, 'dist', 'bin', `${name}.js`)
  if (!existsSync(file)) throw new Error(`${file} is missing: npm run build`)
  const [command = '', ...args] = [...(options.under ?? []), file, ...words]
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, HOME: '/nonexistent', NO_COLOR: '1', SWARM_SANDBOX: 'none', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin?.on('error', () => {}).end(options.input)
  return watch(child, options)
}

function watch(child: ChildProcess, { take }: ProgramOptions): Program {
  let [stdout, stderr] = ['', '']
  const looks = new Set<() => void>()
  const lookAll = () => {
    for (const look of [...looks]) look()
  }
  child.stdout?.on('data', (bytes: Buffer) => {
    if (take) take(bytes)
    else stdout += bytes
    lookAll()
  })
  child.stderr?.on('data', (bytes: Buffer) => {
    stderr += bytes
    lookAll()
  })
  let ended: Ended | undefined
  // `close` and not `exit`: then all of its output has come.
  const exited = once(child, 'close').then(([code, signal]): Ended => {
    ended = { code, signal }
    lookAll()
    return ended
  })
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    exited,
    signal: (name) => void child.kill(name),
    says: (pattern) =>
      within(`what matches ${pattern}`, (resolve, reject) => {
        const look = () => {
          const found = pattern.exec(stdout) ?? pattern.exec(stderr)
          if (found) resolve(found)
          else if (ended) reject(new Error(`it ended (${ended.code ?? ended.signal}) without ${pattern}: ${stderr}`))
          else return
          looks.delete(look)
        }
        looks.add(look)
        look()
      }),
    async crash() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** A promise with a deadline, so that what never comes has a name. */
export function within<T>(
  what: string,
  start: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
  waitMs = WAIT_MS,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} did not come within ${waitMs} ms`)), waitMs)
    const settle =
      <V>(by: (value: V) => void) =>
      (value: V) => {
        clearTimeout(timer)
        by(value)
      }
    start(settle(resolve), settle(reject))
  })
}

/** Looks again and again, for what no event tells: files and /proc. */
export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>) {
  let over = false
  return within<T>(what, (resolve, reject) => {
    const turn = async () => {
      const found = await look()
      if (found !== undefined && found !== false) resolve(found)
      else if (!over) setTimeout(() => void turn().catch(reject), 20)
    }
    void turn().catch(reject)
  }).finally(() => {
    over = true
  })
}

/** Runs one command to its end. */
export async function runProgram(name: 'pond' | 'swarm', words: readonly string[], options: ProgramOptions = {}) {
  const program = startProgram(name, words, options)
  const { code, signal } = await program.exited
  return { code, signal, stdout: program.stdout(), stderr: program.stderr() }
}

export interface StartPond extends ProgramOptions {
  readonly flags?: readonly string[]
}

export interface Rig {
  readonly folder: string
  readonly data: string
  /** Where pond is reached, the same after each restart. */
  url(): string
  /** Where pond itself listens, behind whatever stands in front of it. */
  origin(): string
  token(): string
  /** Variables with which the consumer's verbs find this pond. */
  env(): Readonly<Record<string, string>>
  /** Speaks with the admin token. */
  readonly client: Client
  /** Resolves once it listens. */
  startPond(options?: StartPond): Promise<Program>
  pond(): Program
  /** Pond's own pid, also when it runs under another program. */
  pondPid(): number
  /** Pairs a new machine and answers its home: below the rig's folder, or `home` itself where that is a path. */
  pair(home: string, flags?: readonly string[], options?: PairOptions): Promise<string>
  /** Resolves once its former life is swept and it polls. */
  startSwarm(home: string, flags?: readonly string[], options?: ProgramOptions): Promise<Program>
  /** What every swarm of this rig logged under an event, in its own words, also those that were killed. */
  logged(event: string): readonly Readonly<Record<string, unknown>>[]
  submit(job: JobSpec): Promise<string>
  /** The job once it ended, or as soon as `done` holds. */
  ended(id: string, done?: (job: JobView) => boolean): Promise<JobView>
  /** Kills what still runs and removes the folder. */
  close(): Promise<void>
}

export interface PairOptions extends ProgramOptions {
  /** What is asked of the code. */
  readonly code?: PairingBody
  /** Where the machine finds pond, if not where this process does. */
  readonly url?: string
}

export interface RigOptions {
  /** Pond's data folder, for instance on a small file system. */
  readonly data?: string
  /** Puts something between pond and all that call it: takes where pond listens, answers where it is reached. */
  readonly front?: (url: string) => Promise<string>
  /** Pond is reached without TLS and not over loopback. */
  readonly insecureHttp?: boolean
}

/** A rig on a fresh folder. Nothing runs yet. */
export async function createRig(options: RigOptions = {}): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), 'pond-rig-'))
  const front = async (url: string) => url
  return new ProcessRig(folder, { data: join(folder, 'pond'), front, insecureHttp: false, ...options })
}

class ProcessRig implements Rig {
  readonly folder: string
  readonly data: string
  readonly #network = createNetwork({ clock: systemClock })
  readonly #running = new Set<Program>()
  readonly #swarms: Program[] = []
  /** Whoever still waits for an answer would ask a dead pond for ever. */
  readonly #closing = new AbortController()
  #client: Client | undefined
  #pond: Program | undefined
  readonly #front: (url: string) => Promise<string>
  readonly #insecureHttp: boolean
  #origin = ''
  #url = ''

  constructor(folder: string, { data, front, insecureHttp }: Required<RigOptions>) {
    this.folder = folder
    this.data = data
    this.#front = front
    this.#insecureHttp = insecureHttp
  }

  url(): string {
    return this.#url
  }

  origin(): string {
    return this.#origin
  }

  token(): string {
    return readFileSync(join(this.data, 'admin-token'), 'utf8').trim()
  }

  env(): Readonly<Record<string, string>> {
    return {
      ...{ POND_URL: this.#url, POND_TOKEN: this.token(), POND_HOME: join(this.folder, 'client') },
      ...(this.#insecureHttp && { POND_INSECURE_HTTP: '1' }),
    }
  }

  get client(): Client {
    this.#client ??= createClient({
      network: this.#network.request,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      baseUrl: this.#url,
      insecureHttp: this.#insecureHttp,
      token: this.token(),
      project: 'default',
      version: 'rig',
    })
    return this.#client
  }

  pond(): Program {
    if (!this.#pond) throw new Error('no pond was started')
    return this.#pond
  }

  pondPid(): number {
    return Number(readFileSync(join(this.data, 'pond.lock'), 'utf8').split(' ')[0])
  }

  async startPond({ flags = [], ...options }: StartPond = {}): Promise<Program> {
    const first = this.#origin === ''
    const port = first ? '0' : new URL(this.#origin).port
    const words = ['serve', '--data', this.data, '--port', port, '--json', ...flags]
    const env = { RIG: this.folder, ...options.env }
    this.#pond = this.#keep(startProgram('pond', words, { ...options, env }))
    const [, url = ''] = await this.#pond.says(/"url":"([^"]+)"/)
    this.#origin = url
    if (first) this.#url = await this.#front(url)
    return this.#pond
  }

  #keep(program: Program): Program {
    this.#running.add(program)
    void program.exited.then(() => this.#running.delete(program))
    return program
  }

  async pair(place: string, flags: readonly string[] = [], options: PairOptions = {}): Promise<string> {
    const home = resolve(this.folder, place)
    const made = await this.client.persist('createPairingCode', { body: { project: 'default', ...options.code } })
    if (!made.ok) throw new Error(made.error.message)
    const at = options.url ?? this.#url
    const words = ['pair', `${at}#${made.reply.code}`, '--name', 'rig', '--home', home, '--yes', ...flags]
    const { code, stderr } = await runProgram('swarm', words, options)
    if (code !== 0) throw new Error(`swarm pair ended with ${code}: ${stderr}`)
    return home
  }

  async startSwarm(home: string, flags: readonly string[] = [], options: ProgramOptions = {}): Promise<Program> {
    const swarm = this.#keep(startProgram('swarm', ['run', '--home', home, ...flags], options))
    this.#swarms.push(swarm)
    await swarm.says(/"event":"ready"/)
    return swarm
  }

  logged(event: string): readonly Readonly<Record<string, unknown>>[] {
    const lines = this.#swarms.flatMap((swarm) => swarm.stderr().split('\n'))
    return lines
      .filter((line) => line.endsWith('}') && line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line))
  }

  async submit(job: JobSpec): Promise<string> {
    const answer = await this.client.persist('submitJob', {
      body: job,
      idempotencyKey: systemRandom.bytes(16).toString('hex'),
      signal: this.#closing.signal,
    })
    if (!answer.ok) throw new Error(answer.error.message)
    if ('items' in answer.reply) throw new Error('one job was answered with a batch')
    return answer.reply.id
  }

  async ended(id: string, done: (job: JobView) => boolean = () => false): Promise<JobView> {
    const deadline = systemClock.monotonic() + ENDED_MS
    for (let above = 0, seen = 'nothing'; ; ) {
      if (systemClock.monotonic() > deadline) throw new Error(`${id} does not end; pond last said ${seen}`)
      const query = { wait_ms: 20_000, above }
      const answer = await this.client.persist('getJob', { params: { id }, query, signal: this.#closing.signal })
      if (!answer.ok) throw new Error(answer.error.message)
      const { reply } = answer
      if (isFinal(reply.state) || done(reply)) return reply
      above = reply.version
      seen = JSON.stringify(reply)
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#running].map((program) => program.crash()))
    // A program outlives the strace that it ran under, and a job the swarm that was killed.
    for (const { pid } of marked(this.folder)) process.kill(pid, 'SIGKILL')
    await this.#network.close()
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** A figure of /proc/PID/status in bytes: `VmRSS` is resident now, `VmHWM` the most that ever was. */
export function residentBytes(pid: number, which: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`^${which}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(found?.[1] ?? Number.NaN) * 1024
}

/** A living process, by a pair that no other process ever has. */
export interface Living {
  readonly pid: number
  readonly startTicks: number
}

/** Living processes in whose environment `text` stands: every process of a job names its home. */
export function marked(text: string): readonly Living[] {
  return listProcesses().filter((one) => isAlive(one) && environmentOf(one.pid).includes(text))
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    // It ended between the list and this look.
    return ''
  }
}
