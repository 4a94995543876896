// Opens frames one by one. Anything that is not the next frame as it was sealed is refused, and nothing behind it is given out.
import type { Context } from '../../protocol/sealed.ts'
import { FRAME_BYTES, FRAME_EXTRA_BYTES, HEADER_BYTES, LENGTH_BYTES, placeBytes } from '../frame.ts'
import { SealError } from '../refusal.ts'
import type { Sodium } from '../sodium.ts'

export interface OpenedFrame {
  readonly bytes: Buffer
  readonly final: boolean
}

/** Opens frames without their length, in their order. */
export interface FrameOpener {
  open(sealed: Uint8Array): OpenedFrame
}

export function createFrameOpener(
  sodium: typeof Sodium,
  { key, header, place }: { readonly key: Uint8Array; readonly header: Uint8Array; readonly place: Context },
): FrameOpener {
  const state = sodium.crypto_secretstream_xchacha20poly1305_init_pull(header, key)
  const associated = placeBytes(place)
  const final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
  return {
    open(sealed) {
      const pulled = pull(() => sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, associated))
      if (!pulled) throw new SealError('damaged')
      return { bytes: Buffer.from(pulled.message), final: pulled.tag === final }
    },
  }
}

/** False, or a throw for what is too short to be a frame. */
function pull<T>(run: () => T | false): T | false {
  try {
    return run()
  } catch {
    return false
  }
}

/** Length of the frame that begins here, or undefined where its length is not whole. Refuses what no frame can be. */
export function frameLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).readUInt32BE()
  const most = FRAME_BYTES + FRAME_EXTRA_BYTES - LENGTH_BYTES
  if (length < FRAME_EXTRA_BYTES - LENGTH_BYTES || length > most) throw new SealError('damaged')
  return length
}

/** The plaintext of header and frames, as they come. Ends well only behind a final frame with nothing behind it. */
export async function* openPayload(
  sodium: typeof Sodium,
  { key, place }: { readonly key: Uint8Array; readonly place: Context },
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Buffer> {
  let opener: FrameOpener | undefined
  let held = Buffer.alloc(0)
  let final = false
  for await (const bytes of source) {
    held = held.length === 0 ? Buffer.from(bytes) : Buffer.concat([held, bytes])
    if (!opener) {
      if (held.length < HEADER_BYTES) continue
      opener = createFrameOpener(sodium, { key, header: held.subarray(0, HEADER_BYTES), place })
      held = held.subarray(HEADER_BYTES)
    }
    while (held.length > 0) {
      if (final) throw new SealError('damaged')
      const length = frameLength(held)
      if (length === undefined || held.length < LENGTH_BYTES + length) break
      const frame = opener.open(held.subarray(LENGTH_BYTES, LENGTH_BYTES + length))
      held = held.subarray(LENGTH_BYTES + length)
      final = frame.final
      // Only the last frame may be short: otherwise two rows of frames could hold the same payload.
      if (!final && frame.bytes.length !== FRAME_BYTES) throw new SealError('damaged')
      if (frame.bytes.length > 0) yield frame.bytes
    }
  }
  if (!final || held.length > 0) throw new SealError('damaged')
}
