// Turns what came over HTTP into an answer or an error of the one table. Anything that is not pond's is `undecodable`, never a success.
import { z } from 'zod'
import { type ErrorCode, errorTable, type RetryClass } from '../protocol/error.ts'
import { describeFault, judge } from '../protocol/fault.ts'
import type { Route } from '../protocol/shape.ts'
import type { HttpReply } from '../system/network.ts'
import type { CallError } from './contract.ts'

/** The largest JSON reply is a page of jobs with long commands; more than this is not pond speaking. */
const REPLY_BYTES_MOST = 64 * 1024 * 1024

const errorBody = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
    help: z.string().optional(),
  }),
  request_id: z.string().optional(),
})

export type Decoded = { readonly ok: true; readonly reply: unknown } | { readonly ok: false; readonly error: CallError }

export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of body) {
    size += part.length
    if (size > REPLY_BYTES_MOST) throw new Error(`the reply is longer than ${REPLY_BYTES_MOST} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Judges a 2xx reply by the route's own schema. */
export function decodeReply(route: Route, reply: HttpReply, bytes: Buffer): Decoded {
  if (isForeign(route, reply)) return { ok: false, error: undecodable(reply, bytes, 'it is of another type') }
  if (route.reply === 'bytes' || route.reply === 'text' || route.reply === 'events') return { ok: true, reply: bytes }
  const value = reply.status === 204 ? {} : parseJson(bytes)
  if (value === undefined) return { ok: false, error: undecodable(reply, bytes, 'it is not JSON') }
  if (route.reply === 'json') return { ok: true, reply: value }
  const judged = judge(route.reply, value)
  if (judged.ok) return { ok: true, reply: judged.value }
  return { ok: false, error: undecodable(reply, bytes, describeFault(judged.faults[0])) }
}

/** Types of the replies that no schema can judge; a proxy's page among a job's bytes would pass for output. */
const rawTypes: Partial<Record<string, readonly string[]>> = {
  bytes: ['application/octet-stream', 'application/json'],
  events: ['text/event-stream'],
}

/** True when a success names a type that pond never gives on this route. */
export function isForeign(route: Route, reply: HttpReply): boolean {
  const type = reply.headers['content-type']
  const ours = typeof route.reply === 'string' ? rawTypes[route.reply] : undefined
  return type !== undefined && ours !== undefined && !ours.some((it) => type.toLowerCase().startsWith(it))
}

/** Judges a reply whose status is no success. */
export function decodeError(reply: HttpReply, bytes: Buffer): CallError {
  if (reply.status >= 300 && reply.status < 400) return redirected(reply)
  const parsed = errorBody.safeParse(parseJson(bytes))
  if (!parsed.success) return undecodable(reply, bytes, "it is not pond's form of an error")
  const { error, request_id } = parsed.data
  const row = isKnown(error.code) ? errorTable[error.code] : undefined
  return {
    // A code of a later version passes through as it is: callers compare it, and none of ours matches.
    code: error.code as ErrorCode,
    message: error.message,
    details: error.details ?? {},
    help: error.help ?? row?.help ?? '',
    retry: row?.retry ?? classOf(reply.status),
    status: reply.status,
    ...optional('requestId', request_id ?? reply.headers['x-request-id']),
  }
}

function undecodable(reply: HttpReply, bytes: Buffer, why: string): CallError {
  const kind = reply.headers['content-type'] ?? 'no content type'
  const start = bytes
    .toString('utf8', 0, 80)
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
  return {
    code: 'undecodable',
    message: `the reply (${reply.status}, ${kind}) is not pond's: ${why}`,
    details: { status: reply.status, start },
    help: 'Check that the URL is that of a pond, and what stands between.',
    retry: 'later',
    status: reply.status,
    ...optional('requestId', reply.headers['x-request-id']),
  }
}

/** A portal that takes a line over redirects, and is gone again later: what a worker owes must outlast it, as any other page that is not pond's. */
function redirected(reply: HttpReply): CallError {
  const target = reply.headers.location ?? 'nowhere'
  return {
    code: 'undecodable',
    message: `the reply (${reply.status}) sends us on to ${target}, which is not followed: a token goes to no other place`,
    details: { status: reply.status, location: target },
    help: "Give pond's own URL.",
    retry: 'later',
    status: reply.status,
  }
}

function classOf(status: number): RetryClass {
  return status >= 500 || status === 429 ? 'later' : 'never'
}

function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code)
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

export function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V })
}
