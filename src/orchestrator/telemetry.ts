// What a job says about itself in `$POND_EVENTS`: queued within bounds, sent in batches, and never a reason to wait for the job's end.
import type { Client } from '../client/contract.ts'
import { limit } from '../protocol/limit.ts'
import { type Clock, sleep } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { createBell } from './bell.ts'
import type { ClaimFacts } from './journal-entry.ts'
import type { Event, Privacy } from './privacy.ts'

export interface Telemetry {
  add(value: Readonly<Record<string, unknown>>): void
  /** Sends what is queued, but gives up soon: an end of a job does not wait for its progress. */
  close(): Promise<void>
}

export interface TelemetryParts {
  readonly client: Client
  readonly clock: Clock
  readonly log: Log
  readonly claim: ClaimFacts
  readonly privacy: Privacy
}

/** Events kept while pond is away; later ones are dropped and counted. */
const QUEUE_MOST = 1024
/** Events wait this long for others to travel with. */
const GATHER_MS = 200
const CLOSE_MS = 2000

export function createTelemetry({ client, clock, log, claim, privacy }: TelemetryParts): Telemetry {
  const bell = createBell()
  const abort = new AbortController()
  let queue: Event[] = []
  let count = 0
  let dropped = 0
  let closing = false

  async function run(): Promise<void> {
    while (!abort.signal.aborted && !(closing && queue.length === 0)) {
      if (queue.length === 0) {
        await bell.wait()
        continue
      }
      if (!closing) await sleep(clock, GATHER_MS, abort.signal)
      const next = queue.slice(0, fitting(queue))
      const events = (await Promise.all(next.map((event) => privacy.event(event)))).filter(fits)
      dropped += next.length - events.length
      queue = queue.slice(next.length)
      if (events.length === 0) continue
      const answer = await client.persist('sendTelemetry', {
        params: { id: claim.job_id },
        claimToken: claim.claim_token,
        body: { claim_id: claim.claim_id, events },
        signal: abort.signal,
      })
      if (!answer.ok) dropped += events.length
    }
    dropped += queue.length
    if (dropped > 0) log.warn('events_dropped', { claim_id: claim.claim_id, count: dropped })
  }

  const running = run()
  return {
    add(value) {
      const event = toEvent(value, `e${++count}`, clock.now())
      if (closing || queue.length === QUEUE_MOST || !fits(event)) dropped++
      else queue.push(event)
      bell.ring()
    },
    async close() {
      closing = true
      bell.ring()
      const cancel = clock.after(CLOSE_MS, () => abort.abort())
      await running
      cancel()
    },
  }
}

const TYPE = /^[a-z][a-z0-9_.]{0,63}$/

function toEvent({ type, ...data }: Readonly<Record<string, unknown>>, id: string, at: number): Event {
  if (typeof type === 'string' && TYPE.test(type)) return { id, type, at, data }
  return { id, type: 'progress', at, data: type === undefined ? data : { ...data, type } }
}

/** Asked again once it is redacted and sealed, which may lengthen it. */
const fits = (event: Event) => Buffer.byteLength(JSON.stringify(event)) <= limit.eventBytes

/** How many from the front fit into one call; one event is far smaller than a body. */
function fitting(queue: readonly Event[]): number {
  return Math.min(queue.length, limit.eventsPerCall, Math.floor(limit.bodyBytes / limit.eventBytes) - 1)
}
