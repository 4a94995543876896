// One stream on its way: bytes come from the process as fast as it likes, go to the disk encoded, and are read again at pond's pace.
import { createHash } from 'node:crypto'
import { limit } from '../protocol/limit.ts'
import type { Clock } from '../system/clock.ts'
import type { DiskFile } from '../system/disk.ts'
import { releaseMemory } from '../system/release.ts'
import type { Encoder, Mark, Piece, PlacedMark } from './encoder.ts'

export interface Spool {
  /** Takes what the process wrote, as a copy. A returned promise says: read no more from it until this resolves. */
  write(bytes: Buffer): void | Promise<void>
  /** No more comes. Resolves when all that was taken is in the file with its end, or never will be. */
  end(): Promise<void>
  /** Bytes in the file, all of them to be sent. */
  size(): number
  /** Bytes in the file, and those that the process wrote and that are not. */
  produced(): number
  read(offset: number, target: Uint8Array): Promise<number>
  mark(offset: number): Mark
  /** Marks below this offset are not asked for again. */
  forget(offset: number): void
  /** Of the first `length` bytes, lower-case hex. */
  sha256(length: number): Promise<string>
  /** The last 64 KiB that the process wrote, as far as they are among its last `most` bytes. */
  tail(most: number): Buffer
  /** True when the disk did not take all that should be in the file. */
  broken(): boolean
  /** Part of it is worth nothing: gives back its room. From now on all of it counts as left out, and as broken. */
  discard(): Promise<void>
  close(): Promise<void>
}

export interface SpoolParts {
  readonly clock: Clock
  readonly encoder: Encoder
  /** Called once, when there is a first byte to keep. */
  readonly open: () => Promise<DiskFile>
  readonly nextOrder: () => number
  /** More bytes can be read. */
  readonly grew: () => void
  /** The disk took no more. Later bytes are counted, not kept. */
  readonly failed: (error: unknown) => void
  /** A former life of swarm left this file. */
  readonly resume?: { readonly file: DiskFile; readonly leftOut: number }
}

/**
 * Above this much waiting for the disk the process is not read. More of it at a time keeps the sender waiting, as both share a thread: with 1 MiB
 * pond was idle a quarter of the time while a job wrote as fast as it could.
 */
const PENDING_BYTES_MOST = 256 * 1024
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
  /** Bytes of the process that are not in the file. */
  #leftOut: number
  /** The cap is reached. */
  #full = false
  #hash = createHash('sha256')
  #hashed = 0
  readonly #latest = new Latest()
  #marks: PlacedMark[] = []
  /** The last piece that went to the file: who prints little is read from here. */
  #last: { readonly offset: number; readonly bytes: Buffer } | undefined
  #pending: Piece[] = []
  #pendingBytes = 0
  #pumping: Promise<void> | undefined
  #broken = false
  #ended = false

  constructor(parts: SpoolParts) {
    this.#parts = parts
    this.#file = parts.resume?.file
    this.#leftOut = parts.resume?.leftOut ?? 0
  }

  write(bytes: Buffer): void | Promise<void> {
    if (bytes.length === 0) return undefined
    this.#latest.push(bytes)
    if (this.#full || this.#broken) this.#leftOut += bytes.length
    else this.#keep(bytes)
    return this.#pendingBytes > PENDING_BYTES_MOST ? this.#pumping : undefined
  }

  #keep(bytes: Buffer): void {
    const { clock, nextOrder } = this.#parts
    this.#pending.push({ bytes: Buffer.from(bytes), at: clock.now(), order: nextOrder() })
    this.#pendingBytes += bytes.length + PIECE_BYTES
    this.#pumping ??= this.#pump()
  }

  async #pump(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const pieces = this.#pending
        const waiting = this.#pendingBytes
        this.#pending = []
        await this.#encode(pieces)
        // A piece counts until it is in the file: it is in memory as long.
        this.#pendingBytes -= waiting
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#pumping = undefined
  }

  async #encode(pieces: readonly Piece[]): Promise<void> {
    const before = this.size()
    const { stored, marks, taken } = this.#parts.encoder.encode(pieces, before)
    const written = lengthOf(pieces)
    // Counted as left out until they are in the file.
    this.#leftOut += written
    this.#full ||= taken < written
    this.#marks.push(...marks)
    if (this.#marks.length > MARKS_MOST) this.#marks = this.#marks.filter((_, index) => index % 2 === 0)
    try {
      await this.#append(stored)
    } finally {
      this.#leftOut -= Math.min(taken, this.size() - before)
    }
    this.#release([...stored, ...pieces.map(({ bytes }) => bytes)])
  }

  /** What is long is read from the file, where it is by now. */
  #release(taken: readonly Buffer[]): void {
    for (const bytes of taken) releaseMemory(bytes)
    if (this.#last?.bytes.length === 0) this.#last = undefined
  }

  async #append(stored: readonly Buffer[]): Promise<void> {
    if (stored.length === 0) return
    const file = this.#file ?? (await this.#parts.open())
    this.#file = file
    const offset = file.size()
    await file.append(...stored)
    const [only] = stored
    this.#last = stored.length === 1 && only ? { offset, bytes: only } : undefined
    this.#hashFrom(offset, stored)
    this.#parts.grew()
  }

  /** Behind what a former life left nothing is hashed: all of it is read once more when it is asked for. */
  #hashFrom(offset: number, stored: readonly Buffer[]): void {
    if (this.#hashed !== offset) return
    for (const bytes of stored) this.#hash.update(bytes)
    this.#hashed = this.size()
  }

  #fail(error: unknown): void {
    this.#broken = true
    this.#leftOut += lengthOf(this.#pending)
    this.#pending = []
    this.#pendingBytes = 0
    this.#parts.failed(error)
    this.#parts.grew()
  }

  async end(): Promise<void> {
    await this.#settled()
    if (this.#broken || this.#ended) return
    this.#ended = true
    try {
      await this.#append(this.#parts.encoder.end())
    } catch (error) {
      this.#fail(error)
    }
  }

  async #settled(): Promise<void> {
    while (this.#pumping) await this.#pumping
  }

  size(): number {
    return this.#file?.size() ?? 0
  }

  produced(): number {
    return this.size() + this.#leftOut
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

  tail(most: number): Buffer {
    return this.#latest.take(most)
  }

  broken(): boolean {
    return this.#broken
  }

  async discard(): Promise<void> {
    await this.#settled()
    this.#broken = true
    this.#last = undefined
    const kept = this.size()
    await this.#file?.truncate(0)
    this.#leftOut += kept
  }

  async close(): Promise<void> {
    await this.#settled()
    await this.#file?.close()
  }
}

/** The last 64 KiB of what came, and at times some before them. */
class Latest {
  #bytes = Buffer.alloc(0)
  #length = 0

  push(bytes: Buffer): void {
    const last = bytes.subarray(-limit.tailBytes)
    if (this.#length + last.length > this.#bytes.length) this.#makeRoom(last.length)
    this.#length += last.copy(this.#bytes, this.#length)
  }

  /** It doubles up to twice what it must hold, so that each byte is moved once or twice. */
  #makeRoom(more: number): void {
    const kept = this.take(limit.tailBytes - more)
    const wanted = Math.min(2 ** Math.ceil(Math.log2(2 * (kept.length + more))), 2 * limit.tailBytes)
    const bytes = wanted > this.#bytes.length ? Buffer.allocUnsafeSlow(wanted) : this.#bytes
    this.#length = kept.copy(bytes)
    this.#bytes = bytes
  }

  /** The last `most` bytes of them. */
  take(most: number): Buffer {
    const length = Math.min(most, limit.tailBytes, this.#length)
    return this.#bytes.subarray(this.#length - length, this.#length)
  }
}

const lengthOf = (pieces: readonly Piece[]) => pieces.reduce((sum, { bytes }) => sum + bytes.length, 0)
