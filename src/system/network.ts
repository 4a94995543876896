// HTTP as an interface: one request, one reply. The real one is undici in src/client; tests and the simulator bring their own.

export type Headers = Readonly<Record<string, string>>

export interface HttpRequest {
  readonly method: string
  /** Absolute URL. */
  readonly url: string
  /** Lower-case names. */
  readonly headers: Headers
  readonly body?: Uint8Array
  /** Total time for the call in milliseconds, the reply's body included. A followed stream has none. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export interface HttpReply {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Headers
  /** The body as it comes; a break in the middle throws. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Resolves once the reply's head is there; rejects when no reply came (refused, reset, deadline, abort). */
export type Network = (request: HttpRequest) => Promise<HttpReply>
