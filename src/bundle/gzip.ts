// A gzip stream as the bytes in it, as slowly as they are read: how large they get is for the reader to limit.
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { Cursor } from './cursor.ts'
import { BundleError } from './error.ts'

/** What curl users post is a .tar or a .tar.gz: the first bytes say which, since a tar cannot begin like this. */
export async function plainOf(raw: Cursor): Promise<Cursor> {
  const [first, second] = await raw.peek(2)
  return first === 0x1f && second === 0x8b ? new Cursor(gunzip(raw)) : raw
}

async function* gunzip(raw: Cursor): AsyncGenerator<Uint8Array> {
  const engine = createGunzip()
  const input = Readable.from(raw.rest(), { objectMode: false })
  input.once('error', (error) => engine.destroy(error))
  input.pipe(engine)
  try {
    for await (const chunk of engine) yield chunk
  } catch (error) {
    throw isDamage(error) ? new BundleError('bad_gzip', undefined, { cause: error }) : error
  } finally {
    input.destroy()
    engine.destroy()
  }
  // Node ignores what follows the last member if it begins with a zero.
  if (engine.bytesWritten !== raw.received) throw new BundleError('trailing_garbage')
}

/** Codes of zlib; all other errors are those of the source. */
function isDamage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')
}
