// The berths of one executor: taken for a job, prepared again behind it, and one always ahead of the next.
import type { Clock } from '../system/clock.ts'
import { Berth, type LauncherProcess } from './berth.ts'
import { type Cgroup, type Hierarchy, makeCgroup, type Naming, nextName } from './cgroup.ts'
import { SetupError } from './contract.ts'
import { type Argv, DEFAULT_PATH, findProgram, reasonOf } from './launch.ts'
import { printOrder } from './launcher.ts'
import { LAUNCHER_ENV, type LauncherName, launcherArgs } from './launcher-program.ts'
import type { Order, Started, Starter } from './starter.ts'

export interface BerthParts {
  readonly hierarchies: readonly Hierarchy[]
  readonly naming: Naming
  readonly clock: Clock
  /** What to try, in this order. */
  readonly launchers: readonly LauncherName[]
  /** What to start a launcher behind. */
  readonly behind: readonly string[]
  readonly spawn: (argv: Argv) => LauncherProcess
  /** Kills what stands in them, then removes them. */
  readonly clear: (cgroups: readonly Cgroup[]) => Promise<void>
}

/** Undefined on a machine where no berth comes up; then each job is spawned for itself. */
export async function openBerths(parts: BerthParts): Promise<Starter | undefined> {
  for (const name of parts.launchers) {
    const known = launcherArgs(name)
    if (!known) continue
    try {
      const program = findProgram(name, '/', DEFAULT_PATH)
      const [file = program, ...args] = [...parts.behind, program, ...known]
      const pool = new BerthPool(parts, { file, args, env: LAUNCHER_ENV })
      await pool.addSpare()
      return pool
    } catch (error) {
      if (!(error instanceof SetupError)) throw error
    }
  }
  return undefined
}

class BerthPool implements Starter {
  readonly #parts: BerthParts
  readonly #launcher: Argv
  #idle: Berth[] = []
  /** Being made or prepared, and not for a job that waits. */
  readonly #coming = new Set<Promise<void>>()

  constructor(parts: BerthParts, launcher: Argv) {
    this.#parts = parts
    this.#launcher = launcher
  }

  async addSpare(): Promise<void> {
    this.#keep(await this.#make())
  }

  async start(order: Order): Promise<Started> {
    const text = printOrder(order)
    for (;;) {
      const berth = this.#idle.pop() ?? (await this.#make())
      // The next job finds one too. When that fails, the job itself will hear why.
      if (this.#idle.length === 0 && this.#coming.size === 0) this.#behind(this.addSpare())
      const putBack = async () => this.#behind(this.#putBack(berth))
      try {
        const started = await berth.start(text, putBack)
        if (started) return started
        await putBack()
      } catch (error) {
        await putBack()
        throw new SetupError(`cannot start ${order.file}: ${reasonOf(error)}`, { cause: error })
      }
    }
  }

  async close(): Promise<void> {
    while (this.#coming.size > 0) await Promise.all(this.#coming)
    await Promise.all(this.#idle.splice(0).map((berth) => this.#drop(berth)))
  }

  /** Goes on while nobody waits for it. */
  #behind(work: Promise<void>): void {
    const coming = work.catch(() => {}).then(() => void this.#coming.delete(coming))
    this.#coming.add(coming)
  }

  async #make(): Promise<Berth> {
    const { clock, hierarchies, naming, clear, spawn } = this.#parts
    const name = nextName(naming)
    const cgroups: Cgroup[] = []
    try {
      for (const hierarchy of hierarchies) cgroups.push(makeCgroup(hierarchy, name))
    } catch (error) {
      await clear(cgroups)
      throw new SetupError(`cannot make a cgroup: ${reasonOf(error)}`, { cause: error })
    }
    const [killing, ...counting] = cgroups
    if (killing === undefined) throw new SetupError('there is no cgroup to stand in')
    const doors = cgroups.map((cgroup) => `${cgroup.folder}/cgroup.procs`)
    const launcher = spawn({ ...this.#launcher, args: [...this.#launcher.args, ...doors] })
    const berth = new Berth(launcher, [killing, ...counting], clock)
    if (await berth.prepare()) return berth
    await this.#drop(berth)
    throw new SetupError('the launcher of jobs does not start')
  }

  async #putBack(berth: Berth): Promise<void> {
    if (await berth.prepare()) this.#keep(berth)
    else await this.#drop(berth)
  }

  #keep(berth: Berth): void {
    this.#idle.push(berth)
    void berth.gone.then(() => {
      if (!this.#idle.includes(berth)) return
      this.#idle = this.#idle.filter((one) => one !== berth)
      this.#behind(this.#drop(berth))
    })
  }

  async #drop(berth: Berth): Promise<void> {
    await this.#parts.clear(await berth.end())
  }
}
