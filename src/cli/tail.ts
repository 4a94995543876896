// Finds where the last lines of a stream begin, by reading its end in growing steps. Prints nothing.
import { type OpenedParts, readEnd } from './trust/opened-stream.ts'

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
export async function findTail(parts: OpenedParts, { name, attempt, lines }: TailWish): Promise<number> {
  for (let step = FIRST_STEP_BYTES; ; step *= 8) {
    const { bytes, offset } = await readEnd(parts, { name, attempt, most: lines === 0 ? 0 : step })
    if (lines === 0) return offset + bytes.length
    const at = startOfLines(bytes, lines)
    if (at !== undefined) return offset + at
    if (offset === 0 || step >= STEP_BYTES_MOST) return offset
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
