// Replies as pond writes them, for fakes that answer in its place.
import { type ErrorCode, errorTable } from '../../src/protocol/error.ts'
import type { HttpReply } from '../../src/system/network.ts'

export function reply(status: number, headers: Readonly<Record<string, string>>, body: string | Uint8Array): HttpReply {
  async function* once() {
    if (body.length > 0) yield Buffer.from(body)
  }
  return { status, headers, body: once() }
}

export function jsonReply(value: unknown, status = 200): HttpReply {
  return reply(status, { 'content-type': 'application/json' }, JSON.stringify(value))
}

export function errorBody(code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}) {
  return { error: { code, message, details, help: errorTable[code].help }, request_id: 'req_1' }
}

export function errorReply(
  code: ErrorCode,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
): HttpReply {
  return jsonReply(errorBody(code, message, details), errorTable[code].status)
}
