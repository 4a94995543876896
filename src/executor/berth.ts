// A berth: a launcher that stands in cgroups of its own and forks the jobs of one slot into them, one after the other.
//
// To enter a cgroup makes the writer wait for the kernel (0.4 to 0.8 ms), and every fork of the machine with it; to make and to
// remove one costs as much again, and to fork from here 0.5 ms of swarm's own thread. In a berth that is paid once for many
// jobs: each is born inside, 0.2 ms after its order.
import { constants, openSync } from 'node:fs'
import type { Socket } from 'node:net'
import { constants as numbers } from 'node:os'
import type { Duplex, Readable } from 'node:stream'
import type { Clock } from '../system/clock.ts'
import { type Cgroup, type CgroupCounters, closeFiles, lowerPeak, openFiles, readCounters } from './cgroup.ts'
import { cgroupTree, type Tree } from './kill.ts'
import { type LauncherLine, parseLine } from './launcher.ts'
import { type PipeOutlet, pipeOutlet } from './outlet.ts'
import { readStat } from './proc.ts'
import type { Ended, Started } from './starter.ts'

/** The launcher's process, as far as a berth needs it. */
export interface LauncherProcess {
  readonly pid?: number | undefined
  /** A socket, of which the system tells whether all that was written was read. */
  readonly orders: Duplex
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
  /** Descriptors, in the launcher, of the read ends of the next job's stdout and stderr. */
  #pipes: readonly number[] = []
  /** Of the job at hand. */
  #outlets: readonly PipeOutlet[] = []
  /** Its last order was not read, or not to its end: the launcher was gone before. */
  #untaken = false
  /** Something of the last job may live. */
  #inhabited = false
  #before: CgroupCounters = { oomKills: 0 }

  constructor(launcher: LauncherProcess, cgroups: readonly [Cgroup, ...Cgroup[]], clock: Clock) {
    this.#clock = clock
    this.#launcher = launcher
    this.#cgroups = cgroups.map(openFiles)
    this.#tree = this.#watched(cgroupTree(this.#cgroups[0] ?? cgroups[0], { besides: launcher.pid ?? 0 }))
    // EPIPE where it was gone before the order was written, ECONNRESET where it went with bytes unread.
    launcher.orders.on('error', () => {
      this.#untaken = true
    })
    // An end, or an error, shows to those who read. It says nothing.
    launcher.orders.resume()
    ;(launcher.orders as Socket).unref()
    launcher.stdout.on('data', (bytes: Buffer) => this.#lines.push(bytes))
    this.gone = new Promise<void>((resolve) => void launcher.once('close', () => resolve())).then(() =>
      this.#lines.close(),
    )
  }

  /** A look that finds nobody is the last one needed. A strike may end the launcher, which keeps the pipes open for us. */
  #watched(tree: Tree): Tree {
    return {
      ...tree,
      strike: () => {
        if (tree.members().length === 0) {
          this.#inhabited = false
          return 0
        }
        for (const outlet of this.#outlets) outlet.open()
        return tree.strike()
      },
    }
  }

  /**
   * Makes it ready for the next job. False when it never will be: the launcher has ended, somebody else stands inside, or the
   * next job's memory could not be told from what is in use now.
   */
  async prepare(): Promise<boolean> {
    const line = await this.#lines.next()
    if (line?.says !== 'ready') return false
    this.#pipes = line.pipes
    this.#hold(false)
    if (this.#inhabited && this.#tree.members().length > 0) return false
    if (!this.#cgroups.every(lowerPeak)) return false
    this.#before = readCounters(this.#cgroups)
    return (this.#before.maxMemoryBytes ?? 0) <= KEPT_MOST_BYTES
  }

  /** Once after each `prepare`. Undefined when the launcher had ended before it took the order; rejects with the reason when nothing was started. */
  async start(order: Buffer, release: () => Promise<void>): Promise<Started | undefined> {
    this.#hold(true)
    this.#inhabited = true
    this.#launcher.orders.write(order)
    const line = await this.#lines.next()
    if (line === undefined && this.#untaken) return undefined
    if (line?.says !== 'started') throw new Error(line?.says === 'failed' ? line.reason : 'its launcher has ended')
    let quiet = false
    const [stdout, stderr] = [0, 1].map((index) =>
      pipeOutlet({ open: () => this.#openPipe(index), quiet: () => quiet }, this.#clock),
    ) as [PipeOutlet, PipeOutlet]
    this.#outlets = [stdout, stderr]
    const ended = this.#lines.next().then((line) => {
      if (line?.says !== 'ended') return KILLED
      quiet = line.quiet
      return endedBy(line.status)
    })
    const { pid } = line
    const [tree, cgroups, before] = [this.#tree, this.#cgroups, this.#before]
    return { pid, stat: readStat(pid), stdout, stderr, ended, tree, cgroups, before, release }
  }

  /** A pipe of the launcher by its descriptor there. Each opening has flags of its own, so the writer's end stays as it is. */
  #openPipe(index: number): number {
    const path = `/proc/${this.#launcher.pid}/fd/${this.#pipes[index]}`
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  }

  /** Whether it keeps this process alive: an idle one must not. The way to it never does: what it says and its end are enough. */
  #hold(held: boolean): void {
    for (const it of [this.#launcher, this.#launcher.stdout as Socket]) {
      if (held) it.ref()
      else it.unref()
    }
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
