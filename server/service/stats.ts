// Figures of this process: what waits and runs now, and how long waits and runs were. Measured since the start; nothing of it is stored.

import type { FinalState } from '../../src/protocol/job.ts'
import type { StatsView } from '../../src/protocol/stats.ts'
import type { Core } from './core.ts'
import type { Polls } from './poll.ts'
import { standing } from './view.ts'

const WINDOWS_MS = [60_000, 300_000, 3_600_000] as const
const LONGEST_MS = Math.max(...WINDOWS_MS)
/** Of one kind; a pond that is busier than that tells of less time. */
const SAMPLES_MOST = 50_000
const CLASSES_MOST = 100

interface Sample<T> {
  readonly at: number
  readonly value: T
}

/** The latest samples, oldest first. */
class Samples<T> {
  #samples: Sample<T>[] = []

  add(at: number, value: T): void {
    this.#samples.push({ at, value })
    if (this.#samples.length > 2 * SAMPLES_MOST) this.#samples = this.#samples.slice(-SAMPLES_MOST)
  }

  since(at: number): readonly T[] {
    const old = this.#samples.findIndex((sample) => sample.at >= at - LONGEST_MS)
    if (old > SAMPLES_MOST) this.#samples = this.#samples.slice(old)
    return this.#samples.filter((sample) => sample.at > at).map(({ value }) => value)
  }
}

export class Stats {
  readonly startedAt: number
  /** Jobs that wait for others: they stand in no queue, so they are counted as they come and go. */
  waiting = 0
  readonly #waits = new Samples<number>()
  readonly #runs = new Samples<number>()
  readonly #ends = new Samples<FinalState>()

  constructor(startedAt: number) {
    this.startedAt = startedAt
  }

  claimed(at: number, waitMs: number): void {
    this.#waits.add(at, waitMs)
  }

  ended(at: number, state: FinalState, runMs: number | undefined): void {
    this.#ends.add(at, state)
    if (runMs !== undefined) this.#runs.add(at, runMs)
  }

  window(now: number, windowMs: number): StatsView['windows'][number] {
    const from = now - windowMs
    return {
      window_ms: windowMs,
      ended: tally(this.#ends.since(from)),
      wait_ms: spreadOf(this.#waits.since(from)),
      run_ms: spreadOf(this.#runs.since(from)),
    }
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
  const largest = classes.sort((one, other) => other.queued - one.queued).slice(0, CLASSES_MOST)
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
    windows: WINDOWS_MS.map((windowMs) => core.stats.window(at, windowMs)),
  }
}

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

function spreadOf(values: readonly number[]): StatsView['windows'][number]['wait_ms'] {
  if (values.length === 0) return undefined
  const sorted = Float64Array.from(values).sort()
  const at = (part: number) => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0
  return { count: values.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}
