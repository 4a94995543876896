// The exact bytes of a small value: its RFC 8785 form. What is signed or bound is always bytes made here, or bytes as they came.
import canonicalize from 'canonicalize'
import { SealError } from './refusal.ts'

export function canonicalBytes(value: unknown): Buffer {
  const text = canonicalize(value)
  if (text === undefined) throw new Error('the value has no canonical form')
  return Buffer.from(text)
}

/** The value whose canonical form these bytes are. Any others are refused, so that two readers cannot find two values in them. */
export function parseCanonical<T>(parse: (value: unknown) => T, bytes: Buffer): T {
  return parseJson((value) => {
    if (!canonicalBytes(value).equals(bytes)) throw new SealError('damaged')
    return parse(value)
  }, bytes)
}

/** For what others may have written in their own way. */
export function parseJson<T>(parse: (value: unknown) => T, bytes: Buffer): T {
  try {
    return parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    throw new SealError('damaged')
  }
}
