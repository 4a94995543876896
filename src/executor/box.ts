// Boxes: the private folders that jobs run in. Made ahead, and used again where a job left them exactly as they were: to make five folders
// and to remove them costs a third of a short job. Where jobs are users of their own, a box belongs to one before it gets its job, and to
// another before it gets the next.
import { existsSync, lchownSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { lchown, readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { type Naming, nextName } from './cgroup.ts'
import { SetupError } from './contract.ts'
import { DEFAULT_PATH, reasonOf } from './launch.ts'
import { makeOpen, type Uids } from './uid.ts'

/** Inode, time of change and mode of each folder. */
type Stamp = readonly number[]

export interface Box {
  readonly folder: string
  readonly work: string
  readonly home: string
  readonly tmp: string
  /** Whom its folders belong to, where that is not swarm's own user. */
  readonly uid?: number
  /** What the kernel says of its folders; any change within moves the time of change of one of them. */
  readonly stamp: Stamp
  readonly madeAt: number
  /** It rested long enough before the job that any change of the job's shows. */
  readonly settled: boolean
}

/** Where swarm's own user has its jobs. */
export const boxesInside = (home: string): string => join(home, 'boxes')

export interface BoxParts {
  /** Holds the boxes of all lives of one home, and nothing else. */
  readonly root: string
  /** Makes each job a user of its own. */
  readonly uids?: Uids
  readonly naming: Naming
  readonly clock: Clock
  readonly log: Log
}

/** Several ticks of any kernel. A change in the tick in which a folder was made would not show. */
const SETTLED_MS = 50
/** A box that changed hands must settle again: so many more rest that 1500 jobs a second find one. */
const CHANGING_HANDS = 128

export class Boxes {
  readonly #parts: BoxParts
  /** The settled ones first. */
  readonly #resting: Box[] = []
  #inUse = 0

  constructor(parts: BoxParts) {
    this.#parts = parts
    if (!parts.uids) mkdirSync(parts.root, { recursive: true, mode: 0o700 })
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
      if (this.#resting.length < this.#inUse + (this.#parts.uids ? CHANGING_HANDS : 0)) this.#resting.push(this.#make())
      return this.#make()
    } catch (error) {
      this.#inUse -= 1
      throw new SetupError(`cannot make the job's folders: ${reasonOf(error)}`, { cause: error })
    }
  }

  async giveBack(box: Box): Promise<void> {
    this.#inUse -= 1
    if (!box.settled || !isUntouched(box)) await remove(box.folder, this.#parts.log)
    else if (this.#parts.uids) this.#resting.push(this.#changeHands(box))
    else this.#resting.unshift(box)
  }

  /** Leaves it to the next sweep. Some of its job lives on and owns it: what is removed under its eyes could become a link to something else. */
  abandon(): void {
    this.#inUse -= 1
  }

  async close(): Promise<void> {
    const { root, log, uids } = this.#parts
    for (const { folder } of this.#resting.splice(0)) await remove(folder, log)
    // Outside the home nobody would miss it; one that is not empty stays.
    if (uids) await rmdir(root).catch(() => {})
  }

  #make(): Box {
    const { root, naming, uids } = this.#parts
    // Another program of this home, that has ended, may have taken it away.
    if (uids) makeOpen(root)
    const folder = join(root, nextName(naming))
    const [work, home, tmp] = [join(folder, 'work'), join(folder, 'home'), join(folder, 'tmp')]
    for (const path of [folder, work, home, tmp]) mkdirSync(path, 0o700)
    return this.#changeHands({ folder, work, home, tmp })
  }

  /** Nobody who could write to it lives: it is new, or its job and all of its tree have ended. */
  #changeHands({ folder, work, home, tmp }: Pick<Box, 'folder' | 'work' | 'home' | 'tmp'>): Box {
    const all = [folder, work, home, tmp]
    const uid = this.#parts.uids?.next()
    if (uid !== undefined) for (const path of all) lchownSync(path, uid, uid)
    const owner = uid === undefined ? {} : { uid }
    const madeAt = this.#parts.clock.monotonic()
    return { folder, work, home, tmp, ...owner, stamp: all.flatMap(stampOf), madeAt, settled: false }
  }
}

export interface SweepBoxesParts {
  readonly naming: Naming
  readonly log: Log
  /** Ends whoever owns a box. */
  readonly clear: (uid: number) => Promise<void>
}

/** Removes the boxes that former lives left in `root`, if it is there. */
export async function sweepBoxes(root: string, { naming, log, clear }: SweepBoxesParts): Promise<void> {
  for (const name of existsSync(root) ? readdirSync(root) : []) {
    if (name.startsWith(naming.life)) continue
    const folder = join(root, name)
    await clear(lstatSync(folder).uid)
    await remove(folder, log)
  }
}

async function remove(folder: string, log: Log): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  } catch {
    await removeByForce(folder, log)
  }
}

/** A job can leave folders that it may not write to itself, as some caches are, and deeper ones than a path can name. These two programs go step by step. */
async function removeByForce(folder: string, log: Log): Promise<void> {
  const { execa } = await import('execa')
  const run = (file: string, ...args: readonly string[]) =>
    execa(file, [...args, '--', folder], {
      env: { PATH: DEFAULT_PATH },
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
    })
  await run('chmod', '-R', 'u+rwX')
  const { failed, stderr } = await run('rm', '-rf')
  if (failed) log.warn('executor.folder_left', { folder, reason: stderr.slice(0, REASON_CHARS_MOST) })
}

/** It names files of the job. */
const REASON_CHARS_MOST = 500

function isUntouched({ folder, work, home, tmp, stamp }: Box): boolean {
  try {
    return [folder, work, home, tmp].flatMap(stampOf).every((fact, index) => fact === stamp[index])
  } catch {
    return false
  }
}

/** As a number a time is exact to 0.3 µs; what a job changes, it changes SETTLED_MS later at least. */
function stampOf(path: string): Stamp {
  const { ino, ctimeMs, mode } = lstatSync(path)
  return [ino, ctimeMs, mode]
}

/** Gives what was put into a folder to its job. Nothing of that runs yet, so that no name changes its meaning meanwhile. */
export async function handOver(folder: string, uid: number): Promise<void> {
  await lchown(folder, uid, uid)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await handOver(path, uid)
    else await lchown(path, uid, uid)
  }
}
