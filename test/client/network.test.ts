// The real network under streamed replies: what a line that falls silent ends, at each place, and what starting over leaves behind.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createNetwork } from '../../src/client/network.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createClientRig, page } from '../harness/client-rig.ts'
import { errorBody } from '../harness/http-reply.ts'
import { sendJson } from '../harness/http-server.ts'

const JOB = 'job_01kaab00000000000000000000'

t.test('a stream is open as soon as its head is there, and goes on as long as something comes', async (t) => {
  const { clock, server, client } = await createClientRig(t)
  const streaming = new Promise<ServerResponse>((resolve) => {
    server.script((response) => {
      response.writeHead(200, { 'pond-end': 'open' }).write('one')
      resolve(response)
    })
  })
  const answer = await client.open('readStream', { params: { id: JOB, name: 'stdout' }, query: { follow: '1' } })
  if (!answer.ok) throw new Error(answer.error.message)
  t.equal(answer.headers['pond-end'], 'open')
  const response = await streaming
  const parts: string[] = []
  for await (const part of answer.body) {
    parts.push(String(part))
    // A reader that takes its time is no silence of pond.
    await clock.advance(600_000)
    if (parts.length < 30) response.write('x')
    else response.end()
  }
  t.equal(parts.join(''), `one${'x'.repeat(29)}`)
  t.equal(clock.pending(), 0, 'no timer is left behind')
})

t.test('a stream whose line falls silent breaks, also in the body of a refusal', async (t) => {
  const { clock, server, client } = await createClientRig(t)
  const stream = { params: { id: JOB, name: 'stdout' } }
  server.script((response) => void response.writeHead(200).write('one'))
  const answer = await client.open('readStream', stream)
  if (!answer.ok) throw new Error(answer.error.message)
  const pieces = answer.body[Symbol.asyncIterator]()
  t.equal(String((await pieces.next()).value), 'one')
  const broken = t.rejects(pieces.next(), /nothing came for 60000 ms/)
  await clock.advance(60_000)
  await broken
  const begun = new Promise<void>((resolve) => {
    server.script((response) => void response.writeHead(404).write('{', () => resolve()))
  })
  const refused = client.open('readStream', stream)
  await begun
  while (clock.pending() > 0) await clock.advance(30_000)
  t.match(await refused, { ok: false, error: { code: 'unreachable', status: 404, loss: 'silent' } })
})

t.test('a stream without a head, and one that is refused', async (t) => {
  const { clock, server, client } = await createClientRig(t)
  server.script(() => {})
  const silent = client.open('readStream', { params: { id: JOB, name: 'stdout' }, query: { wait_ms: 1000 } })
  await server.count(1)
  await clock.advance(16_000)
  t.match(await silent, { ok: false, error: { code: 'unreachable', message: /nothing came for 16000 ms/ } })
  server.script(sendJson(errorBody('not_found', 'no attempt', { reason: 'no_attempt' }), 404))
  const refused = await client.open('readStream', { params: { id: JOB, name: 'stdout' } })
  t.match(refused, { ok: false, error: { code: 'not_found', details: { reason: 'no_attempt' } } })
  t.equal(clock.pending(), 0, 'no timer is left behind')
})

t.test('started over, it leaves connections that are silent and makes new ones', async (t) => {
  const { clock, server, client, network } = await createClientRig(t)
  const dead = new Set<number | undefined>()
  server.script((response) => void dead.add(response.socket?.remotePort))
  const stuck = client.call('listJobs')
  await server.count(1)
  server.script((response, heard) => {
    if (!dead.has(response.socket?.remotePort)) sendJson(page)(response, heard)
  })
  network.renew()
  t.match(await stuck, { ok: false, error: { code: 'unreachable', message: /given up/, loss: 'cut' } })
  t.match(await client.call('listJobs'), { ok: true })
  t.equal(clock.pending(), 0)
})

t.test(
  'a connection that is idle is closed long before its server would: a NAT may have forgotten it by then',
  async (t) => {
    const server = createServer({ keepAliveTimeout: 75_000 }, (_, response) => response.end('{}'))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const network = createNetwork({ clock: systemClock })
    t.teardown(async () => {
      await network.close()
      server.close()
    })
    const connected = once(server, 'connection')
    const { port } = server.address() as AddressInfo
    const reply = await network.request({ method: 'GET', url: `http://127.0.0.1:${port}/`, headers: {} })
    t.equal(reply.headers['keep-alive'], 'timeout=75', 'it offers more')
    for await (const _ of reply.body);
    const [socket] = await connected
    await once(socket, 'close')
  },
)

t.test('a URL is reached as it is written, with a query, a fragment or nothing behind its host', async (t) => {
  const asked: (string | undefined)[] = []
  const server = createServer(({ url }, reply) => {
    asked.push(url)
    reply.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const network = createNetwork({ clock: systemClock })
  for (const behind of ['', '/', '?a=1', '/b/c?d=/e@f', '/g#h']) {
    const { body } = await network.request({ method: 'GET', url: base + behind, headers: {} })
    for await (const _ of body);
  }
  t.strictSame(asked, ['/', '/', '/?a=1', '/b/c?d=/e@f', '/g'])
  await network.close()
  server.close()
})
