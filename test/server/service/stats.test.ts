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

t.test('of an array each element that has not begun is queued, also one that must wait for the others', async (t) => {
  const rig = await createPondRig(t)
  const read = async () => (await rig.call('getStats', {})).reply
  await submit(rig, { count: 50_000, max_parallel: 1, priority: 3 })
  await submit(rig, { requires: { os: 'plan9' } })
  await submit(rig, { priority: 5 })
  const wide = { requires: {}, queued: 50_001, priorities: { 3: 50_000, 5: 1 } }
  t.match(await read(), { queued: 50_002, classes: [wide, { queued: 1 }], classes_in_all: 2 })
  const box = await pairMachine(rig)
  const taken = await box.take(2)
  t.equal(taken.length, 2, 'the job and one element')
  const rest = { requires: {}, queued: 49_999, priorities: { 3: 49_999 } }
  t.match(await read(), { queued: 50_000, classes: [rest, { queued: 1 }], classes_in_all: 2 })
  await rig.restart()
  t.match(await read(), { queued: 50_000, classes: [rest, { queued: 1 }] })
  await box.end(taken)
  const [one] = await box.take(1)
  t.ok(one)
  t.match(await read(), { queued: 49_999 })
})

t.test('elements that never began are counted as they end, all at once', async (t) => {
  const rig = await createPondRig(t)
  const ended = async () => (await rig.call('getStats', {})).reply.windows[0]?.ended
  const box = await pairMachine(rig)
  const cancelled = await submit(rig, { count: 50_000 })
  const [one] = await box.take(1)
  if (!one) throw new Error('it is taken')
  const cancel = async (id: string) => await rig.call('cancelJob', { params: { id }, body: {} })
  await cancel(cancelled.id)
  await cancel(cancelled.id)
  t.strictSame(await ended(), { cancelled: 49_999 })
  await box.end([one])
  t.strictSame(await ended(), { succeeded: 1, cancelled: 49_999 })
  await submit(rig, { count: 70, ttl_ms: 2000 })
  await rig.clock.advance(3000)
  t.strictSame(await ended(), { succeeded: 1, cancelled: 49_999, expired: 70 })
  await submit(rig, { count: 30, after: [cancelled.id] })
  t.strictSame(await ended(), { succeeded: 1, failed: 30, cancelled: 49_999, expired: 70 })
})

t.test('a job that ends without a start has no run, and each end counts once', async (t) => {
  const rig = await createPondRig(t)
  const { id } = await submit(rig)
  await rig.call('cancelJob', { params: { id }, body: {} })
  await rig.call('cancelJob', { params: { id }, body: {} })
  const [window] = (await rig.call('getStats', {})).reply.windows
  t.match(window, { window_ms: 60_000, ended: { cancelled: 1 } })
  t.strictSame(Object.keys(window ?? {}), ['window_ms', 'from', 'ended', 'ended_per_second'])
})

function createStats(startedAt = 1_000_000) {
  let now = 0
  const stats = new Stats({ now: () => startedAt + now, monotonic: () => now })
  return {
    stats,
    moveTo: (at: number) => {
      now = at
    },
    windows: () => {
      const [minute, five, hour] = stats.windows()
      if (!minute || !five || !hour) throw new Error('there are three')
      return { minute, five, hour }
    },
  }
}

t.test('each window tells since when it counts, and a rate over that time', async (t) => {
  const { stats, moveTo, windows } = createStats()
  moveTo(30_000)
  stats.dropped(60, 'succeeded')
  moveTo(40_000)
  stats.dropped(4, 'failed')
  t.match(windows(), {
    minute: { from: 1_000_000, ended: { succeeded: 60, failed: 4 }, ended_per_second: { succeeded: 1.5, failed: 0.1 } },
    hour: { window_ms: 3_600_000, from: 1_000_000, ended: { succeeded: 60 }, ended_per_second: { succeeded: 1.5 } },
  })
  moveTo(90_500)
  const { minute, five } = windows()
  t.match(minute, { from: 1_031_000, ended: { failed: 4 } }, 'the minute moved on, by whole seconds')
  t.strictSame(Object.keys(minute.ended), ['failed'])
  t.equal(minute.ended_per_second.failed, 4 / 59.5)
  t.match(five, { from: 1_000_000, ended: { succeeded: 60, failed: 4 } })
  moveTo(4_000_000)
  t.strictSame(windows().hour.ended, {}, 'all of it is long ago')
  t.equal(windows().hour.from, 1_000_000 + 420_000)
})

t.test('a burst in the first moment is no rate of thousands', async (t) => {
  const { stats, windows } = createStats()
  stats.dropped(50, 'cancelled')
  t.strictSame(windows().minute.ended_per_second, { cancelled: 50 })
})

t.test('a wall clock that is set does not move what was counted', async (t) => {
  let wall = 9_000_000
  const stats = new Stats({ now: () => wall, monotonic: () => 10_000 })
  stats.claimed(5)
  wall = 1_000_000
  t.match(stats.windows()[0], { wait_ms: { count: 1, p50: 5 } })
})

t.test('an hour at any rate is counted to the last job', async (t) => {
  const { stats, moveTo, windows } = createStats()
  for (let at = 0; at < 7_200_000; at += 10) {
    moveTo(at)
    const wait = (at / 10) % 1000
    stats.claimed(wait)
    if (at % 1000 === 0) stats.dropped(7000, 'succeeded')
  }
  moveTo(7_199_999)
  const { minute, hour } = windows()
  t.match(minute, { ended: { succeeded: 420_000 }, wait_ms: { count: 6000 } })
  t.match(hour, { from: 1_000_000 + 3_600_000, ended: { succeeded: 25_200_000 }, wait_ms: { count: 360_000 } })
  for (const [name, exact] of Object.entries({ p50: 499, p95: 949, p99: 989 })) {
    const told = hour.wait_ms?.[name as 'p50'] ?? 0
    t.ok(Math.abs(told - exact) <= exact / 32, `${name}: ${told} of ${exact}`)
  }
  t.equal(Math.round(hour.ended_per_second.succeeded ?? 0), 7000)
})
