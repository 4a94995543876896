// A lock that others hold for a few milliseconds: waited for, not fought about.
import { type Clock, sleep } from './clock.ts'
import { type Disk, LockedError } from './disk.ts'

const TRIES = 200
const PAUSE_MS = 10

/** Answers the way to unlock; rejects with LockedError when it is still held after 2 s. */
export async function lockSoon(disk: Disk, path: string, clock: Clock): Promise<() => Promise<void>> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await disk.lock(path)
    } catch (error) {
      if (!(error instanceof LockedError) || tries === TRIES) throw error
      await sleep(clock, PAUSE_MS)
    }
  }
}
