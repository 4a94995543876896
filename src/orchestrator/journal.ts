// The journal: one line for each step of a claim, so that a restarted swarm knows what to kill and what it still owes pond.
import { basename, dirname, join } from 'node:path'
import type { Cancel, Clock } from '../system/clock.ts'
import { type Disk, type DiskFile, isNoRoom } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import { type Entry, followAll, type Left, parseEntry } from './journal-entry.ts'

/*
 * What is written when:
 *   claim    before anything is started. Synced to the disk before a job is started that must not run twice.
 *   started  once there is a tree. A tree whose line is missing is found by its claim, which every process of it carries.
 *   ended    the process is over, its output not yet with pond.
 *   final    the last word, exactly as it is said.
 *   gone     nothing is owed any more.
 *
 * All other lines reach the disk within SYNC_MS. That is enough: the page cache outlives kill -9 of swarm, and a power cut
 * ends the trees too. A line lost in that last second makes swarm say less about a claim than it knew, never start it again:
 * nothing is ever started from the journal, and pond ends a claim that `have` does not name.
 *
 * Where the disk did not take a line, the file may end in half of one, and lacks what the memory has. Nothing is appended behind that:
 * the whole log is written anew, with the next line or some seconds later, as soon as there is room.
 */

export interface Journal {
  /** What a former life owed, in the order it was taken. */
  readonly left: readonly Left[]
  /** Claims that pond is still to hear of. */
  owed(): number
  /**
   * Resolves when a restarted swarm would read it; `durable`: also after a power cut. False when the disk did not take it,
   * which is logged here; never rejects.
   */
  write(entry: Entry, durable?: boolean): Promise<boolean>
  close(): Promise<void>
}

export interface JournalParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  readonly path: string
}

/** The longest a line waits for the disk when nobody waits for it. */
const SYNC_MS = 1000
/** A disk that was full is tried again after this, also when no line comes. */
const REPAIR_MS = 5000
/** A log below this is not worth rewriting; above, it is rewritten when most of it is about claims that are gone. */
const COMPACT_BYTES = 4 * 1024 * 1024
const COMPACT_RATIO = 4

/** The lines of each claim that is not gone: what a compacted log holds. */
type Live = Map<string, string[]>

interface Waiting {
  readonly line: string
  readonly durable: boolean
  readonly resolve: (written: boolean) => void
}

export async function openJournal(parts: JournalParts): Promise<Journal> {
  const { disk, log, path } = parts
  const before = await disk.read(path)
  const { entries, damaged } = readLines(before?.toString('utf8') ?? '')
  if (damaged > 0) log.warn('journal_damaged', { lines: damaged })
  const live: Live = new Map()
  for (const entry of entries) remember(live, entry, print(entry))
  await removeDrafts(disk, path)
  const left = followAll(entries)
  const [boot, file] = await Promise.all([disk.bootId(), disk.open(path)])
  const journal = new FileJournal(parts, { live, left, boot, file })
  if (before !== undefined) await journal.renew()
  return journal
}

/** What a life that was killed in the middle of writing a log anew left behind would fill the disk for ever. */
async function removeDrafts(disk: Disk, path: string): Promise<void> {
  const isDraft = (name: string) => name.startsWith(`${basename(path)}.`) && name.endsWith('.new')
  for (const name of await disk.list(dirname(path))) if (isDraft(name)) await disk.remove(join(dirname(path), name))
}

interface Opened {
  readonly live: Live
  readonly left: readonly Left[]
  readonly boot: string
  readonly file: DiskFile
}

class FileJournal implements Journal {
  readonly left: readonly Left[]
  readonly #parts: JournalParts
  readonly #live: Live
  readonly #boot: string
  #file: DiskFile
  /** Size right after the last compaction. */
  #compactBytes: number
  #queue: Waiting[] = []
  #unsynced: Waiting[] = []
  #writing: Promise<void> | undefined
  #syncing: Promise<void> | undefined
  #cancelSync: Cancel | undefined
  #cancelRepair: Cancel | undefined
  /** The file may lack what the memory has. */
  #behind = false
  /** From here on the file may be another life's. */
  #closed = false

  constructor(parts: JournalParts, { live, left, boot, file }: Opened) {
    this.left = left
    this.#boot = boot
    this.#parts = parts
    this.#live = live
    this.#file = file
    this.#compactBytes = file.size()
  }

  owed(): number {
    return this.#live.size
  }

  write(entry: Entry, durable = false): Promise<boolean> {
    const line = print(entry.step === 'claim' ? Object.assign({}, entry, { boot: this.#boot }) : entry)
    remember(this.#live, entry, line)
    return new Promise((resolve) => {
      this.#queue.push({ line, durable, resolve })
      this.#writing ??= this.#writeAll()
    })
  }

  /** Leaves nothing in the file but what a restart needs. */
  async renew(): Promise<void> {
    this.#behind = !(await this.#rewrite())
    if (this.#behind) this.#repairSoon()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelRepair?.()
    while (this.#writing) await this.#writing
    this.#sync()
    while (this.#syncing) await this.#syncing
    if (this.#behind) await this.#rewrite()
    await this.#file.close()
  }

  async #writeAll(): Promise<void> {
    // Lines of one tick belong together: a promise turn lets the others of this tick come in.
    await undefined
    do {
      const batch = this.#queue
      this.#queue = []
      const written = this.#behind ? await this.#rewrite() : await this.#append(batch)
      if (written) this.#afterAppend(batch)
      else for (const it of batch) it.resolve(false)
      if (this.#behind) this.#repairSoon()
      else await this.#compactIfLong()
    } while (this.#queue.length > 0)
    this.#writing = undefined
  }

  async #append(batch: readonly Waiting[]): Promise<boolean> {
    try {
      await this.#file.append(Buffer.from(batch.map((it) => it.line).join('')))
      return true
    } catch (error) {
      this.#behind = true
      this.#parts.log.error('journal_write_failed', { error: String(error) })
      return false
    }
  }

  #repairSoon(): void {
    if (this.#closed) return
    this.#cancelRepair ??= this.#parts.clock.after(REPAIR_MS, () => {
      this.#cancelRepair = undefined
      if (this.#behind) this.#writing ??= this.#writeAll()
    })
  }

  #afterAppend(batch: readonly Waiting[]): void {
    for (const it of batch) {
      if (it.durable) this.#unsynced.push(it)
      else it.resolve(true)
    }
    if (this.#unsynced.length > 0) this.#sync()
    else this.#cancelSync ??= this.#parts.clock.after(SYNC_MS, () => this.#sync())
  }

  /** One sync covers all lines that were appended before it began. */
  #sync(): void {
    this.#cancelSync?.()
    this.#cancelSync = undefined
    this.#syncing ??= this.#syncAll()
  }

  async #syncAll(): Promise<void> {
    do {
      const batch = this.#unsynced
      this.#unsynced = []
      const synced = await this.#file.sync().then(
        () => true,
        (error: unknown) => {
          this.#parts.log.error('journal_sync_failed', { error: String(error) })
          // A later sync would say that all is well, and not bring these lines to the disk.
          this.#behind = true
          this.#repairSoon()
          return false
        },
      )
      for (const it of batch) it.resolve(synced)
    } while (this.#unsynced.length > 0)
    this.#syncing = undefined
  }

  async #compactIfLong(): Promise<void> {
    if (this.#file.size() <= Math.max(COMPACT_BYTES, COMPACT_RATIO * this.#compactBytes)) return
    await this.#rewrite()
    if (this.#behind) this.#repairSoon()
  }

  /** The whole log anew, from memory. False when the disk does not take it. */
  async #rewrite(): Promise<boolean> {
    while (this.#syncing) await this.#syncing
    const { disk, log, path } = this.#parts
    try {
      await disk.replace(path, allOf(this.#live))
      // From here on the old file is nobody's.
      this.#behind = true
      const former = this.#file
      this.#file = await disk.open(path)
      this.#behind = false
      await former.close()
      return true
    } catch (error) {
      // Without room there is no new file, and the old one is as good as before. After anything else nobody knows which of them has the name.
      this.#behind ||= !isNoRoom(error)
      log.warn('journal_not_rewritten', { error: String(error) })
      return false
    } finally {
      this.#compactBytes = this.#file.size()
    }
  }
}

const print = (entry: Entry) => `${JSON.stringify(entry)}\n`

const allOf = (live: Live) => [...live.values()].flat().join('')

function remember(live: Live, { step, claim_id }: Entry, line: string): void {
  if (step === 'claim') live.set(claim_id, [line])
  else if (step === 'gone') live.delete(claim_id)
  else live.get(claim_id)?.push(line)
}

function readLines(text: string): { entries: Entry[]; damaged: number } {
  const lines = text.split('\n').filter((line) => line !== '')
  const entries = lines.map(parseEntry).filter((entry) => entry !== undefined)
  return { entries, damaged: lines.length - entries.length }
}
