// Where a stream lies below the blob folder, and the way back from a file's name to a stream's.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { StreamKey } from './contract.ts'

/** What every file system takes for one name. */
const NAME_BYTES_MAX = 255

/** 256 folders, so that neither the root nor a shard grows long, and a new claim seldom needs a new shard. */
export function shardFolder(root: string, claimId: string): string {
  return join(root, (crc32(claimId) & 0xff).toString(16).padStart(2, '0'))
}

export function claimFolder(root: string, claimId: string): string {
  return join(shardFolder(root, claimId), encodeName(claimId))
}

export function streamPath(root: string, key: StreamKey): string {
  return join(claimFolder(root, key.claimId), encodeName(key.name))
}

/** Capitals are encoded too: two names must not meet on a file system that folds case. A leading dot would allow `..`. */
function encodeName(name: string): string {
  const encoded = name.replace(/[^a-z0-9._-]+|^\./gu, (piece) =>
    Buffer.from(piece).toString('hex').replace(/../g, '%$&'),
  )
  assert(encoded.length > 0 && encoded.length <= NAME_BYTES_MAX, `a name of ${encoded.length} bytes in a path`)
  assert.equal(decodeName(encoded), name, 'a name that is no well-formed Unicode')
  return encoded
}

export function decodeName(encoded: string): string {
  return decodeURIComponent(encoded)
}
