// What the worker of either side tells the bench, so that both are timed by the same words and the same clock.

/** Nanoseconds of the clock that all processes of a host share. */
export const now = () => process.hrtime.bigint()

export function tell(message: object): void {
  process.send?.(message)
}

/** When one job's process was there, and what it first wrote. */
export interface Started {
  readonly job: string
  /** When the worker was about to make the process, in nanoseconds, in decimal. */
  readonly got: string
  /** When the process was there. */
  readonly at: string
}

export interface Tally {
  started(job: string, got: bigint): void
  wrote(job: string, bytes: Buffer): void
  /** The last word of one job is durable. */
  done(): void
}

/**
 * Told every start when the parent asked for `{starts: true}`, which costs a message a job; told once that `{expect: n}` jobs are done.
 */
export function createTally(): Tally {
  let starts = false
  let expected = Number.POSITIVE_INFINITY
  let count = 0
  process.on('message', (message: { starts?: boolean; expect?: number }) => {
    starts = message.starts ?? starts
    if (message.expect !== undefined) [expected, count] = [message.expect, 0]
    check()
  })
  const check = () => {
    if (count < expected) return
    expected = Number.POSITIVE_INFINITY
    tell({ type: 'done', at: String(now()) })
  }
  return {
    started(job, got) {
      if (starts)
        tell({ type: 'started', job, got: String(got), at: String(now()) } satisfies Started & { type: string })
    },
    wrote: (job, bytes) => void (starts && tell({ type: 'wrote', job, text: bytes.toString() })),
    done() {
      count++
      check()
    },
  }
}
