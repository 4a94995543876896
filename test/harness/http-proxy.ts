// A small HTTP proxy on the loopback: digs tunnels (CONNECT) and passes plain requests on, whatever host they name, to one port of this machine.
import { createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface TestProxy {
  readonly port: number
  /** What was asked of it: `CONNECT pond.test:443`, `GET http://pond.test/readyz`. */
  readonly asked: readonly string[]
  /** Takes requests and answers none. */
  silent: boolean
}

/** `password`: whoever does not say `user:password` is sent away. */
export async function startProxy(
  t: Pick<Test, 'teardown'>,
  { to, password }: { readonly to: number; readonly password?: string },
): Promise<TestProxy> {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const expected = password && `Basic ${Buffer.from(`user:${password}`).toString('base64')}`
  const isWelcome = ({ headers }: IncomingMessage) => !expected || headers['proxy-authorization'] === expected
  const server = createServer((from, back) => {
    asked.push(`${from.method} ${from.url}`)
    if (proxy.silent) return
    if (!isWelcome(from)) return void back.writeHead(407, { 'proxy-authenticate': 'Basic' }).end()
    const { pathname, search } = new URL(from.url ?? '')
    const { 'proxy-authorization': _, ...headers } = from.headers
    const on = request(
      { port: to, host: '127.0.0.1', path: pathname + search, method: from.method, headers },
      (reply) => reply.pipe(back.writeHead(reply.statusCode ?? 502, reply.headers)),
    )
    from.pipe(on.on('error', () => back.destroy()))
  })
  server.on('connect', (from, socket, head) => {
    asked.push(`CONNECT ${from.url}`)
    if (proxy.silent) return
    if (!isWelcome(from)) return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    const on = connect(to, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      on.write(head)
      on.pipe(socket).pipe(on)
    })
    on.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.on('error', () => on.destroy()).on('close', () => on.destroy())
  })
  server.on('connection', (socket) => sockets.add(socket).size)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const proxy: TestProxy = { port, asked, silent: false }
  return proxy
}
