// One stream on its way: bytes come from the process as fast as it likes, go to the disk, and are read again at pond's pace.
import { createHash } from 'node:crypto'
import { limit } from '../protocol/limit.ts'
import type { Clock } from '../system/clock.ts'
import type { DiskFile } from '../system/disk.ts'

/** When bytes were read: wall clock of this machine, and their place among all that the claim's process wrote. */
export interface Mark {
  readonly at: number
  readonly order: number
}

export interface Spool {
  /** Takes what the process wrote. A returned promise says: read no more from it until this resolves. */
  write(bytes: Buffer): void | Promise<void>
  /** Resolves when all that was taken is in the file, or never will be. */
  settled(): Promise<void>
  /** Bytes in the file, all of them to be sent. */
  size(): number
  /** Bytes that the process wrote. */
  produced(): number
  read(offset: number, target: Uint8Array): Promise<number>
  mark(offset: number): Mark
  /** Marks below this offset are not asked for again. */
  forget(offset: number): void
  /** Of the first `length` bytes, lower-case hex. */
  sha256(length: number): Promise<string>
  /** The last 64 KiB that the process wrote, as far as they lie behind `offset`. */
  tail(offset: number): Promise<Buffer>
  /** True when the disk did not take all that should be in the file. */
  broken(): boolean
  close(): Promise<void>
}

export interface SpoolParts {
  readonly clock: Clock
  /** Called once, when there is a first byte to keep. */
  readonly open: () => Promise<DiskFile>
  /** Bytes kept from the beginning; behind them only the tail is. */
  readonly capBytes: number
  readonly nextOrder: () => number
  /** More bytes can be read. */
  readonly grew: () => void
  /** The disk took no more. Later bytes are counted, not kept. */
  readonly failed: (error: unknown) => void
  /** A former life of swarm left this file; nothing is written to it any more. */
  readonly resume?: { readonly file: DiskFile; readonly produced: number }
}

/** Above this much waiting for the disk the process is not read; the disk is then the slowest part. */
const PENDING_BYTES_MOST = 1024 * 1024
/** What a small piece really takes in memory, so that a process writing single bytes is not cheaper than it is. */
const PIECE_BYTES = 256
/** Marks kept for what pond has not got; above it every second one is dropped and times get coarser. */
const MARKS_MOST = 4096
const READ_BYTES = 256 * 1024

export function createSpool(parts: SpoolParts): Spool {
  return new FileSpool(parts)
}

class FileSpool implements Spool {
  readonly #parts: SpoolParts
  #file: DiskFile | undefined
  #produced: number
  /** Bytes accepted for the file, written or not. */
  #taken = 0
  #hash = createHash('sha256')
  #hashed = 0
  #tail: Buffer = Buffer.alloc(0)
  #marks: (Mark & { readonly offset: number })[] = []
  /** The last piece that went to the file: who prints little is read from here. */
  #last: { readonly offset: number; readonly bytes: Buffer } | undefined
  #pending: Buffer[] = []
  #pendingBytes = 0
  #pumping: Promise<void> | undefined
  #broken = false

  constructor(parts: SpoolParts) {
    this.#parts = parts
    this.#file = parts.resume?.file
    this.#produced = parts.resume?.produced ?? 0
  }

  write(bytes: Buffer): void | Promise<void> {
    this.#produced += bytes.length
    const room = this.#broken ? 0 : Math.max(0, this.#parts.capBytes - this.#taken)
    if (room > 0) this.#keep(bytes.subarray(0, room))
    const rest = bytes.subarray(room)
    if (rest.length > 0) this.#tail = Buffer.concat([this.#tail, rest].map(lastOf)).subarray(-limit.tailBytes)
    return this.#pendingBytes > PENDING_BYTES_MOST ? this.#pumping : undefined
  }

  #keep(bytes: Buffer): void {
    const { clock, nextOrder } = this.#parts
    this.#marks.push({ offset: this.#taken, at: clock.now(), order: nextOrder() })
    if (this.#marks.length > MARKS_MOST) this.#marks = this.#marks.filter((_, index) => index % 2 === 0)
    this.#taken += bytes.length
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length + PIECE_BYTES
    this.#pumping ??= this.#pump()
  }

  async #pump(): Promise<void> {
    const { open, grew, failed } = this.#parts
    try {
      const file = this.#file ?? (await open())
      this.#file = file
      while (this.#pending.length > 0) {
        const pieces = this.#pending
        const bytes = this.#pendingBytes
        this.#pending = []
        const offset = file.size()
        await file.append(...pieces)
        const [only] = pieces
        this.#last = pieces.length === 1 && only ? { offset, bytes: only } : undefined
        // A piece counts until it is in the file: it is in memory as long.
        this.#pendingBytes -= bytes
        for (const piece of pieces) this.#hash.update(piece)
        this.#hashed = file.size()
        grew()
      }
    } catch (error) {
      this.#broken = true
      this.#pending = []
      this.#pendingBytes = 0
      failed(error)
      grew()
    }
    this.#pumping = undefined
  }

  async settled(): Promise<void> {
    while (this.#pumping) await this.#pumping
  }

  size(): number {
    return this.#file?.size() ?? 0
  }

  produced(): number {
    return Math.max(this.#produced, this.size())
  }

  async read(offset: number, target: Uint8Array): Promise<number> {
    const { offset: from = 0, bytes } = this.#last ?? {}
    if (bytes && offset >= from && offset + target.length <= from + bytes.length) {
      return bytes.copy(target, 0, offset - from, offset - from + target.length)
    }
    return (await this.#file?.read(offset, target)) ?? 0
  }

  mark(offset: number): Mark {
    const { clock, nextOrder } = this.#parts
    const { at, order } = this.#marks[this.#markBefore(offset)] ?? { at: clock.now(), order: nextOrder() }
    return { at, order }
  }

  forget(offset: number): void {
    const index = this.#markBefore(offset)
    if (index > 0) this.#marks = this.#marks.slice(index)
    if (this.#last && offset >= this.#last.offset + this.#last.bytes.length) this.#last = undefined
  }

  /** Looked for from the front: what is sent next is among the oldest. */
  #markBefore(offset: number): number {
    const behind = this.#marks.findIndex((mark) => mark.offset > offset)
    return (behind < 0 ? this.#marks.length : behind) - 1
  }

  async sha256(length: number): Promise<string> {
    if (length === this.#hashed) return this.#hash.copy().digest('hex')
    const hash = createHash('sha256')
    const part = Buffer.allocUnsafe(READ_BYTES)
    for (let done = 0; done < length; ) {
      const got = await this.read(done, part.subarray(0, length - done))
      if (got === 0) break
      hash.update(part.subarray(0, got))
      done += got
    }
    return hash.digest('hex')
  }

  async tail(offset: number): Promise<Buffer> {
    const size = this.size()
    const from = Math.max(offset, size + this.#tail.length - limit.tailBytes)
    const kept = Buffer.alloc(Math.max(0, size - from))
    await this.read(from, kept)
    return Buffer.concat([kept, this.#tail.subarray(Math.max(0, from - size))])
  }

  broken(): boolean {
    return this.#broken
  }

  async close(): Promise<void> {
    await this.settled()
    await this.#file?.close()
  }
}

const lastOf = (bytes: Buffer) => bytes.subarray(-limit.tailBytes)
