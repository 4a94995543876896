// Proxies of the environment: which URL goes through which, and real ones that want a password, or dig no tunnel.
import t, { type Test } from 'tap'
import { createClient } from '../../src/client/client.ts'
import { createNetwork } from '../../src/client/network.ts'
import { type ProxySettings, proxyFor } from '../../src/client/proxy.ts'
import { type Log, type LogFields, silentLog } from '../../src/system/log.ts'
import { startProxy } from '../harness/http-proxy.ts'
import { sendJson, startServer } from '../harness/http-server.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

const page = { items: [], next: null }

t.test('which URL goes through which proxy', (t) => {
  const both = { https: 'http://secure.example:3128', http: 'plain.example:8080' }
  const through = (url: string, no?: string) => proxyFor(url, { ...both, ...(no && { no }) })?.origin
  t.equal(through('https://pond.example'), 'http://secure.example:3128')
  t.equal(through('http://pond.example'), 'http://plain.example:8080', 'a host without http:// is one')
  t.equal(proxyFor('https://pond.example', { http: 'http://plain.example' }), undefined)
  for (const url of ['http://localhost:7460', 'http://127.0.0.9', 'https://[::1]:7460', 'http://pond.localhost'])
    t.equal(through(url), undefined, url)
  for (const no of [
    '*',
    'pond.example',
    'other, pond.example',
    '.example',
    '*.example',
    'POND.example:443',
    'a example',
  ])
    t.equal(through('https://pond.example', no), undefined, no)
  for (const no of ['', 'nd.example', 'pond.example:80', 'pond', 'a.pond.example', ' , '])
    t.equal(through('https://pond.example', no), 'http://secure.example:3128', no)
  const address = 'https://[fd00::5]:7460'
  for (const no of ['fd00::5', 'FD00::5', '[fd00::5]', '[fd00::5]:7460']) t.equal(through(address, no), undefined, no)
  for (const no of ['fd00::6', 'fd00:', '[fd00::5]:443', '::5'])
    t.equal(through(address, no), 'http://secure.example:3128', no)
  t.end()
})

t.test('a name and a password are sent and never shown', (t) => {
  const found = proxyFor('https://pond.example', { https: 'http://us%40r:p%3Aw@proxy.example' })
  t.same(found, {
    origin: 'http://proxy.example',
    authorization: `Basic ${Buffer.from('us@r:p:w').toString('base64')}`,
  })
  const odd = proxyFor('https://pond.example', { https: 'http://me:50%off@proxy.example' })
  t.equal(
    odd?.authorization,
    `Basic ${Buffer.from('me:50%off').toString('base64')}`,
    'what is no escape stands for itself',
  )
  for (const https of ['socks5://user:secret@proxy.example', 'http://user:secret@', '::']) {
    t.throws(() => proxyFor('https://pond.example', { https }), {
      message: 'HTTPS_PROXY holds no http:// or https:// URL',
    })
  }
  t.end()
})

async function setUp(t: Test, proxies: ProxySettings, baseUrl: string) {
  const clock = createVirtualClock()
  const network = createNetwork({ clock, proxies })
  t.teardown(() => network.close())
  const lines: unknown[] = []
  const note = (event: string, fields?: LogFields) => void lines.push({ event, ...fields })
  const log: Log = { ...silentLog, info: note, warn: note }
  const random = { bytes: (count: number) => Buffer.alloc(count), number: () => 0.5 }
  const client = createClient({
    ...{ network: network.request, clock, random, log, baseUrl },
    ...{ token: 'pond_key_x', version: '1', insecureHttp: true },
  })
  return { clock, client, lines }
}

t.test('a plain URL is asked of the proxy, also of one that wants a password', async (t) => {
  const server = await startServer(t)
  server.script(sendJson(page))
  const proxy = await startProxy(t, { to: Number(new URL(server.url).port), password: 'secret' })
  const at = (who: string) => ({ http: `http://${who}127.0.0.1:${proxy.port}` })
  const good = await setUp(t, at('user:secret@'), 'http://pond.test:7460')
  t.match(await good.client.call('listJobs'), { ok: true })
  t.same(proxy.asked, ['GET http://pond.test:7460/v1/jobs'])
  t.match(server.heard[0]?.headers, { authorization: 'Bearer pond_key_x', host: 'pond.test:7460' })
  const bad = await setUp(t, at('user:wrong@'), 'http://pond.test:7460')
  const answer = await bad.client.call('listJobs')
  t.match(answer, { ok: false, error: { retry: 'later' } })
  t.equal(server.heard.length, 1)
  t.notMatch(JSON.stringify([answer, bad.lines]), /wrong|d3Jvbmc/)
})

t.test('https goes through a tunnel; what is wrong with it names the proxy and no secret', async (t) => {
  const server = await startServer(t)
  const port = Number(new URL(server.url).port)
  const open = await startProxy(t, { to: port })
  const asking = await startProxy(t, { to: port, password: 'secret' })
  const first = await setUp(t, { https: `http://127.0.0.1:${open.port}` }, 'https://pond.test')
  t.match(await first.client.call('listJobs'), { ok: false, error: { code: 'unreachable' } }, 'no TLS is spoken there')
  t.same(open.asked, ['CONNECT pond.test:443'])
  t.equal(server.heard.length, 0, 'and nothing went there in the clear')
  const second = await setUp(t, { https: `http://user:wrong@127.0.0.1:${asking.port}` }, 'https://pond.test')
  const answer = await second.client.call('listJobs')
  t.match(answer, { error: { message: new RegExp(`through the proxy http://127.0.0.1:${asking.port}: .*password`) } })
  t.notMatch(JSON.stringify([answer, second.lines]), /wrong|d3Jvbmc/)
})

t.test('a proxy that is silent ends a call by its deadline, one that is dead at once', async (t) => {
  const proxy = await startProxy(t, { to: 9 })
  proxy.silent = true
  for (const scheme of ['http', 'https']) {
    const { clock, client } = await setUp(t, { [scheme]: `http://127.0.0.1:${proxy.port}` }, `${scheme}://pond.test`)
    const before = proxy.asked.length
    const call = client.call('listJobs')
    while (proxy.asked.length === before) await clock.settle()
    await clock.advance(30_000)
    t.match(await call, { error: { code: 'unreachable', loss: 'silent' } }, scheme)
  }
  const gone = await setUp(t, { https: 'http://127.0.0.1:9' }, 'https://pond.test')
  t.match(await gone.client.call('listJobs'), {
    error: { loss: 'unsent', message: /through the proxy http:.*REFUSED/ },
  })
})
