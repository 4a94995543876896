// The memory of a buffer whose bytes are not needed any more, given back at once. It must not know where buffers come from.

/** Who transfers to a port that is closed transfers to nobody, and memory without an owner is freed (HTML standard, "postMessage steps"). */
const { port1: nobody, port2 } = new MessageChannel()
port2.close()
nobody.close()

/** Below this it costs more than it saves. */
const WORTH_BYTES = 16 * 1024

/**
 * Empties a buffer that Node made for one read and nobody else holds, at 1 µs. Left to V8, such buffers count as growth of the heap: every 20 MB of them
 * it marked all of it, which doubled what swarm spent on a chunk of output. One that shares its memory stays as it is.
 */
export function releaseMemory({ buffer, byteLength }: Uint8Array): void {
  if (byteLength < WORTH_BYTES || byteLength !== buffer.byteLength) return
  nobody.postMessage(undefined, [buffer as ArrayBuffer])
}
