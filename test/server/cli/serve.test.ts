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

/** A pond on a folder, with the real clock; resolves once it said where it listens. */
async function start(data: string, flags: Partial<ServeFlags> = {}) {
  const fake = createFakeIo()
  const { promise, say } = firstLine()
  const stdout = { isTty: false, write: async (text: string | Uint8Array) => say(String(text)) }
  const io = { ...fake, clock: systemClock, random: systemRandom, stdout }
  const code = serve(
    { data, host: '127.0.0.1', port: 0, reserve: 0, lease: 90_000, pollHold: 50_000, json: true, ...flags },
    io,
  )
  const url = await Promise.race([promise, code.then(() => Promise.reject(new Error('it ended')))])
  return { url: JSON.parse(url).url as string, code, io: fake }
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

t.test('a worker with claims polls four times a lease, and no less often than any other', async (t) => {
  t.equal(patienceOf({ lease: 90_000, pollHold: 50_000 }).pollHoldBusyMs, 20_000)
  t.equal(patienceOf({ lease: 8000, pollHold: 50_000 }).pollHoldBusyMs, 2000)
  t.equal(patienceOf({ lease: 90_000, pollHold: 5000 }).pollHoldBusyMs, 5000)
})
