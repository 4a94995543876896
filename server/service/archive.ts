// Plain archives on their way into a bundle: told by their first bytes, and never looked at further.
import { Refusal } from '../../src/protocol/error.ts'

/** Where a tar says that it is one; both POSIX and GNU begin with these five letters. */
const USTAR = Buffer.from('ustar')
const USTAR_AT = 257
const GZIP = Buffer.from([0x1f, 0x8b, 0x08])
const HEAD_BYTES = USTAR_AT + USTAR.length

/** The same bytes, once the first of them say that they are a tar or a gzip; else a refusal before anything was passed on. */
export async function* requireArchive(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0)
  for await (const bytes of source) {
    if (head === undefined) {
      yield bytes
      continue
    }
    head = Buffer.concat([head, bytes])
    if (head.length < HEAD_BYTES) continue
    yield whole(head)
    head = undefined
  }
  if (head !== undefined) yield whole(head)
}

function whole(head: Buffer): Buffer {
  const isGzip = head.subarray(0, GZIP.length).equals(GZIP)
  const isTar = head.subarray(USTAR_AT, HEAD_BYTES).equals(USTAR)
  if (isGzip || isTar) return head
  throw new Refusal('invalid_field', 'the body is neither a tar nor a tar.gz', { field: 'body' })
}
