// Fastify in front of a pond: sockets, TLS, limits on what comes in, headers on what goes out. What a call means is decided behind it.
import { type IncomingMessage, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import cors from '@fastify/cors'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { errorTable, Refusal } from '../../src/protocol/error.ts'
import { limit } from '../../src/protocol/limit.ts'
import { routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'
import { Bodies } from './body.ts'
import { createDirect } from './direct.ts'
import type { Answerer, PondReply } from './message.ts'
import { rateLimitHeaders } from './rate-limit.ts'
import { securityHeaders } from './security-header.ts'
import { Deadlines, piecesOf, UPLOAD_FACTOR } from './upload.ts'
import { urlOf } from './url.ts'

export interface FrontOptions {
  readonly host: string
  readonly port: number
  /** PEM texts. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Networks whose forwarded headers are believed. */
  readonly trustProxy?: string
  readonly corsOrigins?: readonly string[]
  /** How long a request may take to come in whole, in milliseconds. */
  readonly requestMs?: number
}

export interface Front {
  /** The base URL that clients on this host use. */
  readonly url: string
  /** Stops listening, waits for calls under way. */
  close(): Promise<void>
}

/** A request must have come in whole after this. Polls and followed streams wait in the reply, not here; of an upload each piece must have come. */
const REQUEST_MS = 60_000
/** Longer than a hold, so that a client's idle connection is not cut under its next poll. */
const KEEP_ALIVE_MS = 75_000
/** Room above the biggest legal body, so that the refusal comes from the table with its figures. */
const BODY_SLACK_BYTES = 64 * 1024
/** What comes behind a refused body is read for so long; who sends more than this loses the connection. */
const DRAIN_BYTES = 64 * 1024 * 1024
/** Longer than any id, name or stream. */
const PARAM_CHARS = 512

export async function openFront(pond: Answerer, options: FrontOptions): Promise<Front> {
  const { requestMs = REQUEST_MS } = options
  const timing = { connectionsCheckingInterval: requestMs / 4, headersTimeout: requestMs }
  const app = fastify({
    // Node looks for requests that are too slow this often; its own 30 s would let them stay half as long again.
    ...(options.tls ? { https: { ...options.tls, ...timing } } : { http: timing }),
    ...(options.trustProxy === undefined ? {} : { trustProxy: options.trustProxy }),
    logger: false,
    bodyLimit: limit.bodyBytes + BODY_SLACK_BYTES,
    requestTimeout: requestMs * UPLOAD_FACTOR,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: PARAM_CHARS },
    frameworkErrors: (error, request, reply) =>
      void send(reply as FastifyReply, pond.refuse(refusalOf(error), targetOf(request))),
    clientErrorHandler: (error, socket) => {
      // Whoever hung up asked for nothing, and whoever came too slowly was answered.
      if (socket.writable) hangUp(socket, pond.refuse(clientRefusalOf(error)))
      else socket.destroy()
    },
  })
  secure(app)
  if (options.corsOrigins?.length) {
    const ours = ['Pond-Attempt', 'Pond-Committed', 'Pond-Next-Offset', 'Pond-End']
    const exposedHeaders = ['Location', 'X-Request-Id', 'Retry-After', ...rateLimitHeaders, ...ours]
    await app.register(cors, {
      origin: [...options.corsOrigins],
      methods: ['GET', 'POST', 'PUT', 'DELETE'],
      exposedHeaders,
    })
  }
  const deadlines = new Deadlines(requestMs)
  const late = (request: IncomingMessage) => hangUp(request.socket, pond.refuse(tooSlow(), targetOf(request)))
  limitTime(app, deadlines, late)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  const bodies = new Bodies()
  app.addContentTypeParser('application/octet-stream', (request, payload, done) => bodies.read(request, payload, done))
  const handle = async (request: FastifyRequest, reply: FastifyReply) => {
    await serve(pond, { request, reply, pieceMs: requestMs })
    if (reply.statusCode < 300) bodies.giveBack(request)
    return reply
  }
  const all = Object.values<Route>(routes)
  addRoutes(app, { rows: all.filter(({ body }) => body !== 'stream'), handle })
  app.setNotFoundHandler(handle)
  app.setErrorHandler(async (error, request, reply) => {
    // What came too slowly was answered before its body broke off.
    if (!request.raw.socket.writable) return reply.hijack()
    await drain(request.raw)
    return send(reply, pond.refuse(refusalOf(error), targetOf(request)))
  })
  await app.register(async (uploads) => {
    uploads.removeAllContentTypeParsers()
    uploads.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    addRoutes(uploads, { rows: all.filter(({ body }) => body === 'stream'), handle })
  })
  await app.ready()
  goDirect(app.server, (usual) => createDirect({ pond, deadlines, late, usual }))
  await app.listen({ host: options.host, port: options.port, backlog: 4096 })
  return { url: urlOf(app.server.address(), options), close: () => app.close() }
}

type Handle = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>

function addRoutes(
  app: Pick<FastifyInstance, 'route'>,
  { rows, handle }: { readonly rows: readonly Route[]; readonly handle: Handle },
): void {
  for (const { method, path } of rows) {
    const url = path.replace(/\{\w+\.\.\.\}$/, '*').replace(/\{(\w+)\}/g, ':$1')
    app.route({ method, url, handler: handle })
  }
}

/** No browser calls the routes of orchestrators. */
function secure(app: Pick<FastifyInstance, 'addHook'>): void {
  const headers = securityHeaders()
  app.addHook('onRequest', ({ routeOptions: { url } }, reply, done) => {
    if (!url?.startsWith('/orch/')) reply.headers(headers)
    done()
  })
}

/** Node's own limit of a request's time is one for all, and there are uploads; so the others get theirs here. */
function limitTime(
  app: Pick<FastifyInstance, 'addHook'>,
  deadlines: Deadlines,
  late: (request: IncomingMessage) => void,
): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (!isUpload(request)) deadlines.start(request.raw, late)
    done()
  })
}

/** What Fastify answers is asked of it only where it is not answered before it. */
function goDirect(server: Server, before: (usual: RequestListener) => RequestListener): void {
  for (const usual of server.listeners('request') as RequestListener[]) {
    server.off('request', usual)
    server.on('request', before(usual))
  }
}

const uploadPaths = new Set(Object.values<Route>(routes).flatMap(({ body, path }) => (body === 'stream' ? [path] : [])))

/** Such a route has no parameters in its path, and shares it with no other route that takes a body. */
const isUpload = ({ routeOptions: { url } }: FastifyRequest) => url !== undefined && uploadPaths.has(url)

interface Serving {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly pieceMs: number
}

async function serve(pond: Answerer, { request, reply, pieceMs }: Serving): Promise<FastifyReply> {
  const left = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) left.abort()
  })
  const answer = await pond.answer({
    method: request.method,
    ...splitTarget(request.url),
    query: request.query as Record<string, string>,
    headers: request.headers as Record<string, string | undefined>,
    ...(request.body instanceof Uint8Array ? { body: request.body } : {}),
    ...(request.body === request.raw ? { stream: piecesOf(request.raw, { pieceMs }) } : {}),
    signal: () => left.signal,
  })
  if (request.body === request.raw && answer.status !== errorTable.body_timeout.status) await drain(request.raw)
  return send(reply, answer)
}

function send(reply: FastifyReply, answer: PondReply): FastifyReply {
  const { body } = answer
  const whole = typeof body === 'string' || body instanceof Uint8Array
  return reply
    .code(answer.status)
    .headers(answer.headers)
    .send(whole ? body : Readable.from(body, { objectMode: false }))
}

/** Reads on to the end of a body that was refused: to hang up on bytes that still come resets the connection, and the refusal is lost with it. */
function drain(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    if (request.complete || request.destroyed) return resolve()
    let bytes = 0
    request.on('data', (part: Buffer) => {
      bytes += part.length
      if (bytes > DRAIN_BYTES) resolve()
    })
    request.once('close', resolve).once('end', resolve).resume()
  })
}

function splitTarget(url: string): { path: string; search: string } {
  const end = url.indexOf('?')
  return end < 0 ? { path: url, search: '' } : { path: url.slice(0, end), search: url.slice(end) }
}

const targetOf = ({ method = '', url = '' }: Pick<IncomingMessage, 'method' | 'url'>) => ({
  method,
  path: splitTarget(url).path,
})

const tooSlow = () => new Refusal('body_timeout', 'the request came too slowly')

/** What Fastify itself refuses, in the words of the table. */
function refusalOf(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new Refusal('body_too_large', 'the body is too large', { most: limit.bodyBytes })
  }
  if (status === 408) return tooSlow()
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new Refusal('malformed', error instanceof Error ? error.message : 'the request is not valid')
  }
  return error
}

/** What Node refuses before it is a request: bytes that are no HTTP, headers that are too many, a body that is too slow. */
function clientRefusalOf(error: NodeJS.ErrnoException): Refusal {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return tooSlow()
  return new Refusal('malformed', 'this is no HTTP/1.1 request')
}

function hangUp(socket: Socket, answer: PondReply): void {
  if (!socket.writable) return void socket.destroy()
  const body = String(answer.body)
  const headers = { ...answer.headers, connection: 'close', 'content-length': Buffer.byteLength(body) }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${lines.join('')}\r\n${body}`)
}
