// How V8 keeps the heap of a program that serves. It is of the whole process: to import this is to ask for it, so a program does before anything else.
import { setFlagsFromString } from 'node:v8'

/*
 * A full collection costs more than its pauses. It forgets the machine code of every closure that no call was in, and hidden classes that no object has
 * just then, with all code that knew them: a hundred functions, compiled anew beside the next hundreds of starts.
 */

/**
 * How far a heap grows beyond what lives in it before V8 collects all of it. Of a program at its ease V8 asks for a tenth, which a pond reached every
 * thousand jobs. This much is less than it lets a busy heap have.
 */
const GROWTH_PERCENT = 200

/** How many full collections a hidden class outlives without an object, if it was made after this; V8 grants two. There are some ten thousand in all. */
const CLASS_COLLECTIONS = 1_000_000

/**
 * Some seconds after a heap grew V8 collects all of it three times more, to give memory back. With ten thousand polls it grows in every hold, and each of
 * these collections marks a hundred megabytes for nothing. This much quiet means that the load really went.
 */
const QUIET_MS = 600_000

// What V8 does not know of these it would say on stderr.
setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
setFlagsFromString(`--retain-maps-for-n-gc=${CLASS_COLLECTIONS}`)
setFlagsFromString(`--gc-memory-reducer-start-delay-ms=${QUIET_MS}`)
