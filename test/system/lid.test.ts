// Real swarms that stand still, as under a lid that is shut, and go on.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { AttemptView } from '../../src/protocol/consumer.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createRig, marked, type Rig, runProgram, until } from '../harness/process-rig.ts'

const waits = 'until [ -e "$GATE" ]; do sleep 0.05; done; echo over'

async function attemptsOf(rig: Rig, id: string): Promise<readonly AttemptView[]> {
  const answer = await rig.client.persist('listAttempts', { params: { id } })
  if (!answer.ok) throw new Error(answer.error.message)
  return (answer.reply as { readonly items: readonly AttemptView[] }).items
}

async function workersOf(rig: Rig): Promise<readonly { readonly class?: string; readonly state: string }[]> {
  const { stdout } = await runProgram('pond', ['workers', '--json'], { env: rig.env() })
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
}

const startsOf = (rig: Rig, id: string) => rig.logged('job_started').filter(({ job_id }) => job_id === id).length

t.test('stopped for 7 s: it says so, its job goes on to a good end, and others come', async (t) => {
  const rig = await createRig()
  t.teardown(() => rig.close())
  await rig.startPond()
  const swarm = await rig.startSwarm(await rig.pair('laptop', ['--slots', '2']))
  const gate = join(rig.folder, 'gate')
  const id = await rig.submit({ command: ['sh', '-c', waits], env: { GATE: gate } })
  await rig.ended(id, ({ state }) => state === 'running')
  swarm.signal('SIGSTOP')
  const stoppedAt = systemClock.monotonic()
  // Time itself is the event: below 5 s nobody would speak of a sleep.
  await until('7 s', () => systemClock.monotonic() - stoppedAt >= 7000)
  swarm.signal('SIGCONT')
  await swarm.says(/"event":"woke"/)
  t.match(await rig.ended(await rig.submit({ command: ['true'] })), { state: 'succeeded' }, 'it polls')
  writeFileSync(gate, '')
  t.match(await rig.ended(id), { state: 'succeeded', rc: 0, attempts: 1 })
  t.equal(startsOf(rig, id), 1)
  t.equal(rig.logged('woke').length, 1)
})

interface Case {
  readonly pair?: readonly string[]
  readonly run?: readonly string[]
  readonly job: Partial<JobSpec>
}

const cases = {
  hold: { job: { on_lost: 'hold', hold_ms: 600_000 } },
  laptop: { pair: ['--class', 'laptop'], job: {} },
  server: { run: ['--allow-unsandboxed'], job: {} },
} satisfies Record<string, Case>

/** A confidential job, as `pond run` makes it: what comes late opens for the consumer like any other. */
async function runSealed(rig: Rig, gate: string): Promise<string> {
  const leaves = `${waits}; echo '{"n":7}' >"$POND_RESULT"; echo kept >file`
  const flags = ['--detach', '--env', `GATE=${gate}`, '--artifact', 'file']
  const { code, stdout, stderr } = await runProgram('pond', ['run', ...flags, '--', 'sh', '-c', leaves], {
    env: rig.env(),
  })
  if (code !== 0) throw new Error(stderr)
  return stdout.trim()
}

t.test('stopped for longer than the lease: held comes back, a laptop is away, a server has lost', async (t) => {
  const rig = await createRig()
  t.teardown(() => rig.close())
  await rig.startPond({ flags: ['--lease', '5s', '--poll-hold', '2s'] })
  const gate = join(rig.folder, 'gate')
  // Each comes when those before it are busy, so it gets the next job.
  const started = async (name: keyof typeof cases) => {
    const { pair = [], run = [], job }: Case = cases[name]
    const plain: JobSpec = { command: ['sh', '-c', waits], env: { GATE: gate }, ...job }
    const home = await rig.pair(name, ['--slots', '1', ...pair])
    const swarm = await rig.startSwarm(home, run)
    await until('its class', async () => (await workersOf(rig)).every((worker) => worker.class !== undefined))
    const id = name === 'server' ? await runSealed(rig, gate) : await rig.submit(plain)
    await rig.ended(id, ({ state }) => state === 'running')
    return { swarm, id }
  }
  const hold = await started('hold')
  const laptop = await started('laptop')
  const server = await started('server')
  for (const { swarm } of [hold, laptop, server]) swarm.signal('SIGSTOP')
  t.match(await rig.ended(server.id), { state: 'failed', cause: 'worker_lost' })
  await until('the claim on hold', async () => (await attemptsOf(rig, hold.id))[0]?.state === 'held')
  await until('the laptop that is away', async () => {
    return (await workersOf(rig)).some((worker) => worker.class === 'laptop' && worker.state === 'away')
  })
  t.match(await rig.client.call('getJob', { params: { id: laptop.id } }), { reply: { state: 'running' } })
  // Their processes are not stopped, and end now.
  writeFileSync(gate, '')
  await until('the end of them', () => marked(gate).length === 0)
  for (const { swarm } of [hold, laptop, server]) swarm.signal('SIGCONT')
  for (const { id } of [hold, laptop]) t.match(await rig.ended(id), { state: 'succeeded', rc: 0, attempts: 1 })
  for (const { id } of [hold, laptop, server]) {
    t.equal((await attemptsOf(rig, id)).length, 1)
    t.equal(startsOf(rig, id), 1)
  }
  const [, told = ''] = await server.swarm.says(/^(.*"event":"orphan_kept".*)$/m)
  t.match(JSON.parse(told), {
    level: 'warn',
    job_id: server.id,
    attempt: 1,
    next: `pond adopt ${server.id} --attempt 1`,
  })
  t.match(
    await attemptsOf(rig, server.id),
    [{ orphan: true, cause: 'exit', rc: 0 }],
    'its result is kept beside the job',
  )
  const says = async (...words: string[]) => {
    const { code, stdout, stderr } = await runProgram('pond', words, { env: rig.env() })
    t.equal(code, 0, `pond ${words[0]}: ${stderr}`)
    return stdout
  }
  await says('adopt', server.id)
  t.equal(await says('logs', server.id), 'over\n')
  t.same(JSON.parse(await says('result', server.id)), { n: 7 })
  await says('artifacts', 'get', server.id, '--out', join(rig.folder, 'got'))
  t.equal(readFileSync(join(rig.folder, 'got', 'file'), 'utf8'), 'kept\n')
  t.match(await says('verify', server.id), /stdout/)
})
