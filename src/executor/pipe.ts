// One output pipe of a process: bytes go to the watcher as they come, and the pipe waits when the watcher does.
import type { Readable } from 'node:stream'
import { releaseMemory } from '../system/release.ts'

export interface PipeParts {
  readonly readable: Readable
  readonly output: (bytes: Buffer) => void | Promise<void>
  /** The watcher's own failure; the pipe is read on, so that a broken watcher does not also hang the process. */
  readonly failed: (error: unknown) => void
}

/** Resolves once the pipe has ended or broken and every byte of it was taken. Destroying `readable` ends it early. */
export function drainPipe({ readable, output, failed }: PipeParts): Promise<void> {
  let waiting: Promise<void> | undefined
  const wait = (taken: Promise<void>) => {
    readable.pause()
    const mine = taken.catch(failed).then(() => {
      if (waiting !== mine) return
      waiting = undefined
      readable.resume()
    })
    waiting = mine
  }
  const take = (bytes: Buffer): void | Promise<void> => {
    try {
      return output(bytes)
    } catch (error) {
      failed(error)
    } finally {
      releaseMemory(bytes)
    }
  }
  readable.on('data', (bytes: Buffer) => {
    // Node resumes every pipe of a process that exits: what then comes while the watcher waits is at most what the pipe held.
    const taken = waiting === undefined ? take(bytes) : waiting.then(() => take(bytes))
    if (taken !== undefined) wait(taken)
  })
  return new Promise((resolve) => {
    readable.on('error', () => {})
    readable.on('close', () => resolve(waiting))
  })
}
