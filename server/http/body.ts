// The bodies of chunks and of pieces of bundles, read into slabs that are used again: a fresh buffer for each made V8 collect its whole heap every few chunks, which cost as much as the chunk itself.
import type { IncomingMessage } from 'node:http'
import { Refusal } from '../../src/protocol/error.ts'
import { limit } from '../../src/protocol/limit.ts'
import { releaseMemory } from '../../src/system/release.ts'

type Done = (error: Error | null, body?: Buffer) => void

/** A shorter body costs less than a slab, and whoever is refused keeps his. */
const WORTH_BYTES = 16 * 1024
/** Slabs kept for the next ones: as long as the longest chunk, and as the longest body, which few callers send at a time. */
const SLABS: readonly Omit<Shelf, 'free'>[] = [
  { bytes: limit.chunkBytes, most: 16 },
  { bytes: limit.bodyBytes, most: 2 },
]

interface Shelf {
  readonly bytes: number
  readonly most: number
  readonly free: Buffer[]
}

export class Bodies {
  readonly #shelves: readonly Shelf[] = SLABS.map((slabs) => ({ ...slabs, free: [] }))
  readonly #lent = new WeakMap<object, Buffer>()

  /** Reads a body of bytes; `request` is who may give its slab back. */
  read(request: { readonly headers: IncomingMessage['headers'] }, payload: IncomingMessage, done: Done): void {
    const length = Number(request.headers['content-length'] ?? Number.NaN)
    const shelf = length >= WORTH_BYTES ? this.#shelves.find(({ bytes }) => length <= bytes) : undefined
    const slab = shelf && (shelf.free.pop() ?? Buffer.allocUnsafeSlow(shelf.bytes))
    if (slab) this.#lent.set(request, slab)
    if (length > limit.bodyBytes) done(tooLarge())
    else collect(payload, slab ? new Filled(slab) : new Gathered(), done)
  }

  /** Nobody holds on to the body of a call that was answered with success: what it brought is stored. */
  giveBack(request: object): void {
    const slab = this.#lent.get(request)
    this.#lent.delete(request)
    const shelf = slab && this.#shelves.find(({ bytes }) => bytes === slab.length)
    if (shelf && shelf.free.length < shelf.most) shelf.free.push(slab)
  }
}

interface Collector {
  length: number
  add(part: Buffer): void
  whole(): Buffer
}

class Filled implements Collector {
  length = 0
  readonly #slab: Buffer

  constructor(slab: Buffer) {
    this.#slab = slab
  }

  add(part: Buffer): void {
    this.#slab.set(part, this.length)
    this.length += part.length
    releaseMemory(part)
  }

  whole(): Buffer {
    return this.#slab.subarray(0, this.length)
  }
}

/** For who does not tell its length beforehand. */
class Gathered implements Collector {
  length = 0
  readonly #parts: Buffer[] = []

  add(part: Buffer): void {
    this.#parts.push(part)
    this.length += part.length
  }

  whole(): Buffer {
    return Buffer.concat(this.#parts, this.length)
  }
}

function collect(payload: IncomingMessage, collector: Collector, done: Done): void {
  const finish: Done = (error, body) => {
    payload.off('data', add).off('end', end).off('error', failed)
    done(error, body)
  }
  const add = (part: Buffer) => {
    if (collector.length + part.length > limit.bodyBytes) finish(tooLarge())
    else collector.add(part)
  }
  const end = () => finish(null, collector.whole())
  const failed = (error: Error) => finish(Object.assign(error, { statusCode: 400 }))
  payload.on('data', add).once('end', end).once('error', failed)
}

const tooLarge = () => new Refusal('body_too_large', 'the body is too large', { most: limit.bodyBytes })
