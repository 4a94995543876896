// The contract for bytes that do not belong in a database: the streams of claims and the frames of bundles. Adapters: disk.

/** One appended chunk: where it starts, when the worker read it, and its place among all chunks of the claim. */
export interface ChunkMark {
  /** Byte offset in the stream. */
  readonly offset: number
  readonly length: number
  /** Worker's wall clock in milliseconds. */
  readonly at: number
  /** Rises over all streams of one claim; gives stdout and stderr their common order. */
  readonly order: number
}

/** A chunk on its way into a stream. */
export interface NewChunk extends Omit<ChunkMark, 'length'> {
  readonly bytes: Uint8Array
}

/** What one append takes at the most, all chunks together: four of the longest on the wire, or many short ones. */
export const appendMost = { bytes: 2 ** 20, chunks: 64 } as const

export interface StreamKey {
  /** A claim, or a bundle. */
  readonly claimId: string
  /** `stdout`, `stderr`, `stdout.tail`, `frames` of a bundle, …; at most 255 bytes once what is not in [a-z0-9._-] is percent-encoded. */
  readonly name: string
}

export interface StreamStat {
  /** Bytes that survive a power cut: all that was ever acknowledged, never less. */
  readonly committed: number
  readonly chunks: number
}

/** Thrown by `append` when the device or the reserve has no room; nothing of the chunks stays. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError'
}

/**
 * Thrown when the device could not say that bytes are safe, or lost some that were: the stream takes no more until a fresh
 * process has looked at what is really there. What was acknowledged before can still be read where that is sound.
 */
export class BlobBrokenError extends Error {
  override readonly name = 'BlobBrokenError'
}

export interface Blobs {
  /**
   * Appends chunks of at least 1 byte behind each other, the first at exactly `committed`, and resolves after one fsync for all; a
   * wrong offset is a programmer's error. Calls for one stream must not overlap; calls for different streams may. A failure leaves the
   * stream as it was.
   */
  append(key: StreamKey, chunks: readonly NewChunk[]): Promise<StreamStat>
  stat(key: StreamKey): Promise<StreamStat>
  /** Up to `length` bytes from `offset`, fewer only at the end. */
  read(key: StreamKey, offset: number, length: number): Promise<Buffer>
  /** Marks of all chunks that touch [offset, offset + length), in order. */
  marks(key: StreamKey, offset: number, length: number): Promise<readonly ChunkMark[]>
  /** SHA-256 of the first `committed` bytes, lower-case hex. Kept incrementally while a stream grows. */
  sha256(key: StreamKey): Promise<string>
  /** Names of the streams that exist for a claim. */
  list(claimId: string): Promise<readonly string[]>
  /** Removes every stream of a claim. */
  remove(claimId: string): Promise<void>
  /** Bytes free for new chunks above the reserve; 0 means that `append` will refuse. */
  roomBytes(): Promise<number>
  close(): Promise<void>
}
