// The loss contract: what becomes of a job whose worker falls silent, by what the job asked for and by when its worker comes back. A real pond and real
// orchestrators on one hand-driven clock; another machine has room for a rerun.
import t, { type Test } from 'tap'
import type { AttemptView, JobView } from '../../src/protocol/consumer.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import { limit } from '../../src/protocol/limit.ts'
import { jobOf, submit } from '../harness/machine.ts'
import { createPondRig, type PondRig } from '../harness/pond.ts'
import { type Pool, startPool } from '../harness/pool.ts'

const HOLD_MS = 10 * limit.leaseMs

const jobs = {
  fail: {},
  rerun: { on_lost: 'rerun', idempotent: true },
  hold: { on_lost: 'hold', hold_ms: HOLD_MS },
} as const satisfies Record<string, Partial<JobSpec>>

interface World {
  readonly rig: PondRig
  /** Runs the first attempt, and is cut off. */
  readonly pool: Pool
  /** Comes in when the first is away. */
  readonly other: Pool
  readonly id: string
}

interface Row {
  readonly job: keyof typeof jobs
  readonly comes: 'back in time' | 'late with its result' | 'never'
  /** How long its worker is silent. */
  readonly silentMs: number
  /** What the job is while its worker is silent. */
  readonly meanwhile: Partial<JobView>
  readonly ends: Partial<JobView>
  readonly attempts: readonly Partial<AttemptView>[]
  /** What is read of the job, and of the orphan once it was adopted. */
  readonly reads: string | undefined
  readonly orphan?: string
}

const lost = { state: 'failed', cause: 'worker_lost' } as const
const done = { state: 'succeeded', cause: 'exit', rc: 0 } as const
const orphan = { state: 'lost', cause: 'exit', rc: 0, orphan: true } as const
const gone = { state: 'lost', cause: 'worker_lost', orphan: false } as const
const ended = { state: 'ended', cause: 'exit', orphan: false } as const
const away = limit.leaseMs / 3
const tooLong = limit.leaseMs + 60_000

const rows: readonly Row[] = [
  {
    ...{ job: 'fail', comes: 'back in time', silentMs: away, meanwhile: { state: 'running' } },
    ...{ ends: { ...done, attempts: 1 }, attempts: [ended], reads: 'first' },
  },
  {
    ...{ job: 'fail', comes: 'late with its result', silentMs: tooLong, meanwhile: lost },
    ...{ ends: { ...lost, attempts: 1 }, attempts: [orphan], reads: undefined, orphan: 'first' },
  },
  {
    ...{ job: 'fail', comes: 'never', silentMs: tooLong, meanwhile: lost },
    ...{ ends: { ...lost, attempts: 1 }, attempts: [gone], reads: undefined },
  },
  {
    ...{ job: 'rerun', comes: 'back in time', silentMs: away, meanwhile: { state: 'running', attempts: 1 } },
    ...{ ends: { ...done, attempts: 1 }, attempts: [ended], reads: 'first' },
  },
  {
    ...{ job: 'rerun', comes: 'late with its result', silentMs: tooLong, meanwhile: { state: 'running', attempts: 2 } },
    ...{ ends: { ...done, attempts: 2 }, attempts: [orphan, ended], reads: 'second', orphan: 'first' },
  },
  {
    ...{ job: 'rerun', comes: 'never', silentMs: tooLong, meanwhile: { state: 'running', attempts: 2 } },
    ...{ ends: { ...done, attempts: 2 }, attempts: [gone, ended], reads: 'second' },
  },
  {
    ...{ job: 'hold', comes: 'back in time', silentMs: HOLD_MS / 2, meanwhile: { state: 'running', attempts: 1 } },
    ...{ ends: { ...done, attempts: 1 }, attempts: [ended], reads: 'first' },
  },
  {
    ...{ job: 'hold', comes: 'late with its result', silentMs: HOLD_MS + tooLong, meanwhile: lost },
    ...{ ends: { ...lost, attempts: 1 }, attempts: [orphan], reads: undefined, orphan: 'first' },
  },
  {
    ...{ job: 'hold', comes: 'never', silentMs: HOLD_MS + tooLong, meanwhile: lost },
    ...{ ends: { ...lost, attempts: 1 }, attempts: [gone], reads: undefined },
  },
]

async function cutOff(t: Test, job: keyof typeof jobs): Promise<World> {
  const rig = await createPondRig(t)
  const pool = await startPool(rig)
  const { id } = await submit(rig, { command: ['work'], ...jobs[job] })
  await rig.clock.until(() => pool.executor.processes.length === 1, 60_000)
  await rig.clock.advance(1000)
  pool.line.fault = () => 'unsent'
  return { rig, pool, id, other: await startPool(rig, { seed: 8 }) }
}

function finish({ executor }: Pool, result: string): void {
  const process = executor.processes.at(-1)
  if (!process) throw new Error('nothing was started')
  process.write('stdout', result)
  process.exit({ result: Buffer.from(JSON.stringify(result)) })
}

const attempts = async ({ rig, id }: World) => (await rig.call('listAttempts', { params: { id } })).reply.items
const isFinal = async ({ rig, id }: World) => (await jobOf(rig, id)).ended_at !== undefined

async function reads({ rig, id }: World): Promise<string | undefined> {
  const result = await rig.call('getResult', { params: { id } })
  if (result.code) return undefined
  const stdout = (await rig.call('readStream', { params: { id, name: 'stdout' } })).bytes.toString()
  t.equal(JSON.stringify(stdout), result.bytes.toString(), 'output and result are of one attempt')
  return stdout
}

async function settle(world: World): Promise<void> {
  for (let turn = 0; turn < 300 && !(await isFinal(world)); turn++) await world.rig.clock.advance(1000)
  // What is on its way beside the end arrives, too.
  await world.rig.clock.advance(120_000)
}

for (const row of rows) {
  t.test(`on_lost ${row.job}, and its worker comes ${row.comes}`, async (t) => {
    const world = await cutOff(t, row.job)
    const { rig, pool, other, id } = world
    // Done while it is away: what comes late is the whole result.
    if (row.comes !== 'never') finish(pool, 'first')
    await rig.clock.advance(row.silentMs)
    t.match(await jobOf(rig, id), row.meanwhile, 'meanwhile')
    if (row.comes === 'never') pool.kill()
    else pool.line.fault = () => undefined
    // Its late word crosses the rerun, which it does not disturb.
    await rig.clock.advance(120_000)
    if (other.executor.processes.length > 0) finish(other, 'second')
    await settle(world)
    t.match(await jobOf(rig, id), row.ends)
    const tried = await attempts(world)
    t.match(tried, row.attempts)
    t.equal(tried.length, row.attempts.length, 'and no attempt more')
    t.equal(await reads(world), row.reads)
    if (row.comes !== 'never') {
      const told = pool.swarm.status().orphans.map(({ job_id }) => job_id)
      t.strictSame(told, row.orphan === undefined ? [] : [id], 'its owner is told of an orphan')
    }
    const adopted = await rig.call('adoptAttempt', { params: { id }, body: { attempt: 1 } })
    if (row.orphan === undefined) {
      t.equal(adopted.code, 'not_possible', 'there is nothing to adopt')
    } else {
      t.match(adopted.reply, { ...row.ends, adopted: { attempt: 1, cause: 'exit', rc: 0 } }, 'the end stands')
      t.equal(await reads(world), row.orphan)
    }
  })
}

t.test('a job on hold waits for its own claim, and no other machine gets it', async (t) => {
  const world = await cutOff(t, 'hold')
  const { rig, pool, other, id } = world
  await rig.clock.advance(tooLong)
  t.match(await attempts(world), [{ state: 'held' }])
  pool.line.fault = () => undefined
  await rig.clock.advance(60_000)
  t.match(await attempts(world), [{ state: 'confirmed' }], 'it is back, with the same claim')
  finish(pool, 'first')
  await settle(world)
  t.match(await jobOf(rig, id), { ...done, attempts: 1 })
  t.equal(other.executor.processes.length, 0)
})

t.test('a worker that comes back while its job runs elsewhere drops its own process', async (t) => {
  const world = await cutOff(t, 'rerun')
  const { rig, pool, other, id } = world
  await rig.clock.advance(tooLong)
  t.equal(other.executor.processes.length, 1)
  pool.line.fault = () => undefined
  await rig.clock.advance(60_000)
  t.strictSame(pool.executor.processes[0]?.signals, ['KILL'])
  finish(other, 'second')
  await settle(world)
  t.match(await jobOf(rig, id), { ...done, attempts: 2 })
  t.match(await attempts(world), [{ ...gone }, { ...ended }])
})

t.test('pond lost bytes of an attempt that it had given up: the orphan is whole before it is kept', async (t) => {
  const world = await cutOff(t, 'fail')
  const { rig, pool, id } = world
  // Its output still arrives, and its word does not.
  pool.line.fault = ({ url }) => (/\/states?$|\/poll$/.test(url) ? 'unsent' : undefined)
  finish(pool, 'first')
  await rig.clock.advance(tooLong)
  t.match(await jobOf(rig, id), lost)
  const [{ claim_id } = { claim_id: '' }] = await attempts(world)
  t.equal((await rig.blobs.stat({ claimId: claim_id, name: 'stdout' })).committed, 5)
  await rig.blobs.remove(claim_id)
  pool.line.fault = () => undefined
  await rig.clock.advance(120_000)
  t.match(await attempts(world), [{ ...orphan, streams: [{ name: 'stdout', bytes: 5, end: 'complete' }] }])
  await rig.call('adoptAttempt', { params: { id }, body: { attempt: 1 } })
  t.equal(await reads(world), 'first')
})
