// Uploads on a real socket: they come piece by piece for as long as they go on, and what breaks off, stalls or is refused leaves nothing.
import { EventEmitter, once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { openFront } from '../../../server/http/front.ts'
import { Deadlines, piecesOf } from '../../../server/http/upload.ts'
import { createPondRig } from '../../harness/pond.ts'
import { plainTar } from '../../harness/sealer.ts'
import { createVirtualClock } from '../../harness/virtual-clock.ts'

async function openSocket(t: Test, requestMs?: number) {
  const rig = await createPondRig(t)
  const front = await openFront(rig.pond, { host: '127.0.0.1', port: 0, ...(requestMs ? { requestMs } : {}) })
  t.teardown(async () => {
    rig.pond.close()
    await front.close()
  })
  const { hostname, port } = new URL(front.url)
  const begin = (headers: object = {}, path = '/v1/bundles') => {
    const all = { authorization: `Bearer ${rig.adminToken}`, 'content-type': 'application/x-tar', ...headers }
    return request({ hostname, port, method: 'POST', path, headers: all, agent: false })
  }
  const answerTo = async (call: ReturnType<typeof begin>) => {
    const [reply] = (await once(call, 'response')) as [IncomingMessage]
    const body = JSON.parse(Buffer.concat(await reply.toArray()).toString())
    return { status: reply.statusCode, body, code: body.error?.code }
  }
  const [projectId] = rig.pond.services.core.projects.keys()
  if (!projectId) throw new Error('there is a project')
  /** Bundles that are there, whole or not. */
  const rows = async () => (await rig.store.read((tx) => tx.sumBundles(projectId))).count
  const until = async (count: number) => {
    while ((await rows()) !== count) await turn()
  }
  return { rig, begin, answerTo, rows, until }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('whatever its content type, with its length or without', async (t) => {
  const { begin, answerTo } = await openSocket(t)
  const tar = plainTar('x'.repeat(6_000_000))
  for (const type of ['application/x-tar', 'application/octet-stream', 'application/json', 'text/plain']) {
    const call = begin({ 'content-type': type, 'content-length': tar.length })
    call.end(tar)
    t.match(await answerTo(call), { status: 201, body: { complete: true } }, type)
  }
  const chunked = begin()
  for (let at = 0; at < tar.length; at += 1_000_000) chunked.write(tar.subarray(at, at + 1_000_000))
  chunked.end()
  t.match(await answerTo(chunked), { status: 201 })
})

t.test('it may take longer than any other request, as long as it goes on', async (t) => {
  const { begin, answerTo } = await openSocket(t, 200)
  const upload = begin()
  upload.write(plainTar('x'))
  const other = begin({}, '/v1/jobs')
  other.on('error', () => {})
  other.write('{"command"')
  let late = false
  const answered = answerTo(other).finally(() => {
    late = true
  })
  while (!late) {
    upload.write('more')
    await turn()
  }
  t.match(await answered, { status: 408, code: 'body_timeout' })
  upload.end('the end')
  t.match(await answerTo(upload), { status: 201 })
})

t.test('one that stalls is told so, and leaves nothing', async (t) => {
  const { begin, answerTo, rows } = await openSocket(t, 200)
  const call = begin()
  call.on('error', () => {})
  call.write(plainTar('x'))
  t.match(await answerTo(call), { status: 408, code: 'body_timeout' })
  t.equal(await rows(), 0)
  call.destroy()
})

t.test('one that breaks off leaves nothing', async (t) => {
  const { rig, begin, until } = await openSocket(t)
  const call = begin()
  call.on('error', () => {})
  call.write(plainTar('x'.repeat(3_000_000)))
  await until(1)
  call.destroy()
  await until(0)
  t.strictSame((await rig.dump()).blobs, [])
  t.strictSame(rig.lines, [], 'it is no fault of pond')
})

t.test('one that is refused early still hears why', async (t) => {
  const { begin, answerTo, rows } = await openSocket(t)
  for (const [headers, body, code] of [
    [{ authorization: 'Bearer nobody' }, plainTar('x'.repeat(6_000_000)), 'unauthenticated'],
    [{}, Buffer.alloc(6_000_000), 'invalid_field'],
    [{ 'content-encoding': 'gzip' }, plainTar('x'.repeat(6_000_000)), 'unsupported'],
  ] as const) {
    const call = begin(headers)
    call.end(body)
    t.match(await answerTo(call), { code })
  }
  t.equal(await rows(), 0)
})

t.test('no request leaves its timer behind', async (t) => {
  const { begin, answerTo } = await openSocket(t)
  const running = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = running()
  // Without a body, with one that nobody reads, one that breaks off in Fastify's hands, and one past it.
  await answerTo(begin({}, '/nowhere').end())
  await answerTo(begin({}, '/v1/nowhere').end('x'.repeat(100_000)))
  for (const path of ['/v1/jobs', '/orch/poll']) {
    const call = begin({ 'content-type': 'application/json', 'content-length': 100 }, path).on('error', () => {})
    call.write('{')
    while (running() === before) await turn()
    call.destroy()
    while (running() > before) await turn()
  }
  while (running() > before) await turn()
  t.equal(running(), before)
})

t.test('the time of a request, and of a piece', async (t) => {
  const clock = createVirtualClock()
  const deadlines = new Deadlines(1000, clock)
  const late: string[] = []
  const start = (name: string, state: object) => {
    const request = Object.assign(new EventEmitter(), state) as IncomingMessage
    deadlines.start(request, () => late.push(name))
    return request
  }
  start('slow', { complete: false, destroyed: false })
  start('whole', { complete: true, destroyed: false })
  start('gone', { complete: false, destroyed: true })
  start('answered', { complete: false, destroyed: false }).emit('close')
  await clock.advance(999)
  t.strictSame(late, [])
  await clock.advance(1)
  t.strictSame(late, ['slow'])
  const payload = new PassThrough()
  const pieces = piecesOf(payload as unknown as IncomingMessage, { pieceMs: 1000, clock })
  for (const text of ['one', 'two']) {
    const piece = pieces.next()
    await clock.advance(999)
    payload.write(text)
    t.equal(String((await piece).value), text)
  }
  const stalled = t.rejects(pieces.next(), { code: 'body_timeout' })
  await clock.advance(1000)
  await stalled
  t.notOk(payload.destroyed, 'it can still be answered')
})
