// Bytes taken from a stream in the pieces that a format asks for, with no more of it in memory than one chunk.
import { BundleError } from './error.ts'

export class Cursor {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #signal: AbortSignal | undefined
  #chunk: Uint8Array = new Uint8Array(0)
  #received = 0

  constructor(source: AsyncIterable<Uint8Array>, signal?: AbortSignal) {
    this.#source = source[Symbol.asyncIterator]()
    this.#signal = signal
  }

  /** Bytes that the source gave so far. */
  get received(): number {
    return this.#received
  }

  /** Up to `most` bytes, at least one; undefined at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#pull()
      if (!next) return undefined
      this.#chunk = next
    }
    const taken = this.#chunk.subarray(0, most)
    this.#chunk = this.#chunk.subarray(taken.length)
    return taken
  }

  /** Exactly `count` bytes; for headers, since they are held in memory. */
  async exactly(count: number): Promise<Buffer> {
    const pieces: Uint8Array[] = []
    for (let missing = count; missing > 0; ) {
      const piece = await this.some(missing)
      if (!piece) throw new BundleError('truncated')
      pieces.push(piece)
      missing -= piece.length
    }
    return Buffer.concat(pieces)
  }

  /** The next `count` bytes without taking them, fewer at the end. */
  async peek(count: number): Promise<Uint8Array> {
    while (this.#chunk.length < count) {
      const next = await this.#pull()
      if (!next) break
      this.#chunk = Buffer.concat([this.#chunk, next])
    }
    return this.#chunk.subarray(0, count)
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = await this.some(Number.POSITIVE_INFINITY)
      if (!piece) return
      yield piece
    }
  }

  /** Tells the source that no more is wanted. */
  async close(): Promise<void> {
    await this.#source.return?.()
  }

  async #pull(): Promise<Uint8Array | undefined> {
    this.#signal?.throwIfAborted()
    const { done, value } = await this.#source.next()
    if (done) return undefined
    this.#received += value.length
    return value
  }
}
