// Open files, at most so many at rest: the one used longest ago is closed first, one in use never. Knows nothing of streams.
import { constants } from 'node:fs'
import { dirname } from 'node:path'
import type { Device, DeviceFile } from './device.ts'

interface OpenFile {
  readonly opening: Promise<DeviceFile>
  users: number
}

export class FilePool {
  readonly #device: Device
  readonly #limit: number
  /** From the longest unused to the latest used. */
  readonly #files = new Map<string, OpenFile>()

  constructor(device: Device, limit: number) {
    this.#device = device
    this.#limit = limit
  }

  /** Runs `work` on the file, opened for reading and writing; `create` makes it and its folders where they are missing. */
  async use<T>(path: string, work: (file: DeviceFile) => Promise<T>, create = false): Promise<T> {
    const file = this.#files.get(path) ?? { opening: this.#open(path, create), users: 0 }
    this.#files.delete(path)
    this.#files.set(path, file)
    file.users++
    try {
      return await work(await this.#opened(path, file))
    } finally {
      file.users--
      if (this.#files.get(path) !== file) await close(file)
      await this.#trim()
    }
  }

  /** Forgets the file; it is closed once nobody uses it. */
  async drop(path: string): Promise<void> {
    const file = this.#files.get(path)
    this.#files.delete(path)
    if (file) await close(file)
  }

  /** Closes all. Nobody may be using one. */
  async close(): Promise<void> {
    await Promise.all([...this.#files.keys()].map((path) => this.drop(path)))
  }

  async #open(path: string, create: boolean): Promise<DeviceFile> {
    if (!create) return this.#device.open(path, constants.O_RDWR)
    await this.#device.mkdir(dirname(path), { recursive: true, mode: 0o700 })
    return this.#device.open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  }

  async #opened(path: string, file: OpenFile): Promise<DeviceFile> {
    try {
      return await file.opening
    } catch (error) {
      if (this.#files.get(path) === file) this.#files.delete(path)
      throw error
    }
  }

  async #trim(): Promise<void> {
    if (this.#files.size <= this.#limit) return
    for (const [path, file] of this.#files) {
      if (file.users === 0) return this.drop(path)
    }
  }
}

/** All that was promised is synced before the promise, so nothing hangs on how a close ends. */
async function close(file: OpenFile): Promise<void> {
  if (file.users > 0) return
  await file.opening.then((opened) => opened.close()).catch(() => {})
}
