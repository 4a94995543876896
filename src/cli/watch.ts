// Keeps an eye on one job by held calls, through every outage, and tells whoever waits. Reads no output.
import type { CallError, Client } from '../client/contract.ts'
import type { JobView } from '../protocol/consumer.ts'
import { isFinal } from '../protocol/job.ts'
import { limit } from '../protocol/limit.ts'
import { type Clock, sleep } from '../system/clock.ts'
import { callFailure } from './failure.ts'

export interface JobWatch {
  /** The job as last seen; undefined before the first reply. */
  job(): JobView | undefined
  /** Resolves with the first view that passes; rejects with a Failure when pond refuses, or with Left when the watch is left. */
  until(test: (job: JobView) => boolean): Promise<JobView>
}

export interface WatchParts {
  readonly client: Client
  readonly clock: Clock
  readonly id: string
  /** Ends the watch. */
  readonly signal: AbortSignal
  readonly outage: Outage
}

/** Whoever followed a job stopped doing so; the job goes on. */
export class Left extends Error {
  override readonly name = 'Left'
}

export interface Outage {
  readonly failed: (error: CallError) => void
  readonly worked: () => void
}

/** Says once that pond is away and once that it is back. A single broken call is no outage. */
export function createOutage(note: (text: string) => Promise<void>): Outage {
  let failures = 0
  return {
    failed(error) {
      failures++
      if (failures === 2) void note(`${error.message}; trying again until pond answers`)
    },
    worked() {
      if (failures >= 2) void note('pond answers again')
      failures = 0
    },
  }
}

/** A held call that returns nothing new at once must not become a loop at full speed. */
export const QUIET_TURN_MS = 200

export function watchJob(parts: WatchParts): JobWatch {
  let job: JobView | undefined
  let failure: Error | undefined
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const look of [...waiting]) look()
  }
  const settle = async () => {
    try {
      for await (const view of views(parts)) {
        job = view
        wake()
      }
      failure = new Left()
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
    }
    wake()
  }
  void settle()
  return {
    job: () => job,
    until: (test) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (job && test(job)) resolve(job)
          else if (failure) reject(failure)
          else return void waiting.add(look)
          waiting.delete(look)
        }
        look()
      }),
  }
}

/** Each new version of the job, up to the final one or until the signal. */
async function* views({ client, clock, id, signal, outage }: WatchParts): AsyncGenerator<JobView> {
  for (let seen: JobView | undefined; !signal.aborted; ) {
    const began = clock.monotonic()
    const query = seen ? { wait_ms: limit.waitMs, above: seen.version } : {}
    const answer = await client.persist('getJob', { params: { id }, query, signal }, outage.failed)
    if (signal.aborted) return
    if (!answer.ok) throw callFailure(`show ${id}`, answer.error)
    outage.worked()
    const fresh = answer.reply.version !== seen?.version
    seen = answer.reply
    if (fresh) yield seen
    if (isFinal(seen.state)) return
    if (!fresh && clock.monotonic() - began < QUIET_TURN_MS) await sleep(clock, QUIET_TURN_MS, signal)
  }
}
