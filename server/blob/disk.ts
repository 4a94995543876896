// Blobs on a local disk: which streams are held in memory, how much room is left, listing and removing. One process owns the folder.
import assert from 'node:assert/strict'
import { dirname, resolve } from 'node:path'
import type { Clock } from '../../src/system/clock.ts'
import { BlobBrokenError, type Blobs, NoRoomError, type StreamKey } from './contract.ts'
import { type Device, hasCode, settleAll, settleFolder, systemDevice, UnsettledError } from './device.ts'
import { FilePool } from './file-pool.ts'
import { HEADER_BYTES } from './frame.ts'
import { StreamFile } from './stream-file.ts'
import { claimFolder, decodeName, shardFolder, streamPath } from './stream-path.ts'

export interface DiskBlobsOptions {
  /** Made where it is missing, 0700. */
  readonly folder: string
  /** Bytes of the file system that chunks must leave free. */
  readonly reserveBytes: number
  readonly clock: Clock
  /** An fsync failed: the process must exit non-zero and look at its next start at what is really there. */
  readonly fatal?: (error: unknown) => void
  readonly device?: Device
  /** Files open at rest. */
  readonly openFiles?: number
  /** Streams whose end and digest are held in memory at rest. */
  readonly heldStreams?: number
}

/** A quarter of the smallest usual limit of open files, 1024: sockets need the rest. */
const OPEN_FILES = 256

/** Two streams for each of 10,000 live jobs and some; about 1 KB each. Beyond it a stream is loaded again when it is next used. */
const HELD_STREAMS = 32_768

/** How long a reading of the free space is believed; what is appended meanwhile is taken off it. */
const ROOM_AGE_MS = 1000

interface Held {
  readonly stream: StreamFile
  readonly loaded: Promise<void>
  readonly uses: Set<Promise<unknown>>
}

export async function openDiskBlobs(options: DiskBlobsOptions): Promise<Blobs> {
  const device = options.device ?? systemDevice
  const folder = resolve(options.folder)
  const topmost = await device.mkdir(folder, { recursive: true, mode: 0o700 })
  for (let made = folder; topmost !== undefined && made.length >= topmost.length; made = dirname(made)) {
    await settleFolder(device, dirname(made))
  }
  return new DiskBlobs({ ...options, folder }, device)
}

class DiskBlobs implements Blobs {
  readonly #options: DiskBlobsOptions
  readonly #device: Device
  readonly #pool: FilePool
  /** From the longest unused to the latest used. */
  readonly #held = new Map<string, Held>()
  readonly #settledShards = new Set<string>()
  #room: { bytes: number; readonly until: number } = { bytes: 0, until: Number.NEGATIVE_INFINITY }
  #closed = false

  constructor(options: DiskBlobsOptions, device: Device) {
    this.#options = options
    this.#device = device
    this.#pool = new FilePool(device, options.openFiles ?? OPEN_FILES)
  }

  append: Blobs['append'] = (key, chunks) =>
    this.#use(key, async (stream) => {
      const needed = chunks.reduce((sum, { bytes }) => sum + HEADER_BYTES + bytes.length, 0)
      if ((await this.roomBytes()) < needed) throw new NoRoomError(`no room for ${needed} bytes above the reserve`)
      this.#room.bytes -= needed
      return stream.append(chunks)
    })

  stat: Blobs['stat'] = (key) => this.#use(key, (stream) => stream.stat())

  read: Blobs['read'] = (key, offset, length) => this.#use(key, (stream) => stream.read(offset, length))

  marks: Blobs['marks'] = (key, offset, length) => this.#use(key, (stream) => stream.marks(offset, length))

  sha256: Blobs['sha256'] = (key) => this.#use(key, (stream) => stream.sha256())

  async list(claimId: string): Promise<readonly string[]> {
    const names: string[] = []
    for (const name of (await this.#files(claimId)).map(decodeName).sort()) {
      if (await this.#holdsBytes({ claimId, name })) names.push(name)
    }
    return names
  }

  /** Settled as well: a power cut must not bring back what was deleted. */
  async remove(claimId: string): Promise<void> {
    const { folder } = this.#options
    const paths = (await this.#files(claimId)).map((name) => streamPath(folder, { claimId, name: decodeName(name) }))
    await Promise.allSettled(paths.flatMap((path) => [...(this.#held.get(path)?.uses ?? [])]))
    await this.#device.rm(claimFolder(folder, claimId), { recursive: true, force: true })
    for (const path of paths) this.#held.delete(path)
    await Promise.all(paths.map((path) => this.#pool.drop(path)))
    if (paths.length > 0) await settleFolder(this.#device, shardFolder(folder, claimId))
  }

  async roomBytes(): Promise<number> {
    const now = this.#options.clock.monotonic()
    if (now >= this.#room.until) {
      const { bavail, bsize } = await this.#device.statfs(this.#options.folder)
      this.#room = { bytes: bavail * bsize - this.#options.reserveBytes, until: now + ROOM_AGE_MS }
    }
    return Math.max(0, this.#room.bytes)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled([...this.#held.values()].flatMap((held) => [...held.uses]))
    await this.#pool.close()
  }

  /** A file whose first append never ended is no stream yet; a damaged one is, so that somebody finds it. */
  async #holdsBytes(key: StreamKey): Promise<boolean> {
    try {
      return (await this.stat(key)).committed > 0
    } catch (error) {
      if (error instanceof BlobBrokenError) return true
      throw error
    }
  }

  async #use<T>(key: StreamKey, work: (stream: StreamFile) => T | Promise<T>): Promise<T> {
    assert(!this.#closed, 'the blobs are closed')
    const path = streamPath(this.#options.folder, key)
    const held = this.#held.get(path) ?? this.#load(path)
    this.#held.delete(path)
    this.#held.set(path, held)
    const use = held.loaded.then(() => work(held.stream))
    held.uses.add(use)
    const done = () => {
      held.uses.delete(use)
      this.#trim()
    }
    use.then(done, (error: unknown) => {
      done()
      if (error instanceof UnsettledError) this.#options.fatal?.(error)
    })
    return use
  }

  #load(path: string): Held {
    const settleFolders = () => this.#settleFolders(dirname(path))
    const stream = new StreamFile({ path, pool: this.#pool, settleFolders })
    const held: Held = { stream, loaded: stream.load(), uses: new Set() }
    held.loaded.catch((error) => {
      const passing = !(error instanceof BlobBrokenError)
      if (passing && this.#held.get(path) === held) this.#held.delete(path)
    })
    return held
  }

  /** A broken stream is held on to: loading it again in this process would believe what the page cache only pretends. */
  #trim(): void {
    const most = this.#options.heldStreams ?? HELD_STREAMS
    for (const [path, held] of this.#held) {
      if (this.#held.size <= most) return
      if (held.uses.size === 0 && !held.stream.broken) this.#held.delete(path)
    }
  }

  async #settleFolders(claim: string): Promise<void> {
    const shard = dirname(claim)
    const folders = this.#settledShards.has(shard) ? [claim, shard] : [claim, shard, this.#options.folder]
    await settleAll(folders.map((folder) => settleFolder(this.#device, folder)))
    this.#settledShards.add(shard)
  }

  async #files(claimId: string): Promise<string[]> {
    try {
      return await this.#device.readdir(claimFolder(this.#options.folder, claimId))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    }
  }
}
