// Frames: a payload as secretstream messages of at most 64 KiB behind a header, the last one marked as final. Sealing only.
import type { Context } from '../protocol/sealed.ts'
import { releaseMemory } from '../system/release.ts'
import { ByteQueue } from './byte-queue.ts'
import { canonicalBytes } from './canonical.ts'
import { freeState, type Sodium } from './sodium.ts'

/** Plaintext of one frame. Long enough to run at the cipher's speed, short enough to be opened while it comes. */
export const FRAME_BYTES = 64 * 1024
/** Secretstream's own: a byte for the tag and the MAC. */
export const TAG_BYTES = 17
export const LENGTH_BYTES = 4
/** What a frame takes on top of its plaintext. */
export const FRAME_EXTRA_BYTES = LENGTH_BYTES + TAG_BYTES
/** Secretstream's header: it opens the row of frames. */
export const HEADER_BYTES = 24

/** What every frame carries as associated data: the format and the place. */
export function placeBytes(place: Context): Buffer {
  return canonicalBytes({ format: 1, context: place })
}

/** One row of frames under one content key. */
export interface FrameSealer {
  /** To be stored before the first frame. */
  readonly header: Buffer
  /** A frame of at most FRAME_BYTES of plaintext, its length in front. `final`: no frame comes behind it, and the row is closed. */
  seal(bytes: Uint8Array, final: boolean): Buffer
  /** Forgets the key of a row that gets no end. */
  close(): void
}

export function createFrameSealer(sodium: typeof Sodium, key: Uint8Array, place: Context): FrameSealer {
  const { state, header } = sodium.crypto_secretstream_xchacha20poly1305_init_push(key)
  const associated = placeBytes(place)
  let closed = false
  const close = () => {
    if (!closed) freeState(sodium, state)
    closed = true
  }
  return {
    header: Buffer.from(header),
    seal(bytes, final) {
      if (closed || bytes.length > FRAME_BYTES) throw new Error('no frame: too long, or behind the last one')
      const tag = final
        ? sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
        : sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
      const sealed = sodium.crypto_secretstream_xchacha20poly1305_push(state, bytes, associated, tag)
      if (final) close()
      const frame = Buffer.allocUnsafe(LENGTH_BYTES + sealed.length)
      frame.writeUInt32BE(sealed.length)
      frame.set(sealed, LENGTH_BYTES)
      releaseMemory(sealed)
      return frame
    },
    close,
  }
}

/** Header and frames of a whole payload: all frames are full but the last, which may be empty only if it is the only one. */
export async function* sealPayload(
  sealer: FrameSealer,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Buffer> {
  try {
    yield sealer.header
    const held = new ByteQueue()
    for await (const bytes of source) {
      held.push(bytes)
      while (held.length > FRAME_BYTES) {
        yield sealer.seal(held.peek(FRAME_BYTES), false)
        held.drop(FRAME_BYTES)
      }
    }
    yield sealer.seal(held.peek(FRAME_BYTES), true)
  } finally {
    sealer.close()
  }
}
