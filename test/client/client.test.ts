// The client and its network against a real HTTP server that pond's route table judges: good replies, other people's replies, and none.
import t from 'tap'
import { createClient } from '../../src/client/client.ts'
import { hashPondKey } from '../../src/seal/pairing.ts'
import { createCallSigner, createCallVerifier } from '../../src/seal/request-signature.ts'
import { silentLog } from '../../src/system/log.ts'
import { createClientRig, page } from '../harness/client-rig.ts'
import { errorBody } from '../harness/http-reply.ts'
import { type Heard, type Script, sendJson, sendText, startServer } from '../harness/http-server.ts'
import { signingPairOf } from '../harness/signing-key.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

const JOB = 'job_01kaab00000000000000000000'
const CLAIM = 'clm_01kaab00000000000000000000'

t.test('a token that is replaced counts from the next call on', async (t) => {
  let token = 'one'
  const { server, client } = await createClientRig(t, { token: () => token })
  server.script(sendJson(page), sendJson(page))
  await client.call('listJobs')
  token = 'two'
  await client.call('listJobs')
  t.same(
    server.heard.map(({ headers }) => headers.authorization),
    ['Bearer one', 'Bearer two'],
  )
})

t.test('a call carries what the route table says', async (t) => {
  const { server, client } = await createClientRig(t, { token: 'pond_key_x', project: 'web', base: '/pond' })
  server.script(sendJson({ committed: 3 }))
  const answer = await client.call('sendChunk', {
    params: { id: JOB },
    query: { claim: CLAIM, stream: 'stdout', offset: 0, at: 5, order: 1 },
    body: Buffer.from([0, 255, 10]),
    claimToken: 'pond_claim_y',
    idempotencyKey: 'k',
  })
  t.match(answer, { ok: true, status: 200, reply: { committed: 3 } })
  const [heard] = server.heard
  t.match(heard, { name: 'sendChunk', params: { id: JOB }, query: { offset: '0', order: '1' } })
  t.same([...(heard?.body ?? [])], [0, 255, 10])
  t.match(heard?.headers, {
    authorization: 'Bearer pond_key_x',
    'pond-project': 'web',
    'x-claim-token': 'pond_claim_y',
    'idempotency-key': 'k',
    'content-type': 'application/octet-stream',
    'user-agent': 'pond-swarm/1.2.3',
  })
})

t.test('a reply of a later version is read, one that does not fit is not pond', async (t) => {
  const { server, client } = await createClientRig(t)
  server.script(
    sendJson({ ...page, later: true }),
    sendJson({ items: 5 }),
    sendText('[1', 200, { 'content-type': 'application/json' }),
  )
  t.match(await client.call('listJobs'), { ok: true, reply: page })
  t.match(await client.call('listJobs'), { ok: false, error: { code: 'undecodable', retry: 'later', status: 200 } })
  t.match(await client.call('listJobs'), { ok: false, error: { code: 'undecodable', retry: 'later' } })
})

t.test("a refusal is an answer with pond's own words", async (t) => {
  const { server, client } = await createClientRig(t)
  server.script(sendJson(errorBody('chunk_gap', 'there is a gap', { committed: 7 }), 409))
  t.match(await client.call('getJob', { params: { id: JOB } }), {
    ok: false,
    error: {
      code: 'chunk_gap',
      message: 'there is a gap',
      details: { committed: 7 },
      retry: 'now',
      status: 409,
      requestId: 'req_1',
    },
  })
})

t.test('a code of a later version is classed by its status', async (t) => {
  const { server, client } = await createClientRig(t)
  const body = { error: { code: 'brand_new', message: 'm' } }
  for (const [status, retry] of [
    [409, 'never'],
    [422, 'never'],
    [429, 'later'],
    [503, 'later'],
  ] as const) {
    server.script(sendJson(body, status))
    t.match(await client.call('listJobs'), { error: { code: 'brand_new', retry, status } })
  }
})

t.test('a page of something else is undecodable, whatever its status', async (t) => {
  const { server, client } = await createClientRig(t)
  for (const status of [200, 201, 401, 404, 410, 502]) {
    server.script(sendText('<html>Sign in to the hotel</html>', status))
    t.match(await client.call('listJobs'), { ok: false, error: { code: 'undecodable', retry: 'later', status } })
  }
})

t.test('a redirect is not followed, its target is named, and it may be gone later', async (t) => {
  const { server, client } = await createClientRig(t, { token: 'pond_key_x' })
  const other = await startServer(t)
  server.script(sendText('', 302, { location: `${other.url}/v1/jobs` }))
  const answer = await client.call('listJobs')
  t.match(answer, {
    ok: false,
    error: { code: 'undecodable', retry: 'later', details: { location: `${other.url}/v1/jobs` } },
  })
  t.equal(other.heard.length, 0)
})

t.test('no reply, a reset and a body that breaks off are unreachable', async (t) => {
  const { server, client } = await createClientRig(t)
  server.script((response) => response.destroy())
  t.match(await client.call('listJobs'), { ok: false, error: { code: 'unreachable', retry: 'later', loss: 'cut' } })
  server.script((response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{"items"')
    setImmediate(() => response.destroy())
  })
  t.match(await client.call('listJobs'), { ok: false, error: { code: 'unreachable', status: 200 } })
})

t.test('the deadline covers the head and the body, and a held call gets its wait on top', async (t) => {
  const { clock, server, client } = await createClientRig(t)
  server.script(() => {})
  const silent = client.call('listJobs')
  await server.count(1)
  await clock.advance(30_000)
  t.match(await silent, {
    error: { code: 'unreachable', loss: 'silent', message: /no complete reply within 30000 ms/ },
  })

  const begun = new Promise<void>((resolve) => {
    server.script((response) => {
      response.writeHead(200).write('{', () => resolve())
    })
  })
  const slow = client.call('getJob', { params: { id: JOB }, query: { wait_ms: 50_000 } })
  await begun
  await clock.advance(64_999)
  t.equal(await Promise.race([slow.then(() => 'done'), Promise.resolve('waiting')]), 'waiting')
  await clock.advance(1)
  t.match(await slow, { error: { code: 'unreachable', message: /within 65000 ms/ } })
})

t.test('a poll is held as long as its body says', async (t) => {
  const { clock, server, client } = await createClientRig(t)
  server.script(() => {})
  const body = {
    protocol: 2,
    session: 's'.repeat(8),
    seq: 1,
    claim_key: 'c'.repeat(8),
    wait_ms: 20_000,
    workers: [],
    have: [],
  }
  const poll = client.call('poll', { body })
  await server.count(1)
  await clock.advance(35_000)
  t.match(await poll, { error: { message: /within 35000 ms/ } })
})

t.test('an aborted call is an answer too', async (t) => {
  const { server, client } = await createClientRig(t)
  const controller = new AbortController()
  server.script(() => {})
  const call = client.persist('listJobs', { signal: controller.signal })
  await server.count(1)
  controller.abort()
  t.match(await call, { ok: false, error: { code: 'unreachable' } })
  t.match(await client.call('listJobs', { signal: controller.signal }), { ok: false, error: { code: 'unreachable' } })
})

t.test('persist waits with jitter, obeys Retry-After and stops at a refusal', async (t) => {
  const { clock, server, client } = await createClientRig(t)
  server.script(
    sendText('<html>502</html>', 502),
    sendJson(errorBody('too_many_requests', 'slow down'), 429, { 'retry-after': '7' }),
    sendJson(errorBody('shutting_down', 'stopping'), 503),
    sendJson(errorBody('forbidden', 'no'), 403),
  )
  const waits: number[] = []
  const answer = client.persist('listJobs', {}, (_, waitMs) => waits.push(waitMs))
  for (const count of [1, 2, 3]) {
    await server.count(count)
    while (waits.length < count) await clock.settle()
    await clock.advance(waits[count - 1] ?? 0)
  }
  t.match(await answer, { ok: false, error: { code: 'forbidden' } })
  t.same(waits, [500, 8000, 2000], 'half of 1, 2 and 4 s, the second on top of 7 s')
  t.equal(server.heard.length, 4)
})

t.test("a proxy's page is never taken for a job's bytes or for events", async (t) => {
  const { server, client } = await createClientRig(t)
  const page = sendText('<html>Sign in to the hotel</html>')
  server.script(page, page, page)
  const stream = { params: { id: JOB, name: 'stdout' } }
  const answers = [
    await client.call('readStream', stream),
    await client.open('readStream', stream),
    await client.open('followJob', { params: { id: JOB } }),
  ]
  for (const answer of answers) t.match(answer, { ok: false, error: { code: 'undecodable', retry: 'later' } })
})

t.test("the skew comes from pond's own replies only", async (t) => {
  const { clock, server, client } = await createClientRig(t)
  const date = (aheadMs: number) => ({ date: new Date(clock.now() + aheadMs).toUTCString() })
  server.script(
    sendText('<html>', 200, date(900_000)),
    sendJson(page, 200, date(60_000)),
    sendJson(errorBody('stale', 'x'), 410, date(-60_000)),
  )
  await client.call('listJobs')
  t.equal(client.skewMs(), 0)
  await client.call('listJobs')
  t.equal(Math.round(client.skewMs() / 1000), 61)
  await client.call('listJobs')
  t.equal(Math.round(client.skewMs() / 1000), -59)
})

const pair = signingPairOf(Buffer.alloc(32, 1))
const pond = hashPondKey(pair.publicKey)
const sign = createCallSigner(pair, pond)
const HOUR = 3_600_000

/** Whether pond takes the signature at its time. */
function isSigned(heard: Heard | undefined, path: string, nowMs: number): boolean {
  const verify = createCallVerifier(pair.publicKey, pond)
  const headers = heard?.headers as Record<string, string>
  return verify({ method: 'POST', path, search: heard?.search ?? '', headers, body: heard?.body }, nowMs)
}

t.test('each try is signed anew, over what is below the base URL', async (t) => {
  const { clock, server, client } = await createClientRig(t, { token: 'pond_bind_x', base: '/pond', sign })
  const date = new Date(clock.now()).toUTCString()
  const busy = sendJson(errorBody('shutting_down', 'x'), 503, { 'retry-after': '3600', date })
  server.script(busy, sendJson({ committed: 3 }))
  const chunk = {
    params: { id: JOB },
    query: { claim: CLAIM, stream: 'stdout', offset: 0, at: 5, order: 1 },
    body: Buffer.from([0, 255, 10]),
    claimToken: 'pond_claim_y',
  }
  let waitMs = 0
  const call = client.persist('sendChunk', chunk, (_, ms) => {
    waitMs = ms
  })
  while (waitMs === 0) await clock.settle()
  await clock.advance(waitMs)
  t.match(await call, { ok: true })
  const [first, second] = server.heard
  t.ok(isSigned(first, `/orch/jobs/${JOB}/chunk`, clock.now() - waitMs))
  t.ok(isSigned(second, `/orch/jobs/${JOB}/chunk`, clock.now()))
  t.equal(first?.search, '?claim=clm_01kaab00000000000000000000&stream=stdout&offset=0&at=5&order=1')
  t.not(first?.headers['signature-input'], second?.headers['signature-input'])
})

t.test('a wrong clock is told once, and calls go by the time of pond', async (t) => {
  const { clock, server, client, warnings } = await createClientRig(t, { token: 'pond_bind_x', sign })
  const pondNow = () => clock.now() + 2 * HOUR
  const date = () => ({ date: new Date(pondNow()).toUTCString() })
  const judge: Script = (response, heard) => {
    const good = isSigned(heard, '/orch/unpair', pondNow())
    sendJson(good ? {} : errorBody('unauthenticated', 'x'), good ? 200 : 401, date())(response, heard)
  }
  server.script(judge)
  t.match(await client.call('unpair', { body: {} }), { ok: true }, 'the refusal told the time')
  t.equal(server.heard.length, 2)
  t.match(await client.call('unpair', { body: {} }), { ok: true })
  t.equal(server.heard.length, 3, 'from then on at once')
  t.strictSame(
    warnings.map(({ event }) => event),
    ['clock_off'],
  )
  server.script(sendJson(errorBody('unauthenticated', 'x'), 401, date()))
  t.match(await client.call('unpair', { body: {} }), { error: { code: 'unauthenticated' } })
  t.equal(server.heard.length, 4, 'a refusal that is not about time is believed')
})

t.test('a machine that slept with a call in its hands signs it anew before it believes the refusal', async (t) => {
  const { clock, server, client } = await createClientRig(t, { token: 'pond_bind_x', sign })
  const refused = (response: Parameters<Script>[0], heard: Heard) => {
    clock.jump(HOUR)
    const date = new Date(clock.now()).toUTCString()
    server.script(sendJson({}, 200, { date }))
    sendJson(errorBody('unauthenticated', 'x'), 401, { date })(response, heard)
  }
  server.script(refused)
  t.match(await client.call('unpair', { body: {} }), { ok: true })
  t.ok(isSigned(server.heard[1], '/orch/unpair', clock.now()))
})

t.test('who has no key signs nothing, and is told nothing about clocks', async (t) => {
  const { clock, server, client, warnings } = await createClientRig(t, { token: 'pond_key_x' })
  server.script(sendJson(page, 200, { date: new Date(clock.now() + HOUR).toUTCString() }))
  await client.call('listJobs')
  t.notOk('signature' in (server.heard[0]?.headers ?? {}))
  t.strictSame(warnings, [])
  server.script(sendJson(errorBody('unauthenticated', 'x'), 401))
  await client.call('listJobs')
  t.equal(server.heard.length, 2, 'its refusal is final')
})

t.test('what only a programmer can get wrong is an assertion', async (t) => {
  const { client } = await createClientRig(t)
  await t.rejects(client.call('getJob'), /needs id/)
  const parts = {
    clock: createVirtualClock(),
    random: { bytes: Buffer.alloc, number: () => 0 },
    log: silentLog,
    version: '1',
  }
  const network = () => Promise.reject(new Error('unused'))
  t.throws(() => createClient({ ...parts, network, baseUrl: 'http://pond.example' }), /in the clear/)
  t.doesNotThrow(() => createClient({ ...parts, network, baseUrl: 'http://pond.example', insecureHttp: true }))
})
