// An operator who looks now and then which machines pond calls online, and compares: not long ago a whole reply to a poll of theirs had reached them.
import type { PondReply, PondRequest } from '../../server/http/message.ts'
import { limit } from '../../src/protocol/limit.ts'
import type { Place } from './place.ts'

export interface OnlineWatchParts {
  readonly place: Place
  readonly token: string
  readonly answer: (request: PondRequest) => Promise<PondReply | undefined>
  /** When a whole reply to a poll last reached this host. */
  readonly completedAt: (host: string) => number | undefined
}

/** One look. A binding has the name of its host. */
export async function lookWhoIsOnline({ place, token, answer, completedAt }: OnlineWatchParts): Promise<void> {
  const { clock, storm } = place
  const reply = await answer({
    ...{ method: 'GET', path: '/v1/admin/bindings', query: {}, search: '' },
    headers: { authorization: `Bearer ${token}` },
    signal: () => new AbortController().signal,
  })
  if (reply?.status !== 200 || typeof reply.body !== 'string') return
  const { pollHoldMs = limit.pollHoldMs } = storm.settings
  const mostMs = pollHoldMs + limit.pollGraceMs
  for (const { name, online } of (JSON.parse(reply.body) as Bindings).items) {
    const sinceMs = clock.monotonic() - (completedAt(name) ?? Number.NEGATIVE_INFINITY)
    if (online && sinceMs > mostMs)
      place.violate('online_means_a_poll_completed', { host: name, since_ms: Math.round(sinceMs) })
  }
}

interface Bindings {
  readonly items: readonly { readonly name: string; readonly online: boolean }[]
}
