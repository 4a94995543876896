// The disk as an interface: private folders and files, durable where it says so; the real one stands on node:fs.
import { writevSync } from 'node:fs'
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  unlink,
  utimes,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** One open file that grows at its end. Calls to `append` must not overlap; reads may run beside them. */
export interface DiskFile {
  /** Bytes that reads can see. */
  size(): number
  /** Writes the pieces behind each other at the end. After a failure the size tells how much of them is there. */
  append(...pieces: readonly Uint8Array[]): Promise<void>
  /** Cuts off what is behind `length` bytes. */
  truncate(length: number): Promise<void>
  /** Reads from `offset` into `target`; resolves with the bytes read, fewer than asked only at the end. */
  read(offset: number, target: Uint8Array): Promise<number>
  /** Resolves when all that was appended survives a power cut. */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface FileFacts {
  readonly sizeBytes: number
  /** Wall time in milliseconds. */
  readonly changedAt: number
}

/** All paths are absolute. Folders are made 0700, files 0600. */
export interface Disk {
  /** Makes the folder and its parents; an existing one is left as it is. */
  makeFolder(path: string): Promise<void>
  /** The whole file; `undefined` when there is none. */
  read(path: string): Promise<Buffer | undefined>
  /** Puts a whole new content in place: after a power cut there is the old one or the new one, and after it resolves the new one. */
  replace(path: string, content: Uint8Array | string): Promise<void>
  /** Opens for appending and reading; makes the file when there is none. */
  open(path: string): Promise<DiskFile>
  /** Gives a file another name; after it resolves, a power cut does not take it back. What has that name is replaced. */
  rename(from: string, to: string): Promise<void>
  /** `undefined` when there is no file. */
  stat(path: string): Promise<FileFacts | undefined>
  /** Sets when a file was last changed; no error when it is gone. */
  touch(path: string, atMs: number): Promise<void>
  /** Names in a folder; empty when there is none. */
  list(path: string): Promise<readonly string[]>
  /** Removes a file, or a folder with all in it; nothing there is no error. */
  remove(path: string): Promise<void>
  /** Bytes that an unprivileged process can still write where `path` is. */
  freeBytes(path: string): Promise<number>
  /** Another text after each start of the machine, which is when what was not synced may be gone; empty where none is told. */
  bootId(): Promise<string>
  /** Holds `path` for this process alone until released or until the process ends, however it ends. Rejects with LockedError. */
  lock(path: string): Promise<() => Promise<void>>
}

export class LockedError extends Error {
  override readonly name = 'LockedError'
  readonly pid: number

  constructor(path: string, pid: number) {
    super(`process ${pid} holds ${path}`)
    this.pid = pid
  }
}

/** True when an error of the disk means that there is no room: the device's, a quota's, or the file size limit's. */
export function isNoRoom(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(codeOf(error))
}

const FOLDER_MODE = 0o700
const FILE_MODE = 0o600

export const systemDisk: Disk = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: FOLDER_MODE })
  },
  async read(path) {
    return absentAs(undefined, readFile(path))
  },
  async replace(path, content) {
    const draft = `${path}.${process.pid}.new`
    try {
      await writeDraft(draft, content)
      await rename(draft, path)
    } catch (error) {
      // Half a file would hold the room that is missing.
      await rm(draft, { force: true }).catch(() => {})
      throw error
    }
    await settleName(path)
  },
  open: openFile,
  async rename(from, to) {
    await rename(from, to)
    await settleName(to)
  },
  async stat(path) {
    const found = await absentAs(undefined, stat(path))
    return found && { sizeBytes: found.size, changedAt: found.mtimeMs }
  },
  async touch(path, atMs) {
    await absentAs(undefined, utimes(path, atMs / 1000, atMs / 1000))
  },
  async list(path) {
    return absentAs([], readdir(path))
  },
  async remove(path) {
    await rm(path, { recursive: true, force: true, maxRetries: 3 })
  },
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
  bootId,
  lock,
}

async function writeDraft(path: string, content: Uint8Array | string): Promise<void> {
  const file = await open(path, 'w', FILE_MODE)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * So much goes into the page cache from the calling thread: 5 µs for a line, and ten times that through Node's thread pool and two promises.
 * Only `sync` waits for the disk itself.
 */
const AT_ONCE_BYTES = 16 * 1024

const lengthOf = (pieces: readonly Uint8Array[]) => pieces.reduce((sum, { length }) => sum + length, 0)

async function openFile(path: string): Promise<DiskFile> {
  const file = await open(path, 'a+', FILE_MODE)
  let size = (await file.stat()).size
  return {
    size: () => size,
    async append(...pieces) {
      let rest = pieces.filter((piece) => piece.length > 0)
      while (rest.length > 0) {
        const written =
          lengthOf(rest) <= AT_ONCE_BYTES ? writevSync(file.fd, rest) : (await file.writev(rest)).bytesWritten
        size += written
        rest = behind(rest, written)
      }
    },
    async read(offset, target) {
      let done = 0
      while (done < target.length) {
        const { bytesRead } = await file.read(target, done, target.length - done, offset + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return done
    },
    async truncate(length) {
      await file.truncate(length)
      size = length
    },
    sync: () => file.datasync(),
    close: () => file.close(),
  }
}

/** What of the pieces is left after `count` bytes of them; a short write is legal and happens near a full disk. */
function behind(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = count
  for (const piece of pieces) {
    if (skip < piece.length) rest.push(piece.subarray(skip))
    skip = Math.max(0, skip - piece.length)
  }
  return rest
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Whatever fails here, a lack of room too: the file has its name already, and nobody knows whether it keeps it. */
async function settleName(path: string): Promise<void> {
  try {
    await syncFolder(dirname(path))
  } catch (cause) {
    throw new Error(`the name ${path} may not outlast a power cut: ${String(cause)}`, { cause })
  }
}

/** Held by this process, or reached for: two hands of it would stand in each other's files, which are named after the process. */
const inHand = new Set<string>()

async function lock(path: string): Promise<() => Promise<void>> {
  if (inHand.has(path)) throw new LockedError(path, process.pid)
  inHand.add(path)
  let unlock: () => Promise<void>
  try {
    unlock = await lockAmongProcesses(path)
  } catch (error) {
    inHand.delete(path)
    throw error
  }
  let released: Promise<void> | undefined
  return () => {
    released ??= unlock().finally(() => inHand.delete(path))
    return released
  }
}

/**
 * Node has no flock, so the lock is a file that names its holder: pid, start time and boot. It is complete before it has its
 * name (a link cannot replace), and a holder that is no more is moved aside; who then finds that he moved a living one puts it back.
 */
async function lockAmongProcesses(path: string): Promise<() => Promise<void>> {
  const mine = await identify(process.pid)
  const draft = `${path}.${process.pid}.new`
  await rm(draft, { force: true })
  try {
    const file: FileHandle = await open(draft, 'wx', FILE_MODE)
    try {
      await file.writeFile(mine)
    } finally {
      await file.close()
    }
    for (let tries = 0; ; tries++) {
      const linked = await link(draft, path).then(
        () => true,
        (error: unknown) => {
          if (codeOf(error) === 'EEXIST') return false
          throw error
        },
      )
      if (linked) break
      const holder = await living(path)
      if (holder !== undefined || tries > 10) throw new LockedError(path, holder ?? 0)
      await moveAside(path)
    }
  } finally {
    await rm(draft, { force: true })
  }
  return async () => {
    const there = await absentAs('', readFile(path, 'utf8'))
    if (there === mine) await absentAs(undefined, unlink(path))
  }
}

async function moveAside(path: string): Promise<void> {
  const aside = `${path}.${process.pid}.stale`
  const moved = await absentAs(
    false,
    rename(path, aside).then(() => true),
  )
  if (!moved) return
  if ((await living(aside)) !== undefined) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}

/** The pid of the process that wrote this lock, if that very process still runs. */
async function living(path: string): Promise<number | undefined> {
  const text = await absentAs('', readFile(path, 'utf8'))
  const pid = Number(text.split(' ')[0])
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  return (await identify(pid)) === text ? pid : undefined
}

async function bootId(): Promise<string> {
  return (await absentAs('', readFile('/proc/sys/kernel/random/boot_id', 'utf8'))).trim()
}

/** A text that no other process ever has: pid, clock ticks from boot to its start, and the boot's id. Without /proc: the pid while it lives. */
async function identify(pid: number): Promise<string> {
  const boot = await bootId()
  if (boot === '') return `${pid} ${alive(pid) ? 'alive' : 'gone'}`
  const stat = await absentAs('', readFile(join('/proc', String(pid), 'stat'), 'utf8'))
  // The name in parentheses can hold spaces; state is the first field behind it, the start time the twentieth.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const dead = stat === '' || fields[0] === 'Z' || fields[0] === 'X'
  return `${pid} ${dead ? 'gone' : fields[19]} ${boot}`
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

async function absentAs<T, A>(absent: A, found: Promise<T>): Promise<T | A> {
  try {
    return await found
  } catch (error) {
    // A process that ends while its /proc file is read shows as ESRCH.
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return absent
    throw error
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
