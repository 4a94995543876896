// An operator who looks now and then which machines pond calls online, and compares: those really had a whole reply to a poll not long ago.
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Place } from './place.ts'

export interface OnlineWatchParts {
  readonly place: Place
  readonly token: string
  readonly answer: (request: PondRequest) => Promise<PondReply | undefined>
  /** When this host last got a whole reply to a poll. */
  readonly polledAt: (host: string) => number | undefined
  /** When pond was last suspended until: what came meanwhile it takes for new. */
  readonly wokeAt: () => number
}

/** One look. A binding has the name of its host. */
export async function lookWhoIsOnline({ place, token, answer, polledAt, wokeAt }: OnlineWatchParts): Promise<void> {
  const { clock, storm } = place
  const reply = await answer({
    ...{ method: 'GET', path: '/v1/admin/bindings', query: {}, search: '' },
    headers: { authorization: `Bearer ${token}` },
    signal: new AbortController().signal,
  })
  if (reply?.status !== 200 || typeof reply.body !== 'string') return
  const { pollHoldMs = limit.pollHoldMs } = storm.settings
  // What it heard, it says with its next poll, which may be slow.
  const mostMs = pollHoldMs + limit.pollGraceMs + storm.slowMs
  for (const { name, online } of (JSON.parse(reply.body) as Bindings).items) {
    const sinceMs = clock.monotonic() - Math.max(wokeAt(), polledAt(name) ?? Number.NEGATIVE_INFINITY)
    if (online && sinceMs > mostMs)
      place.violate('online_means_a_poll_completed', { host: name, since_ms: Math.round(sinceMs) })
  }
}

interface Bindings {
  readonly items: readonly { readonly name: string; readonly online: boolean }[]
}
