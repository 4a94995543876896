// A request and a reply without a socket: what createPond takes and gives.

export interface PondRequest {
  readonly method: string
  /** Below pond's base URL, without the query. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** The query as it was sent, with its question mark; empty for none. A signature covers these bytes. */
  readonly search: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body?: Uint8Array
  /** In the place of `body` where the route takes one that is too large to be held. */
  readonly stream?: AsyncIterable<Uint8Array>
  /** Aborts when the caller left. Made when it is first asked for: most calls never wait. */
  readonly signal: () => AbortSignal
}

export interface PondReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | AsyncIterable<string | Uint8Array>
}

/** The reply to a call that is parked. Nothing else is kept of it: ten thousand of them wait at a time. */
export interface HeldReply {
  /** Calls back once, at once if the reply is there already. */
  readonly listen: (send: (reply: PondReply) => void) => void
  /** The caller left. */
  readonly leave: () => void
}

export const isHeld = (begun: PondReply | HeldReply): begun is HeldReply => 'listen' in begun

/** What stands behind a front: a whole pond without a socket. */
export interface Answerer {
  /** Answers one request, or says that it is parked; never rejects. */
  begin(request: PondRequest): Promise<PondReply | HeldReply>
  /** Answers one request when there is a reply; never rejects. */
  answer(request: PondRequest): Promise<PondReply>
  /** The reply to a request that the front itself could not take; `target`, where it read that much. */
  refuse(error: unknown, target?: Pick<PondRequest, 'method' | 'path'>): PondReply
}

export function jsonReply(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): PondReply {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(value),
  }
}

export function bytesReply(
  status: number,
  body: PondReply['body'],
  headers: Readonly<Record<string, string>> = {},
): PondReply {
  return { status, headers: { 'content-type': 'application/octet-stream', ...headers }, body }
}

export function eventsReply(body: AsyncIterable<string>): PondReply {
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
    body,
  }
}

/** A function of its own, so that it holds on to nothing of the call but this. */
export const heldReply = (
  parked: { listen(send: (value: unknown) => void): void },
  leave: HeldReply['leave'],
): HeldReply => ({ listen: (send) => parked.listen((value) => send(jsonReply(200, value))), leave })
