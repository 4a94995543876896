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
  /** Aborts when the caller left. */
  readonly signal: AbortSignal
}

export interface PondReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | AsyncIterable<string | Uint8Array>
}

/** What stands behind a front: a whole pond without a socket. */
export interface Answerer {
  /** Answers one request; never rejects. */
  answer(request: PondRequest): Promise<PondReply>
  /** The reply to a request that the front itself could not take. */
  refuse(error: unknown): PondReply
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
