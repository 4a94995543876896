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
import { codeOf } from './launch.ts'
import { type LauncherLine, parseLine } from './launcher.ts'
import { type PipeOutlet, pipeOutlet } from './outlet.ts'
import { readStat } from './proc.ts'
import type { Ended, Started } from './starter.ts'

/** The launcher's process, as far as a berth needs it. */
export interface LauncherProcess {
  readonly pid?: number | undefined
  /** A socket: the system tells whether what was written was read. */
  readonly orders: Duplex
  readonly stdout: Readable
  kill(signal: 'SIGKILL'): boolean
  ref(): void
  unref(): void
  once(event: 'exit' | 'close', heard: () => void): unknown
}

/** The launcher's own memory, and what jobs left in the page cache; beyond this a new berth tells more. */
const KEPT_MOST_BYTES = 16 * 1024 * 1024

/** Ends the tree of a job outright, its launcher too; what a job sees that kills its own launcher. */
export const KILLED: Ended = { rc: 128 + numbers.signals.SIGKILL, signal: 'SIGKILL' }

/** EPIPE where the launcher was gone before all of the order was written, ECONNRESET where it went with bytes of it unread. */
const UNREAD: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET'])

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
  /** Its last order was not read, or not to its end, so that nothing of it began: the launcher was gone before. */
  #untaken = false
  /** Its pid may mean another process by now. */
  #ended = false
  /** A strike at a job took the launcher too, which may not have died yet. */
  #struck = false
  /** Something of the last job may live. */
  #inhabited = false
  #before: CgroupCounters = { oomKills: 0 }

  constructor(launcher: LauncherProcess, cgroups: readonly [Cgroup, ...Cgroup[]], clock: Clock) {
    this.#clock = clock
    this.#launcher = launcher
    this.#cgroups = cgroups.map(openFiles)
    this.#tree = this.#watched(cgroupTree(this.#cgroups[0] ?? cgroups[0], { besides: launcher.pid ?? 0 }))
    launcher.orders.on('error', (error) => {
      if (UNREAD.has(codeOf(error))) this.#untaken = true
    })
    // An end, or an error, shows to those who read. It says nothing.
    launcher.orders.resume()
    ;(launcher.orders as Socket).unref()
    launcher.once('exit', () => {
      this.#ended = true
    })
    launcher.stdout.on('data', (bytes: Buffer) => this.#lines.push(bytes))
    this.gone = new Promise<void>((resolve) => void launcher.once('close', () => resolve())).then(() =>
      this.#lines.close(),
    )
  }

  /** A look that finds nobody is the last one needed on version 2. */
  #watched(tree: Tree): Tree {
    const takesLauncher = this.#cgroups[0]?.duty === 'v2'
    return {
      ...tree,
      strike: () => {
        const alive = tree.members().length
        if (alive === 0) {
          // Version 1 opens its list for each look, which a lack of descriptors makes look empty: there one more is needed.
          this.#inhabited = !takesLauncher
          return 0
        }
        if (!takesLauncher) return tree.strike()
        // The launcher keeps the pipes open for us: where one cannot be opened now, it is spared.
        if (!this.#outlets.every((outlet) => outlet.open())) {
          tree.signal('SIGKILL')
          return alive
        }
        this.#struck = true
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
    if (line?.says !== 'ready' || this.#struck) return false
    this.#pipes = line.pipes
    this.#hold(false)
    if (this.#inhabited && this.#tree.members().length > 0) return false
    if (!this.#cgroups.every(lowerPeak)) return false
    this.#before = readCounters(this.#cgroups)
    return (this.#before.maxMemoryBytes ?? 0) <= KEPT_MOST_BYTES
  }

  /**
   * Once after each `prepare`. Undefined when the launcher had ended before it took the order, so that another may get it. One that
   * ended behind that may have begun: then nobody may begin again, and the job ends as killed. Rejects with the reason when nothing was started.
   */
  async start(order: Buffer, release: () => Promise<void>): Promise<Started | undefined> {
    const { orders } = this.#launcher
    // What is written to a socket that is closed by now fails without an event.
    if (!orders.writable) return undefined
    this.#hold(true)
    this.#inhabited = true
    orders.write(order, (error) => {
      if (error) this.#untaken = true
    })
    // Undefined only once the socket was closed behind its last event.
    const line = await this.#lines.next()
    if (line === undefined && this.#untaken) return undefined
    if (line?.says === 'failed') throw new Error(line.reason)
    const pid = line?.says === 'started' ? line.pid : 0
    const pipes = this.#pipes
    let quiet = false
    const [stdout, stderr] = [0, 1].map((index) =>
      pipeOutlet({ open: () => this.#openPipe(pipes[index]), quiet: () => quiet }, this.#clock),
    ) as [PipeOutlet, PipeOutlet]
    this.#outlets = [stdout, stderr]
    const ended = this.#lines.next().then((line) => {
      if (line?.says !== 'ended') return KILLED
      quiet = line.quiet
      return endedBy(line.status)
    })
    const [tree, cgroups, before] = [this.#tree, this.#cgroups, this.#before]
    return { pid, stat: readStat(pid), stdout, stderr, ended, tree, cgroups, before, release }
  }

  /** A pipe of the launcher by its descriptor there. Each opening has flags of its own, so the writer's end stays as it is. */
  #openPipe(number: number | undefined): number {
    if (this.#ended) throw Object.assign(new Error('the launcher has ended'), { code: 'ESRCH' })
    const path = `/proc/${this.#launcher.pid}/fd/${number}`
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
    ;(this.#launcher.orders as Socket).ref()
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
