// The real world of a verb, on streams of the test's own; and the log of a verb that runs long.
import { PassThrough, Writable } from 'node:stream'
import t from 'tap'
import { createLog } from '../../src/cli/log.ts'
import { isClosedPipe } from '../../src/cli/output.ts'
import { createSystemIo, type SystemParts } from '../../src/cli/system-io.ts'
import { createFakeIo } from '../harness/fake-io.ts'
import { sendJson, startServer } from '../harness/http-server.ts'

function parts(change: Partial<SystemParts> = {}): SystemParts {
  const signals = { on: () => undefined, off: () => undefined }
  return { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough(), env: {}, signals, ...change }
}

t.test('a write is over when its bytes are out, and tells of a closed pipe', async (t) => {
  const stdout = new PassThrough()
  const io = createSystemIo(parts({ stdout }))
  await io.stdout.write('text ')
  await io.stdout.write(Buffer.from('bytes'))
  t.equal(String(stdout.read()), 'text bytes')
  const broken = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
  })
  const error = await createSystemIo(parts({ stdout: broken }))
    .stdout.write('x')
    .catch((caught: unknown) => caught)
  t.ok(isClosedPipe(error))
})

t.test('stdin is read to its end', async (t) => {
  const stdin = new PassThrough()
  const io = createSystemIo(parts({ stdin: Object.assign(stdin, { isTTY: true }) }))
  stdin.end('all of it')
  t.equal(io.stdin.isTty, true)
  t.equal(io.stdout.isTty, false)
  t.equal(String(await io.stdin.readAll()), 'all of it')
})

t.test('signals are heard until told otherwise', async (t) => {
  const listeners = new Set<() => void>()
  const signals = {
    on: (_: string, run: () => void) => listeners.add(run),
    off: (_: string, run: () => void) => listeners.delete(run),
  }
  const stop = createSystemIo(parts({ signals })).onSignal('SIGTERM', () => {})
  t.equal(listeners.size, 1)
  stop()
  t.equal(listeners.size, 0)
})

t.test('the version is that of the package, and the network is real', async (t) => {
  const io = createSystemIo(parts())
  t.match(io.version, /^\d+\.\d+\.\d+/)
  const server = await startServer(t)
  server.script(sendJson({}))
  const network = io.connect()
  t.equal((await network.request({ method: 'GET', url: `${server.url}/readyz`, headers: {} })).status, 200)
  await network.close()
  await io.connect().close()
})

t.test('a log is readable on a terminal and JSON elsewhere, and never carries control characters', async (t) => {
  const tty = createFakeIo({ tty: true })
  ;(await createLog(tty)).warn('late', { job: 'job_1', why: 'a\x1b[2J', none: undefined })
  t.match(tty.printed().err, '2026-01-01T00:00:00Z warn  late job=job_1 why=a\\x1b[2J')
  const io = createFakeIo()
  ;(await createLog(io)).error('broken', { bytes: 3 })
  t.same(JSON.parse(io.printed().err), { level: 'error', time: Date.UTC(2026, 0, 1), bytes: 3, event: 'broken' })
})
