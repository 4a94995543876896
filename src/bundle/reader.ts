// Reads a tar stream entry by entry: extended headers are joined to what they describe, everything ambiguous or unknown is refused. Touches no disk.
import assert from 'node:assert/strict'
import { BLOCK_BYTES, type Head, paddingOf, parseBlock, parseRecords } from './block.ts'
import type { Cursor } from './cursor.ts'
import { BundleError } from './error.ts'
import type { BundleLimits } from './limit.ts'
import type { Entry } from './tree.ts'

export type ReadEntry = Entry & { readonly executable: boolean }

/** What extended headers said about the next entry. */
interface Override {
  name?: Uint8Array
  target?: Uint8Array
  size?: number
}

const SPECIAL_BITS = 0o7000
const OWNER_EXECUTES = 0o100

/**
 * The Parser of the tar package was tried: it cuts names at a NUL, takes bytes that are no UTF-8 for a replacement character, skips
 * malformed records (and with them the name of an honest file, when two chunks of its input part a character), takes a missing end
 * for an end, and drops what follows one. A refusal needs the bytes themselves, so they are read here.
 */
export class Reader {
  readonly #cursor: Cursor
  readonly #limits: BundleLimits
  #overhead = 0
  #globals = 0
  /** Content of the current entry that was not read yet. */
  #left = 0

  constructor(cursor: Cursor, limits: BundleLimits) {
    this.#cursor = cursor
    this.#limits = limits
  }

  /** The next entry; undefined at the end of the archive, which is then known to be whole. */
  async next(): Promise<ReadEntry | undefined> {
    assert(this.#left === 0, 'the content of an entry is read before the next entry')
    const override: Override = {}
    for (;;) {
      const head = parseBlock(await this.#take(BLOCK_BYTES))
      if (!head) {
        if (Object.keys(override).length > 0) throw new BundleError('bad_header')
        return this.#finish()
      }
      if (!(await this.#takeMeta(head, override))) return this.#begin(head, override)
    }
  }

  /** The content of the file that `next` just returned. */
  async *content(): AsyncGenerator<Uint8Array> {
    const padding = paddingOf(this.#left)
    while (this.#left > 0) {
      const piece = await this.#cursor.some(this.#left)
      if (!piece) throw new BundleError('truncated')
      this.#left -= piece.length
      yield piece
    }
    await this.#take(padding)
  }

  async #takeMeta(head: Head, override: Override): Promise<boolean> {
    switch (head.type) {
      case 'x':
        this.#apply(parseRecords(await this.#meta(head)), override)
        return true
      case 'g':
        if (++this.#globals > this.#limits.entries) throw new BundleError('too_many_entries')
        this.#applyGlobal(parseRecords(await this.#meta(head)))
        return true
      case 'L':
        claim(override, 'name', withoutEnd(await this.#meta(head)))
        return true
      case 'K':
        claim(override, 'target', withoutEnd(await this.#meta(head)))
        return true
      default:
        return false
    }
  }

  async #meta({ size }: Head): Promise<Buffer> {
    if (size > this.#limits.metaBytes) throw new BundleError('meta_too_large')
    const meta = await this.#take(size)
    await this.#take(paddingOf(size))
    return meta
  }

  #apply(records: ReadonlyMap<string, Buffer>, override: Override): void {
    for (const [key, value] of records) {
      if (/^(GNU\.sparse\.|SCHILY\.(realsize|filetype)$)/.test(key)) throw new BundleError('unsupported_type')
      if (key === 'hdrcharset' && value.toString() !== 'ISO-IR 10646 2000 UTF-8') throw new BundleError('bad_name')
      if (key === 'path') claim(override, 'name', value)
      if (key === 'linkpath') claim(override, 'target', value)
      if (key === 'size') claim(override, 'size', decimalOf(value))
    }
  }

  /** `git archive` writes one that holds the commit. One that renames or resizes what follows has no honest use. */
  #applyGlobal(records: ReadonlyMap<string, Buffer>): void {
    const override: Override = {}
    this.#apply(records, override)
    if (Object.keys(override).length > 0) throw new BundleError('bad_header')
  }

  #begin(head: Head, override: Override): ReadEntry {
    const name = decode(override.name ?? head.name)
    if ((head.mode & SPECIAL_BITS) !== 0) throw new BundleError('special_bits', name)
    const entry = entryOf(head.type, {
      name,
      target: decode(override.target ?? head.target),
      size: override.size ?? head.size,
    })
    this.#left = entry.kind === 'file' ? entry.size : 0
    return { ...entry, executable: (head.mode & OWNER_EXECUTES) !== 0 }
  }

  /** The end is two blocks of zeros, and only zeros behind them: tar fills up its last record. */
  async #finish(): Promise<undefined> {
    const second = await this.#take(BLOCK_BYTES)
    if (second.some((byte) => byte !== 0)) throw new BundleError('bad_header')
    for (;;) {
      const piece = await this.#cursor.some(BLOCK_BYTES * 128)
      if (!piece) return undefined
      this.#count(piece.length)
      if (piece.some((byte) => byte !== 0)) throw new BundleError('trailing_garbage')
    }
  }

  #take(count: number): Promise<Buffer> {
    this.#count(count)
    return this.#cursor.exactly(count)
  }

  #count(bytes: number): void {
    this.#overhead += bytes
    if (this.#overhead > this.#limits.overheadBytes) throw new BundleError('meta_too_large')
  }
}

function entryOf(type: string, parts: { name: string; target: string; size: number }): Entry {
  const { name, target, size } = parts
  switch (type) {
    case '0':
    case '\0':
      if (target !== '') throw new BundleError('bad_header', name)
      return { kind: 'file', name, size }
    case '1':
      return { kind: 'hardlink', ...withoutContent(parts) }
    case '2':
      return { kind: 'symlink', ...withoutContent(parts) }
    case '5':
      if (target !== '') throw new BundleError('bad_header', name)
      return { kind: 'folder', name: withoutContent(parts).name }
    case '3':
    case '4':
    case '6':
      throw new BundleError('special_file', name)
    default:
      throw new BundleError('unsupported_type', name)
  }
}

/** Some readers take the content that other readers skip for the next header. */
function withoutContent({ name, target, size }: { name: string; target: string; size: number }) {
  if (size !== 0) throw new BundleError('bad_header', name)
  return { name, target }
}

/** Two sources for one fact: readers differ in which they believe. */
function claim<K extends keyof Override>(override: Override, key: K, value: NonNullable<Override[K]>): void {
  if (override[key] !== undefined) throw new BundleError('bad_header')
  override[key] = value
}

/** GNU ends its long names with a NUL; one in the middle stays and is refused with the name. */
const withoutEnd = (name: Buffer): Uint8Array => (name.at(-1) === 0 ? name.subarray(0, -1) : name)

function decimalOf(value: Buffer): number {
  const text = value.toString('latin1')
  if (!/^[0-9]{1,15}$/.test(text)) throw new BundleError('bad_header')
  return Number(text)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bytes that are no UTF-8 would become one and the same replacement character, and two names one. */
function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (error) {
    throw new BundleError('bad_name', Buffer.from(bytes).toString('latin1'), { cause: error })
  }
}
