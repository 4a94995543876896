// The front on a real socket: what comes in is limited, what goes out says no more than it must.
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { type FrontOptions, openFront } from '../../../server/http/front.ts'
import { createMetrics, type Metrics } from '../../../server/metrics.ts'
import { limit } from '../../../src/protocol/limit.ts'
import { finalWord, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig } from '../../harness/pond.ts'

async function openSocket(t: Test, { metrics, ...options }: Partial<FrontOptions> & { metrics?: Metrics } = {}) {
  const rig = await createPondRig(t, metrics ? { metrics } : {})
  const front = await openFront(rig.pond, { host: '127.0.0.1', port: 0, ...options })
  const { hostname, port } = new URL(front.url)
  const closeFront = async () => {
    rig.pond.close()
    await front.close()
  }
  t.teardown(closeFront)
  const admin = { authorization: `Bearer ${rig.adminToken}` }

  async function send(method: string, path: string, asked: { headers?: object; body?: string | Buffer } = {}) {
    const call = request({ hostname, port, method, path, headers: { ...admin, ...asked.headers }, agent: false })
    call.end(asked.body)
    const [reply] = (await once(call, 'response')) as [IncomingMessage]
    const text = Buffer.concat(await reply.toArray()).toString()
    return { status: reply.statusCode ?? 0, headers: reply.headers, text, code: codeOf(text) }
  }

  /** Writes raw bytes and answers all that came back until the other side closed. */
  async function raw(bytes: string): Promise<string> {
    const socket = connect(Number(port), hostname)
    socket.write(bytes)
    return Buffer.concat(await socket.toArray()).toString()
  }

  return { rig, front, port: Number(port), hostname, admin, send, raw, closeFront }
}

function codeOf(text: string): string | undefined {
  try {
    return JSON.parse(text).error?.code
  } catch {
    return undefined
  }
}

const json = { 'content-type': 'application/json' }
const job = JSON.stringify({ command: ['true'] })

t.test('what comes in', async (t) => {
  const { send, rig } = await openSocket(t)
  const before = await rig.dump()
  t.match(await send('POST', '/v1/jobs', { headers: json, body: 'x'.repeat(10_000_000) }), {
    status: 413,
    code: 'body_too_large',
  })
  const all = `{"command":["${'x'.repeat(limit.bodyBytes)}"]}`
  t.match(await send('POST', '/v1/jobs', { headers: json, body: all }), { status: 413, code: 'body_too_large' })
  for (const [path, status, code] of [
    ['/v1/jobs/%zz', 400, 'malformed'],
    ['/v1/jobs/%00', 404, 'not_found'],
    [`/v1/jobs/${'x'.repeat(600)}`, 400, 'malformed'],
    ['/v1/jobs?limit=1&limit=2', 422, 'invalid_field'],
    ['/v1/jobs?__proto__=1', 422, 'unknown_field'],
    ['/v1/jobs?constructor[prototype]=1', 422, 'unknown_field'],
    ['/v1/jobs/', 404, 'not_found'],
    ['//v1/jobs', 404, 'not_found'],
    ['/v1/../v1/jobs', 404, 'not_found'],
    ['/nothing', 404, 'not_found'],
  ] as const) {
    t.match(await send('GET', path), { status, code, headers: { 'x-request-id': /^req_/ } }, path.slice(0, 40))
  }
  t.match(await send('DELETE', '/v1/jobs'), { status: 405, code: 'method_not_allowed' })
  t.match(await send('PATCH', '/v1/jobs'), { status: 405, code: 'method_not_allowed' })
  t.match(await send('HEAD', '/v1/jobs'), { status: 405, text: '' })
  t.match(await send('OPTIONS', '/v1/jobs'), { status: 405 }, 'no CORS unless asked for')
  t.strictSame(await rig.dump(), before, 'nothing is stored')
})

t.test('the content type does not matter, the content does', async (t) => {
  const { send } = await openSocket(t)
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'text/plain',
    'application/x-www-form-urlencoded',
  ]) {
    t.equal((await send('POST', '/v1/jobs', { headers: { 'content-type': type }, body: job })).status, 201, type)
  }
  t.equal((await send('POST', '/v1/jobs', { body: job })).status, 201, 'none, as some clients send')
  t.match(await send('POST', '/v1/jobs', { headers: { 'content-type': 'multipart/form-data' }, body: 'a=b' }), {
    status: 400,
    code: 'malformed',
  })
  const broken = await send('POST', '/v1/jobs', { headers: { 'content-type': ';;' }, body: job })
  t.ok([201, 400].includes(broken.status), 'a type that is none is no fault of pond')
})

t.test('what goes out', async (t) => {
  const { send } = await openSocket(t)
  const made = await send('POST', '/v1/jobs', { headers: json, body: job })
  t.match(made, { status: 201, headers: { location: /^\/v1\/jobs\/job_/, 'content-type': /^application\/json/ } })
  for (const { headers } of [made, await send('GET', '/nothing'), await send('GET', '/v1/jobs')]) {
    t.notOk(headers['x-powered-by'] ?? headers.server, 'no word about what runs here')
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.match(headers['content-security-policy'], /^default-src 'none'/)
    t.notOk(headers['access-control-allow-origin'])
  }
  for (const refused of [
    await send('POST', '/v1/jobs', { headers: json, body: '[[[' }),
    await send('POST', '/v1/jobs', { headers: json, body: 'x'.repeat(3 * 2 ** 20) }),
  ]) {
    t.ok(refused.status >= 400)
    t.equal(refused.headers['x-content-type-options'], 'nosniff', 'refusals too')
  }
  // The one with an origin takes the usual way, the other the short one.
  for (const more of [{}, { origin: 'https://app.example' }]) {
    const { status, headers } = await send('POST', '/orch/poll', { headers: { ...json, ...more }, body: '{}' })
    t.equal(status, 403, 'the route is there, and not for this caller')
    t.notOk(headers['x-content-type-options'], 'no browser calls the routes of orchestrators')
  }
  t.match(JSON.parse((await send('GET', '/openapi.json')).text), { openapi: '3.1.0' })
})

t.test('CORS for named origins only', async (t) => {
  const { send } = await openSocket(t, { corsOrigins: ['https://app.example'] })
  const from = (origin: string) => ({ headers: { origin, 'access-control-request-method': 'POST' } })
  const good = await send('OPTIONS', '/v1/jobs', from('https://app.example'))
  t.match(good, { status: 204, headers: { 'access-control-allow-origin': 'https://app.example' } })
  const bad = await send('GET', '/v1/jobs', from('https://evil.example'))
  t.not(bad.headers['access-control-allow-origin'], 'https://evil.example')
})

t.test('HTTP itself', async (t) => {
  const { raw, rig, admin } = await openSocket(t, { requestMs: 200 })
  const head = `Host: x\r\nAuthorization: ${admin.authorization}\r\n`
  t.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*connection: close[\s\S]*"malformed"/i)
  t.match(
    await raw(`GET / HTTP/1.1\r\n${head}X: ${'x'.repeat(40_000)}\r\n\r\n`),
    /^HTTP\/1\.1 400 [\s\S]*"request_id":"req_/,
  )
  const slow = await raw(`POST /v1/jobs HTTP/1.1\r\n${head}Content-Length: 100\r\n\r\n{"command"`)
  t.match(slow, /^HTTP\/1\.1 408 [\s\S]*"body_timeout"/, 'a body that never ends')
  const both = 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n'
  t.match(await raw(`POST /v1/jobs HTTP/1.1\r\n${head}${both}\r\n0\r\n\r\n`), /^HTTP\/1\.1 400/, 'no smuggling')
  const expects = `Expect: 100-continue\r\nConnection: close\r\nContent-Length: ${job.length}\r\n\r\n${job}`
  t.match(await raw(`POST /v1/jobs HTTP/1.1\r\n${head}${expects}`), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201/)
  const chunked = `Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n8\r\n${job.slice(0, 8)}\r\n`
  const rest = `${(job.length - 8).toString(16)}\r\n${job.slice(8)}\r\n0\r\n\r\n`
  t.match(await raw(`POST /v1/jobs HTTP/1.1\r\n${head}${chunked}${rest}`), /^HTTP\/1\.1 201/)
  const two = await raw(`GET /healthz HTTP/1.1\r\n${head}\r\nGET /healthz HTTP/1.1\r\n${head}Connection: close\r\n\r\n`)
  t.equal(two.match(/HTTP\/1\.1 200/g)?.length, 2, 'two calls on one connection')
  t.equal((await rig.call('listJobs')).reply.items.length, 2)
})

t.test('what is refused before it is a call counts once, under its route as far as that was read', async (t) => {
  const metrics = createMetrics()
  const { raw, send } = await openSocket(t, { metrics, requestMs: 200 })
  await raw('nonsense\r\n\r\n')
  await send('POST', '/v1/jobs?x=1', { headers: json, body: 'x'.repeat(10_000_000) })
  await send('GET', '/v1/jobs/%zz')
  await send('GET', `/v1/jobs/${'x'.repeat(600)}`)
  for (const path of ['/v1/jobs', '/orch/poll'])
    await raw(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"a"`)
  const { text } = await metrics.read()
  const counts = [...text.matchAll(/^pond_http_requests_total\{route="(\w+)",status="(\d+)"\} (\d+)$/gm)]
  t.strictSame(counts.map(([, ...row]) => row.join(' ')).sort(), [
    'getJob 400 2',
    'other 400 1',
    'poll 408 1',
    'submitJob 408 1',
    'submitJob 413 1',
  ])
})

t.test('a poll past Fastify is limited as every call is', async (t) => {
  const { raw, send } = await openSocket(t, { requestMs: 200 })
  const post = 'POST /orch/poll HTTP/1.1\r\nHost: x\r\n'
  const slow = await raw(`${post}Content-Length: 100\r\n\r\n{"protocol"`)
  t.match(slow, /^HTTP\/1\.1 408 [\s\S]*"body_timeout"/, 'a body that never ends')
  t.match(await raw(`${post}Content-Length: 100\r\n\r\n`), /^HTTP\/1\.1 408 /, 'one that never begins')
  t.match(await send('POST', '/orch/poll', { body: 'x'.repeat(10_000_000) }), { status: 413, code: 'body_too_large' })
  const refused = /^HTTP\/1\.1 401 [\s\S]*content-type: application\/json[\s\S]*"unauthenticated"/
  const [direct, usual] = [`Content-Length: 2\r\n\r\n{}`, `Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`]
  const last = `${post}Connection: close\r\n`
  for (const body of [direct, usual, `Origin: http://x\r\n${direct}`]) t.match(await raw(last + body), refused)
  const two = await raw(`${post}${direct}${last}${direct}`)
  t.equal(two.match(/HTTP\/1\.1 401/g)?.length, 2, 'two on one connection')
})

t.test('an upload that breaks off stores nothing', async (t) => {
  const { rig, port, hostname, admin } = await openSocket(t)
  const socket = connect(port, hostname)
  socket.write(
    `POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: ${admin.authorization}\r\nContent-Length: 99\r\n\r\n${job}`,
  )
  await once(socket, 'connect')
  socket.resetAndDestroy()
  await once(socket, 'close')
  t.strictSame((await rig.call('listJobs')).reply.items, [])
})

async function runningJob(box: Machine) {
  const intent = await box.start()
  await box.send(intent, { offset: 0, bytes: 'first ' })
  return intent
}

t.test('a followed stream comes as it grows, and its reader may leave', async (t) => {
  const { rig, port, hostname, admin } = await openSocket(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const intent = await runningJob(box)
  const follow = async () => {
    const path = `/v1/jobs/${id}/streams/stdout?follow=1`
    const call = request({ hostname, port, path, headers: admin, agent: false })
    call.end()
    return ((await once(call, 'response')) as [IncomingMessage])[0]
  }
  const leaver = await follow()
  t.equal(String((await once(leaver, 'data'))[0]), 'first ')
  leaver.destroy()
  const reader = await follow()
  t.equal(reader.headers['pond-attempt'], '1')
  t.equal(String((await once(reader, 'data'))[0]), 'first ')
  await box.send(intent, { offset: 6, bytes: 'second' })
  t.equal(String((await once(reader, 'data'))[0]), 'second')
  await box.say(intent, finalWord)
  t.strictSame(await reader.toArray(), [], 'and ends with the attempt')
})

t.test('a poller that hangs up frees its place; closing answers those who wait', async (t) => {
  const { rig, front, port, hostname, closeFront } = await openSocket(t)
  const box = await pairMachine(rig)
  const { polls } = rig.pond.services
  const poll = (seq: number) => {
    const workers = [{ worker_id: box.workerId, free: { slots: 1 } }]
    const said = { protocol: 2, session: 'session-1', seq, claim_key: 'claim-key', wait_ms: 50_000, workers, have: [] }
    const { path, body, ...asked } = rig.request('poll', { token: box.token, body: said })
    const headers = { ...json, ...asked.headers }
    const call = request({ hostname, port, method: 'POST', path, headers, agent: false })
    call.on('error', () => {})
    call.end(body)
    return call
  }
  const until = async (size: number) => {
    while (polls.size !== size) await new Promise((resolve) => setImmediate(resolve))
  }
  const left = poll(1)
  await until(1)
  left.destroy()
  await until(0)
  const waiting = poll(2)
  await until(1)
  const [[reply]] = await Promise.all([once(waiting, 'response') as Promise<[IncomingMessage]>, closeFront()])
  t.equal(reply.statusCode, 200)
  t.match(JSON.parse(Buffer.concat(await reply.toArray()).toString()), { intents: [], directives: [] })
  t.match(front.url, /^http:\/\/127\.0\.0\.1:\d+$/)
})

t.test('an artifact is read by its path, whatever its length and signs', async (t) => {
  const { send, rig } = await openSocket(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const intent = await box.start()
  await box.send(intent, { stream: 'artifact/0', offset: 0, bytes: 'hello' })
  const path = `out/${'deep/'.repeat(300)}../ä b?#%2F.txt`
  const sha256 = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'
  const streams = { 'artifact/0': { bytes: 5, produced: 5, sha256, end: 'complete' as const } }
  await box.say(intent, { ...finalWord, streams, artifacts: [{ stream: 'artifact/0', path }] })
  const read = (text: string) => send('GET', `/v1/jobs/${id}/artifacts/${text}`)
  t.match(await read(encodeURIComponent(path)), { status: 200, text: 'hello' })
  t.match(await read(path.split('/').map(encodeURIComponent).join('/')), { status: 200, text: 'hello' })
  t.match(await read('out/other'), { status: 404, code: 'not_found' })
  t.match(await send('GET', `/v1/jobs/${id}/streams/artifact%2F0`), { status: 200, text: 'hello' })
})
