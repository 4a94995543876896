// The whole orchestrator: slots, pause, drain in all its ways, snapshots, status, and how a run ends.
import t from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

t.test('as many jobs at a time as there are slots, and all of them in the end', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 3 })
  await start()
  const intents = Array.from({ length: 10 }, () => pond.give())
  await clock.settle()
  t.equal(executor.processes.length, 3)
  for (let count = 0; count < 10; count++) {
    executor.processes.find((process) => !process.ended)?.exit()
    await clock.settle()
    t.ok(executor.processes.filter((process) => !process.ended).length <= 3)
  }
  t.ok(intents.every(({ claim_id }) => pond.finalOf(claim_id)))
})

t.test('a slow upload does not hold a slot', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 1 })
  await start()
  pond.fault = (name) => (name === 'sendChunk' ? refusal('internal') : undefined)
  pond.give()
  await clock.settle()
  executor.processes[0]?.write('stdout', 'x')
  executor.processes[0]?.exit()
  pond.give()
  await clock.advance(60_000)
  t.equal(executor.processes.length, 2)
})

t.test('paused: no room is offered, what runs goes on; resumed: jobs come again', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const { swarm } = await start()
  pond.give()
  await clock.settle()
  swarm.pause()
  await clock.settle()
  pond.give()
  await clock.advance(30_000)
  t.equal(executor.processes.length, 1)
  t.notOk(executor.processes[0]?.ended)
  t.equal(swarm.status().state, 'paused')
  swarm.resume()
  await clock.advance(1000)
  t.equal(executor.processes.length, 2)
})

t.test('an intent that crosses a pause is declined', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const { swarm } = await start()
  swarm.pause()
  const { claim_id } = pond.give()
  await clock.settle()
  t.equal(executor.processes.length, 0)
  t.match(pond.finalOf(claim_id), { state: 'declined', message: /paused/, cause: 'drained' })
})

t.test('drain without a deadline: running jobs go on, none is taken, then the run ends', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const life = await start()
  const first = pond.give()
  await clock.settle()
  life.swarm.drain()
  pond.give()
  await clock.advance(3_600_000)
  t.equal(executor.processes.length, 1)
  t.equal(life.swarm.status().state, 'draining')
  t.ok(pond.polls.at(-1)?.have.length === 1, 'the lease is renewed all the time')
  executor.processes[0]?.exit()
  await clock.advance(1000)
  t.match(pond.finalOf(first.claim_id), { cause: 'exit', rc: 0 })
  t.same(life.end, { reason: 'drained' })
  t.equal(clock.pending(), 0, 'nothing is left running')
})

t.test('drain with a deadline: what still runs then is asked, killed, and told as drained', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  executor.onTerminate = () => {}
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  life.swarm.drain({ deadlineMs: 60_000 })
  await clock.advance(59_999)
  t.same(executor.processes[0]?.signals, [])
  await clock.advance(1)
  t.same(executor.processes[0]?.signals, ['TERM'])
  await clock.advance(limit.killGraceMs)
  t.same(executor.processes[0]?.signals, ['TERM', 'KILL'])
  await clock.settle()
  t.match(pond.finalOf(claim_id), { cause: 'drained' })
  await clock.advance(1000)
  t.same(life.end, { reason: 'drained' })
})

t.test('a second signal cancels, a third kills', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  executor.onTerminate = () => {}
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  life.swarm.drain()
  life.swarm.cancelAll()
  await clock.advance(0)
  t.same(executor.processes[0]?.signals, ['TERM'])
  life.swarm.killAll()
  await clock.advance(100)
  t.same(executor.processes[0]?.signals, ['TERM', 'KILL'])
  t.match(pond.finalOf(claim_id), { cause: 'drained' })
  t.same(life.end, { reason: 'killed' })
})

t.test('killed while pond is away: the run ends soon, and the next one tells the rest', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  executor.processes[0]?.write('stdout', 'late')
  pond.fault = () => refusal('unreachable')
  await clock.advance(60_000)
  life.swarm.killAll()
  await clock.advance(6000)
  t.same(life.end, { reason: 'killed', owed: 1 })
  pond.fault = () => undefined
  await start()
  await clock.advance(1000)
  t.match(pond.finalOf(claim_id), { cause: 'drained', rc: 137 })
  t.equal(pond.stream(claim_id, 'stdout').toString(), 'late')
})

t.test('a drain that pond asks for is obeyed, one for another worker is not', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  const life = await start()
  pond.direct({ type: 'drain', worker_id: `wrk_${'1'.repeat(26)}` as never })
  await clock.advance(1000)
  t.notOk(life.end)
  pond.direct({ type: 'drain' })
  await clock.advance(1000)
  t.same(life.end, { reason: 'drained' })
})

t.test('intents that cross a drain are declined, and the run still ends', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  let arrive = () => {}
  const late = new Promise<void>((resolve) => {
    arrive = resolve
  })
  pond.deliver = (_, call) => ((call.body as unknown as { seq?: number }).seq === 1 ? late : undefined)
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  life.swarm.drain()
  arrive()
  await clock.advance(1000)
  t.equal(executor.processes.length, 0)
  t.match(pond.finalOf(claim_id), { state: 'declined', message: /no more jobs/ })
  t.same(life.end, { reason: 'drained' })
})

t.test('pond away does not keep an idle swarm from ending', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  const life = await start()
  pond.fault = () => refusal('unreachable')
  await clock.advance(60_000)
  life.swarm.drain()
  await clock.advance(6000)
  t.same(life.end, { reason: 'drained' })
})

t.test('--once takes one job and ends', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ once: true, slots: 4 })
  const life = await start()
  pond.give()
  pond.give()
  await clock.advance(1000)
  t.equal(executor.processes.length, 1)
  executor.processes[0]?.exit()
  await clock.advance(1000)
  t.same(life.end, { reason: 'once' })
})

t.test('--once goes on until a job ran: one that was declined is none', async (t) => {
  const { clock, pond, executor, start, disk } = await createSwarmRig({ once: true })
  await disk.replace('/home/swarm/rules.json', JSON.stringify({ commands: ['python3*'] }))
  const life = await start()
  const declined = pond.give()
  await clock.advance(1000)
  t.match(
    pond.words.filter(({ claim_id }) => claim_id === declined.claim_id),
    [{ state: 'declined', cause: 'refused' }],
  )
  t.notOk(life.end)
  pond.give({ command: ['python3', 'train.py'] })
  await clock.advance(1000)
  executor.processes[0]?.exit()
  await clock.advance(1000)
  t.same(life.end, { reason: 'once' })
})

t.test('a job that is given up with its swarm leaves no timer of --idle-exit behind', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ idleExitMs: 600_000 })
  const life = await start()
  pond.give()
  await clock.advance(1000)
  pond.fault = () => refusal('unreachable')
  life.swarm.killAll()
  await clock.advance(30_000)
  t.match(life.end, { reason: 'killed', owed: 1 })
  t.ok(executor.processes[0]?.ended)
  t.equal(clock.pending(), 0)
})

t.test('--idle-exit takes no notice of what is only declined', async (t) => {
  const { clock, pond, start, disk } = await createSwarmRig({ idleExitMs: 30_000 })
  await disk.replace('/home/swarm/rules.json', JSON.stringify({ commands: ['python3*'] }))
  const life = await start()
  for (let times = 0; times < 4; times++) {
    pond.give()
    await clock.advance(10_000)
  }
  t.same(life.end, { reason: 'idle' })
})

t.test('--idle-exit counts from the last job, --max-uptime from the start', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ idleExitMs: 60_000 })
  const life = await start()
  await clock.advance(50_000)
  pond.give()
  await clock.advance(50_000)
  executor.processes[0]?.exit()
  await clock.advance(59_000)
  t.notOk(life.end)
  await clock.advance(2000)
  t.same(life.end, { reason: 'idle' })

  const other = await createSwarmRig({ maxUptimeMs: 60_000 })
  const up = await other.start()
  await other.clock.advance(61_000)
  t.same(up.end, { reason: 'max_uptime' })
})

t.test('a run that is old enough waits for its jobs only until its deadline', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ maxUptimeMs: 60_000, maxUptimeDeadlineMs: 30_000 })
  const life = await start()
  const { claim_id } = pond.give()
  await clock.advance(89_000)
  t.notOk(executor.processes[0]?.signals.length, 'it may end by itself')
  await clock.advance(30_000)
  t.same(life.end, { reason: 'max_uptime' })
  t.match(pond.finalOf(claim_id), { cause: 'drained' })
})

t.test(
  'a disk without room: no slot is offered, pond hears why, and with room again jobs come by themselves',
  async (t) => {
    const { clock, pond, executor, disk, start } = await createSwarmRig()
    const { swarm } = await start()
    await clock.advance(3000)
    disk.roomBytes = 1_000_000
    await clock.advance(7000)
    t.match(swarm.status(), { state: 'paused', note: /disk is full/, free: 0 })
    t.match(pond.snapshots.at(-1)?.workers[0], { state: 'paused', note: /disk is full/ })
    const { claim_id } = pond.give()
    await clock.advance(60_000)
    t.equal(executor.processes.length, 0)
    t.equal(pond.finalOf(claim_id), undefined, 'it waits in the queue and bounces off nobody')
    disk.roomBytes = 1e9
    await clock.advance(10_000)
    t.equal(executor.processes.length, 1)
    t.match(pond.snapshots.at(-1)?.workers[0], { state: 'ready', note: undefined })
  },
)

t.test('an end in order tells of a claim that could not be read: the next run says it', async (t) => {
  const { clock, disk, lines, pond, start } = await createSwarmRig()
  const former = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  former.die()
  const list = disk.list.bind(disk)
  disk.list = (path) => (path.endsWith(claim_id) ? Promise.reject(new Error('EIO')) : list(path))
  const life = await start()
  await clock.advance(1000)
  t.ok(lines.some(({ event }) => event === 'claim_failed'))
  life.swarm.drain()
  await clock.advance(10_000)
  t.same(life.end, { reason: 'drained', owed: 1 })
  t.match(lines.at(-1), { event: 'ended', fields: { unsaid: 1 } })
  disk.list = list
  const next = await start()
  await clock.advance(10_000)
  t.match(pond.finalOf(claim_id), { cause: 'worker_lost' })
  next.swarm.drain()
  await clock.advance(10_000)
  t.same(next.end, { reason: 'drained' })
})

t.test('a journal that takes no line starts nothing that could not be found again', async (t) => {
  const { clock, pond, executor, disk, start } = await createSwarmRig()
  await start()
  disk.fault = (_, path) => (path.endsWith('/journal') ? new Error('EIO') : undefined)
  const idempotent = pond.give({ idempotent: true })
  const careful = pond.give()
  await clock.settle()
  t.equal(executor.processes.length, 0)
  t.ok(pond.words.some((word) => word.claim_id === idempotent.claim_id && word.state === 'declined'))
  t.match(pond.finalOf(careful.claim_id), { state: 'final', cause: 'disk_full' })
})

t.test('snapshots: soon after a change, never twice in two seconds, at least every thirty', async (t) => {
  const { clock, pond, start } = await createSwarmRig({ slots: 8 })
  const { swarm } = await start()
  t.match(pond.snapshots, [
    { seq: 1, workers: [{ inflight: 0, state: 'ready', executor: 'fake proc-scan', load: 0.5 }] },
  ])
  for (let count = 0; count < 5; count++) {
    pond.give()
    await clock.advance(100)
  }
  t.equal(pond.snapshots.length, 1)
  await clock.advance(2000)
  t.match(pond.snapshots.at(-1), { seq: 2, workers: [{ inflight: 5 }] })
  swarm.pause()
  await clock.advance(2000)
  t.match(pond.snapshots.at(-1), { workers: [{ state: 'paused' }] })
  const count = pond.snapshots.length
  await clock.advance(300_000)
  t.equal(pond.snapshots.length, count + 10)
})

t.test('status names pond, project, executor, rung, slots and each claim', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  const { swarm } = await start()
  const { claim_id, job_id } = pond.give()
  await clock.advance(1500)
  t.match(swarm.status(), {
    state: 'ready',
    pond: 'http://pond.example',
    project: 'default',
    executor: 'fake',
    rung: 'proc-scan',
    slots: 2,
    free: 1,
    healthy: true,
    since_poll_ms: Number,
    skew_ms: 0,
    claims: [{ claim_id, job_id, state: 'running', started_at: Number }],
  })
})

t.test('a thousand short jobs leave nothing behind: no file, no claim, no timer', async (t) => {
  const { clock, pond, executor, disk, start } = await createSwarmRig({ slots: 16 })
  executor.onStart = (process) => {
    process.write('stdout', 'out')
    process.exit()
  }
  const life = await start()
  const intents = Array.from({ length: 1000 }, (_, index) => pond.give({ idempotent: index % 2 === 0 }))
  await clock.until(() => intents.every(({ claim_id }) => pond.finalOf(claim_id)))
  life.swarm.drain()
  await clock.advance(5000)
  t.same(life.end, { reason: 'drained' })
  t.equal(executor.processes.length, 1000)
  t.same(
    disk.paths().filter((path) => path.includes('clm_')),
    [],
  )
  t.equal(clock.pending(), 0)
})
