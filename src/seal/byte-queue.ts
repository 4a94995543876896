// Bytes that come in pieces of one size and are looked at in pieces of another. However small they come, each is copied a few times at most.

/** What was handed out stays as it is: memory is never written twice. */
export class ByteQueue {
  #memory: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0

  get length(): number {
    return this.#end - this.#start
  }

  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#memory.length) this.#move(bytes.length)
    this.#memory.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** The first bytes, or as many as there are; they stay. */
  peek(count: number): Buffer {
    return this.#memory.subarray(this.#start, Math.min(this.#start + count, this.#end))
  }

  /** Takes the first bytes away. */
  drop(count: number): void {
    this.#start = Math.min(this.#start + count, this.#end)
  }

  /** Twice the room that is needed: moving costs as much as was pushed since the last time. */
  #move(more: number): void {
    const memory = Buffer.allocUnsafeSlow(2 * (this.length + more))
    const held = this.#memory.copy(memory, 0, this.#start, this.#end)
    this.#memory = memory
    this.#start = 0
    this.#end = held
  }
}
