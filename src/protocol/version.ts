// The one integer both sides compare, with a dated line a step. Pair, poll and whoami carry it.

/**
 * Steps of the protocol. A side serves its own step and the one before.
 * - 1 (2026-11-21): pairing, polls, words, chunks, telemetry, snapshots; jobs, streams, events.
 * - 2 (2026-11-21): every call under /orch is signed with the binding key. Step 1, never released, did not sign.
 * - 3 (2026-11-21): a poll says which replies arrived, a snapshot which class a worker is of and why it takes no jobs; pond drains workers.
 * - 4 (2026-11-22): a worker tells `disk_bytes`, and leaves out labels of its code with `without_labels`; pond tells a new worker its labels.
 */
export const PROTOCOL = 4

/** The oldest step that this version still understands. */
export const OLDEST_PROTOCOL = 2
