// Streams in memory that outlive the pond that uses them: what was acknowledged stays, and a test decides what becomes of the rest.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  appendMost,
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

export interface MemoryDevice {
  /** Awaited by each append before its bytes are safe. */
  gate: () => Promise<void> | undefined
  /** Bytes that still fit. */
  roomBytes: number
  readonly streams: Map<string, Kept>
  /** All of one stream; empty when there is none. */
  bytesOf(claimId: string, name: string): Buffer
}

export function createMemoryDevice(): MemoryDevice {
  const streams = new Map<string, Kept>()
  return {
    gate: () => undefined,
    roomBytes: 1e12,
    streams,
    bytesOf: (claimId, name) => Buffer.concat(streams.get(pathOf({ claimId, name }))?.pieces ?? []),
  }
}

/** One process's way to the device. */
export function openMemoryBlobs(device: MemoryDevice): Blobs {
  return new MemoryBlobs(device)
}

const pathOf = ({ claimId, name }: StreamKey) => `${claimId} ${name}`

class MemoryBlobs implements Blobs {
  readonly #device: MemoryDevice
  readonly #appending = new Map<string, Promise<unknown>>()
  #closed = false

  constructor(device: MemoryDevice) {
    this.#device = device
  }

  async append(key: StreamKey, chunks: readonly NewChunk[]) {
    const path = pathOf(key)
    assert(!this.#closed, 'the blobs are closed')
    assert(!this.#appending.has(path), 'calls for one stream do not overlap')
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

  async #keep(kept: Kept, chunks: readonly (NewChunk & { readonly bytes: Buffer })[]) {
    await this.#device.gate()
    for (const { bytes, ...mark } of chunks) {
      kept.pieces.push(bytes)
      kept.marks.push({ ...mark, length: bytes.length })
      kept.committed += bytes.length
      this.#device.roomBytes -= bytes.length
    }
    this.#device.streams.set(pathOf(kept), kept)
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
    return this.#device.streams.get(pathOf(key))
  }
}
