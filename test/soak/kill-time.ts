// When a chaos round kills: spread over the whole run by what has happened so far, then a random moment behind it. Kills nothing itself.
import { sleep, systemClock } from '../../src/system/clock.ts'
import type { Random } from '../../src/system/random.ts'
import type { Workload } from '../harness/chaos-workload.ts'
import { until } from '../harness/process-rig.ts'

/** What a round is made of; the same numbers give the same jobs and the same kills, but never the same race. */
export interface Chaos {
  readonly seed: number
  readonly jobs: number
  readonly kills: number
}

/** A few steps of the protocol take this long. */
const AFTER_MS = 200
/** Behind this share of all starts there may be too little left to disturb. */
const LAST_SHARE = 0.85

export async function* killTimes(parts: {
  readonly workload: Workload
  readonly random: Random
  readonly kills: number
}): AsyncGenerator<number> {
  const { workload, random, kills } = parts
  const most = workload.plans.length * LAST_SHARE
  const starts = Array.from({ length: kills }, () => Math.floor(random.number() * most)).sort((a, b) => a - b)
  for (const [index, least] of starts.entries()) {
    await until(`start ${least} of the jobs`, () => workload.effects().length >= least)
    await sleep(systemClock, random.number() * AFTER_MS)
    yield index
  }
}
