// The one integer both sides compare, with a dated line a step. Pair, poll and whoami carry it.

/**
 * Steps of the protocol. A side serves its own step and the one before.
 * - 1 (2026-11-21): pairing, polls, words, chunks, telemetry, snapshots; jobs, streams, events.
 */
export const PROTOCOL = 1

/** The oldest step that this version still understands. */
export const OLDEST_PROTOCOL = 1
