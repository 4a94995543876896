// File systems so small that a test can fill them. Needs root.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isNoRoom } from '../../src/system/disk.ts'

export interface SmallDisk {
  readonly folder: string
  /** Leaves at most so many bytes free; the returned function gives the room back. */
  fill(leaveBytes: number): () => void
  /** Takes it down, with all that is on it. */
  close(): void
}

export function mountSmallDisk(bytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'pond-small-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'none', folder])
  return {
    folder,
    fill: (leaveBytes) => fill(folder, leaveBytes),
    close() {
      execFileSync('umount', ['--lazy', folder])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function fill(folder: string, leaveBytes: number): () => void {
  const path = join(folder, 'filler')
  const { bavail, bsize } = statfsSync(folder)
  try {
    writeFileSync(path, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)))
  } catch (error) {
    // Others write to it too, and may take the last byte before us.
    if (!isNoRoom(error)) throw error
  }
  return () => rmSync(path)
}
