// What the one mouth that speaks HTTP offers: one try of a call, a call repeated as its error's retry class says, and a streamed reply.
import type { ErrorCode, ErrorDetails, RetryClass } from '../protocol/error.ts'
import type { BodyOf, ReplyOf, RouteName } from '../protocol/route.ts'
import type { Loss } from './explain.ts'

/** `unreachable`: no reply came. `undecodable`: a reply of any status that is not pond's (a proxy's page). */
export type CallErrorCode = ErrorCode | 'unreachable' | 'undecodable'

export interface CallError {
  readonly code: CallErrorCode
  readonly message: string
  readonly details: ErrorDetails
  readonly help: string
  readonly retry: RetryClass
  /** Absent when no reply came. */
  readonly status?: number
  readonly requestId?: string
  /** From Retry-After, in milliseconds. */
  readonly retryAfterMs?: number
  /** Where no whole reply came: how far it got. */
  readonly loss?: Loss
}

export interface Call<N extends RouteName> {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly body?: BodyOf<N>
  readonly claimToken?: string
  readonly idempotencyKey?: string
  /** Total time for one try in milliseconds, body included; each route has a default. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export type Answer<N extends RouteName> =
  | {
      readonly ok: true
      readonly status: number
      readonly reply: ReplyOf<N>
      readonly headers: Readonly<Record<string, string>>
    }
  | { readonly ok: false; readonly error: CallError }

export interface StreamAnswer {
  readonly ok: true
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Throws when the line breaks in the middle. */
  readonly body: AsyncIterable<Uint8Array>
}

export interface Client {
  /** One try. Never rejects: what went wrong is an answer. */
  call<N extends RouteName>(name: N, call?: Call<N>): Promise<Answer<N>>
  /**
   * Tries again while the error's class is `later`: full jitter from 1 s to 60 s, Retry-After obeyed, forever or until `signal` aborts
   * (then the last error is the answer). `now` and `never` are answered at once.
   */
  persist<N extends RouteName>(
    name: N,
    call?: Call<N>,
    onRetry?: (error: CallError, waitMs: number) => void,
  ): Promise<Answer<N>>
  /** One try of a call whose reply is bytes or events; the deadline covers its head, and a minute without a byte ends its body. */
  open<N extends RouteName>(
    name: N,
    call?: Call<N>,
  ): Promise<StreamAnswer | { readonly ok: false; readonly error: CallError }>
  /** Pond's clock minus ours in milliseconds, from the Date of the latest reply. */
  skewMs(): number
}
