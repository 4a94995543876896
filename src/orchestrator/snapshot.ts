// Tells pond what the workers are and how loaded: soon after a change, never often, and regularly.
import type { Client } from '../client/contract.ts'
import { limit } from '../protocol/limit.ts'
import type { SnapshotBody } from '../protocol/orch.ts'
import { type Clock, sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { createBell } from './bell.ts'

export interface Snapshot {
  /** Until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
  changed(): void
}

export interface SnapshotParts {
  readonly client: Client
  readonly clock: Clock
  readonly log: Log
  readonly session: string
  readonly look: () => Promise<SnapshotBody['workers']>
  /** Keys must not change between the look and pond's answer. */
  readonly alone: <T>(run: () => Promise<T>) => Promise<T>
}

export function createSnapshot({ client, clock, log, session, look, alone }: SnapshotParts): Snapshot {
  const bell = createBell()
  return {
    async run(signal) {
      signal.addEventListener('abort', bell.ring, { once: true })
      for (let seq = 1; !signal.aborted; seq++) {
        // One try: the next snapshot says it better than a repeat.
        const answer = await alone(async () =>
          client.call('sendSnapshot', { body: { session, seq, workers: await look() }, signal }),
        )
        if (!answer.ok && answer.error.retry === 'never')
          log.warn('snapshot_refused', { code: answer.error.code, message: answer.error.message })
        await sleep(clock, limit.snapshotLeastMs, signal)
        if (!signal.aborted) await bell.waitAtMost(clock, limit.snapshotMostMs - limit.snapshotLeastMs)
      }
      signal.removeEventListener('abort', bell.ring)
    },
    changed: bell.ring,
  }
}
