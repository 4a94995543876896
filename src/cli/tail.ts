// Finds where the last lines of a stream begin, by reading backwards in growing steps. Prints nothing.
import { readStream, type StreamParts } from './stream.ts'

export interface TailWish {
  readonly name: string
  readonly attempt: number
  readonly lines: number
}

const FIRST_STEP_BYTES = 64 * 1024
/** Beyond this the wish was not for a tail; what is printed then begins here. */
const STEP_BYTES_MOST = 64 * 1024 * 1024
const NEWLINE = 10

/** The offset where the last `lines` lines begin; 0 when there are fewer. */
export async function findTail(parts: StreamParts, { name, attempt, lines }: TailWish): Promise<number> {
  const answer = await parts.client.persist(
    'listAttempts',
    { params: { id: parts.id }, signal: parts.signal },
    parts.outage.failed,
  )
  const streams = answer.ok ? answer.reply.items.findLast((one) => one.attempt === attempt)?.streams : undefined
  const size = streams?.find((stream) => stream.name === name)?.bytes ?? 0
  if (lines === 0) return size
  for (let step = FIRST_STEP_BYTES; ; step *= 8) {
    const start = Math.max(0, size - step)
    const bytes = await readRange(parts, { name, attempt, start, end: size })
    const at = startOfLines(bytes, lines)
    if (at !== undefined) return start + at
    if (start === 0 || step >= STEP_BYTES_MOST) return start
  }
}

/** Index of the first byte of the last `lines` lines; a newline at the very end belongs to the last line. */
function startOfLines(bytes: Buffer, lines: number): number | undefined {
  let at = bytes.length - 1
  for (let seen = 0; seen < lines; seen++) {
    at = at <= 0 ? -1 : bytes.lastIndexOf(NEWLINE, at - 1)
    if (at < 0) return undefined
  }
  return at + 1
}

async function readRange(
  parts: StreamParts,
  { name, attempt, start, end }: { name: string; attempt: number; start: number; end: number },
): Promise<Buffer> {
  const pieces: Buffer[] = []
  const over = AbortSignal.abort()
  const sink = async (bytes: Uint8Array, offset: number) => {
    if (offset < end) pieces.push(Buffer.from(bytes.subarray(0, end - offset)))
  }
  await readStream(parts, { name, attempt, from: start, over, sink })
  return Buffer.concat(pieces)
}
