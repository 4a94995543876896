// A disk in memory: what was not synced is gone after a power cut, and it can be full, broken or slow.
import { dirname } from 'node:path'
import { type Disk, type DiskFile, type FileFacts, LockedError } from '../../src/system/disk.ts'

export function createMemoryDisk(): MemoryDisk {
  return new MemoryDisk()
}

export type DiskOperation = 'append' | 'sync' | 'replace' | 'rename' | 'syncFolder' | 'makeFolder' | 'remove'

interface Content {
  bytes: Buffer
  length: number
  synced: number
  /** What a failed sync left in the page cache alone: a later one says that all is well, and does not bring it to the disk. */
  readonly holes: { readonly from: number; readonly to: number }[]
  changedAt?: number
}

export class MemoryDisk implements Disk {
  /** Bytes that still fit; an append beyond it writes what fits and fails with ENOSPC; a replace leaves what was there. */
  roomBytes = 1e12
  /** An error returned here is what the operation meets. */
  fault: (operation: DiskOperation, path: string) => Error | undefined = () => undefined
  /** Awaited by each append, so a test can make the disk slow. */
  gate: () => Promise<void> | undefined = () => undefined
  /** From 0 up to 1: how much of what was not safe is there all the same after a fault or a power cut, and how it looks. */
  dice: () => number = () => 0
  readonly counts: Record<DiskOperation, number> = {
    append: 0,
    sync: 0,
    replace: 0,
    rename: 0,
    syncFolder: 0,
    makeFolder: 0,
    remove: 0,
  }
  #boots = 1
  readonly #files = new Map<string, Content>()
  readonly #folders = new Set<string>()
  readonly #locks = new Set<string>()

  /** What was never synced is gone, or there up to some length and torn; locks are free. */
  powerCut(): void {
    this.processEnd()
    this.#boots++
    for (const [path, content] of this.#files) {
      const { length, synced, holes } = content
      const unsafe = Math.max(0, length - synced)
      content.length = Math.min(length, synced) + Math.floor(this.dice() * (unsafe + 1))
      // The length of a file may be safe before its last block is.
      if (content.length > synced && this.dice() >= 0.7)
        wipe(content, Math.max(synced, content.length - BLOCK_BYTES), length)
      for (const { from, to } of holes) if (this.dice() < 0.5) wipe(content, from, to)
      holes.length = 0
      content.synced = content.length
      if (content.length === 0) this.#files.delete(path)
    }
  }

  /** As after kill -9: locks are free, the page cache stays. */
  processEnd(): void {
    this.#locks.clear()
  }

  paths(): readonly string[] {
    return [...this.#files.keys(), ...this.#folders].sort()
  }

  /** Each file and all of it. */
  contents(): readonly { readonly path: string; readonly bytes: Buffer }[] {
    return [...this.#files].map(([path, { bytes, length }]) => ({ path, bytes: bytes.subarray(0, length) }))
  }

  async makeFolder(path: string): Promise<void> {
    this.#meet('makeFolder', path)
    for (let it = path; it !== dirname(it); it = dirname(it)) this.#folders.add(it)
  }

  async read(path: string): Promise<Buffer | undefined> {
    const content = this.#files.get(path)
    return content && Buffer.from(content.bytes.subarray(0, content.length))
  }

  async replace(path: string, value: Uint8Array | string): Promise<void> {
    this.#meet('replace', path)
    const bytes = Buffer.from(value)
    // Both contents lie on the disk for a moment.
    if (bytes.length > this.roomBytes) throw failure('ENOSPC', path)
    this.roomBytes += (this.#files.get(path)?.length ?? 0) - bytes.length
    this.#files.set(path, { bytes, length: bytes.length, synced: bytes.length, holes: [] })
    // It has its name already, and who asked hears that it failed.
    this.#meet('syncFolder', path)
  }

  async open(path: string): Promise<DiskFile> {
    if (!this.#folders.has(dirname(path))) throw failure('ENOENT', path)
    const content = this.#files.get(path) ?? { bytes: Buffer.alloc(0), length: 0, synced: 0, holes: [] }
    this.#files.set(path, content)
    return {
      size: () => content.length,
      append: (...pieces) => this.#append(path, content, pieces),
      async read(offset, target) {
        const part = content.bytes.subarray(offset, Math.min(content.length, offset + target.length))
        target.set(part)
        return part.length
      },
      async truncate(length) {
        content.length = Math.min(content.length, length)
        content.synced = Math.min(content.synced, length)
      },
      sync: async () => {
        const { synced: from, length: to } = content
        const error = this.#ask('sync', path)
        if (error) {
          content.holes.push({ from, to })
          throw error
        }
        content.synced = to
      },
      async close() {},
    }
  }

  async #append(path: string, content: Content, pieces: readonly Uint8Array[]): Promise<void> {
    const error = this.#ask('append', path)
    const boots = this.#boots
    await this.gate()
    // What was on its way when the power went lands nowhere.
    if (boots !== this.#boots) throw failure('EIO', path)
    if (error) {
      const bytes = Buffer.concat(pieces)
      grow(content, bytes.subarray(0, Math.floor(this.dice() * bytes.length)))
      throw error
    }
    for (const piece of pieces) {
      const fits = piece.subarray(0, Math.max(0, this.roomBytes))
      grow(content, fits)
      this.roomBytes -= fits.length
      if (fits.length < piece.length) throw failure('ENOSPC', path)
    }
  }

  async rename(from: string, to: string): Promise<void> {
    this.#meet('rename', from)
    const content = this.#files.get(from)
    if (!content) throw failure('ENOENT', from)
    this.#files.delete(from)
    this.#files.set(to, content)
    this.#meet('syncFolder', to)
  }

  async stat(path: string): Promise<FileFacts | undefined> {
    const content = this.#files.get(path)
    return content && { sizeBytes: content.length, changedAt: content.changedAt ?? 0 }
  }

  async touch(path: string, atMs: number): Promise<void> {
    const content = this.#files.get(path)
    if (content) content.changedAt = atMs
  }

  async list(path: string): Promise<readonly string[]> {
    const below = this.paths().filter((it) => it.startsWith(`${path}/`))
    return [...new Set(below.map((it) => it.slice(path.length + 1).split('/')[0] ?? ''))]
  }

  async remove(path: string): Promise<void> {
    this.#meet('remove', path)
    for (const it of this.paths()) {
      if (it !== path && !it.startsWith(`${path}/`)) continue
      this.#files.delete(it)
      this.#folders.delete(it)
    }
  }

  async freeBytes(): Promise<number> {
    return this.roomBytes
  }

  async bootId(): Promise<string> {
    return `boot ${this.#boots}`
  }

  async lock(path: string): Promise<() => Promise<void>> {
    if (this.#locks.has(path)) throw new LockedError(path, 1)
    this.#locks.add(path)
    return async () => void this.#locks.delete(path)
  }

  #meet(operation: DiskOperation, path: string): void {
    const error = this.#ask(operation, path)
    if (error) throw error
  }

  #ask(operation: DiskOperation, path: string): Error | undefined {
    this.counts[operation]++
    return this.fault(operation, path)
  }
}

const failure = (code: string, path: string) => Object.assign(new Error(`${code}: ${path}`), { code })

/** A disk writes as much at once; what is torn is torn inside it. */
const BLOCK_BYTES = 512

/** As it looks where nothing was ever written. */
const wipe = ({ bytes, length }: Content, from: number, to: number) => bytes.fill(0, from, Math.min(to, length))

function grow(content: Content, piece: Uint8Array): void {
  const length = content.length + piece.length
  if (length > content.bytes.length) {
    const bytes = Buffer.alloc(Math.max(1024, 2 * length))
    content.bytes.copy(bytes, 0, 0, content.length)
    content.bytes = bytes
  }
  content.bytes.set(piece, content.length)
  content.length = length
}
