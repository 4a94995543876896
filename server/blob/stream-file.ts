// One stream in one file: append, recover, read, hash. The only place that knows how frames lie in a file; which streams are held and
// for how long is disk.ts.
//
// What makes an acknowledgement true: chunks are written as frames behind the last and fdatasynced, and only then counted; the next
// append starts after that. So of everything in the file only the last append can be unacknowledged, and only it can be torn.
import assert from 'node:assert/strict'
import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { appendMost, BlobBrokenError, type ChunkMark, type NewChunk, NoRoomError, type StreamStat } from './contract.ts'
import { type DeviceFile, hasCode, readFully, settle, settleAll, writeFully } from './device.ts'
import type { FilePool } from './file-pool.ts'
import { APPEND_FILE_BYTES_MOST, decodeHeader, encodeHeader, type Frame, HEADER_BYTES } from './frame.ts'

/**
 * The index keeps the place of one frame in so many bytes of file and walks the headers from there: 16 bytes of memory for 64 KiB of
 * file. A mark for each chunk would let a worker that sends single bytes fill the memory.
 */
const STRIDE_BYTES = 64 * 1024

/** One read while walking headers: hundreds of small frames at once, a sixteenth of a chunk of the usual 256 KiB. */
const WINDOW_BYTES = 16 * 1024

/** One read while hashing what was written before the stream was loaded. */
const HASH_STEP_BYTES = 2 ** 20

interface Place {
  readonly offset: number
  /** Of the frame's header in the file. */
  readonly position: number
}

export interface StreamFileOptions {
  readonly path: string
  readonly pool: FilePool
  /** Makes the folders on the way to the file durable. */
  settleFolders(): Promise<void>
}

export class StreamFile {
  readonly #options: StreamFileOptions
  readonly #offsets: number[] = []
  readonly #positions: number[] = []
  #committed = 0
  #chunks = 0
  /** Whether the file's own name is known to be durable. */
  #named = false
  #appending = false
  #broken: BlobBrokenError | undefined
  #hash: Hash = createHash('sha256')
  #hashedBytes = 0
  #hashing: Promise<void> | undefined

  constructor(options: StreamFileOptions) {
    this.#options = options
  }

  get broken(): boolean {
    return this.#broken !== undefined
  }

  stat(): StreamStat {
    return { committed: this.#committed, chunks: this.#chunks }
  }

  /** Takes up what the file holds; without a file the stream is empty. */
  async load(): Promise<void> {
    const { path, pool } = this.#options
    try {
      await pool.use(path, (file) => this.#recover(file))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      this.#noteBroken(error)
      throw error
    }
  }

  async append(chunks: readonly NewChunk[]): Promise<StreamStat> {
    assert(!this.#appending, 'appends to one stream overlap')
    if (this.#broken) throw new BlobBrokenError(this.#broken.message, { cause: this.#broken })
    this.#check(chunks)
    this.#appending = true
    try {
      await this.#options.pool.use(this.#options.path, (file) => this.#write(file, chunks), this.#chunks === 0)
    } catch (error) {
      this.#noteBroken(error)
      throw hasCode(error, ...FULL) ? new NoRoomError('the device is full', { cause: error }) : error
    } finally {
      this.#appending = false
    }
    return this.stat()
  }

  #check(chunks: readonly NewChunk[]): void {
    let end = this.#committed
    for (const { offset, bytes } of chunks) {
      assert.equal(offset, end, 'an append must start at the committed end')
      assert(bytes.length > 0, 'an empty chunk')
      end += bytes.length
    }
    assert(chunks.length > 0 && chunks.length <= appendMost.chunks, `${chunks.length} chunks at once`)
    assert(end - this.#committed <= appendMost.bytes, `${end - this.#committed} bytes at once`)
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const until = Math.min(offset + length, this.#committed)
    if (until <= offset) return Buffer.alloc(0)
    const out = Buffer.allocUnsafe(until - offset)
    await this.#walk(offset, until, async (frame, position, reader) => {
      const from = Math.max(frame.offset, offset)
      const into = out.subarray(from - offset, Math.min(frame.offset + frame.length, until) - offset)
      await reader.fill(into, position + HEADER_BYTES + from - frame.offset)
    })
    return out
  }

  async marks(offset: number, length: number): Promise<readonly ChunkMark[]> {
    const marks: ChunkMark[] = []
    const until = Math.min(offset + length, this.#committed)
    if (until <= offset) return marks
    await this.#walk(offset, until, ({ crc: _, ...mark }) => void marks.push(mark))
    return marks
  }

  async sha256(): Promise<string> {
    while (this.#hashedBytes < this.#committed) {
      this.#hashing ??= this.#hashStep().finally(() => {
        this.#hashing = undefined
      })
      await this.#hashing
    }
    return this.#hash.copy().digest('hex')
  }

  /** The file's end as far as it is acknowledged. */
  get #end(): number {
    return this.#committed + this.#chunks * HEADER_BYTES
  }

  async #write(file: DeviceFile, chunks: readonly NewChunk[]): Promise<void> {
    const end = this.#end
    let hash: Hash | undefined
    try {
      const pieces = chunks.flatMap((chunk) => [encodeHeader(chunk), chunk.bytes])
      await writeFully(file, pieces, end)
      const settled = this.#settle(file)
      // The processor hashes while the device syncs; a copy, because the digest must never run ahead of what is committed.
      if (this.#hashedBytes === this.#committed) {
        hash = this.#hash.copy()
        for (const { bytes } of chunks) hash.update(bytes)
      }
      await settled
    } catch (error) {
      if (!(error instanceof BlobBrokenError)) await this.#cut(file, end, error)
      throw error
    }
    for (const { bytes } of chunks) this.#count(bytes.length)
    if (hash) {
      this.#hash = hash
      this.#hashedBytes = this.#committed
    }
  }

  /** The first time the folders are settled beside the data, so that a new stream waits for one round of the device and not for two. */
  async #settle(file: DeviceFile): Promise<void> {
    const { path, settleFolders } = this.#options
    const data = settle(path, () => file.datasync())
    if (this.#named) return data
    await settleAll([data, settleFolders()])
    this.#named = true
  }

  async #cut(file: DeviceFile, length: number, first?: unknown): Promise<void> {
    try {
      await file.truncate(length)
    } catch (second) {
      const cause = first === undefined ? second : new AggregateError([first, second])
      throw new BlobBrokenError(`${this.#options.path} could not be cut back to ${length}`, { cause })
    }
  }

  /**
   * Early frames are taken by their headers alone: each was synced before a later append was begun. One that may be of the last append
   * is taken only if its data is whole. It may have been written and not acknowledged, by a process that died, and so must be synced
   * before it is told to anyone. A rest longer than one append can leave is damage, not a torn write: cutting it would drop
   * acknowledged bytes.
   */
  async #recover(file: DeviceFile): Promise<void> {
    const { size } = await file.stat()
    const reader = new FrameReader(file, size)
    for (;;) {
      const position = this.#end
      const frame = await reader.frame(position)
      if (frame?.offset !== this.#committed || position + HEADER_BYTES + frame.length > size) break
      if (position >= size - APPEND_FILE_BYTES_MOST && !(await reader.isWhole(frame, position))) break
      this.#count(frame.length)
    }
    const rest = size - this.#end
    if (rest > APPEND_FILE_BYTES_MOST) throw this.#damage(this.#end)
    if (rest > 0) await this.#cut(file, this.#end)
    await this.#settle(file)
  }

  #count(length: number): void {
    const position = this.#end
    if (position - (this.#positions.at(-1) ?? -STRIDE_BYTES) >= STRIDE_BYTES) {
      this.#offsets.push(this.#committed)
      this.#positions.push(position)
    }
    this.#committed += length
    this.#chunks++
  }

  /** Visits the frames that touch [offset, until), in order. */
  async #walk(
    offset: number,
    until: number,
    visit: (frame: Frame, position: number, reader: FrameReader) => void | Promise<void>,
  ): Promise<void> {
    const end = this.#end
    let place = this.#placeBefore(offset)
    await this.#options.pool.use(this.#options.path, async (file) => {
      const reader = new FrameReader(file, end)
      while (place.offset < until) {
        const frame = await reader.frame(place.position)
        if (frame?.offset !== place.offset) throw this.#damage(place.position)
        if (frame.offset + frame.length > offset) await visit(frame, place.position, reader)
        place = { offset: frame.offset + frame.length, position: place.position + HEADER_BYTES + frame.length }
      }
    })
  }

  /** The last indexed frame that starts at or before `offset`. */
  #placeBefore(offset: number): Place {
    let low = 0
    let high = this.#offsets.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#offsets[middle] ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return { offset: this.#offsets[low] ?? 0, position: this.#positions[low] ?? 0 }
  }

  async #hashStep(): Promise<void> {
    const bytes = await this.read(this.#hashedBytes, HASH_STEP_BYTES)
    this.#hash.update(bytes)
    this.#hashedBytes += bytes.length
  }

  #noteBroken(error: unknown): void {
    if (error instanceof BlobBrokenError) this.#broken = error
  }

  #damage(position: number): BlobBrokenError {
    return new BlobBrokenError(`${this.#options.path} is damaged at byte ${position}`)
  }
}

/** A quota is a full device too. */
const FULL = ['ENOSPC', 'EDQUOT']

/** Reads headers through a small window, and long data past it. */
class FrameReader {
  readonly #file: DeviceFile
  readonly #end: number
  #window = Buffer.alloc(0)
  #windowAt = 0

  constructor(file: DeviceFile, end: number) {
    this.#file = file
    this.#end = end
  }

  async frame(position: number): Promise<Frame | undefined> {
    return decodeHeader(await this.#peek(position, HEADER_BYTES))
  }

  async isWhole(frame: Frame, position: number): Promise<boolean> {
    if (frame.length > appendMost.bytes) return false
    const data = Buffer.allocUnsafe(frame.length)
    await this.fill(data, position + HEADER_BYTES)
    return crc32(data) === frame.crc
  }

  async fill(into: Buffer, position: number): Promise<void> {
    const done =
      into.length > WINDOW_BYTES
        ? await readFully(this.#file, into, position)
        : (await this.#peek(position, into.length)).copy(into)
    if (done < into.length) throw new BlobBrokenError(`the file ends at byte ${position + done}, inside its stream`)
  }

  /** `length` bytes, at most a window; fewer where the file ends. */
  async #peek(position: number, length: number): Promise<Buffer> {
    const at = position - this.#windowAt
    if (at >= 0 && at + length <= this.#window.length) return this.#window.subarray(at, at + length)
    const window = Buffer.allocUnsafe(Math.max(0, Math.min(WINDOW_BYTES, this.#end - position)))
    this.#window = window.subarray(0, await readFully(this.#file, window, position))
    this.#windowAt = position
    return this.#window.subarray(0, length)
  }
}
