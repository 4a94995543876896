// The users of jobs: numbers that nobody else has, each given to one job, and the place on the disk where all of them may pass. Starts nothing.
import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, realpathSync, type Stats } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import { systemDisk } from '../system/disk.ts'
import { lockSoon } from '../system/lock.ts'
import type { Naming } from './cgroup.ts'
import { SetupError } from './contract.ts'
import { codeOf, reasonOf } from './launch.ts'

/** Not below a pool's home: on the way to their folders jobs would have to pass it. Root alone writes here. */
export const PLACE = '/var/lib/pond-swarm'

/**
 * 1,879,048,192 to 2,130,706,431: above what systemd gives to containers and shadow to users as subordinate numbers, below what
 * systemd keeps for disks of others. So no passwd file names one, and one comes again after 251,658,240 jobs.
 */
const FIRST_UID = 0x7000_0000
const UIDS = 0x0f00_0000
/** Taken at a time: so a start writes nothing, and a life of swarm wastes few. */
const BLOCK = 4096

/** The boxes of one home at the place. */
export const boxesAt = (place: string, { home }: Naming): string => join(place, `${home}boxes`)

export const isJobUid = (uid: number): boolean => uid >= FIRST_UID && uid < FIRST_UID + UIDS

/** Makes the place where there is none; answers its real path. Throws SetupError when others than root could change what stands there, or jobs not pass. */
export function openPlace(path: string): string {
  try {
    const parent = realpathSync(dirname(path))
    for (let folder = parent; ; folder = dirname(folder)) {
      checkFolder(folder, lstatSync(folder), STICKY)
      if (folder === dirname(folder)) break
    }
    const place = join(parent, basename(path))
    makeOpen(place)
    return place
  } catch (error) {
    if (error instanceof SetupError) throw error
    throw new SetupError(`cannot use ${path}: ${reasonOf(error)}`, { cause: error })
  }
}

/** A folder that jobs may pass and not list. What stood there before, root must have made, and nobody else may write. */
export function makeOpen(folder: string): void {
  try {
    mkdirSync(folder, 0o711)
    chmodSync(folder, 0o711)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  checkFolder(folder, lstatSync(folder), 0)
}

/** In a folder with this bit nobody moves what is not his own. */
const STICKY = 0o1000

function checkFolder(folder: string, stats: Stats, excused: number): void {
  if (!stats.isDirectory()) throw new SetupError(`${folder} is not a folder`)
  if (stats.uid !== 0) throw new SetupError(`${folder} does not belong to root`)
  const writers = stats.gid === 0 ? 0o002 : 0o022
  if ((stats.mode & writers) !== 0 && (stats.mode & excused) === 0)
    throw new SetupError(`others than root may write to ${folder}`)
  if ((stats.mode & 0o001) === 0) throw new SetupError(`other users may not pass ${folder}`)
}

export interface UidParts {
  /** Holds the count of what was given. Swarms that share one never give a number twice. */
  readonly place: string
  readonly clock: Clock
}

export async function openUids(parts: UidParts): Promise<Uids> {
  return new Uids(parts, await reserve(parts))
}

export class Uids {
  readonly #parts: UidParts
  #next: number
  #left = BLOCK
  /** The first of the next block, once it is there. */
  #ahead: number | undefined
  #reserving = false

  constructor(parts: UidParts, first: number) {
    this.#parts = parts
    this.#next = first
  }

  /** A number that no job had. Throws when numbers are used up faster than they can be written down. */
  next(): number {
    if (this.#left < BLOCK / 2) this.#reserveAhead()
    if (this.#left === 0) {
      if (this.#ahead === undefined) throw new SetupError('there is no user for this job')
      this.#next = this.#ahead
      this.#left = BLOCK
      this.#ahead = undefined
    }
    this.#left -= 1
    this.#next += 1
    return this.#next - 1
  }

  #reserveAhead(): void {
    if (this.#reserving || this.#ahead !== undefined) return
    this.#reserving = true
    reserve(this.#parts)
      .then((first) => {
        this.#ahead = first
      })
      // The next start tries again, and the last number says what is wrong.
      .catch(() => {})
      .finally(() => {
        this.#reserving = false
      })
  }
}

/** Written down before any of them is used. */
async function reserve({ place, clock }: UidParts): Promise<number> {
  const lock = join(place, 'uids.lock')
  const unlock = await lockSoon(systemDisk, lock, clock).catch((error: unknown) => {
    throw new SetupError(`cannot lock ${lock}: ${reasonOf(error)}`, { cause: error })
  })
  try {
    const file = join(place, 'uids')
    const text = (await systemDisk.read(file))?.toString('utf8')
    const offset = text === undefined ? firstOffset(place) : Number(text)
    if (!Number.isInteger(offset / BLOCK) || offset < 0 || offset >= UIDS) throw new SetupError(`${file} is damaged`)
    await systemDisk.replace(file, `${(offset + BLOCK) % UIDS}\n`)
    return FIRST_UID + offset
  } finally {
    await unlock()
  }
}

/** Each place begins somewhere of its own, so that two of one machine hardly meet. */
function firstOffset(place: string): number {
  return (createHash('sha256').update(place).digest().readUInt32BE() % (UIDS / BLOCK)) * BLOCK
}
