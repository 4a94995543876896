// A file system in memory that knows what a power cut takes: all that was not synced, in any mixture. Also a real one with faults.

import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { type Device, type DeviceFile, systemDevice } from '../../../server/blob/device.ts'

/** Draws a number in [0, 1). */
export type Draw = () => number

interface File {
  live: Buffer
  durable: Buffer
}

interface Folder {
  live: Map<string, Node>
  durable: Map<string, Node>
}

type Node = File | Folder

/** Small, so that short frames tear too. */
const SECTOR_BYTES = 16

export class MemoryDevice implements Device {
  #root: Folder = { live: new Map(), durable: new Map() }
  /** Calls that may still be made before the power goes. */
  callsLeft = Number.POSITIVE_INFINITY

  /** What is there after a power cut: each unsynced name and sector stays or goes by a draw of its own. */
  cutPower(draw: Draw): void {
    this.#root = settleFolder(this.#root, draw)
    this.callsLeft = Number.POSITIVE_INFINITY
  }

  async open(path: string, flags: number): Promise<DeviceFile> {
    await this.#call()
    const parent = this.#folder(dirname(path))
    let node = path === '/' ? this.#root : parent.live.get(nameOf(path))
    if (!node && flags & constants.O_CREAT) {
      node = { live: Buffer.alloc(0), durable: Buffer.alloc(0) }
      parent.live.set(nameOf(path), node)
    }
    if (!node) throw missing(path)
    return this.#handle(node)
  }

  async mkdir(path: string): Promise<string | undefined> {
    await this.#call()
    let folder = this.#root
    let made: string | undefined
    let at = ''
    for (const name of path.split('/').slice(1)) {
      at += `/${name}`
      let next = folder.live.get(name)
      if (!next) {
        next = { live: new Map(), durable: new Map() }
        folder.live.set(name, next)
        made ??= at
      }
      folder = asFolder(next)
    }
    return made
  }

  async readdir(path: string): Promise<string[]> {
    await this.#call()
    return [...this.#folder(path).live.keys()]
  }

  async rm(path: string): Promise<void> {
    await this.#call()
    this.#folder(dirname(path)).live.delete(nameOf(path))
  }

  async statfs(): Promise<{ bavail: number; bsize: number }> {
    return { bavail: 1e6, bsize: 4096 }
  }

  async #call(): Promise<void> {
    await undefined
    if (this.callsLeft-- <= 0) throw new Error('the power is gone')
  }

  #folder(path: string): Folder {
    let folder = this.#root
    for (const name of path.split('/').slice(1)) {
      if (name === '') continue
      const next = folder.live.get(name)
      if (!next) throw missing(path)
      folder = asFolder(next)
    }
    return folder
  }

  #handle(node: Node): DeviceFile {
    const call = () => this.#call()
    const sync = async () => {
      await call()
      if (node.live instanceof Map) asFolder(node).durable = new Map(node.live)
      else asFile(node).durable = node.live
    }
    return {
      async read(into, { position }) {
        await call()
        return { bytesRead: asFile(node).live.subarray(position).copy(into) }
      },
      async writev(pieces, position) {
        const file = asFile(node)
        const from = Buffer.concat(pieces)
        const bytes = Buffer.alloc(Math.max(file.live.length, position + from.length))
        file.live.copy(bytes)
        from.copy(bytes, position)
        file.live = bytes
        // The call fails after the bytes went: a power cut in the middle of a write leaves some of them.
        await call()
        return { bytesWritten: from.length }
      },
      async truncate(length) {
        await call()
        asFile(node).live = asFile(node).live.subarray(0, length)
      },
      datasync: sync,
      sync,
      stat: async () => ({ size: asFile(node).live.length }),
      close: async () => {},
    }
  }
}

function settleFolder(folder: Folder, draw: Draw): Folder {
  const kept = new Map<string, Node>()
  for (const name of new Set([...folder.durable.keys(), ...folder.live.keys()])) {
    const [before, after] = [folder.durable.get(name), folder.live.get(name)]
    const node = before === after || draw() < 0.5 ? before : after
    if (node)
      kept.set(name, node.live instanceof Map ? settleFolder(asFolder(node), draw) : settleFile(asFile(node), draw))
  }
  return { live: kept, durable: new Map(kept) }
}

function settleFile({ live, durable }: File, draw: Draw): File {
  const longest = Math.max(live.length, durable.length)
  const shortest = Math.min(live.length, durable.length)
  const size = shortest + Math.floor(draw() * (longest - shortest + 1))
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at += SECTOR_BYTES) {
    const source = draw() < 0.5 ? durable : live
    source.subarray(at, at + SECTOR_BYTES).copy(bytes, at)
  }
  return { live: bytes, durable: bytes }
}

function asFile(node: Node): File {
  if (node.live instanceof Map) throw new Error('a folder where a file was meant')
  return node as File
}

function asFolder(node: Node): Folder {
  if (!(node.live instanceof Map)) throw new Error('a file where a folder was meant')
  return node as Folder
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

const missing = (path: string): Error => Object.assign(new Error(`no ${path}`), { code: 'ENOENT' })

/** What happens to a call: an error, fewer bytes (writes only), or nothing special. */
export type Fault = { readonly code: string } | { readonly short: number } | undefined

type FaultyCall = 'write' | 'datasync' | 'sync' | 'truncate' | 'open'

/** The real device with faults; `calls` counts what reached it, `fired` what was spoilt, `openNow` open files and folders. */
export class FaultyDevice implements Device {
  readonly calls: Record<FaultyCall, number> = { write: 0, datasync: 0, sync: 0, truncate: 0, open: 0 }
  readonly fired: string[] = []
  openNow = 0
  openMost = 0
  /** Set by a test. `path` is that of the file or folder. */
  fault: (call: FaultyCall, path: string) => Fault = () => undefined
  mkdir = systemDevice.mkdir
  readdir = systemDevice.readdir
  rm = systemDevice.rm
  statfs = systemDevice.statfs

  async open(path: string, flags: number, mode?: number): Promise<DeviceFile> {
    this.#meet('open', path)
    const file = await systemDevice.open(path, flags, mode)
    this.openMost = Math.max(this.openMost, ++this.openNow)
    return {
      read: (into, from) => file.read(into, from),
      writev: async (pieces, position) => {
        const most = this.#meet('write', path)
        return file.writev(
          most === Number.POSITIVE_INFINITY ? pieces : [Buffer.concat(pieces).subarray(0, most)],
          position,
        )
      },
      truncate: async (length) => {
        this.#meet('truncate', path)
        await file.truncate(length)
      },
      datasync: async () => {
        this.#meet('datasync', path)
        await file.datasync()
      },
      sync: async () => {
        this.#meet('sync', path)
        await file.sync()
      },
      stat: () => file.stat(),
      close: async () => {
        this.openNow--
        await file.close()
      },
    }
  }

  /** The most bytes that may pass. */
  #meet(call: FaultyCall, path: string): number {
    this.calls[call]++
    const fault = this.fault(call, path)
    if (!fault) return Number.POSITIVE_INFINITY
    this.fired.push('code' in fault ? `${call} ${fault.code}` : `${call} short`)
    if ('short' in fault) return fault.short
    throw Object.assign(new Error(`injected ${fault.code}`), { code: fault.code })
  }
}
