// Brings sealed frames to pond in pieces, through outages, from wherever pond stands.
import { type FileHandle, open } from 'node:fs/promises'
import type { CallError } from '../../client/contract.ts'
import { callFailure, Failure } from '../failure.ts'
import type { Patience } from '../patience.ts'
import type { Session } from '../session.ts'
import type { Progress } from './progress.ts'

const KiB = 1024
/** A piece must arrive within the time that pond gives a body (a minute): what a slow line takes in a quarter of that is large enough. */
const PIECE_LEAST_BYTES = 256 * KiB
const PIECE_MOST_BYTES = 4096 * KiB
const QUICK_MS = 3000
const SLOW_MS = 15_000
const PIECE_DEADLINE_MS = 90_000
/** A pond that takes pieces and gets no further is broken. */
const STALLS_MOST = 3

export interface Upload {
  readonly digest: string
  readonly size: number
  /** Path of the frames. */
  readonly file: string
  /** What pond has already. */
  readonly committed: number
}

/** Resolves when pond has all of it and found its digest right. */
export async function uploadFrames(
  {
    session,
    patience,
    progress,
  }: { readonly session: Session; readonly patience: Patience; readonly progress: Progress },
  { digest, size, file, committed }: Upload,
): Promise<void> {
  const { client, io } = session
  const handle = await open(file, 'r')
  let piece = PIECE_LEAST_BYTES * 2
  let stalls = 0
  progress.begin('sending the bundle:', size, committed)
  try {
    for (let offset = committed; ; ) {
      const body = await readAt(handle, offset, Math.min(piece, size - offset))
      const began = io.clock.monotonic()
      const answer = await client.persist(
        'putBundle',
        { params: { digest }, query: { offset, size }, body, deadlineMs: PIECE_DEADLINE_MS, signal: patience.signal },
        patience.outage.failed,
      )
      patience.signal.throwIfAborted()
      if (answer.ok && answer.reply.complete) return
      if (answer.ok) patience.outage.worked()
      const next = answer.ok ? answer.reply.committed : gapOf(answer.error)
      stalls = next > offset ? 0 : stalls + 1
      if (stalls > STALLS_MOST) {
        throw new Failure({ what: 'could not send the bundle', why: `pond stays at byte ${next} of ${size}` })
      }
      const tookMs = io.clock.monotonic() - began
      if (tookMs < QUICK_MS) piece = Math.min(PIECE_MOST_BYTES, piece * 2)
      if (tookMs > SLOW_MS) piece = Math.max(PIECE_LEAST_BYTES, piece / 2)
      offset = next
      progress.at(offset)
    }
  } finally {
    await handle.close()
  }
}

/** Where pond stands, if that is all that is wrong. */
function gapOf(error: CallError): number {
  const { committed } = error.details
  if (error.code === 'chunk_gap' && typeof committed === 'number') return committed
  throw callFailure('send the bundle', error)
}

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, offset + done)
    if (bytesRead === 0) throw new Failure({ what: 'the sealed draft of the bundle was cut off' })
    done += bytesRead
  }
  return bytes
}
