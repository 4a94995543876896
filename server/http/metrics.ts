// The listener for /metrics, apart from the front: it answers no other path, asks for no token and so listens on the loopback unless told otherwise.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { urlOf } from './url.ts'

export interface MetricsOptions {
  readonly host: string
  readonly port: number
  readonly read: () => Promise<{ readonly contentType: string; readonly text: string }>
  readonly failed: (error: unknown) => void
  /** How long a request may take to come in, and its reply to be taken, in milliseconds. */
  readonly requestMs?: number
}

export interface MetricsFront {
  /** Of the page itself. */
  readonly url: string
  /** Stops listening and hangs up on whoever is still connected. */
  close(): Promise<void>
}

/** A request is one line and some headers. */
const REQUEST_MS = 10_000
/** Longer than most wait between two looks, so that they keep their connection. */
const KEEP_ALIVE_MS = 75_000
const HEADER_BYTES = 8192
/** Few have a reason to look, and each connection costs memory. */
const CONNECTIONS_MOST = 64
const PATH = '/metrics'

/** Rejects with what the system said when the address cannot be listened on. */
export async function openMetrics(options: MetricsOptions): Promise<MetricsFront> {
  const { host, port, requestMs = REQUEST_MS } = options
  const timing = { requestTimeout: requestMs, headersTimeout: requestMs, connectionsCheckingInterval: requestMs / 4 }
  const limits = { keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: HEADER_BYTES }
  const read = shared(options.read)
  const server = createServer({ ...timing, ...limits }, (request, response) => {
    // Who asks and then takes nothing is no reader.
    response.setTimeout(requestMs, () => request.destroy())
    void serve({ ...options, read }, request, response)
  })
  server.maxConnections = CONNECTIONS_MOST
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return {
    url: `${urlOf(server.address(), { host })}${PATH}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Those who ask while the figures are being read get the same ones: one look at a large pond is enough. */
function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | undefined
  return () => {
    reading ??= read().finally(() => {
      reading = undefined
    })
    return reading
  }
}

const plain = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' } as const

async function serve(
  { read, failed }: Pick<MetricsOptions, 'read' | 'failed'>,
  { method, url }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path] = (url ?? '').split('?')
  const isReading = method === 'GET' || method === 'HEAD'
  if (path !== PATH || !isReading) {
    response.writeHead(404, plain).end('there is only GET /metrics here\n')
    return
  }
  try {
    const { contentType, text } = await read()
    const length = Buffer.byteLength(text)
    response.writeHead(200, { ...plain, 'content-type': contentType, 'content-length': length }).end(text)
  } catch (error) {
    failed(error)
    response.writeHead(500, plain).end('the figures could not be read\n')
  }
}
