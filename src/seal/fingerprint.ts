// The short form of keys that two people can compare by eye; the same on both ends.
import { createHash } from 'node:crypto'

/** Eight groups of four hex digits over public keys (unpadded base64url, in their order): 128 bits. A worker's are its sealing and its signing key. */
export function fingerprint(...keys: readonly [string, ...string[]]): string {
  const hash = createHash('sha256')
  for (const key of keys) hash.update(Buffer.from(key, 'base64url'))
  const hex = hash.digest('hex').slice(0, 32)
  return (hex.match(/.{4}/g) ?? []).join('-')
}
