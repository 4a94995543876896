// The figures of a pond: what waits by what it requires, what runs, and how long waits and runs were.
import t from 'tap'
import { Stats } from '../../../server/service/stats.ts'
import { finalWord, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig } from '../../harness/pond.ts'

t.test('what waits, by class and priority, and what runs', async (t) => {
  const rig = await createPondRig(t)
  const read = async () => (await rig.call('getStats', {})).reply
  t.match(await read(), { queued: 0, delayed: 0, classes: [], claims: {}, workers: {}, polls_parked: 0 })
  const box = await pairMachine(rig, { slots: 1 })
  for (const priority of [5, 5, 9]) await submit(rig, { priority })
  await submit(rig, { requires: { os: 'plan9' } })
  const intent = await box.start()
  await rig.clock.advance(1000)
  t.match(await read(), {
    queued: 3,
    classes: [
      { project: 'default', requires: {}, queued: 2, priorities: { 5: 2 } },
      { requires: { os: 'plan9' }, queued: 1 },
    ],
    ...{ classes_in_all: 2, claims: { confirmed: 1 }, workers: { online: 1 } },
  })
  await box.say(intent, finalWord)
  const [last] = (await read()).windows.slice(-1)
  t.match(last, { window_ms: 3_600_000, ended: { succeeded: 1 }, wait_ms: { count: 1 }, run_ms: { count: 1 } })
  t.ok((last?.run_ms?.p50 ?? 0) >= 1000)
  await submit(rig, { retry: { on: ['exit'], attempts: 2, backoff_ms: 60_000 }, priority: 9 })
  await box.say(await box.start(), { ...finalWord, rc: 1 })
  t.match(await read(), { delayed: 1, queued: 3 })
})

t.test('who waits for others is counted as they come, go on, end, and after a restart', async (t) => {
  const rig = await createPondRig(t)
  const waiting = async () => (await rig.call('getStats', {})).reply.waiting
  const first = await submit(rig)
  const [second] = [await submit(rig, { after: [first.id] }), await submit(rig, { after: [first.id] })]
  t.equal(await waiting(), 2)
  await rig.call('cancelJob', { params: { id: second.id }, body: {} })
  t.equal(await waiting(), 1)
  await rig.restart()
  t.equal(await waiting(), 1)
  const box = await pairMachine(rig)
  await box.say(await box.start(), finalWord)
  await rig.clock.settle()
  t.match((await rig.call('getStats', {})).reply, { waiting: 0, queued: 1 })
  await rig.call('cancelJob', { params: { id: first.id }, body: {} })
  const failed = await submit(rig)
  await rig.call('cancelJob', { params: { id: failed.id }, body: {} })
  await submit(rig, { after: [failed.id] })
  t.equal(await waiting(), 0, 'what it names had ended otherwise: it ends at once')
})

t.test('a job that ends without a start has no run, and each end counts once', async (t) => {
  const rig = await createPondRig(t)
  const { id } = await submit(rig)
  await rig.call('cancelJob', { params: { id }, body: {} })
  await rig.call('cancelJob', { params: { id }, body: {} })
  const [window] = (await rig.call('getStats', {})).reply.windows
  t.strictSame(window, { window_ms: 60_000, ended: { cancelled: 1 } })
})

t.test('percentiles are by nearest rank, of what is young enough', async (t) => {
  const stats = new Stats(0)
  for (let wait = 1; wait <= 100; wait++) stats.claimed(1000 * wait, wait)
  t.strictSame(stats.window(100_000, 100_000).wait_ms, { count: 100, p50: 50, p95: 95, p99: 99 })
  t.strictSame(stats.window(100_000, 10_000).wait_ms, { count: 10, p50: 95, p95: 100, p99: 100 })
  t.equal(stats.window(9_000_000, 10_000).wait_ms, undefined)
})

t.test('a busy pond keeps the latest', async (t) => {
  const stats = new Stats(0)
  for (let at = 0; at < 250_000; at++) stats.claimed(at, at)
  const { wait_ms } = stats.window(250_000, 3_600_000)
  t.ok((wait_ms?.count ?? 0) >= 50_000 && (wait_ms?.count ?? 0) <= 100_000)
})
