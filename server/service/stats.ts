// Figures of this process: what waits and runs now, what ended, and how long waits and runs were. Measured since the start; nothing of it is stored.

import { type FinalState, finalStates } from '../../src/protocol/job.ts'
import type { StatsView } from '../../src/protocol/stats.ts'
import type { Clock } from '../../src/system/clock.ts'
import type { Core } from './core.ts'
import type { Polls } from './poll.ts'
import { standing } from './view.ts'
import { BINS, binOf, spreadOf, Window } from './window.ts'

const WINDOWS_MS = [60_000, 300_000, 3_600_000] as const
const CLASSES_MOST = 100
/** The columns of a window: ends by state, then the bins of waits and those of runs. */
const WAITS = finalStates.length
const RUNS = WAITS + BINS
const COLUMNS = RUNS + BINS
/** A rate of less time would say much of a moment. */
const RATE_LEAST_MS = 1000

/** At any rate of events the memory stays the same and an event costs the same. */
export class Stats {
  /** By the wall clock, for people; windows go by one that does not jump. */
  readonly startedAt: number
  /** Jobs that wait for others: they stand in no queue, so they are counted as they come and go. */
  waiting = 0
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  readonly #started: number
  readonly #windows = WINDOWS_MS.map((windowMs) => new Window(windowMs, COLUMNS))

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#clock = clock
    this.startedAt = clock.now()
    this.#started = clock.monotonic()
  }

  claimed(waitMs: number): void {
    this.#add(this.#clock.monotonic(), WAITS + binOf(waitMs), 1)
  }

  /** `runMs` is absent where no process ran. */
  ended(state: FinalState, runMs: number | undefined): void {
    const now = this.#clock.monotonic()
    this.#add(now, finalStates.indexOf(state), 1)
    if (runMs !== undefined) this.#add(now, RUNS + binOf(runMs), 1)
  }

  /** So many elements of an array ended without having begun. */
  dropped(jobs: number, state: FinalState): void {
    this.#add(this.#clock.monotonic(), finalStates.indexOf(state), jobs)
  }

  windows(): StatsView['windows'] {
    const now = this.#clock.monotonic()
    const at = this.#clock.now()
    return this.#windows.map((window) => {
      const { from, sums } = window.sum(now)
      const spanMs = now - Math.max(from, this.#started)
      const ended = finalStates
        .map((state, column) => [state, sums[column] ?? 0] as const)
        .filter(([, jobs]) => jobs > 0)
      const seconds = Math.max(spanMs, RATE_LEAST_MS) / 1000
      return {
        ...{ window_ms: window.windowMs, from: Math.round(at - spanMs) },
        ended: Object.fromEntries(ended),
        ended_per_second: Object.fromEntries(ended.map(([state, jobs]) => [state, jobs / seconds])),
        wait_ms: spreadOf(sums.subarray(WAITS, RUNS)),
        run_ms: spreadOf(sums.subarray(RUNS)),
      }
    })
  }

  #add(now: number, column: number, count: number): void {
    for (const window of this.#windows) window.add(now, column, count)
  }
}

interface Parts {
  readonly core: Core
  readonly polls: Polls
}

type Now = Pick<StatsView, 'queued' | 'delayed' | 'waiting' | 'claims' | 'workers' | 'polls_parked'> &
  Pick<ReturnType<Core['queue']['census']>, 'classes'>

/** What is so now, out of memory alone: it may be asked for every few seconds. */
export function lookNow({ core, polls }: Parts): Now {
  const { total, classes } = core.queue.census()
  return {
    queued: total,
    delayed: core.delayed.size,
    waiting: core.stats.waiting,
    classes,
    claims: tally([...core.live.all()].map(({ lease }) => lease)),
    workers: tally(core.fleet.listed().map((worker) => standing(core, polls, worker).state)),
    polls_parked: polls.size,
  }
}

export function readStats(parts: Parts): StatsView {
  const { core } = parts
  const at = core.clock.now()
  const { classes, ...now } = lookNow(parts)
  const largest = [...classes].sort((one, other) => other.queued - one.queued).slice(0, CLASSES_MOST)
  return {
    ...{ at, since: core.stats.startedAt },
    ...now,
    classes: largest.map(({ projectId, needs, queued, priorities }) => ({
      project: core.projects.get(projectId) ?? projectId,
      requires: { ...needs },
      queued,
      priorities,
    })),
    classes_in_all: classes.length,
    windows: core.stats.windows(),
  }
}

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
