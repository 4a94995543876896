// A disk in memory: what was not synced is gone after a power cut, and it can be full, broken or slow.
import { dirname } from 'node:path'
import { type Disk, type DiskFile, LockedError } from '../../src/system/disk.ts'

export interface MemoryDisk extends Disk {
  /** Everything that was never synced is gone; locks are free. */
  powerCut(): void
  /** The process is gone: locks are free, the page cache stays. */
  processEnd(): void
  /** The first error thrown here is what the next operations meet; `undefined` heals. */
  fault: ((operation: 'append' | 'sync' | 'replace' | 'makeFolder', path: string) => Error | undefined) | undefined
  /** Bytes that still fit; appends beyond it write what fits and fail with ENOSPC. */
  roomBytes: number
  /** Awaited by each append, so a test can make the disk slow. */
  gate: (() => Promise<void>) | undefined
  paths(): readonly string[]
  readonly counts: { append: number; sync: number; replace: number; makeFolder: number; remove: number }
}

interface Content {
  bytes: Buffer
  length: number
  synced: number
}

export function createMemoryDisk(): MemoryDisk {
  const files = new Map<string, Content>()
  const folders = new Set<string>()
  const locks = new Set<string>()

  const meet = (operation: keyof MemoryDisk['counts'], path: string) => {
    disk.counts[operation]++
    const error = operation === 'remove' ? undefined : disk.fault?.(operation, path)
    if (error) throw error
  }

  const inside = (path: string) =>
    [...files.keys(), ...folders].filter((it) => it === path || it.startsWith(`${path}/`))

  const disk: MemoryDisk = {
    fault: undefined,
    roomBytes: 1e12,
    gate: undefined,
    counts: { append: 0, sync: 0, replace: 0, makeFolder: 0, remove: 0 },
    paths: () => [...files.keys(), ...folders].sort(),
    powerCut() {
      locks.clear()
      for (const [path, content] of files) {
        content.length = content.synced
        if (content.synced === 0) files.delete(path)
      }
    },
    processEnd: () => locks.clear(),
    async makeFolder(path) {
      meet('makeFolder', path)
      for (let it = path; it !== dirname(it); it = dirname(it)) folders.add(it)
    },
    async read(path) {
      const content = files.get(path)
      return content && Buffer.from(content.bytes.subarray(0, content.length))
    },
    async replace(path, value) {
      meet('replace', path)
      const bytes = Buffer.from(value)
      files.set(path, { bytes, length: bytes.length, synced: bytes.length })
    },
    async open(path) {
      if (!folders.has(dirname(path))) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
      const content = files.get(path) ?? { bytes: Buffer.alloc(0), length: 0, synced: 0 }
      files.set(path, content)
      return openContent(path, content)
    },
    async list(path) {
      const names = inside(path).flatMap((it) => (it === path ? [] : [it.slice(path.length + 1).split('/')[0] ?? '']))
      return [...new Set(names)].sort()
    },
    async remove(path) {
      meet('remove', path)
      for (const it of inside(path)) {
        files.delete(it)
        folders.delete(it)
      }
    },
    freeBytes: async () => disk.roomBytes,
    async lock(path) {
      if (locks.has(path)) throw new LockedError(path, 1)
      locks.add(path)
      return async () => void locks.delete(path)
    },
  }

  function openContent(path: string, content: Content): DiskFile {
    return {
      size: () => content.length,
      async append(...pieces) {
        meet('append', path)
        await disk.gate?.()
        for (const piece of pieces) {
          const fits = piece.subarray(0, Math.max(0, disk.roomBytes))
          grow(content, fits)
          disk.roomBytes -= fits.length
          if (fits.length < piece.length) throw Object.assign(new Error('ENOSPC: no room'), { code: 'ENOSPC' })
        }
      },
      async read(offset, target) {
        const part = content.bytes.subarray(offset, Math.min(content.length, offset + target.length))
        target.set(part)
        return part.length
      },
      async sync() {
        meet('sync', path)
        content.synced = content.length
      },
      async close() {},
    }
  }

  return disk
}

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
