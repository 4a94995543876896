// Polls past Fastify: the one call that ten thousand machines make all day and that waits in its reply. Whatever is unusual about one goes the usual way.
import assert from 'node:assert/strict'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { limit } from '../../src/protocol/limit.ts'
import { routes } from '../../src/protocol/route.ts'
import { type Answerer, type HeldReply, isHeld, type PondReply } from './message.ts'
import type { Deadlines } from './upload.ts'

interface DirectParts {
  readonly pond: Answerer
  readonly deadlines: Deadlines
  /** The body did not come in time. */
  readonly late: (request: IncomingMessage) => void
  /** Everything else. */
  readonly usual: RequestListener
}

const { method: METHOD, path: PATH } = routes.poll

export function createDirect(parts: DirectParts): RequestListener {
  return (request, reply) => (isPlain(request) ? take(parts, request, reply) : parts.usual(request, reply))
}

/** Nothing about it asks for what Fastify does: no other site calls, and its body is as long as it says. */
function isPlain({ method, url, headers }: IncomingMessage): boolean {
  if (url !== PATH || method !== METHOD || headers.origin !== undefined) return false
  return Number(headers['content-length']) <= limit.bodyBytes && headers['transfer-encoding'] === undefined
}

function take({ pond, deadlines, late }: DirectParts, request: IncomingMessage, reply: ServerResponse): void {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => void parts.push(part))
  request.once('end', () => void serve(pond, { request, reply, body: Buffer.concat(parts.splice(0)) }))
  // Who leaves in the middle of a body leaves nothing behind.
  request.once('close', () => {
    parts.length = 0
  })
  // Of most calls the body came with the headers, and is there behind this turn.
  process.nextTick(() => {
    if (!request.complete && !request.destroyed) deadlines.start(request, late)
  })
}

interface Came {
  readonly request: IncomingMessage
  readonly reply: ServerResponse
  readonly body: Uint8Array
}

async function serve(pond: Answerer, { request, reply, body }: Came): Promise<void> {
  const headers = request.headers as Record<string, string | undefined>
  const begun = await pond.begin({ method: METHOD, path: PATH, search: '', query: none, headers, body, signal: never })
  if (!isHeld(begun)) return send(reply, begun)
  // It was heard: while it waits its headers are only weight.
  request.rawHeaders = []
  request.headers = none
  park(reply, begun)
}

const none = {}
/** Who leaves while it is heard is seen once it is parked. */
const stays = new AbortController().signal
const never = () => stays

function park(reply: ServerResponse, { listen, leave }: HeldReply): void {
  if (reply.destroyed) {
    leave()
    return
  }
  reply.once('close', leave)
  listen((answer) => {
    reply.off('close', leave)
    send(reply, answer)
  })
}

function send(reply: ServerResponse, { status, headers, body }: PondReply): void {
  if (reply.destroyed) return
  assert(typeof body === 'string', 'a poll is answered with JSON')
  reply.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers }).end(body)
}
