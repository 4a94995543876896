// The worker in Python, written from the protocol's page alone: what its page shows is typed, then it serves a real pond.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commandsOf, readPage, typeAll } from '../examples/console.ts'
import { createRig } from '../harness/process-rig.ts'

const file = join(import.meta.dirname, '..', '..', 'examples', 'python-worker', 'worker.py')

t.test('the worker stays small', async (t) => {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  t.ok(lines.length <= 185, `${lines.length} lines`)
  t.strictSame(
    lines.filter((line) => line.length > 120),
    [],
  )
})

t.test('its page', async (t) => {
  const folder = t.testdir()
  const page = readPage('examples/python-worker/README.md').replaceAll('state.json', join(folder, 'state.json'))
  const typed = await typeAll(commandsOf(page), { folder, cwd: 'examples/python-worker' })
  for (const { command, code, said } of typed) t.equal(code, 0, `${command}\n${said}`)
  const said = typed.map((one) => one.said).join('\n')
  for (const wanted of [/^hello$/m, /"greeted": "world"/, /^hello from python$/m]) t.match(said, wanted)
})

const rig = await createRig()
t.teardown(() => rig.close())
await rig.startPond({ flags: ['--allow-unattested'] })
const made = await rig.client.persist('createPairingCode', { body: { project: 'default' } })
if (!made.ok) throw new Error(made.error.message)
const state = join(rig.folder, 'state.json')
const pairing = spawn('python3', [file, 'pair', `${rig.url()}#${made.reply.code}`, state], { stdio: 'inherit' })
t.strictSame(await once(pairing, 'exit'), [0, null], 'it pairs with a real pond')
const startWorker = () => spawn('python3', [file, 'run', state], { stdio: ['ignore', 'ignore', 'inherit'] })
let worker = startWorker()
t.teardown(() => void worker.kill('SIGKILL'))

const read = async (id: string, name: string) => {
  const headers = { Authorization: `Bearer ${rig.token()}` }
  const answer = await fetch(`${rig.url()}/v1/jobs/${id}/streams/${name}`, { headers })
  return Buffer.from(await answer.arrayBuffer())
}
const attempt = async (id: string) => {
  const answer = await rig.client.persist('listAttempts', { params: { id } })
  return answer.ok ? answer.reply.items[0] : undefined
}

t.test('both streams and the exit code', async (t) => {
  const id = await rig.submit({ command: ['sh', '-c', 'echo out; echo err >&2; exit 7'] })
  t.match(await rig.ended(id), { state: 'failed', cause: 'exit', rc: 7 })
  t.strictSame([`${await read(id, 'stdout')}`, `${await read(id, 'stderr')}`], ['out\n', 'err\n'])
})

t.test('3 MB of output', async (t) => {
  const text = 'head -c 3145728 /dev/urandom >"$HOME/x"; sha256sum <"$HOME/x" >&2; cat "$HOME/x"'
  const id = await rig.submit({ command: ['sh', '-c', text] })
  t.match(await rig.ended(id), { state: 'succeeded', rc: 0 })
  const bytes = await read(id, 'stdout')
  t.equal(bytes.length, 3145728)
  t.equal(`${await read(id, 'stderr')}`, `${createHash('sha256').update(bytes).digest('hex')}  -\n`)
  t.match(await attempt(id), { streams: [{ name: 'stderr' }, { name: 'stdout', end: 'complete' }] })
})

t.test('a cancelled sleep', async (t) => {
  const id = await rig.submit({ command: ['sleep', '600'] })
  await rig.ended(id, ({ state }) => state === 'running')
  await rig.client.persist('cancelJob', { params: { id } })
  t.match(await rig.ended(id), { state: 'cancelled', cause: 'cancelled' })
})

t.test('a timeout', async (t) => {
  const id = await rig.submit({ command: ['sh', '-c', 'sleep 600 & wait'], timeout_ms: 1000 })
  t.match(await rig.ended(id), { state: 'failed', cause: 'timeout' })
})

t.test('a missing command', async (t) => {
  const id = await rig.submit({ command: ['no-such-command'] })
  t.match(await rig.ended(id), { state: 'failed', cause: 'setup_failed', rc: 125 })
})

t.test('stdin', async (t) => {
  const id = await rig.submit({ command: ['cat'], input: 'höllo\r\nin' })
  t.match(await rig.ended(id), { state: 'succeeded' })
  t.equal(`${await read(id, 'stdout')}`, 'höllo\r\nin')
})

t.test('a result, and one that is no JSON', async (t) => {
  const id = await rig.submit({ command: ['sh', '-c', 'printf %s \'{"a": [1, 2]}\' >"$POND_RESULT"'] })
  t.match(await rig.ended(id), { state: 'succeeded' })
  const answer = await rig.client.persist('getResult', { params: { id } })
  t.equal(answer.ok && `${answer.reply}`, '{"a": [1, 2]}')
  const bad = await rig.submit({ command: ['sh', '-c', 'echo NaN >"$POND_RESULT"'] })
  t.match(await rig.ended(bad), { state: 'succeeded', rc: 0 })
})

t.test('a cap', async (t) => {
  const id = await rig.submit({ command: ['seq', '2000'], limits: { stream_bytes: 1000 } })
  t.match(await rig.ended(id), { state: 'succeeded' })
  t.equal((await read(id, 'stdout')).length, 1000)
  t.match(await attempt(id), { streams: [{ name: 'stdout', bytes: 1000, produced: 8893, end: 'capped' }] })
})

t.test('a restart of pond in the middle of a job', async (t) => {
  const id = await rig.submit({ command: ['sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done'] })
  await rig.ended(id, ({ state }) => state === 'running')
  await rig.pond().crash()
  await rig.startPond({ flags: ['--allow-unattested'] })
  t.match(await rig.ended(id), { state: 'succeeded', rc: 0 })
  t.equal(`${await read(id, 'stdout')}`, '1\n2\n3\n4\n5\n6\n7\n8\n')
})

t.test('an order to leave lets the job at hand end, and is over when it was obeyed', async (t) => {
  const exited = once(worker, 'exit')
  const id = await rig.submit({ command: ['sleep', '1'] })
  await rig.ended(id, ({ state }) => state === 'running')
  const seen = await rig.client.persist('listAllWorkers', {})
  const [row] = seen.ok ? seen.reply.items : []
  t.equal(row?.state, 'online', 'it says which replies arrived')
  await rig.client.persist('drainWorker', { params: { id: row?.id ?? '' }, body: {} })
  t.match(await rig.ended(id), { state: 'succeeded' })
  t.strictSame(await exited, [0, null])
  worker = startWorker()
  t.match(await rig.ended(await rig.submit({ command: ['true'] })), { state: 'succeeded' })
})

t.test('SIGTERM ends it', async (t) => {
  const exited = once(worker, 'exit')
  worker.kill('SIGTERM')
  t.strictSame(await exited, [0, null])
})
