// A laptop that sleeps for longer than its token lives: a real pond that is awake all the time, and a real orchestrator that is not.
import t from 'tap'
import type { Clock } from '../../src/system/clock.ts'
import { jobOf, submit } from '../harness/machine.ts'
import { createPondRig, type PondRig } from '../harness/pond.ts'
import { type Pool, startPool } from '../harness/pool.ts'

const MINUTE = 60 * 1000
const HOUR = 60 * MINUTE
/** A token that lives as long against the sleep as 90 days against 100. */
const TOKEN_MS = 2 * HOUR
const SLEPT_MS = 2.2 * HOUR

interface Lid {
  readonly pool: Pool
  shut(): void
  open(): Promise<void>
}

/** While the lid is shut no timer of the machine runs, and nothing leaves it. */
async function startLaptop(rig: PondRig): Promise<Lid> {
  let isShut = false
  const late: (() => void)[] = []
  const after: Clock['after'] = (ms, run) => {
    let isCancelled = false
    const due = () => (isCancelled ? undefined : run())
    const cancel = rig.clock.after(ms, () => (isShut ? void late.push(due) : due()))
    return () => {
      isCancelled = true
      cancel()
    }
  }
  const pool = await startPool(Object.create(rig, { clock: { value: { ...rig.clock, after } } }), { class: 'laptop' })
  return {
    pool,
    shut() {
      isShut = true
      pool.line.fault = () => 'unsent'
    },
    async open() {
      isShut = false
      pool.line.fault = () => undefined
      for (const run of late.splice(0)) run()
      await rig.clock.advance(3 * MINUTE)
    },
  }
}

/** Two jobs that end as the lid closes: their last chunks and words stay on the machine. */
async function sleepWithEnds(rig: PondRig, { pool, shut }: Lid) {
  const hold = await submit(rig, { command: ['work'], on_lost: 'hold', hold_ms: 24 * HOUR })
  const lost = await submit(rig, { command: ['work'] })
  await rig.clock.until(() => pool.executor.processes.length === 2, MINUTE)
  for (const process of pool.executor.processes) process.write('stdout', 'begun, ')
  await rig.clock.advance(5000)
  shut()
  for (const process of pool.executor.processes) {
    process.write('stdout', 'and done')
    process.exit({ result: Buffer.from('7') })
  }
  return { hold: hold.id, lost: lost.id }
}

const stdoutOf = async (rig: PondRig, id: string) =>
  (await rig.call('readStream', { params: { id, name: 'stdout' } })).bytes.toString()

t.test('a sleep that is longer than the life of the token: all that was unsaid arrives', async (t) => {
  const rig = await createPondRig(t, { settings: { tokenLifeMs: TOKEN_MS } })
  const laptop = await startLaptop(rig)
  const { hold, lost } = await sleepWithEnds(rig, laptop)
  await rig.clock.advance(SLEPT_MS)
  t.match(await jobOf(rig, lost), { state: 'failed', cause: 'worker_lost' }, 'pond was awake')
  let refused = 0
  laptop.pool.line.watch = ({ status }) => {
    if (status === 401) refused++
  }
  await laptop.open()
  t.ok(refused > 0, 'the token was over')
  t.equal(laptop.pool.end, undefined, 'swarm goes on')
  t.match(await jobOf(rig, hold), { state: 'succeeded', rc: 0, attempts: 1 })
  t.equal(await stdoutOf(rig, hold), 'begun, and done')
  t.match((await rig.call('listAttempts', { params: { id: lost } })).reply.items, [{ orphan: true, rc: 0 }])
  t.equal(await stdoutOf(rig, lost), 'begun, and done', 'and that of a claim that was lost')
  t.equal(laptop.pool.executor.processes.length, 2)
  const next = await submit(rig, { command: ['work'] })
  await rig.clock.until(() => laptop.pool.executor.processes.length === 3, MINUTE)
  t.match(await jobOf(rig, next.id), { attempts: 1 }, 'and jobs come again')
})

t.test('revoked while it slept: no renewal helps, and swarm ends', async (t) => {
  const rig = await createPondRig(t, { settings: { tokenLifeMs: TOKEN_MS } })
  const laptop = await startLaptop(rig)
  laptop.shut()
  await rig.clock.advance(SLEPT_MS)
  const { binding_id: id } = laptop.pool.binding
  t.notOk((await rig.call('revokeBinding', { params: { id } })).code)
  await laptop.open()
  t.match(laptop.pool.end, { reason: 'unauthenticated' })
})

t.test('a laptop that is started again and heard by a snapshot first is still one, and delivers', async (t) => {
  const rig = await createPondRig(t)
  const pool = await startPool(rig, { class: 'laptop' })
  await rig.clock.advance(3000)
  const { id } = await submit(rig, { command: ['work'] })
  await rig.clock.advance(5000)
  pool.line.fault = () => 'unsent'
  pool.executor.processes[0]?.exit({})
  await rig.clock.advance(10 * MINUTE)
  pool.kill()
  let isHeard = false
  pool.line.watch = ({ status }) => {
    isHeard ||= status === 200
  }
  pool.line.fault = ({ url }) => (url.includes('snapshot') ? undefined : 'unsent')
  await pool.start()
  await rig.clock.advance(10_000)
  t.ok(isHeard, 'by its snapshot, which cannot tell its class yet')
  t.equal((await jobOf(rig, id)).state, 'running')
  pool.line.fault = () => undefined
  await rig.clock.advance(2 * MINUTE)
  t.match(await jobOf(rig, id), { state: 'succeeded', attempts: 1 })
})
