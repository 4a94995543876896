// The shape of a route, so that each page of the wire can hold its own rows.
import { z } from 'zod'

/**
 * Who may call. `open`: anyone. `pair`: the holder of a pairing code, proved by the MAC in the body and the signature of the key it brings.
 * `binding`: a binding's token and the signature of its key. `claim`: those and the claim's own token in X-Claim-Token. `renewal`: as `binding`, with a token that may have expired. `read`, `submit`, `credentials`: a project key of that scope, or an admin token. `admin`: an admin token.
 */
export type Caller = 'open' | 'pair' | 'binding' | 'claim' | 'renewal' | 'read' | 'submit' | 'credentials' | 'admin'

/** What a reply's body is: one JSON object, raw bytes, server-sent events, Prometheus or plain text. */
export type ReplyKind = 'json' | 'bytes' | 'events' | 'text'

type Schema = z.ZodType

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Parameters stand in braces: `/v1/jobs/{id}`; one with dots, at the end, holds slashes too: `{path...}`. */
  readonly path: string
  readonly caller: Caller
  /** It changes who is trusted, or hands out what is sealed: of a binding it takes the signature of its own key, and none by a call key. */
  readonly lasts?: true
  /** One line for the manual. */
  readonly says: string
  readonly params?: Readonly<Record<string, Schema>>
  readonly query?: Schema
  /** A schema for JSON; `bytes` for a raw body; `stream` for one that is too large to be held. */
  readonly body?: Schema | 'bytes' | 'stream'
  readonly reply: Schema | ReplyKind
  readonly status?: number
  /** Its place on the wire is kept; pond answers `unsupported`. */
  readonly reserved?: true
}

/** Checks a page of rows and keeps their exact types. */
export const defineRoutes = <const T extends Readonly<Record<string, Route>>>(table: T): T => table

/** A body or a reply without content. */
export const empty = z.strictObject({})
export const nothing = z.object({})
