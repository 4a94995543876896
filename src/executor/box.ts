// Boxes: the private folders that jobs run in. Made ahead, and used again where a job left them exactly as they were: to make five folders
// and to remove them costs a third of a short job.
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { type Naming, nextName } from './cgroup.ts'
import { SetupError } from './contract.ts'
import { reasonOf } from './launch.ts'

export interface Box {
  readonly folder: string
  readonly work: string
  readonly home: string
  readonly tmp: string
  /** What the kernel says of its folders; any change within moves the time of change of one of them. */
  readonly stamp: string
  readonly madeAt: number
  /** It rested long enough before the job that any change of the job's shows. */
  readonly settled: boolean
}

export interface BoxParts {
  /** Holds the boxes of all lives of one home, and nothing else. */
  readonly root: string
  readonly naming: Naming
  readonly clock: Clock
  readonly log: Log
}

/** Several ticks of any kernel. A change in the tick in which a folder was made would not show. */
const SETTLED_MS = 50

export class Boxes {
  readonly #parts: BoxParts
  /** The settled ones first. */
  readonly #resting: Box[] = []
  #inUse = 0

  constructor(parts: BoxParts) {
    this.#parts = parts
    mkdirSync(parts.root, { recursive: true, mode: 0o700 })
  }

  /** Throws SetupError when the disk takes none. */
  take(): Box {
    this.#inUse += 1
    try {
      const [first] = this.#resting
      if (first && first.madeAt + SETTLED_MS <= this.#parts.clock.monotonic()) {
        this.#resting.shift()
        return { ...first, settled: true }
      }
      if (this.#resting.length < this.#inUse) this.#resting.push(this.#make())
      return this.#make()
    } catch (error) {
      this.#inUse -= 1
      throw new SetupError(`cannot make the job's folders: ${reasonOf(error)}`, { cause: error })
    }
  }

  async giveBack(box: Box): Promise<void> {
    this.#inUse -= 1
    if (box.settled && isUntouched(box)) this.#resting.unshift(box)
    else await this.#remove(box.folder)
  }

  /** Removes what former lives left. */
  async sweep(): Promise<void> {
    const { root, naming } = this.#parts
    for (const name of readdirSync(root)) if (!name.startsWith(naming.life)) await this.#remove(join(root, name))
  }

  async close(): Promise<void> {
    for (const { folder } of this.#resting.splice(0)) await this.#remove(folder)
  }

  #make(): Box {
    const folder = join(this.#parts.root, nextName(this.#parts.naming))
    const [work, home, tmp] = [join(folder, 'work'), join(folder, 'home'), join(folder, 'tmp')]
    for (const path of [folder, work, home, tmp]) mkdirSync(path, 0o700)
    const stamp = [folder, work, home, tmp].map(stampOf).join()
    return { folder, work, home, tmp, stamp, madeAt: this.#parts.clock.monotonic(), settled: false }
  }

  async #remove(folder: string): Promise<void> {
    try {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    } catch (error) {
      this.#parts.log.warn('executor.folder_left', { folder, reason: reasonOf(error) })
    }
  }
}

function isUntouched({ folder, work, home, tmp, stamp }: Box): boolean {
  try {
    return [folder, work, home, tmp].map(stampOf).join() === stamp
  } catch {
    return false
  }
}

function stampOf(path: string): string {
  const { ino, ctimeNs, mode } = statSync(path, { bigint: true })
  return `${ino} ${ctimeNs} ${mode}`
}
