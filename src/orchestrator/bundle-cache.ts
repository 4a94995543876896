// Bundles as they are stored: ciphertext under its digest, kept so that a repeat is not fetched again. Nothing here can open one.
import { createHash, type Hash } from 'node:crypto'
import { join } from 'node:path'
import PQueue from 'p-queue'
import type { Clock } from '../system/clock.ts'
import type { Disk, DiskFile } from '../system/disk.ts'
import type { Log } from '../system/log.ts'

/*
 * Whoever wants a bundle waits for its turn. The first finds nothing and fetches into a draft; the others find the file. Who gives up in
 * the middle leaves the draft to the next, who goes on where it ends, with a claim of its own.
 */

export interface BundleWish {
  readonly digest: string
  readonly sizeBytes: number
  /** Stored bytes from an offset. */
  readonly piece: (offset: number) => Promise<Uint8Array>
  readonly signal: AbortSignal
}

export interface HeldBundle {
  /** The stored bytes, their digest checked. */
  read(): AsyncGenerator<Buffer>
  /** From now on it may give way to others. */
  release(): Promise<void>
}

export interface BundleCache {
  /** Rejects with what `piece` rejects with, an error of the disk, the signal's reason, or BundleDamagedError. */
  take(wish: BundleWish): Promise<HeldBundle>
  /** Removes all that is not in use: the disk is needed for other things. */
  shrink(): Promise<void>
}

/** What pond stores is not what the digest says. */
export class BundleDamagedError extends Error {
  override readonly name = 'BundleDamagedError'
}

/** As much as a swarm keeps of bundles that nobody uses; room for a few large inputs on a laptop's disk. */
export const CACHE_BYTES_MOST = 8 * 1024 ** 3
/** A bundle that no job asked for in this time is most likely never asked for again. */
export const CACHE_AGE_MS = 14 * 24 * 60 * 60 * 1000
const READ_BYTES = 256 * 1024

export interface BundleCacheParts {
  readonly clock: Clock
  readonly disk: Disk
  readonly log: Log
  /** Holds bundles and nothing else. */
  readonly folder: string
}

/** Removes the drafts that a former life left. */
export async function openBundleCache(parts: BundleCacheParts): Promise<BundleCache> {
  const { disk, folder } = parts
  await disk.makeFolder(folder)
  for (const name of await disk.list(folder)) if (!looksLikeDigest.test(name)) await disk.remove(join(folder, name))
  return new Cache(parts)
}

const looksLikeDigest = /^[0-9a-f]{64}$/

interface Draft {
  readonly file: DiskFile
  readonly hash: Hash
}

interface Entry {
  readonly turn: PQueue
  /** Who waits for it or uses it. */
  wanted: number
  draft: Draft | undefined
}

class Cache implements BundleCache {
  readonly #parts: BundleCacheParts
  readonly #entries = new Map<string, Entry>()

  constructor(parts: BundleCacheParts) {
    this.#parts = parts
  }

  take(wish: BundleWish): Promise<HeldBundle> {
    const taken = this.#take(wish)
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        reject(wish.signal.reason)
        taken.then(
          (held) => held.release(),
          () => {},
        )
      }
      if (wish.signal.aborted) giveUp()
      else wish.signal.addEventListener('abort', giveUp, { once: true })
      taken.then(resolve, reject).finally(() => wish.signal.removeEventListener('abort', giveUp))
    })
  }

  async #take(wish: BundleWish): Promise<HeldBundle> {
    const { digest } = wish
    const entry = this.#enter(digest)
    try {
      const file = await entry.turn.add(() => this.#open(entry, wish))
      return {
        read: () => read(file),
        release: once(async () => {
          await file.close()
          await this.#leave(digest, entry)
          await this.#makeRoom(0)
        }),
      }
    } catch (error) {
      await this.#leave(digest, entry)
      throw error
    }
  }

  #enter(digest: string): Entry {
    const entry = this.#entries.get(digest) ?? { turn: new PQueue({ concurrency: 1 }), wanted: 0, draft: undefined }
    this.#entries.set(digest, entry)
    entry.wanted++
    return entry
  }

  async #leave(digest: string, entry: Entry): Promise<void> {
    if (--entry.wanted > 0) return
    this.#entries.delete(digest)
    await this.#discard(digest, entry)
  }

  async #discard(digest: string, entry: Entry): Promise<void> {
    const { draft } = entry
    entry.draft = undefined
    if (!draft) return
    await draft.file.close()
    await this.#parts.disk.remove(this.#pathOf(digest, '.part'))
  }

  async #open(entry: Entry, wish: BundleWish): Promise<DiskFile> {
    const { clock, disk } = this.#parts
    wish.signal.throwIfAborted()
    const path = this.#pathOf(wish.digest)
    if (!(await this.#isWhole(wish))) await this.#fetch(entry, wish)
    await disk.touch(path, clock.now())
    return disk.open(path)
  }

  /** A disk may have lost or turned bits since. What is damaged goes, and is fetched again. */
  async #isWhole({ digest, sizeBytes }: BundleWish): Promise<boolean> {
    const { disk, log } = this.#parts
    const path = this.#pathOf(digest)
    const found = await disk.stat(path)
    if (!found) return false
    if (found.sizeBytes === sizeBytes && (await digestOf(disk, path)) === digest) return true
    log.warn('bundle_damaged', { digest, bytes: found.sizeBytes })
    await disk.remove(path)
    return false
  }

  async #fetch(entry: Entry, { digest, sizeBytes, piece }: BundleWish): Promise<void> {
    const { disk } = this.#parts
    if (!entry.draft) {
      await this.#makeRoom(sizeBytes)
      entry.draft = { file: await disk.open(this.#pathOf(digest, '.part')), hash: createHash('sha256') }
    }
    const { file, hash } = entry.draft
    while (file.size() < sizeBytes) {
      const bytes = await piece(file.size())
      if (bytes.length === 0 || file.size() + bytes.length > sizeBytes) return this.#refuse(digest, entry)
      hash.update(bytes)
      await this.#orDiscard(digest, entry, () => file.append(bytes))
    }
    if (hash.copy().digest('hex') !== digest) return this.#refuse(digest, entry)
    await this.#orDiscard(digest, entry, async () => {
      await file.sync()
      await disk.rename(this.#pathOf(digest, '.part'), this.#pathOf(digest))
    })
    entry.draft = undefined
    await file.close()
  }

  /** Nobody goes on with a draft whose disk failed once: what stands there may be less than it seems. */
  async #orDiscard(digest: string, entry: Entry, run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      await this.#discard(digest, entry)
      throw error
    }
  }

  async #refuse(digest: string, entry: Entry): Promise<never> {
    await this.#discard(digest, entry)
    throw new BundleDamagedError('the stored bytes of the bundle are not what its digest says')
  }

  async shrink(): Promise<void> {
    for (const { name } of await this.#resting()) await this.#drop(name)
  }

  /** What rests too long goes, then what rests longest, until so many bytes fit: into the cache's share and onto the disk. */
  async #makeRoom(bytes: number): Promise<void> {
    const { clock, disk, folder } = this.#parts
    const resting = await this.#resting()
    let kept = resting.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    for (const { name, sizeBytes, changedAt } of resting) {
      const old = changedAt < clock.now() - CACHE_AGE_MS
      if (!old && kept + bytes <= CACHE_BYTES_MOST && (await disk.freeBytes(folder)) >= bytes) return
      await this.#drop(name)
      kept -= sizeBytes
    }
  }

  /** In its turn: who asks for it meanwhile finds none, and fetches. */
  async #drop(digest: string): Promise<void> {
    if (this.#entries.has(digest)) return
    const entry = this.#enter(digest)
    await entry.turn.add(() => this.#parts.disk.remove(this.#pathOf(digest)))
    await this.#leave(digest, entry)
  }

  /** Those that nobody uses, the longest unused first. */
  async #resting(): Promise<readonly { name: string; sizeBytes: number; changedAt: number }[]> {
    const { disk, folder } = this.#parts
    const found: { name: string; sizeBytes: number; changedAt: number }[] = []
    for (const name of await disk.list(folder)) {
      const facts = looksLikeDigest.test(name) && !this.#entries.has(name) && (await disk.stat(this.#pathOf(name)))
      if (facts) found.push({ name, ...facts })
    }
    return found.sort((one, other) => one.changedAt - other.changedAt)
  }

  #pathOf(digest: string, tail = ''): string {
    return join(this.#parts.folder, digest + tail)
  }
}

async function digestOf(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path)
  try {
    const hash = createHash('sha256')
    for await (const bytes of read(file)) hash.update(bytes)
    return hash.digest('hex')
  } finally {
    await file.close()
  }
}

async function* read(file: DiskFile): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < file.size(); ) {
    const bytes = Buffer.allocUnsafe(Math.min(READ_BYTES, file.size() - offset))
    const got = await file.read(offset, bytes)
    if (got === 0) return
    yield bytes.subarray(0, got)
    offset += got
  }
}

function once(run: () => Promise<void>): () => Promise<void> {
  let ran: Promise<void> | undefined
  return () => {
    ran ??= run()
    return ran
  }
}
