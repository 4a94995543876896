// The short form of a worker's keys that two people can compare by eye; the same on both ends.
import { createHash } from 'node:crypto'

/** Eight groups of four hex digits over both public keys (unpadded base64url): 128 bits. */
export function fingerprint(sealingKey: string, signingKey: string): string {
  const hex = createHash('sha256')
    .update(Buffer.from(sealingKey, 'base64url'))
    .update(Buffer.from(signingKey, 'base64url'))
    .digest('hex')
    .slice(0, 32)
  return (hex.match(/.{4}/g) ?? []).join('-')
}
