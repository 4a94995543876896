// Opens frames one by one. Anything that is not the next frame as it was sealed is refused, and nothing behind it is given out.
import type { Context } from '../../protocol/sealed.ts'
import { ByteQueue } from '../byte-queue.ts'
import { FRAME_BYTES, HEADER_BYTES, LENGTH_BYTES, placeBytes, TAG_BYTES } from '../frame.ts'
import { SealError } from '../refusal.ts'
import { freeState, type Sodium } from '../sodium.ts'

export interface OpenedFrame {
  readonly bytes: Buffer
  readonly final: boolean
}

/** Opens frames without their length, in their order. */
export interface FrameOpener {
  /** Behind the final frame, and behind one that is refused, there is none. */
  open(sealed: Uint8Array): OpenedFrame
  /** Forgets the key of a row whose end is not read. */
  close(): void
}

export function createFrameOpener(
  sodium: typeof Sodium,
  { key, header, place }: { readonly key: Uint8Array; readonly header: Uint8Array; readonly place: Context },
): FrameOpener {
  const state = sodium.crypto_secretstream_xchacha20poly1305_init_pull(header, key)
  const associated = placeBytes(place)
  const message = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
  const final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
  let closed = false
  const close = () => {
    if (!closed) freeState(sodium, state)
    closed = true
  }
  return {
    open(sealed) {
      if (closed || sealed.length < TAG_BYTES) throw new SealError('damaged')
      const pulled = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, associated)
      if (!pulled || pulled.tag !== message) close()
      // Secretstream knows two more tags; nothing here is sealed with them.
      if (!pulled || (pulled.tag !== message && pulled.tag !== final)) throw new SealError('damaged')
      const { buffer, byteOffset, length } = pulled.message
      return { bytes: Buffer.from(buffer, byteOffset, length), final: pulled.tag === final }
    },
    close,
  }
}

/** Refuses what no frame can be, before anybody waits for its bytes. */
export function requireFrameLength(length: number): void {
  if (length < TAG_BYTES || length > TAG_BYTES + FRAME_BYTES) throw new SealError('damaged')
}

/** The plaintext of header and frames, as they come. Ends well only behind a final frame with nothing behind it. */
export async function* openPayload(
  sodium: typeof Sodium,
  { key, place }: { readonly key: Uint8Array; readonly place: Context },
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Buffer> {
  const held = new ByteQueue()
  let opener: FrameOpener | undefined
  let before: OpenedFrame | undefined
  try {
    for await (const bytes of source) {
      held.push(bytes)
      if (!opener) {
        if (held.length < HEADER_BYTES) continue
        opener = createFrameOpener(sodium, { key, header: held.peek(HEADER_BYTES), place })
        held.drop(HEADER_BYTES)
      }
      for (;;) {
        const frame = nextFrame(opener, held)
        if (!frame) break
        if (!follows(frame, before)) throw new SealError('damaged')
        before = frame
        if (frame.bytes.length > 0) yield frame.bytes
      }
    }
    if (!before?.final || held.length > 0) throw new SealError('damaged')
  } finally {
    opener?.close()
  }
}

/** Undefined where it is not whole. */
function nextFrame(opener: FrameOpener, held: ByteQueue): OpenedFrame | undefined {
  if (held.length < LENGTH_BYTES) return undefined
  const length = held.peek(LENGTH_BYTES).readUInt32BE()
  requireFrameLength(length)
  if (held.length < LENGTH_BYTES + length) return undefined
  const frame = opener.open(held.peek(LENGTH_BYTES + length).subarray(LENGTH_BYTES))
  held.drop(LENGTH_BYTES + length)
  return frame
}

/** Every frame is full but the last, and that one is empty only if it is alone: otherwise two rows of frames could hold the same payload. */
function follows({ bytes, final }: OpenedFrame, before: OpenedFrame | undefined): boolean {
  return final ? bytes.length > 0 || before === undefined : bytes.length === FRAME_BYTES
}
