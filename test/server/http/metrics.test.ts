// The listener of /metrics on real sockets: one path, limits, and an end.
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { type MetricsOptions, openMetrics } from '../../../server/http/metrics.ts'

const PAGE = 'pond_polls_parked 1\n'

async function open(t: Test, options: Partial<MetricsOptions> = {}) {
  const failures: unknown[] = []
  const read = async () => ({ contentType: 'text/plain; version=0.0.4', text: PAGE })
  const failed = (error: unknown) => failures.push(error)
  const front = await openMetrics({ host: '127.0.0.1', port: 0, read, failed, ...options })
  t.teardown(() => front.close())
  const { hostname, port, pathname } = new URL(front.url)
  const send = async (method: string, path: string, body?: string) => {
    const call = request({ hostname, port, method, path, agent: false })
    call.end(body)
    const [reply] = (await once(call, 'response')) as [IncomingMessage]
    return { status: reply.statusCode, headers: reply.headers, text: Buffer.concat(await reply.toArray()).toString() }
  }
  /** Sends these bytes and resolves with all that came until the other side hung up. */
  const raw = async (bytes: string) => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.write(bytes)
    let said = ''
    socket.on('data', (part) => {
      said += part
    })
    await once(socket, 'close')
    return said
  }
  return { front, failures, hostname, port: Number(port), pathname, send, raw }
}

t.test('only GET and HEAD of one path', async (t) => {
  const { send, pathname } = await open(t)
  t.equal(pathname, '/metrics', 'the URL is of the page')
  t.match(await send('GET', '/metrics'), {
    status: 200,
    text: PAGE,
    headers: { 'content-type': 'text/plain; version=0.0.4', 'x-content-type-options': 'nosniff' },
  })
  t.match(await send('GET', '/metrics?name=pond'), { status: 200, text: PAGE })
  t.match(await send('HEAD', '/metrics'), { status: 200, text: '', headers: { 'content-length': `${PAGE.length}` } })
  for (const [method, path] of [
    ...(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'] as const).map((method) => [method, '/metrics'] as const),
    ...(['/', '/metrics/', '/metrics/x', '//metrics', '/healthz', '/v1/jobs', '/v1/admin/stats', '*'] as const).map(
      (path) => ['GET', path] as const,
    ),
  ]) {
    const reply = await send(method, path, method === 'GET' ? undefined : 'x'.repeat(100_000))
    t.match(reply, { status: 404, text: /only GET \/metrics/ }, `${method} ${path}`)
    t.notOk(reply.headers['access-control-allow-origin'])
  }
})

t.test('who sends slowly, too much or not at all is hung up on', async (t) => {
  const { raw, send } = await open(t, { requestMs: 200 })
  t.match(await raw('GET /metrics HTTP/1.1\r\nHost: x\r\n'), /^HTTP\/1\.1 408 /, 'headers that never end')
  t.match(
    await raw('POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx'),
    /^HTTP\/1\.1 404 /,
    'a body that never ends',
  )
  t.match(await raw(`GET /metrics HTTP/1.1\r\nX: ${'x'.repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /)
  t.match(await raw('hello\r\n\r\n'), /^HTTP\/1\.1 400 /)
  t.match(await send('GET', '/metrics'), { status: 200 }, 'others are served meanwhile')
})

t.test('a reader that takes nothing holds no page', async (t) => {
  const text = 'x'.repeat(64 * 1024 * 1024)
  const { hostname, port } = await open(t, { requestMs: 200, read: async () => ({ contentType: 'text/plain', text }) })
  const socket = connect(port, hostname)
  socket.on('error', () => {})
  socket.pause()
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
  // The system's buffers fill, nothing moves, and the other side gives up: a paused socket learns that from its next write.
  const knock = setInterval(() => socket.write(' '), 50)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(knock)
  t.ok(socket.bytesRead < text.length)
})

t.test('those who ask at once share one look', async (t) => {
  let [looks, go] = [0, () => {}]
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  const read = async () => {
    looks++
    await gate
    return { contentType: 'text/plain', text: `look ${looks}` }
  }
  const { send } = await open(t, { read })
  const asking = [1, 2, 3].map(() => send('GET', '/metrics'))
  // A call that is not shared is answered only after all the others have come in.
  await send('GET', '/')
  go()
  t.strictSame(new Set((await Promise.all(asking)).map(({ text }) => text)), new Set(['look 1']))
  t.equal((await send('GET', '/metrics')).text, 'look 2', 'the next one is new')
})

t.test('figures that cannot be read are a fault that is told to whoever runs pond', async (t) => {
  const broken = new Error('broken')
  const { send, failures } = await open(t, { read: () => Promise.reject(broken) })
  t.match(await send('GET', '/metrics'), { status: 500, text: /could not be read/ })
  t.notMatch((await send('GET', '/metrics')).text, /broken/)
  t.strictSame(failures, [broken, broken])
})

t.test('a port in use is an error, and the end hangs up on all', async (t) => {
  const { front, port, hostname } = await open(t)
  await t.rejects(open(t, { port }), { code: 'EADDRINUSE' })
  const socket = connect(port, hostname)
  socket.on('error', () => {})
  await once(socket, 'connect')
  const closed = once(socket, 'close')
  await front.close()
  await closed
  await t.rejects(once(connect(port, hostname), 'connect'), { code: 'ECONNREFUSED' })
})

t.test('the URL of an address that is no IPv4', async (t) => {
  const { front } = await open(t, { host: '::1' })
  t.match(front.url, /^http:\/\/\[::1\]:\d+\/metrics$/)
})
