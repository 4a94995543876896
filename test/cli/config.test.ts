// Where the command line finds pond and its token: flag, environment, login, the data folder of a pond on this host.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  clientHome,
  poolHome,
  readProxies,
  readServiceManager,
  readState,
  resolveConnection,
  writeState,
} from '../../src/cli/config.ts'
import { Failure } from '../../src/cli/failure.ts'
import { createFakeIo, pond } from '../harness/fake-io.ts'

/** Before any test has written a state. */
const signalListeners = () => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM')
const atStart = signalListeners()

const LOCAL = 'http://127.0.0.1:7460'

/** A host without variables, with or without a pond of its own. */
function bare({ local = false }: { readonly local?: boolean } = {}) {
  const io = createFakeIo()
  io.env.POND_URL = undefined
  io.env.POND_TOKEN = undefined
  if (local) {
    const data = join(io.home, '.local', 'share', 'pond')
    mkdirSync(data, { recursive: true })
    writeFileSync(join(data, 'url'), `${LOCAL}\n`)
    writeFileSync(join(data, 'admin-token'), 'pond_admin_local\n')
  }
  return io
}

t.test('a pond on this host is found with its token, which goes nowhere else', async (t) => {
  const io = bare({ local: true })
  t.match(await resolveConnection(io, {}), { url: LOCAL, token: 'pond_admin_local' })
  await t.rejects(resolveConnection(io, { url: 'https://other.example' }), { exit: 77, message: /no token/ })
})

t.test('a login goes before the local pond, a flag before both', async (t) => {
  const io = bare({ local: true })
  const home = clientHome(io.env)
  await writeState(home, 'https://a.example', { token: 'pond_key_a', current: true })
  await writeState(home, 'https://b.example', { token: 'pond_key_b' })
  await writeState(home, 'https://a.example', { last_job: 'job_1' })
  t.match(await resolveConnection(io, {}), { url: 'https://a.example', token: 'pond_key_a' })
  t.match(await resolveConnection(io, { url: 'https://b.example/' }), { token: 'pond_key_b' })
  t.match(await resolveConnection(io, { url: LOCAL }), { token: 'pond_admin_local' })
  t.same((await readState(home)).ponds['https://a.example'], { token: 'pond_key_a', last_job: 'job_1' })
})

t.test('a token comes from a file, a variable or the service manager', async (t) => {
  const io = bare()
  const file = join(io.home, 'pond-token')
  writeFileSync(file, ' pond_key_file \n')
  const url = 'https://pond.example'
  t.match(await resolveConnection(io, { url, tokenFile: file }), { token: 'pond_key_file' })
  io.env.CREDENTIALS_DIRECTORY = io.home
  t.match(await resolveConnection(io, { url }), { token: 'pond_key_file' })
  io.env.POND_TOKEN = 'pond_key_env'
  t.match(await resolveConnection(io, { url }), { token: 'pond_key_env' })
  io.input = 'pond_key_stdin'
  t.match(await resolveConnection(io, { url, tokenFile: '-' }), { token: 'pond_key_stdin' })
  await t.rejects(resolveConnection(io, { url, tokenFile: '' }), { message: /token file is empty/, exit: 2 })
  await t.rejects(resolveConnection(io, { url, tokenFile: join(io.home, 'none') }), {
    exit: 1,
    message: /could not read/,
  })
  writeFileSync(file, 'two words\nX-Header: 1')
  const error = await resolveConnection(io, { url, tokenFile: file }).catch((caught: unknown) => caught)
  t.ok(error instanceof Failure)
  t.notMatch(String(error), 'X-Header', 'the text is not in the message')
})

t.test('what cannot be a pond is a mistake of the command line', async (t) => {
  const io = bare()
  await t.rejects(resolveConnection(io, {}), { exit: 2, message: /no pond is known/ })
  await t.rejects(resolveConnection(io, { url: 'http://pond.example' }), { exit: 2, message: /in the clear/ })
  io.env.POND_TOKEN = 'x'
  t.match(await resolveConnection(io, { url: 'http://pond.example', insecureHttp: true }), { insecureHttp: true })
})

t.test('variables stand in for flags, and a bad one is named', async (t) => {
  const io = createFakeIo()
  io.env.POND_URL = 'http://pond.example'
  t.equal(await pond(io, 'ps'), 2)
  io.env.POND_INSECURE_HTTP = '1'
  io.env.POND_PS_LIMIT = '1'
  io.pond.addJob()
  io.pond.addJob()
  t.equal(await pond(io, 'ps'), 0)
  t.equal(io.printed().out.split('\n').length, 2)
  t.equal(await pond(io, 'ps', '--limit', '9'), 0, 'a flag goes before its variable')
  t.equal(io.pond.calls.at(-1)?.query.limit, '9')
  io.env.POND_PS_LIMIT = 'many'
  t.equal(await pond(io, 'ps'), 2)
  t.match(io.printed().err, 'POND_PS_LIMIT holds "many"')
})

t.test('homes', async (t) => {
  const HOME = '/home/me'
  t.equal(clientHome({ HOME }), '/home/me/.config/pond')
  t.equal(clientHome({ HOME, XDG_CONFIG_HOME: '/x' }), '/x/pond')
  t.equal(clientHome({ HOME }, '/flag'), '/flag')
  t.equal(poolHome({ HOME }), '/home/me/.local/state/swarm')
  t.equal(poolHome({ HOME, XDG_STATE_HOME: '/x' }), '/x/swarm')
  t.equal(poolHome({ HOME, STATE_DIRECTORY: '/var/lib/swarm' }), '/var/lib/swarm')
})

t.test('a damaged state file is named', async (t) => {
  const io = createFakeIo()
  const home = clientHome(io.env)
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'config.json'), '{')
  chmodSync(join(home, 'config.json'), 0o600)
  t.equal(await pond(io, 'ps'), 1)
  t.match(io.printed().err, /could not read .*config.json/)
})

t.test('keeping the state leaves the signals of the process to the verb', async (t) => {
  await writeState(t.testdir(), 'http://127.0.0.1:7460', { last_job: 'job_1' })
  t.equal(signalListeners(), atStart)
})

t.test('proxies: the lower-case variable goes before the other, and an empty one is none', (t) => {
  t.same(readProxies({}), {})
  t.same(readProxies({ HTTPS_PROXY: 'a', https_proxy: 'b', HTTP_PROXY: 'c', http_proxy: '', no_proxy: 'd' }), {
    https: 'b',
    http: 'c',
    no: 'd',
  })
  t.end()
})

t.test('a service manager: the watchdog is ours only if it names this process', (t) => {
  const env = { NOTIFY_SOCKET: '/run/n', WATCHDOG_USEC: '60000000' }
  t.equal(readServiceManager({ WATCHDOG_USEC: '1' }, 7), undefined)
  t.same(readServiceManager({ NOTIFY_SOCKET: '/run/n' }, 7), { socket: '/run/n' })
  t.same(readServiceManager(env, 7), { socket: '/run/n', watchdogMs: 60_000 })
  t.same(readServiceManager({ ...env, WATCHDOG_PID: '7' }, 7), { socket: '/run/n', watchdogMs: 60_000 })
  t.same(readServiceManager({ ...env, WATCHDOG_PID: '8' }, 7), { socket: '/run/n' })
  t.end()
})
