// The exact bytes of a small value: its RFC 8785 form. What is signed or bound is always bytes made here, or bytes as they came.
import canonicalize from 'canonicalize'

export function canonicalBytes(value: unknown): Buffer {
  const text = canonicalize(value)
  if (text === undefined) throw new Error('the value has no canonical form')
  return Buffer.from(text)
}
