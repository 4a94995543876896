// How V8 keeps the heap of a pond that serves: of the whole process, so nobody but the command line asks for it.
import { setFlagsFromString } from 'node:v8'

/**
 * Some seconds after a heap grew V8 collects all of it three times more, to give memory back. With ten thousand polls it grows in every hold, and each of
 * these collections marks a hundred megabytes for nothing. This much quiet means that the load really went.
 */
const QUIET_MS = 600_000

/** What V8 does not know of this it would say on stderr. */
export function keepHeap(): void {
  setFlagsFromString(`--gc-memory-reducer-start-delay-ms=${QUIET_MS}`)
}
