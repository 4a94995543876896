// The worst days of a pond, on a hand-driven clock: jobs run on without it, and all that they said and made arrives once it is back.
import t, { type Test } from 'tap'
import { jobOf, submit } from '../harness/machine.ts'
import { type Cast, roles, startCast } from '../harness/outage-cast.ts'
import { createPondRig, type PondRig } from '../harness/pond.ts'
import { type Pool, startPool } from '../harness/pool.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** How many times everyone prints during an outage. */
const ACTS = 48

interface Day {
  readonly rig: PondRig
  readonly pool: Pool
  readonly cast: Cast
  /** Lets this part of an outage pass, bit by bit. */
  pass(lengthMs: number, from?: number, to?: number): Promise<void>
}

async function begin(t: Test): Promise<Day> {
  const rig = await createPondRig(t)
  const pool = await startPool(rig, { slots: Object.keys(roles).length, allowUnsandboxed: true })
  const cast = await startCast(t, rig, pool)
  cast.play(-0.01)
  await rig.clock.advance(1000)
  return {
    rig,
    pool,
    cast,
    async pass(lengthMs, from = 0, to = 1) {
      for (let act = from * ACTS; act < to * ACTS; act++) {
        cast.play(act / ACTS)
        await rig.clock.advance(lengthMs / ACTS)
      }
    },
  }
}

async function finish(t: Test, { rig, pool, cast }: Day): Promise<void> {
  cast.play(1)
  await rig.clock.advance(1000)
  cast.play(2)
  await cast.ended()
  t.strictSame(await cast.faults(), [])
  await rig.clock.advance(5 * MINUTE)
  t.equal(pool.swarm.status().claims.length, 0, 'nothing is owed any more')
  t.ok(pool.swarm.health().ok)
}

/** No packet comes through. */
const cut = ({ pool }: Day, isCut: boolean) => {
  pool.line.fault = () => (isCut ? 'unsent' : undefined)
}

t.test('pond killed and gone for 24 hours: every job ends meanwhile, and all of it arrives', async (t) => {
  const day = await begin(t)
  cut(day, true)
  await day.rig.restart(() => day.pass(24 * HOUR))
  t.equal(day.pool.executor.processes.filter(({ ended }) => ended).length, Object.keys(roles).length - 1, 'all but one')
  cut(day, false)
  await finish(t, day)
})

t.test('pond gone for a day, back for some seconds in the middle, and gone again', async (t) => {
  const day = await begin(t)
  cut(day, true)
  await day.rig.restart(() => day.pass(6 * HOUR, 0, 0.5))
  cut(day, false)
  await day.rig.clock.advance(20_000)
  cut(day, true)
  await day.rig.restart(() => day.pass(6 * HOUR, 0.5, 1))
  cut(day, false)
  await finish(t, day)
})

t.test('pond stopped in order and started 10 minutes later', async (t) => {
  const day = await begin(t)
  await day.rig.restart(async () => {
    cut(day, true)
    await day.pass(10 * MINUTE)
  })
  cut(day, false)
  await finish(t, day)
})

t.test('a store that takes no write for an hour: no lease runs out meanwhile', async (t) => {
  const day = await begin(t)
  day.rig.storeFault = () => 'refuse'
  await day.pass(HOUR)
  day.rig.storeFault = () => undefined
  await finish(t, day)
})

t.test(
  'polls reach pond and no reply comes back for 10 minutes: nothing is lost, nothing is started twice',
  async (t) => {
    const day = await begin(t)
    day.pool.line.fault = () => 'unanswered'
    await day.pass(10 * MINUTE)
    t.notOk(day.pool.swarm.health().ok, 'it knows that it is deaf')
    day.pool.line.fault = () => undefined
    await finish(t, day)
  },
)

t.test('a dead proxy before a live pond for less than a lease: no job notices', async (t) => {
  const day = await begin(t)
  cut(day, true)
  await day.pass(MINUTE)
  cut(day, false)
  await finish(t, day)
})

t.test(
  'a dead proxy before a live pond for an hour: nothing is killed, and what ended meanwhile is kept',
  async (t) => {
    const rig = await createPondRig(t)
    const pool = await startPool(rig, { slots: 3 })
    const held = await submit(rig, { on_lost: 'hold', hold_ms: 2 * HOUR })
    const other = await submit(rig)
    await rig.clock.advance(1000)
    const [first, second] = pool.executor.processes
    pool.line.fault = () => 'unsent'
    await rig.clock.advance(HOUR)
    t.same([first?.signals, second?.signals, first?.ended, second?.ended], [[], [], false, false])
    for (const process of [first, second]) {
      process?.write('stdout', 'all of it')
      process?.exit()
    }
    await rig.clock.advance(MINUTE)
    t.match(await jobOf(rig, held.id), { state: 'running', attempts: 1 }, 'pond waits for it')
    t.match(await jobOf(rig, other.id), { state: 'failed', cause: 'worker_lost' })
    pool.line.fault = () => undefined
    await rig.clock.advance(5 * MINUTE)
    t.match(await jobOf(rig, held.id), { state: 'succeeded', attempts: 1 })
    t.match((await rig.call('listAttempts', { params: { id: other.id } })).reply.items, [
      { orphan: true, rc: 0, streams: [{ name: 'stdout', bytes: 9 }] },
    ])
    t.match(await jobOf(rig, other.id), { state: 'failed' }, 'a late word flips nothing')
    t.equal(pool.executor.processes.length, 2, 'and nothing was started twice')
  },
)
