// A disk whose power can be cut: ext4 on a loop device, shut down in the middle of writes and mounted anew. What was not synced is gone. Needs root.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './process-rig.ts'

export interface PowerDisk {
  /** What lies below it is on this disk. */
  readonly folder: string
  /** From here on nothing reaches the disk, not even its own journal; who writes is told EIO. */
  cut(): void
  /** Mounted anew, its journal replayed. Whoever used it must be dead. */
  restore(): Promise<void>
  /** Takes it down, with all that is on it. */
  close(): Promise<void>
}

/** EXT4_IOC_SHUTDOWN without a flush of the log, which Node has no call for. */
const shutDown = `
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))
`

export async function createPowerDisk(bytes: number): Promise<PowerDisk> {
  const place = mkdtempSync(join(tmpdir(), 'pond-power-'))
  const [image, folder] = [join(place, 'image'), join(place, 'disk')]
  mkdirSync(folder)
  execFileSync('truncate', ['--size', String(bytes), image])
  execFileSync('mkfs.ext4', ['-q', '-F', image])
  const mount = () => execFileSync('mount', ['-o', 'loop', image, folder])
  // The last process to die may still hold a file.
  const unmount = () => until('an unmounted disk', () => succeeds('umount', [folder]))
  mount()
  return {
    folder,
    cut: () => void execFileSync('python3', ['-c', shutDown, folder]),
    async restore() {
      await unmount()
      mount()
    },
    async close() {
      await unmount()
      rmSync(place, { recursive: true, force: true })
    },
  }
}

function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
