// A berth: a launcher that stands in cgroups of its own and forks the jobs of one slot into them, one after the other.
//
// To enter a cgroup makes the writer wait for the kernel (0.4 to 0.8 ms), and every fork of the machine with it; to make and to
// remove one costs as much again, and to fork from here 0.5 ms of swarm's own thread. In a berth that is paid once for many
// jobs: each is born inside, 0.2 ms after its order.
import { closeSync, constants, openSync } from 'node:fs'
import type { Socket } from 'node:net'
import { constants as numbers } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import type { Clock } from '../system/clock.ts'
import { type Cgroup, type CgroupCounters, closeFiles, lowerPeak, openFiles, readCounters } from './cgroup.ts'
import { cgroupTree, type Tree } from './kill.ts'
import { type LauncherLine, parseLine } from './launcher.ts'
import { pipeOutlet } from './outlet.ts'
import { readStat } from './proc.ts'
import type { Ended, Started } from './starter.ts'

/** The launcher's process, as far as a berth needs it. */
export interface LauncherProcess {
  readonly pid?: number | undefined
  readonly stdin: Writable
  readonly stdout: Readable
  kill(signal: 'SIGKILL'): boolean
  ref(): void
  unref(): void
  once(event: 'close', heard: () => void): unknown
}

/** The launcher's own memory, and what jobs left in the page cache; beyond this a new berth tells more. */
const KEPT_MOST_BYTES = 16 * 1024 * 1024

/** Ends the tree of a job outright, its launcher too; what a job sees that kills its own launcher. */
const KILLED: Ended = { rc: 128 + numbers.signals.SIGKILL, signal: 'SIGKILL' }

export class Berth {
  /** Resolves when the launcher has ended. */
  readonly gone: Promise<void>
  readonly #cgroups: readonly Cgroup[]
  readonly #launcher: LauncherProcess
  readonly #clock: Clock
  readonly #tree: Tree
  readonly #lines = new Lines()
  /** Descriptors of the read ends of the next job's stdout and stderr. */
  readonly #pipes: number[] = []
  #before: CgroupCounters = { oomKills: 0 }

  constructor(launcher: LauncherProcess, cgroups: readonly [Cgroup, ...Cgroup[]], clock: Clock) {
    this.#clock = clock
    this.#launcher = launcher
    this.#cgroups = cgroups.map(openFiles)
    this.#tree = cgroupTree(this.#cgroups[0] ?? cgroups[0], { besides: launcher.pid ?? 0 })
    launcher.stdin.on('error', () => {})
    launcher.stdout.on('data', (bytes: Buffer) => this.#lines.push(bytes))
    this.gone = new Promise<void>((resolve) => void launcher.once('close', () => resolve())).then(() => {
      this.#lines.close()
      this.#closePipes()
    })
  }

  /**
   * Makes it ready for the next job. False when it never will be: the launcher has ended, somebody else stands inside, or the
   * next job's memory could not be told from what is in use now.
   */
  async prepare(): Promise<boolean> {
    const line = await this.#lines.next()
    if (line?.says !== 'ready') return false
    const { pid } = this.#launcher
    try {
      for (const number of line.pipes) this.#pipes.push(openPipe(`/proc/${pid}/fd/${number}`))
    } catch {
      return false
    }
    this.#hold(false)
    if (this.#tree.members().length > 0 || !this.#cgroups.every(lowerPeak)) return false
    this.#before = readCounters(this.#cgroups)
    return (this.#before.maxMemoryBytes ?? 0) <= KEPT_MOST_BYTES
  }

  /** Once after each `prepare`. Undefined when the launcher had ended before it took the order; rejects with the reason when nothing was started. */
  async start(order: Buffer, release: () => Promise<void>): Promise<Started | undefined> {
    this.#hold(true)
    this.#launcher.stdin.write(order)
    const taken = await this.#lines.next()
    if (taken === undefined) return undefined
    const line = await this.#lines.next()
    const [stdout, stderr] = this.#pipes
    if (line?.says !== 'started' || stdout === undefined || stderr === undefined) {
      this.#closePipes()
      throw new Error(line?.says === 'failed' ? line.reason : 'its launcher has ended')
    }
    this.#pipes.length = 0
    return {
      pid: line.pid,
      stat: readStat(line.pid),
      stdout: pipeOutlet(stdout, this.#clock),
      stderr: pipeOutlet(stderr, this.#clock),
      ended: this.#lines.next().then((line) => (line?.says === 'ended' ? endedBy(line.status) : KILLED)),
      tree: this.#tree,
      cgroups: this.#cgroups,
      before: this.#before,
      release,
    }
  }

  /** Whether it keeps this process alive: an idle one must not. */
  #hold(held: boolean): void {
    const { stdin, stdout } = this.#launcher
    for (const it of [this.#launcher, stdin as Socket, stdout as Socket]) {
      if (held) it.ref()
      else it.unref()
    }
  }

  #closePipes(): void {
    for (const fd of this.#pipes.splice(0)) closeSync(fd)
  }

  /** Ends the launcher and answers its cgroups, for whoever made them to remove. */
  async end(): Promise<readonly Cgroup[]> {
    this.#hold(true)
    this.#launcher.kill('SIGKILL')
    await this.gone
    for (const cgroup of this.#cgroups) closeFiles(cgroup)
    return this.#cgroups.map(({ duty, folder }) => ({ duty, folder }))
  }
}

/** A pipe of another process by its descriptor there. Each opening has flags of its own, so the writer's end stays as it is. */
const openPipe = (path: string) => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)

/** A status as wait(2) gives it. */
function endedBy(status: number): Ended {
  const number = status & 0x7f
  if (number === 0) return { rc: (status >> 8) & 0xff }
  const name = Object.entries(numbers.signals).find(([, value]) => value === number)?.[0]
  return { rc: 128 + number, signal: name ?? `SIG${number}` }
}

/** What the launcher says, line by line, each heard by one `next`. */
class Lines {
  #rest = ''
  #heard: LauncherLine[] = []
  #wait: ((line: LauncherLine | undefined) => void) | undefined
  #closed = false

  push(bytes: Buffer): void {
    const lines = (this.#rest + bytes.toString('latin1')).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#hear(parseLine(line))
  }

  /** Undefined when the launcher has ended. */
  next(): Promise<LauncherLine | undefined> {
    const line = this.#heard.shift()
    if (line !== undefined || this.#closed) return Promise.resolve(line)
    return new Promise((resolve) => {
      this.#wait = resolve
    })
  }

  close(): void {
    this.#closed = true
    this.#wait?.(undefined)
  }

  #hear(line: LauncherLine | undefined): void {
    if (line === undefined) return
    const wait = this.#wait
    this.#wait = undefined
    if (wait) wait(line)
    else this.#heard.push(line)
  }
}
