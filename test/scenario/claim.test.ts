// A real pond and a real orchestrator on one hand-driven clock. Each test is named after the failure it buries.
import t, { type Test } from 'tap'
import type { JobSpec } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { jobOf, submit } from '../harness/machine.ts'
import { createPondRig, type PondRig } from '../harness/pond.ts'
import { type Pool, startPool } from '../harness/pool.ts'

async function start(t: Test, job: Partial<JobSpec> = {}) {
  const rig = await createPondRig(t)
  const pool = await startPool(rig)
  const { id } = await submit(rig, { command: ['work'], ...job })
  await rig.clock.advance(100)
  return { rig, pool, id }
}

const HOUR_MS = 60 * 60 * 1000

const attempts = async (rig: PondRig, id: string) => (await rig.call('listAttempts', { params: { id } })).reply.items
const stdout = async (rig: PondRig, id: string) =>
  (await rig.call('readStream', { params: { id, name: 'stdout' } })).bytes.toString()
const isFinal = async (rig: PondRig, id: string) => (await jobOf(rig, id)).ended_at !== undefined

async function ended(rig: PondRig, id: string, mostMs = 600_000) {
  for (let ms = 0; ms < mostMs && !(await isFinal(rig, id)); ms += 500) await rig.clock.advance(500)
  return jobOf(rig, id)
}

function firstProcess(pool: Pool) {
  const [process] = pool.executor.processes
  if (!process) throw new Error('nothing was started')
  return process
}

t.test('the main job: submitted, run, its output and its end come back', async (t) => {
  const { rig, pool, id } = await start(t)
  const process = firstProcess(pool)
  t.strictSame(process.plan.command, ['work'])
  process.write('stdout', 'hello\n')
  await rig.clock.advance(1000)
  t.equal(await stdout(rig, id), 'hello\n', 'while it runs')
  process.write('stdout', 'bye\n')
  process.exit({ rc: 3, result: Buffer.from('{"a":1}') })
  t.match(await ended(rig, id), { state: 'failed', cause: 'exit', rc: 3, attempts: 1, has_result: true })
  t.equal(await stdout(rig, id), 'hello\nbye\n')
  t.match(await attempts(rig, id), [{ streams: [{ name: 'stdout', bytes: 10, produced: 10, end: 'complete' }] }])
})

t.test('a claim that came too late never runs beside the one that has its room', async (t) => {
  const rig = await createPondRig(t)
  const pool = await startPool(rig)
  await rig.clock.advance(60_000)
  let late = 0
  // Longer on its way than a claim may stay unconfirmed.
  pool.line.late = ({ body }) => (String(body).includes('"claim_token"') && late++ < 1 ? 20_000 : 0)
  const { id } = await submit(rig, { idempotent: true, requires: { cpus: 3 } })
  await rig.clock.advance(17_000)
  t.equal(pool.executor.processes.length, 0, 'pond has taken it back')
  // In one turn, so that one more poll tells that its slots are free.
  await Promise.all([pool.swarm.pause(), pool.swarm.resume()])
  let most = 0
  pool.executor.onStart = () => {
    most = Math.max(most, pool.executor.processes.filter(({ ended }) => !ended).length)
  }
  await rig.clock.advance(2000)
  t.equal(most, 1, 'and gives it anew, with the same room')
  await rig.clock.advance(10_000)
  t.equal(most, 1, 'two jobs of 3 cores never run on a machine of 4')
  firstProcess(pool).exit()
  t.match(await ended(rig, id), { state: 'succeeded', attempts: 1 })
  t.equal(pool.executor.processes.length, 1)
})

t.test('a claim whose reply died is not lost and not made twice', async (t) => {
  const rig = await createPondRig(t)
  const pool = await startPool(rig)
  let lost = 0
  pool.line.fault = ({ url }) => (url.endsWith('/orch/poll') && lost++ < 1 ? 'unanswered' : undefined)
  await rig.clock.advance(60_000)
  const { id } = await submit(rig)
  await rig.clock.until(() => pool.executor.processes.length === 1, 120_000)
  firstProcess(pool).exit()
  t.match(await ended(rig, id), { state: 'succeeded', attempts: 1 })
  t.ok(lost > 0)
  t.equal(pool.executor.processes.length, 1)
})

t.test('a confirmation whose reply died starts the job once', async (t) => {
  const rig = await createPondRig(t)
  const pool = await startPool(rig)
  let lost = 0
  pool.line.fault = ({ url }) => (url.endsWith('/orch/states') && lost++ < 2 ? 'unanswered' : undefined)
  const { id } = await submit(rig)
  await rig.clock.until(() => pool.executor.processes.length > 0, 60_000)
  firstProcess(pool).exit()
  t.match(await ended(rig, id), { state: 'succeeded', attempts: 1 })
  t.equal(pool.executor.processes.length, 1)
})

t.test('a final word whose reply died ends the job once', async (t) => {
  const { rig, pool, id } = await start(t)
  let lost = 0
  pool.line.fault = ({ url }) => (url.endsWith('/orch/states') && lost++ < 3 ? 'unanswered' : undefined)
  firstProcess(pool).exit({ rc: 5 })
  t.match(await ended(rig, id), { state: 'failed', rc: 5 })
  await rig.clock.advance(120_000)
  t.equal((await attempts(rig, id)).length, 1)
  t.ok(lost > 1, 'it was said again')
  t.equal(pool.swarm.status().claims.length, 0, 'and then let go')
})

t.test('pond restarted under a running job: nothing runs twice, nothing is missing', async (t) => {
  const { rig, pool, id } = await start(t)
  const process = firstProcess(pool)
  process.write('stdout', 'before ')
  await rig.clock.advance(1000)
  pool.line.fault = () => 'unsent'
  await rig.restart()
  process.write('stdout', 'meanwhile ')
  await rig.clock.advance(30_000)
  pool.line.fault = () => undefined
  process.write('stdout', 'after')
  process.exit()
  t.match(await ended(rig, id), { state: 'succeeded', attempts: 1 })
  t.equal(await stdout(rig, id), 'before meanwhile after')
  t.equal(pool.executor.processes.length, 1)
})

t.test('pond away for a day: the result and the output still arrive', async (t) => {
  const { rig, pool, id } = await start(t)
  pool.line.fault = () => 'unsent'
  rig.pond.services.core.listening.storeFailed()
  const process = firstProcess(pool)
  process.write('stdout', 'all of it')
  process.exit()
  await rig.clock.advance(1000)
  rig.clock.jump(24 * 60 * 60 * 1000)
  await rig.clock.advance(1000)
  pool.line.fault = () => undefined
  t.match(await ended(rig, id), { state: 'succeeded', rc: 0 })
  t.equal(await stdout(rig, id), 'all of it')
})

t.test('swarm restarted: its trees are killed, the truth is told, an idempotent job runs again', async (t) => {
  const { rig, pool, id } = await start(t, { idempotent: true })
  const process = firstProcess(pool)
  process.write('stdout', 'half')
  await rig.clock.advance(1000)
  pool.kill()
  pool.executor.left = 1
  await pool.start()
  t.strictSame(
    pool.executor.swept.map(({ pid }) => pid),
    [process.trace.pid],
  )
  await rig.clock.until(() => pool.executor.processes.length === 2, 120_000)
  pool.executor.processes[1]?.exit()
  t.match(await ended(rig, id), { state: 'succeeded', attempts: 2 })
  const [first, second] = await attempts(rig, id)
  t.match([first, second], [{ cause: 'worker_lost', streams: [{ bytes: 4 }] }, { cause: 'exit' }])
})

t.test('swarm restarted before it could tell the end: the next life tells it', async (t) => {
  const { rig, pool, id } = await start(t)
  pool.line.fault = ({ url }) => (url.endsWith('/orch/states') ? 'unsent' : undefined)
  const process = firstProcess(pool)
  process.write('stdout', 'kept')
  process.exit({ rc: 9 })
  await rig.clock.advance(5000)
  pool.kill()
  pool.line.fault = () => undefined
  await pool.start()
  t.match(await ended(rig, id), { state: 'failed', cause: 'exit', rc: 9, attempts: 1 })
  t.equal(await stdout(rig, id), 'kept')
  t.equal(pool.executor.processes.length, 1)
})

t.test('a late word flips nothing', async (t) => {
  const { rig, pool, id } = await start(t, { idempotent: true })
  pool.line.fault = () => 'unsent'
  firstProcess(pool).exit({ rc: 1 })
  await rig.clock.advance(limit.leaseMs + 5000)
  t.equal((await jobOf(rig, id)).state, 'queued', 'lost, and tried again')
  const other = await startPool(rig, { seed: 8 })
  await rig.clock.until(() => other.executor.processes.length === 1, 120_000)
  pool.line.fault = () => undefined
  await rig.clock.advance(120_000)
  t.match(await jobOf(rig, id), { state: 'running' })
  t.match(await attempts(rig, id), [{ state: 'lost', orphan: true, rc: 1 }, { state: 'confirmed' }])
  other.executor.processes[0]?.exit()
  t.match(await ended(rig, id), { state: 'succeeded', rc: 0, attempts: 2 })
})

t.test('cancel reaches the process within two seconds', async (t) => {
  const { rig, pool, id } = await start(t)
  await rig.clock.advance(30_000)
  await rig.call('cancelJob', { params: { id }, body: {} })
  await rig.clock.advance(2000)
  t.strictSame(firstProcess(pool).signals, ['TERM'])
  t.match(await ended(rig, id), { state: 'cancelled', cause: 'cancelled', rc: 143 })
})

t.test('a cut stream resumes without a gap and without a byte twice', async (t) => {
  const { rig, pool, id } = await start(t)
  const process = firstProcess(pool)
  let turn = 0
  const faults = ['unsent', 'unanswered', 'cut'] as const
  pool.line.fault = ({ url }) => (url.includes('/chunk?') && turn++ < 9 ? faults[turn % 3] : undefined)
  const parts = Array.from({ length: 20 }, (_, index) => `line ${index}\n`)
  for (const part of parts) {
    process.write('stdout', part)
    await rig.clock.advance(700)
  }
  process.exit()
  t.match(await ended(rig, id), { state: 'succeeded' })
  t.equal(await stdout(rig, id), parts.join(''))
  t.ok(turn >= 9)
})

t.test('a consumer that was cut off goes on from its offset', async (t) => {
  const { rig, pool, id } = await start(t)
  const process = firstProcess(pool)
  process.write('stdout', 'one ')
  await rig.clock.advance(1000)
  pool.consumerLine.fault = () => 'cut'
  const query = (offset: number) => ({ params: { id, name: 'stdout' }, query: { offset, follow: '1' } })
  const got: Buffer[] = []
  const read = async (offset: number) => {
    const answer = await pool.consumer.open('readStream', query(offset))
    if (!answer.ok) throw new Error(answer.error.message)
    for await (const part of answer.body) got.push(Buffer.from(part))
  }
  await t.rejects(read(0))
  const offset = Buffer.concat(got).length
  pool.consumerLine.fault = () => undefined
  const rest = read(offset)
  await rig.clock.settle()
  process.write('stdout', 'two')
  process.exit()
  await ended(rig, id)
  await rest
  t.equal(Buffer.concat(got).toString(), 'one two')
})

t.test('a deaf worker is noticed, and what it ran goes to another', async (t) => {
  const { rig, pool, id } = await start(t, { idempotent: true })
  pool.line.fault = () => 'unsent'
  await rig.clock.advance(limit.leaseMs + 2000)
  t.match((await rig.call('listWorkers')).reply.items, [{ state: 'offline' }])
  const other = await startPool(rig, { seed: 8 })
  await rig.clock.until(() => other.executor.processes.length === 1, 60_000)
  pool.line.fault = () => undefined
  await rig.clock.until(() => firstProcess(pool).ended, 120_000)
  t.strictSame(firstProcess(pool).signals, ['KILL'], 'the deaf one drops it as soon as it hears again')
  other.executor.processes[0]?.exit()
  t.match(await ended(rig, id), { state: 'succeeded', attempts: 2 })
})

t.test('two swarms with one binding: the second gets nothing while the first lives', async (t) => {
  const { rig, pool, id } = await start(t)
  const second = await startPool(rig, { seed: 8, copyOf: pool })
  await rig.clock.advance(10_000)
  await submit(rig)
  await rig.clock.advance(10_000)
  t.equal(pool.swarm.status().claims.length, 2)
  t.equal(second.swarm.status().claims.length, 0)
  const audit = (await rig.call('listAudit')).reply.items
  t.ok(audit.some(({ action }) => action === 'poll.session_conflict'))
  firstProcess(pool).exit()
  t.match(await ended(rig, id), { state: 'succeeded' })
})

t.test('a machine whose clock is an hour off pairs and works, and goes on after pond restarted', async (t) => {
  for (const aheadMs of [-HOUR_MS, HOUR_MS]) {
    const rig = await createPondRig(t)
    const pool = await startPool(rig, { aheadMs })
    const { id } = await submit(rig)
    await rig.clock.until(() => pool.executor.processes.length === 1, 60_000)
    await rig.restart()
    firstProcess(pool).exit()
    t.match(await ended(rig, id), { state: 'succeeded' })
    t.equal(pool.end, undefined)
  }
})

t.test('a drained swarm gives its job back, and ends', async (t) => {
  const { rig, pool, id } = await start(t)
  pool.swarm.drain({ deadlineMs: 1000 })
  await rig.clock.advance(20_000)
  t.strictSame(firstProcess(pool).signals, ['TERM'])
  t.match(pool.end, { reason: 'drained' })
  t.match(await jobOf(rig, id), { state: 'queued', attempts: 1 })
})

t.test('a revoked swarm ends and kills what it runs', async (t) => {
  const { rig, pool, id } = await start(t)
  const [worker] = (await rig.call('listWorkers')).reply.items
  await rig.call('revokeBinding', { params: { id: worker?.binding_id ?? '' } })
  await rig.clock.advance(30_000)
  t.match(pool.end, { reason: 'unauthenticated' })
  t.ok(firstProcess(pool).ended)
  t.match(await jobOf(rig, id), { state: 'failed', cause: 'revoked' })
})
