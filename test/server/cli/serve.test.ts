// pond serve in this process: what it says, what it leaves on the disk, what it refuses, and how it ends.
import { readFileSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { patienceOf, serve } from '../../../server/cli/serve.ts'
import { Failure } from '../../../src/cli/failure.ts'
import type { ServeFlags } from '../../../src/cli/serve-flag.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { systemRandom } from '../../../src/system/random.ts'
import { createFakeIo } from '../../harness/fake-io.ts'
import { startProgram } from '../../harness/process-rig.ts'

/** A pond on a folder, with the real clock; resolves once it said where it listens. */
async function start(data: string, flags: Partial<ServeFlags> = {}) {
  const fake = createFakeIo()
  const { promise, say } = firstLine()
  const stdout = { isTty: false, write: async (text: string | Uint8Array) => say(String(text)) }
  const io = { ...fake, clock: systemClock, random: systemRandom, stdout }
  const code = serve(
    {
      ...{ data, host: '127.0.0.1', port: 0, metricsHost: '127.0.0.1' },
      ...{ reserve: 0, lease: 90_000, pollHold: 50_000, json: true, ...flags },
    },
    io,
  )
  const line = await Promise.race([promise, code.then(() => Promise.reject(new Error('it ended')))])
  const said = JSON.parse(line) as { readonly url: string; readonly metrics_url?: string }
  return { url: said.url, metricsUrl: said.metrics_url, code, io: fake }
}

function firstLine(): { readonly promise: Promise<string>; readonly say: (text: string) => void } {
  let say: (text: string) => void = () => {}
  const promise = new Promise<string>((resolve) => {
    say = resolve
  })
  return { promise, say: (text) => say(text) }
}

async function whoami(url: string, token: string): Promise<number> {
  return (await fetch(`${url}/v1/whoami`, { headers: { authorization: `Bearer ${token}` } })).status
}

t.test('the first start makes keys, a project and one admin token, readable by their owner only', async (t) => {
  const data = t.testdir()
  const pond = await start(data)
  const token = readFileSync(join(data, 'admin-token'), 'utf8').trim()
  t.equal(await whoami(pond.url, token), 200)
  for (const file of ['admin-token', 'pond-key.json', 'pond.db'])
    t.equal(statSync(join(data, file)).mode & 0o077, 0, file)
  t.equal(readFileSync(join(data, 'url'), 'utf8').trim(), pond.url)
  t.notMatch(pond.io.printed().err, token, 'off a terminal the token is not shown')
  pond.io.signal('SIGTERM')
  t.equal(await pond.code, 0)
})

t.test('a later start keeps the keys, and makes no token again that was taken away', async (t) => {
  const data = t.testdir()
  const first = await start(data)
  const token = readFileSync(join(data, 'admin-token'), 'utf8').trim()
  first.io.signal('SIGTERM')
  await first.code
  unlinkSync(join(data, 'admin-token'))
  const second = await start(data)
  t.equal(await whoami(second.url, token), 200, 'the token lives in its hash')
  t.throws(() => statSync(join(data, 'admin-token')))
  second.io.signal('SIGINT')
  t.equal(await second.code, 0)
})

t.test('a second pond on one folder, and a port in use, are refused with what to do', async (t) => {
  const data = t.testdir()
  const pond = await start(data)
  await t.rejects(start(data), { constructor: Failure, message: /already runs/, next: /--data/ })
  const port = Number(new URL(pond.url).port)
  await t.rejects(start(join(data, 'other'), { port }), {
    constructor: Failure,
    message: /could not listen/,
    next: /--port/,
  })
  pond.io.signal('SIGTERM')
  t.equal(await pond.code, 0)
})

t.test('metrics have a listener of their own, said at the start, gone at the end', async (t) => {
  const data = t.testdir()
  const pond = await start(data, { metricsPort: 0 })
  const { hostname, port, pathname } = new URL(pond.metricsUrl ?? '')
  t.match({ hostname, pathname }, { hostname: '127.0.0.1', pathname: '/metrics' })
  t.not(port, new URL(pond.url).port)
  t.equal((await fetch(`${pond.url}/healthz`)).status, 200)
  const page = await (await fetch(pond.metricsUrl ?? '')).text()
  t.match(page, /^pond_http_requests_total\{route="healthz",status="200"\} 1$/m)
  t.match(page, /^pond_store_works_per_commit_count [1-9]/m, 'the store is measured too')
  t.equal((await fetch(`${pond.url}/metrics`)).status, 404, 'the front knows nothing of it')
  pond.io.signal('SIGTERM')
  t.equal(await pond.code, 0)
  await t.rejects(fetch(pond.metricsUrl ?? ''))
})

t.test('without the flag there is none, and a port in use stops the start', async (t) => {
  const pond = await start(t.testdir())
  t.equal(pond.metricsUrl, undefined)
  const metricsPort = Number(new URL(pond.url).port)
  const data = t.testdir({ other: {} })
  await t.rejects(start(join(data, 'other'), { metricsPort }), {
    constructor: Failure,
    message: `could not serve metrics on 127.0.0.1 port ${metricsPort}`,
    next: /another --metrics-port; --metrics-port 0/,
  })
  const next = await start(join(data, 'other'))
  t.ok(next.url, 'what failed to start left nothing locked')
  for (const one of [pond, next]) {
    one.io.signal('SIGTERM')
    t.equal(await one.code, 0)
  }
})

t.test('the program as it was built: pond serve --metrics-port 0 --json', async (t) => {
  const flags = ['--port', '0', '--metrics-port', '0', '--json', '--data', t.testdir()]
  const pond = startProgram('pond', ['serve', ...flags])
  t.teardown(() => pond.crash())
  const [line] = await pond.says(/^\{.*\}\n/)
  const { url, metrics_url } = JSON.parse(line) as { readonly url: string; readonly metrics_url: string }
  t.equal((await fetch(`${url}/healthz`)).status, 200)
  const reply = await fetch(metrics_url)
  t.equal(reply.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const page = await reply.text()
  t.match(page, /^pond_jobs\{state="queued"\} 0$/m)
  t.match(page, /^process_cpu_seconds_total /m)
  pond.signal('SIGTERM')
  t.match(await pond.exited, { code: 0 })
})

t.test('a worker with claims polls four times a lease, and no less often than any other', async (t) => {
  t.equal(patienceOf({ lease: 90_000, pollHold: 50_000 }).pollHoldBusyMs, 20_000)
  t.equal(patienceOf({ lease: 8000, pollHold: 50_000 }).pollHoldBusyMs, 2000)
  t.equal(patienceOf({ lease: 90_000, pollHold: 5000 }).pollHoldBusyMs, 5000)
})
