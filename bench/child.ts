// The processes of a bench: started, heard and stopped. Each side of a measurement runs in its own.
import { type ChildProcess, fork } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a child tells: `type` and its facts. */
export type Told = Readonly<Record<string, unknown>> & { readonly type: string }

export interface Child {
  readonly pid: number
  say(message: object): void
  /** The next message of this type, heard already or to come; rejects when the child ends without it. */
  hear<T extends object>(type: string): Promise<T & Told>
  /** SIGTERM, then waits for the end. */
  stop(): Promise<void>
}

export interface ChildOptions {
  readonly argv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Loads profiler.ts first. */
  readonly profiled?: boolean
  /** The program that it stands for, whose flags of node it gets; by default itself. */
  readonly program?: string
}

/** `npm run bench -- --profile DIR` keeps a CPU profile of every child there. */
let profileFolder: string | undefined
export function profileInto(folder: string): void {
  profileFolder = folder
}

const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill()
})

/** A bench that fails leaves nothing running. */
export function ownChild(child: ChildProcess): void {
  living.add(child)
  child.once('exit', () => living.delete(child))
}

/** Of what is compiled, as it is in use: what runs TypeScript as it is names each function anew each time it is made, which costs us a tenth. */
export const compiled = new URL('../', import.meta.url)
/** What is not compiled. */
export const source = new URL('../', compiled)

/** Starts a program by its path, from `compiled` if it is relative. What it prints as JSON lines counts as told. */
export function startChild(file: string, options: ChildOptions = {}): Child {
  const { argv = [], env = {}, profiled = false, program = file } = options
  const profile = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]
  const before = profiled ? ['--import', new URL('bench/profiler.js', compiled).href] : []
  const process_ = fork(fileURLToPath(new URL(file, compiled)), [...argv], {
    execArgv: [...process.execArgv, ...flagsOf(program), ...profile, ...before],
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  ownChild(process_)
  return watch(process_, file)
}

/** What a program asks of node in its second line, which only a shell reads. */
function flagsOf(program: string): readonly string[] {
  const [, second = ''] = readFileSync(new URL(program, compiled), 'utf8').split('\n', 2)
  return /; exec node (.*) -- "\$0"/.exec(second)?.[1]?.split(' ') ?? []
}

function watch(process_: ChildProcess, file: string): Child {
  const told: Told[] = []
  let wakes: (() => void)[] = []
  let ended = false
  const wake = () => {
    for (const run of wakes.splice(0)) run()
  }
  process_.on('message', (message) => {
    told.push(message as Told)
    wake()
  })
  process_.stdout?.on('data', (bytes: Buffer) => {
    for (const line of bytes.toString().split('\n'))
      if (line.startsWith('{')) told.push({ ...JSON.parse(line), type: 'line' })
    wake()
  })
  const exited = new Promise<void>((resolve) =>
    process_.once('exit', () => {
      ended = true
      resolve()
      wake()
    }),
  )
  const turn = () =>
    new Promise<void>((resolve) => {
      wakes = [...wakes, resolve]
    })
  return {
    pid: process_.pid ?? 0,
    say: (message) => void process_.send(message),
    async hear<T extends object>(type: string) {
      for (;;) {
        const index = told.findIndex((message) => message.type === type)
        const [message] = index < 0 ? [] : told.splice(index, 1)
        if (message) return message as T & Told
        if (ended) throw new Error(`${file} ended before it told ${type}`)
        await turn()
      }
    },
    async stop() {
      if (!ended) process_.kill('SIGTERM')
      await exited
    },
  }
}

export function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), 'pond-bench-'))
}

/** For what a job must read that is a user of its own. */
export function makeOpenFolder(): string {
  const folder = makeFolder()
  chmodSync(folder, 0o755)
  return folder
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
}

/** Of loopback; nobody holds it for the caller. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

/** Resident memory in KB: `now`, or `peak` since the process began. */
export function residentKb(pid: number, which: 'now' | 'peak'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^Vm${which === 'now' ? 'RSS' : 'HWM'}:\\s+(\\d+)`, 'm').exec(status)?.[1])
}

const TICK_US = 10_000

/** CPU time of a process in microseconds, without its children: what a busy neighbour changes least. */
export function cpuUs(pid: number): number {
  const [, , ...fields] = statOf(pid)
  return (Number(fields[9]) + Number(fields[10])) * TICK_US
}

/** The same with its living children, for a server of many processes. */
export function cpuUsOfAll(pid: number): number {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const children = pids.filter((name) => statOf(Number(name))[1] === String(pid)).map(Number)
  return [pid, ...children].reduce((sum, one) => sum + cpuUs(one), 0)
}

/** What stands behind the name in its `stat`: state, parent, group and so on. One that ended has none. */
function statOf(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}
