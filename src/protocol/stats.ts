// What an operator sees of a pond as a whole: how much waits, what runs, how long it took. Times in milliseconds.
import { z } from 'zod'

/** The count is exact; percentiles are by nearest rank and at most 3.2 % off. Absent where nothing was measured. */
const spread = z.object({ count: z.int(), p50: z.number(), p95: z.number(), p99: z.number() }).optional()

export const statsView = z.object({
  at: z.int(),
  /** From when on this process measures. */
  since: z.int(),
  /** Jobs that wait for a worker, each element of an array that has not begun. */
  queued: z.int(),
  /** Jobs that wait for their next attempt. */
  delayed: z.int(),
  /** Jobs that wait for others to end. */
  waiting: z.int(),
  /** Jobs with equal requirements, those with most first. */
  classes: z.array(
    z.object({
      project: z.string(),
      /** What they require; `secrets` for walls that keep them. */
      requires: z.record(z.string(), z.unknown()),
      queued: z.int(),
      /** By priority. */
      priorities: z.record(z.string(), z.int()),
    }),
  ),
  /** Of how many classes those are the first. */
  classes_in_all: z.int(),
  /** Live claims by the state of their lease: granted, confirmed or held. */
  claims: z.record(z.string(), z.int()),
  /** By state. */
  workers: z.record(z.string(), z.int()),
  polls_parked: z.int(),
  windows: z.array(
    z.object({
      /** The last so many milliseconds. */
      window_ms: z.int(),
      /** Since when it counts: it moves on by a 60th of itself, and what was before this process began is not in it. */
      from: z.int(),
      /** Jobs that ended in it, by state, with elements of arrays that never began. */
      ended: z.record(z.string(), z.int()),
      /** The same per second of the time since `from`, or of one second where that is longer. */
      ended_per_second: z.record(z.string(), z.number()),
      /** From the queue to a claim. */
      wait_ms: spread,
      /** From the start of the process to its end. */
      run_ms: spread,
    }),
  ),
})
export type StatsView = z.infer<typeof statsView>
