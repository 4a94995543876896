// Streams in memory that outlive the pond that uses them: what was acknowledged stays, and a test decides what becomes of the rest.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  appendMost,
  BlobBrokenError,
  type Blobs,
  type ChunkMark,
  type NewChunk,
  NoRoomError,
  type StreamKey,
} from '../../server/blob/contract.ts'

interface Kept {
  readonly claimId: string
  readonly name: string
  readonly pieces: Buffer[]
  readonly marks: ChunkMark[]
  committed: number
}

/** `full`: no room. `fsync`: nobody knows what of it is on the device until it is looked at anew. */
export type AppendFault = 'full' | 'fsync' | undefined

type Copied = NewChunk & { readonly bytes: Buffer }

export interface MemoryDevice {
  /** Awaited by each append before its bytes are safe. */
  gate: () => Promise<void> | undefined
  /** Bytes that still fit. */
  roomBytes: number
  /** Asked at each append, once its bytes were handed to the device. */
  fault: () => AppendFault
  /** Of so many chunks that were never acknowledged, how many a power cut or a failed fsync left. */
  spared: (chunks: number) => number
  /** Appends under way end here. */
  powerCut(): void
  /** How often the power was cut. */
  readonly cuts: number
  readonly streams: Map<string, Kept>
  /** All of one stream; empty when there is none. */
  bytesOf(claimId: string, name: string): Buffer
}

export function createMemoryDevice(): MemoryDevice {
  const streams = new Map<string, Kept>()
  let cuts = 0
  return {
    gate: () => undefined,
    roomBytes: 1e12,
    fault: () => undefined,
    spared: () => 0,
    powerCut: () => void cuts++,
    get cuts() {
      return cuts
    },
    streams,
    bytesOf: (claimId, name) => Buffer.concat(streams.get(pathOf({ claimId, name }))?.pieces ?? []),
  }
}

/** One process's way to the device. */
export function openMemoryBlobs(device: MemoryDevice, fatal: (error: unknown) => void = () => {}): Blobs {
  return new MemoryBlobs(device, fatal)
}

const pathOf = ({ claimId, name }: StreamKey) => `${claimId} ${name}`

class MemoryBlobs implements Blobs {
  readonly #device: MemoryDevice
  readonly #fatal: (error: unknown) => void
  readonly #appending = new Map<string, Promise<unknown>>()
  /** Streams as this process believes them to be, since an fsync failed. */
  readonly #broken = new Map<string, Kept>()
  #closed = false

  constructor(device: MemoryDevice, fatal: (error: unknown) => void) {
    this.#device = device
    this.#fatal = fatal
  }

  async append(key: StreamKey, chunks: readonly NewChunk[]) {
    const path = pathOf(key)
    assert(!this.#closed, 'the blobs are closed')
    assert(!this.#appending.has(path), 'calls for one stream do not overlap')
    if (this.#broken.has(path)) throw new BlobBrokenError('an fsync of this stream failed')
    const kept = this.#device.streams.get(path) ?? { ...key, pieces: [], marks: [], committed: 0 }
    let end = kept.committed
    for (const { bytes, offset } of chunks) {
      assert(bytes.length > 0 && offset === end, 'a chunk goes exactly behind what is there')
      end += bytes.length
    }
    assert(
      chunks.length <= appendMost.chunks && end - kept.committed <= appendMost.bytes,
      'no more than one append takes',
    )
    if (end - kept.committed > this.#device.roomBytes) throw new NoRoomError('the device is full')
    const copies = chunks.map((chunk) => ({ ...chunk, bytes: Buffer.from(chunk.bytes) }))
    const appending = this.#keep(kept, copies).finally(() => this.#appending.delete(path))
    this.#appending.set(path, appending)
    return await appending
  }

  async #keep(kept: Kept, chunks: readonly Copied[]) {
    const { cuts } = this.#device
    await this.#device.gate()
    const fault = this.#device.fault()
    if (fault === 'full') throw new NoRoomError('the device is full')
    const cut = this.#device.cuts !== cuts
    if (!cut && fault === undefined) return this.#put(kept, chunks)
    this.#broken.set(pathOf(kept), { ...kept, pieces: [...kept.pieces], marks: [...kept.marks] })
    this.#put(kept, chunks.slice(0, this.#device.spared(chunks.length)))
    const error = new BlobBrokenError(cut ? 'the power is gone' : 'the fsync failed')
    if (!cut) this.#fatal(error)
    throw error
  }

  #put(kept: Kept, chunks: readonly Copied[]) {
    for (const { bytes, ...mark } of chunks) {
      kept.pieces.push(bytes)
      kept.marks.push({ ...mark, length: bytes.length })
      kept.committed += bytes.length
      this.#device.roomBytes -= bytes.length
    }
    if (kept.committed > 0) this.#device.streams.set(pathOf(kept), kept)
    return { committed: kept.committed, chunks: kept.marks.length }
  }

  async stat(key: StreamKey) {
    const kept = this.#find(key)
    return { committed: kept?.committed ?? 0, chunks: kept?.marks.length ?? 0 }
  }

  async read(key: StreamKey, offset: number, length: number) {
    const kept = this.#find(key)
    return Buffer.concat(kept?.pieces ?? []).subarray(offset, offset + length)
  }

  async marks(key: StreamKey, offset: number, length: number) {
    const marks = this.#find(key)?.marks ?? []
    return length > 0 ? marks.filter((it) => it.offset < offset + length && it.offset + it.length > offset) : []
  }

  async sha256(key: StreamKey) {
    const hash = createHash('sha256')
    for (const piece of this.#find(key)?.pieces ?? []) hash.update(piece)
    return hash.digest('hex')
  }

  async list(claimId: string) {
    assert(!this.#closed, 'the blobs are closed')
    const ours = [...this.#device.streams.values()].filter((kept) => kept.claimId === claimId)
    return ours.map(({ name }) => name).sort()
  }

  async remove(claimId: string) {
    for (const name of await this.list(claimId)) this.#device.streams.delete(pathOf({ claimId, name }))
  }

  async roomBytes() {
    return Math.max(0, this.#device.roomBytes)
  }

  async close() {
    this.#closed = true
    await Promise.allSettled(this.#appending.values())
  }

  #find(key: StreamKey): Kept | undefined {
    assert(!this.#closed, 'the blobs are closed')
    const path = pathOf(key)
    return this.#broken.get(path) ?? this.#device.streams.get(path)
  }
}
