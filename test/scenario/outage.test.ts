// The worst days of a pond, on a hand-driven clock: jobs run on without it, and all that they said and made arrives once it is back.
import t, { type Test } from 'tap'
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
