// How real swarms leave: after one job, idle, old, told by a signal with a deadline or by pond; and what they leave behind.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { WorkerView } from '../../src/protocol/consumer.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import { createRig, runProgram, until } from '../harness/process-rig.ts'

const LEASE = '6s'
const rig = await createRig()
t.teardown(() => rig.close())
await rig.startPond({ flags: ['--lease', LEASE, '--poll-hold', '10s'] })
const gate = (name: string) => join(rig.folder, `gate-${name}`)
const waits = 'until [ -e "$GATE" ]; do sleep 0.05; done; echo "{\\"done\\":true}" >"$POND_RESULT"; echo done'
const waiting = (name: string): JobSpec => ({ command: ['sh', '-c', waits], env: { GATE: gate(name) } })
const open = (name: string) => writeFileSync(gate(name), '')
const clean = { code: 0, signal: null }

async function text(id: string, path: string): Promise<string> {
  const reply = await fetch(`${rig.url()}/v1/jobs/${id}/${path}`, {
    headers: { authorization: `Bearer ${rig.token()}` },
  })
  return await reply.text()
}
const workers = async (): Promise<readonly WorkerView[]> => {
  const answer = await rig.client.persist('listWorkers')
  return answer.ok ? answer.reply.items : []
}
const pond = (...words: readonly string[]) => runProgram('pond', words, { env: rig.env() })

t.test('--once takes one job, and its result arrives before it leaves', async (t) => {
  const home = await rig.pair('once', ['--slots', '2'])
  const [first, second] = [await rig.submit(waiting('once')), await rig.submit(waiting('once'))]
  open('once')
  const swarm = await rig.startSwarm(home, ['--once'])
  t.strictSame(await swarm.exited, clean)
  t.match(await rig.ended(first), { state: 'succeeded' })
  t.strictSame([await text(first, 'result'), await text(first, 'streams/stdout')], ['{"done":true}\n', 'done\n'])
  t.match(await rig.ended(second, () => true), { state: 'queued' }, 'the other waits')
  const next = await rig.startSwarm(home, ['--once'])
  t.strictSame(await next.exited, clean)
  t.match(await rig.ended(second), { state: 'succeeded' })
})

t.test('--idle-exit counts from the last job, and leaves none behind', async (t) => {
  const home = await rig.pair('idle', ['--slots', '1'])
  const swarm = await rig.startSwarm(home, ['--idle-exit', '2s'])
  const id = await rig.submit(waiting('idle'))
  await rig.ended(id, ({ state }) => state === 'running')
  open('idle')
  t.match(await rig.ended(id), { state: 'succeeded' })
  t.strictSame(await swarm.exited, clean)
  t.match(swarm.stderr(), /"reason":"idle","event":"drain"/)
  t.equal(await text(id, 'result'), '{"done":true}\n')
})

t.test('--max-uptime drains without a deadline: the job at hand ends by itself, later than a lease', async (t) => {
  const home = await rig.pair('uptime', ['--slots', '1'])
  const swarm = await rig.startSwarm(home, ['--max-uptime', '2s'])
  const id = await rig.submit(waiting('uptime'))
  await rig.ended(id, ({ state }) => state === 'running')
  await swarm.says(/"reason":"max_uptime","event":"drain"/)
  const draining = Date.now()
  await until('two leases gone by', () => Date.now() - draining > 12_500)
  t.match(await rig.ended(id, () => true), { state: 'running' }, 'polls renew its claim while it drains')
  open('uptime')
  t.match(await rig.ended(id), { state: 'succeeded', attempts: 1 })
  t.strictSame(await swarm.exited, clean)
  t.equal(await text(id, 'streams/stdout'), 'done\n')
})

t.test(
  'a signal drains with the deadline of --drain-deadline; what runs then is stopped, and runs again elsewhere',
  async (t) => {
    const home = await rig.pair('signal', ['--slots', '1'])
    const swarm = await rig.startSwarm(home, ['--drain-deadline', '1s'])
    const id = await rig.submit({ ...waiting('signal'), retry: { on: ['drained'], backoff_ms: 0 } })
    await rig.ended(id, ({ state }) => state === 'running')
    swarm.signal('SIGTERM')
    t.strictSame(await swarm.exited, clean)
    t.match(swarm.stderr(), /"reason":"drained","deadline_ms":1000,"event":"drain"/)
    const attempts = await rig.client.persist('listAttempts', { params: { id } })
    t.match(attempts.ok && attempts.reply.items, [{ state: 'ended', cause: 'drained', rc: 143 }])
    open('signal')
    const next = await rig.startSwarm(home, ['--once'])
    t.match(await rig.ended(id), { state: 'succeeded', attempts: 2 })
    t.strictSame(await next.exited, clean)
  },
)

t.test(
  'pond worker drain: the jobs at hand end, the swarm leaves, and works again when it is started again',
  async (t) => {
    const home = await rig.pair('drained', ['--slots', '1', '--name', 'drained'])
    const swarm = await rig.startSwarm(home)
    const id = await rig.submit(waiting('drained'))
    const { worker = '' } = await rig.ended(id, ({ state }) => state === 'running')
    const drained = await pond('worker', 'drain', worker, '--deadline', '10m', '--note', 'new disk', '--json')
    t.match(JSON.parse(drained.stdout), { id: worker, state: 'draining', drain: { note: 'new disk' } })
    await swarm.says(/"note":"new disk","event":"worker_drain"/)
    const later = await rig.submit(waiting('drained'))
    open('drained')
    t.match(await rig.ended(id), { state: 'succeeded' })
    t.strictSame(await swarm.exited, clean)
    t.match(await rig.ended(later, () => true), { state: 'queued' })
    const next = await rig.startSwarm(home, ['--once'])
    t.match(await rig.ended(later), { state: 'succeeded' })
    t.strictSame(await next.exited, clean)
  },
)

t.test('an ephemeral machine leaves nothing behind: no worker, no binding, no keys', async (t) => {
  const home = await rig.pair('guest', ['--slots', '1', '--name', 'guest'], { code: { ephemeral: true } })
  t.match((await pond('binding', 'ls')).stdout, /guest\t.*ephemeral/)
  const id = await rig.submit(waiting('guest'))
  open('guest')
  const swarm = await rig.startSwarm(home, ['--once'])
  t.strictSame(await swarm.exited, clean)
  t.match(swarm.stderr(), /paired for one run and is forgotten/)
  t.match(await rig.ended(id), { state: 'succeeded' })
  t.equal(await text(id, 'result'), '{"done":true}\n')
  t.strictSame(
    ['binding.json', 'keys.json'].filter((name) => existsSync(join(home, name))),
    [],
  )
  t.notMatch((await pond('binding', 'ls')).stdout, 'guest')
  t.notOk((await workers()).some(({ name }) => name === 'guest'))
  t.match((await pond('audit', 'ls')).stdout, /binding.revoke/)
  t.match((await pond('show', id)).stdout, 'guest', 'its job still knows where it ran')
})
