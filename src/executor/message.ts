// The two files through which a process speaks to pond: $POND_RESULT, read once at its end, and $POND_EVENTS, followed while
// it runs. The process owns both and is not trusted: links are not followed, nothing that could block is opened, and what belongs to
// somebody else is not read: a second name for a file can be made without the right to read it.
import { constants, lstatSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { type Cancel, type Clock, every } from '../system/clock.ts'
import type { Exit } from './contract.ts'
import { codeOf, reasonOf } from './launch.ts'

/** Larger results belong into an artifact; a result is kept with the job's row. */
const MOST_RESULT_BYTES = 1024 * 1024
const MOST_LINE_BYTES = 64 * 1024
const POLL_MS = 250
/** How much of the events is read in one turn, so that a fast writer fills no memory. */
const TURN_BYTES = 256 * 1024
/** Turns at the end of a job; what is beyond them was written faster than anybody could follow, and is dropped. */
const LAST_TURNS = 64
const NEWLINE = 0x0a

export interface Owned {
  readonly path: string
  /** Of the job, where it has one of its own. */
  readonly uid: number | undefined
}

export type Result = Pick<Exit, 'result' | 'resultProblem'>

export async function readResult({ path, uid }: Owned): Promise<Result> {
  if (isAbsent(path)) return {}
  try {
    return await withFile({ path, uid }, async (file, sizeBytes) => {
      if (sizeBytes > MOST_RESULT_BYTES)
        return { resultProblem: `the result is larger than ${MOST_RESULT_BYTES} bytes: ${sizeBytes}` }
      const result = await readAt(file, 0, sizeBytes)
      if (result.length === 0) return {}
      const problem = jsonProblem(result)
      return problem === undefined ? { result } : { resultProblem: `the result is not JSON: ${problem}` }
    })
  } catch (error) {
    return { resultProblem: problemOf(error) }
  }
}

function jsonProblem(bytes: Buffer): string | undefined {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

function problemOf(error: unknown): string {
  const code = codeOf(error)
  if (code === 'ELOOP') return 'the result is a symbolic link'
  if (code === 'ENXIO') return 'the result is not a regular file'
  if (error instanceof UnfitFile) return `the result ${error.message}`
  return `the result cannot be read: ${reasonOf(error)}`
}

export interface EventTail {
  /** Reads what is still there; resolves with how many lines were skipped in all. No event comes after it. */
  finish(): Promise<number>
}

export interface EventTailParts extends Owned {
  readonly clock: Clock
  readonly event: (value: Readonly<Record<string, unknown>>) => void
}

export function followEvents({ path, uid, clock, event }: EventTailParts): EventTail {
  const lines = createLines(event)
  let offset = 0
  let turn: Promise<boolean> = Promise.resolve(false)
  /** Resolves with whether more is likely to be there. A file that shrank or is no file is left alone. */
  const read = async (): Promise<boolean> => {
    if (isAbsent(path)) return false
    try {
      return await withFile({ path, uid }, async (file, sizeBytes) => {
        const bytes = await readAt(file, offset, Math.min(TURN_BYTES, sizeBytes - offset))
        offset += bytes.length
        lines.push(bytes)
        return bytes.length === TURN_BYTES
      })
    } catch (error) {
      if (codeOf(error) === undefined && !(error instanceof UnfitFile)) throw error
      return false
    }
  }
  const cancel: Cancel = every(clock, POLL_MS, async () => {
    turn = read()
    await turn
  })
  return {
    async finish() {
      cancel()
      await turn
      for (let turns = 0; turns < LAST_TURNS && (await read()); turns += 1);
      return lines.finish()
    },
  }
}

interface Lines {
  push(bytes: Buffer): void
  /** Takes an unended last line as a line; answers how many were skipped. */
  finish(): number
}

function createLines(event: EventTailParts['event']): Lines {
  let rest = Buffer.alloc(0)
  let tooLong = false
  let skipped = 0
  const take = (line: Buffer) => {
    if (tooLong || line.length > MOST_LINE_BYTES) skipped += 1
    else if (line.length > 0) {
      const value = parseObject(line)
      if (value === undefined) skipped += 1
      else event(value)
    }
    tooLong = false
  }
  return {
    push(bytes) {
      let start = 0
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        take(Buffer.concat([rest, bytes.subarray(start, end)]))
        rest = Buffer.alloc(0)
        start = end + 1
      }
      rest = Buffer.concat([rest, bytes.subarray(start)])
      if (rest.length <= MOST_LINE_BYTES) return
      tooLong = true
      rest = Buffer.alloc(0)
    },
    finish() {
      if (tooLong || rest.length > 0) take(rest)
      return skipped
    },
  }
}

function parseObject(line: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'))
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

class UnfitFile extends Error {
  override readonly name = 'UnfitFile'
}

/** Most processes make neither file: this costs 5 µs, the way through Node's thread pool to the same answer 0.1 ms and a turn. */
function isAbsent(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined
}

/** Opens without following a link and without waiting for a fifo's writer; throws UnfitFile for all but a regular file of the job's. */
async function withFile<T>({ path, uid }: Owned, use: (file: FileHandle, sizeBytes: number) => Promise<T>): Promise<T> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const facts = await file.stat()
    if (!facts.isFile()) throw new UnfitFile('is not a regular file')
    if (uid !== undefined && facts.uid !== uid) throw new UnfitFile('does not belong to the job')
    return await use(file, facts.size)
  } finally {
    await file.close()
  }
}

async function readAt(file: FileHandle, position: number, lengthBytes: number): Promise<Buffer> {
  if (lengthBytes <= 0) return Buffer.alloc(0)
  const bytes = Buffer.alloc(lengthBytes)
  let filled = 0
  while (filled < lengthBytes) {
    const { bytesRead } = await file.read(bytes, filled, lengthBytes - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}
