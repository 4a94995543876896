// A real node:http server on the loopback for tests of the client: checks each request against the route table, answers as scripted.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { matchRoute, routes } from '../../src/protocol/route.ts'
import type { Route } from '../../src/protocol/shape.ts'

export interface Heard {
  readonly name: string
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly search: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export type Script = (response: ServerResponse, heard: Heard) => void

export interface TestServer {
  readonly url: string
  readonly heard: readonly Heard[]
  /** What the next requests get, in order; the last one stays. */
  script(...scripts: readonly Script[]): void
  /** Resolves when so many requests have come in all. */
  count(least: number): Promise<void>
}

/** Serves below `base`; ends with the test. */
export async function startServer(t: Test, base = ''): Promise<TestServer> {
  const heard: Heard[] = []
  const waiting = new Set<() => void>()
  let scripts: Script[] = []
  const server = createServer((request, response) => {
    void listen(request, base).then((one) => {
      heard.push(one)
      for (const look of [...waiting]) look()
      const script = scripts.length > 1 ? scripts.shift() : scripts[0]
      if (script) script(response, one)
      else response.writeHead(500).end('no script')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}${base}`,
    heard,
    script: (...next) => {
      scripts = [...next]
    },
    count: (least) =>
      new Promise((resolve) => {
        const look = () => {
          if (heard.length < least) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
  }
}

async function listen(request: IncomingMessage, base: string): Promise<Heard> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const body = Buffer.concat(parts)
  const url = new URL(request.url ?? '', 'http://fake')
  const found = url.pathname.startsWith(base)
    ? matchRoute(request.method ?? '', url.pathname.slice(base.length))
    : undefined
  const known = found && found !== 'other method' ? found : undefined
  const query = Object.fromEntries(url.searchParams)
  const problem = known ? faultOf(routes[known.name], query, body) : 'no such route'
  const name = problem === undefined && known ? known.name : `refused: ${problem}`
  return { name, params: known?.params ?? {}, query, search: url.search, headers: request.headers, body }
}

function faultOf(route: Route, query: Heard['query'], body: Buffer): string | undefined {
  const judged = route.query?.safeParse(query)
  if (judged?.success === false) return judged.error.message
  if (!route.body || typeof route.body === 'string') return undefined
  const parsed = route.body.safeParse(JSON.parse(body.toString()))
  return parsed.success ? undefined : parsed.error.message
}

/** Answers with JSON as pond does. */
export function sendJson(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Script {
  return (response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value))
}

export function sendText(text: string, status = 200, headers: Readonly<Record<string, string>> = {}): Script {
  return (response) => response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(text)
}
