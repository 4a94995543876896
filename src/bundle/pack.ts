// A folder becomes a tar stream whose bytes depend on names, contents, links and executable bits alone. What may be in it is asked in scan.ts.
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { BLOCK_BYTES, formatHead, paddingOf } from './block.ts'
import { BundleError } from './error.ts'
import { type BundleLimits, bundleLimits } from './limit.ts'
import { type Found, scan, traceOf } from './scan.ts'

export interface PackOptions {
  readonly folder: string
  readonly limits?: Partial<BundleLimits>
  readonly signal?: AbortSignal
  /** Called after each piece that was taken. */
  readonly progress?: (done: PackProgress) => void
}

export interface PackProgress {
  readonly files: number
  /** Of the archive, up to `packedBytes`. */
  readonly packedBytes: number
}

/** Can be read more than once, as for a digest and then for an upload: the folder is read anew each time, and must not have changed. */
export interface Packing extends AsyncIterable<Uint8Array> {
  readonly files: number
  /** Content of the files. */
  readonly bytes: number
  /** The whole archive. */
  readonly packedBytes: number
  /** SHA-256 of the archive, lower-case hex. Reads the folder if no reading came to its end yet. */
  packedDigest(): Promise<string>
}

/** Looks the folder over; rejects with BundleError for what cannot be packed, before a byte of it was read. */
export async function packFolder({ folder, limits, signal, progress }: PackOptions): Promise<Packing> {
  const { found, files, bytes } = await scan(folder, { ...bundleLimits, ...limits })
  const heads = found.reduce((total, entry) => total + headOf(entry).length, 0)
  const padded = found.reduce((total, entry) => total + (entry.kind === 'file' ? paddingOf(entry.size) : 0), bytes)
  const packedBytes = heads + padded + END.length
  let digest: string | undefined
  async function* read(): AsyncGenerator<Uint8Array> {
    const hash = digest === undefined ? createHash('sha256') : undefined
    const done = { files: 0, packedBytes: 0 }
    for await (const piece of gather(pieces(found, folder, () => done.files++))) {
      signal?.throwIfAborted()
      hash?.update(piece)
      yield piece
      done.packedBytes += piece.length
      progress?.({ ...done })
    }
    digest ??= hash?.digest('hex')
  }
  const packing: Packing = {
    files,
    bytes,
    packedBytes,
    [Symbol.asyncIterator]: read,
    async packedDigest() {
      for await (const _ of digest === undefined ? packing : []);
      return digest ?? ''
    },
  }
  return packing
}

const END = Buffer.alloc(2 * BLOCK_BYTES)

function headOf(entry: Found): Buffer {
  switch (entry.kind) {
    case 'folder':
      return formatHead({ name: `${entry.name}/`, type: '5', mode: 0o755, size: 0 })
    case 'symlink':
      return formatHead({ name: entry.name, type: '2', mode: 0o777, size: 0, target: entry.target })
    case 'file':
      return formatHead({ name: entry.name, type: '0', mode: entry.executable ? 0o755 : 0o644, size: entry.size })
  }
}

async function* pieces(found: readonly Found[], folder: string, fileDone: () => void): AsyncGenerator<Uint8Array> {
  for (const entry of found) {
    yield headOf(entry)
    if (entry.kind !== 'file') continue
    yield* content(entry, folder)
    yield Buffer.alloc(paddingOf(entry.size))
    fileDone()
  }
  yield END
}

/** Large enough to keep a disk and a cipher busy, small enough to hold several. */
const PIECE_BYTES = 256 * 1024

/** Neither led elsewhere by a link nor kept waiting by a pipe that stands where the file was. */
const CALM_READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

async function* content(entry: Found & { readonly kind: 'file' }, folder: string): AsyncGenerator<Uint8Array> {
  const file = await open(join(folder, entry.name), CALM_READ).catch((error) => {
    const isGone = ['ENOENT', 'ELOOP', 'ENOTDIR'].includes(error.code)
    throw isGone ? new BundleError('changed', entry.name, { cause: error }) : error
  })
  const check = async () => {
    if (traceOf(await file.stat({ bigint: true })) !== entry.trace) throw new BundleError('changed', entry.name)
  }
  try {
    await check()
    for (let left = entry.size; left > 0; ) {
      const buffer = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES))
      const { bytesRead } = await file.read(buffer, 0, buffer.length)
      if (bytesRead === 0) throw new BundleError('changed', entry.name)
      left -= bytesRead
      yield buffer.subarray(0, bytesRead)
    }
    await check()
  } finally {
    await file.close()
  }
}

/** Headers and small files go together, so that what follows is not called for each. */
async function* gather(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = []
  let bytes = 0
  for await (const piece of source) {
    held.push(piece)
    bytes += piece.length
    if (bytes < PIECE_BYTES) continue
    yield held.length === 1 ? piece : Buffer.concat(held)
    held = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(held)
}
