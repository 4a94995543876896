// Why a job waits: each reason with the facts behind it, of the same moment.
import t from 'tap'
import type { Hindrance, WhyView } from '../../../src/protocol/why.ts'
import { finalWord, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { hold, why, withBox } from '../../harness/why.ts'

/** Of the only kind of worker that there is. */
async function reasonOf(
  rig: PondRig,
  id: string,
): Promise<Partial<NonNullable<WhyView['waiting']>['workers'][number]>> {
  const { waiting } = await why(rig, id)
  if (waiting?.workers.length !== 1) throw new Error(`one kind of worker, not ${JSON.stringify(waiting)}`)
  return waiting.workers[0] ?? {}
}

t.test('without a worker, and of one that is not heard of', async (t) => {
  const rig = await createPondRig(t)
  const { id } = await submit(rig)
  t.match(await why(rig, id), { state: 'queued', says: /no worker/, waiting: { ahead: 0, workers: [] } })
  await pairMachine(rig)
  t.match(await reasonOf(rig, id), { reason: 'offline', count: 1, workers: [{ name: 'box' }] })
})

t.test('what a worker lacks, with both values; equals are told once', async (t) => {
  const { rig, box } = await withBox(t, { has: { cpus: 2 } })
  const other = await pairMachine(rig, { letter: 'm', name: 'another', slots: 1, has: { cpus: 2 } })
  for (const machine of [box, other]) void hold(rig, machine, 1)
  const { id } = await submit(rig, { requires: { cpus: 3 } })
  await rig.clock.settle()
  t.match(await reasonOf(rig, id), {
    ...{ reason: 'lacks', requirement: 'cpus', wants: 3, has: 2, count: 2 },
    workers: [{ name: 'another' }, { name: 'box' }],
  })
})

t.test('walls that a worker does not have keep a job from it, and are told', async (t) => {
  const { rig, box } = await withBox(t)
  const walled = await submit(rig, { sandbox: { backend: 'bubblewrap' } })
  const offline = await submit(rig, { sandbox: { network: 'none' } })
  const plain = await submit(rig, { sandbox: { backend: 'uid', network: 'host' } })
  t.strictSame(
    (await box.take(4)).map(({ job_id }) => job_id),
    [plain.id],
  )
  void hold(rig, box, 3)
  await rig.clock.settle()
  t.match(await reasonOf(rig, walled.id), {
    ...{ reason: 'lacks', requirement: 'sandbox.backend', wants: 'bubblewrap', has: 'uid' },
  })
  t.match(await reasonOf(rig, offline.id), { requirement: 'sandbox.network', wants: 'none', has: ['host'] })
})

t.test('what a worker has too little of now, and who comes first', async (t) => {
  const { rig, box } = await withBox(t, { slots: 4, has: { cpus: 2 } })
  await submit(rig, { requires: { cpus: 1.5 } })
  const intent = await box.start(4)
  const jobs = [await submit(rig, { requires: { cpus: 1 } }), await submit(rig, { requires: { cpus: 1 } })]
  void box.poll({ slots: 3, wait_ms: 20_000, claim_key: 'another key', have: box.have([intent]) })
  await rig.clock.settle()
  const [first, second] = jobs.map(({ id }) => id)
  if (!first || !second) throw new Error('two wait')
  t.match(await reasonOf(rig, second), { reason: 'busy', requirement: 'cpus', wants: 1, has: 0.5 })
  t.match((await why(rig, second)).waiting, { ahead: 1 })
  t.match(await why(rig, intent.job_id), { held: { worker: { name: 'box' }, lease_ms: 90_000 } })
  await box.say(intent, finalWord)
  await rig.clock.settle()
  t.match(await why(rig, first), { state: 'claimed', held: { worker: { name: 'box' } } })
})

t.test('a worker that declined it is told with the time for which it is passed over', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig)
  const [intent] = await box.take()
  if (!intent) throw new Error('it was to be offered')
  await box.say(intent, { state: 'declined', message: 'not here' })
  void hold(rig, box, 1)
  await rig.clock.settle()
  const told = await reasonOf(rig, id)
  t.match(told, { reason: 'passed_over' satisfies Hindrance, until: Number })
  t.ok((told.until ?? 0) > rig.clock.now())
})

t.test('an element that has not begun waits for its array: how many may be under way, and its place', async (t) => {
  const { rig, box } = await withBox(t, { slots: 2 })
  await submit(rig, { requires: { labels: { never: 'here' } } })
  const { id } = await submit(rig, { count: 5, max_parallel: 1 })
  const intent = await box.start(2)
  const bound = {
    says: /max_parallel of its array is reached: 1 of 1/,
    change: /an element of the array that is under way ends/,
    waiting: { max_parallel: { most: 1, under_way: 1 }, workers: [] },
  }
  t.match(await why(rig, `${id}.3`), { ...bound, waiting: { ahead: 2, before: [{ by: 'array', jobs: 2 }] } })
  t.match(await why(rig, id), { ...bound, array: { queued: 4, under_way: 1 } })
  void box.poll({ slots: 1, wait_ms: 20_000, claim_key: 'another key', have: box.have([intent]) })
  await box.say(intent, finalWord)
  await rig.clock.settle()
  t.match(await why(rig, `${id}.1`), { state: 'claimed', held: { lease: 'granted' } })
})

t.test('elements of arrays count each, and only what competes for a worker that could take the job', async (t) => {
  const { rig, box } = await withBox(t, { slots: 1 })
  await submit(rig, { requires: { labels: { never: 'here' } }, priority: 9 })
  await submit(rig, { count: 30, priority: 9 })
  await submit(rig, { count: 20, max_parallel: 4, priority: 5 })
  await submit(rig, { count: 7, priority: 0 })
  const { id } = await submit(rig, { priority: 5 })
  await submit(rig, { priority: 5 })
  const intent = await box.start()
  const { waiting, says, change } = await why(rig, id)
  t.match(waiting, {
    ...{ ahead: 33, at: { name: 'box' } },
    before: [
      { by: 'priority', jobs: 29 },
      { by: 'earlier', jobs: 4 },
    ],
    workers: [{ reason: 'busy', requirement: 'slots', change: /a job there ends, and those before it are taken/ }],
  })
  t.match(says, /box has no room for it, and 29 jobs of a higher priority come first and 4 jobs came earlier/)
  t.match(change, /those before it are taken/)
  t.equal(intent.job_id.endsWith('.0'), true)
})

t.test('where the order of an owner or of turns makes a job wait, that is told', async (t) => {
  const rig = await createPondRig(t)
  for (const name of ['friend', 'other']) await rig.call('createProject', { body: { name } })
  const box = await pairMachine(rig, { slots: 1 })
  const body = { friends: ['friend', 'other'], public: false }
  await rig.call('putLadder', { params: { id: box.bindingId }, body })
  await submit(rig, { count: 5, priority: 0 })
  const mine = await submit(rig, { priority: 9 }, { 'pond-project': 'friend' })
  const intent = await box.start()
  const own = await why(rig, mine.id)
  t.match(own.waiting, { ahead: 4, before: [{ by: 'own', jobs: 4 }] })
  t.match(own.says, /box has no room for it, and 4 jobs of the worker's own project come first/)
  t.match(own.change, /a job there ends, and those before it are taken/)
  await rig.call('cancelJob', { params: { id: intent.job_id.split('.')[0] ?? '' }, body: {} })
  await box.say(intent, finalWord)
  await submit(rig, { count: 3, priority: 9 }, { 'pond-project': 'other' })
  const [first] = await box.take()
  t.equal(first?.job_id, mine.id)
  const next = await submit(rig, { priority: 9 }, { 'pond-project': 'friend' })
  for (let looks = 0; looks < 3; looks++) {
    t.match((await why(rig, next.id)).waiting, {
      ...{ ahead: 1, ahead_is_least: true },
      before: [{ by: 'turn', jobs: 3, projects: 1, first: 1 }],
    })
  }
})

t.test('a decline is told as it was said, with what would change it', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig)
  const [intent] = await box.take()
  if (!intent) throw new Error('it was to be offered')
  await box.say(intent, { state: 'declined', cause: 'refused', message: 'the owner does not run "sh"' })
  void hold(rig, box, 1)
  await rig.clock.settle()
  t.match(await why(rig, id), {
    says: /declined the job by its owner's rules/,
    change: /its owner changes its rules/,
    waiting: { workers: [{ reason: 'refused', note: 'the owner does not run "sh"', until: Number }] },
  })
})

t.test('of an array all of which was given back it is told why its elements wait', async (t) => {
  const { rig, box } = await withBox(t, { slots: 2 })
  const { id } = await submit(rig, { count: 2 })
  for (const intent of await box.take(2)) await box.say(intent, { state: 'declined', message: 'not here' })
  void hold(rig, box, 1)
  await rig.clock.settle()
  t.match(await why(rig, id), {
    says: /all of it has begun; 2 elements are under way, and 2 of these wait for another attempt/,
    waiting: { element: { job: `${id}.0`, count: 2 }, workers: [{ reason: 'passed_over', note: 'not here' }] },
  })
})

t.test('what of an array is passed over is told also before it begins', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig, { count: 3 })
  const [intent] = await box.take()
  if (!intent) throw new Error('it was to be offered')
  await box.say(intent, { state: 'declined', cause: 'refused', message: 'not here' })
  void hold(rig, box, 1)
  await rig.clock.settle()
  for (const job of [id, `${id}.2`]) {
    t.match((await why(rig, job)).waiting?.workers, [{ reason: 'refused', note: 'not here' }])
  }
})

t.test('an element of an array that waits for others waits for them too', async (t) => {
  const { rig } = await withBox(t)
  const first = await submit(rig)
  const { id } = await submit(rig, { count: 2, after: [first.id] })
  const told = { says: 'it waits for 1 other job', change: /it ends; one that has to succeed and does not/ }
  t.match(await why(rig, `${id}.1`), { state: 'waiting', ...told, after: [{ job: first.id, state: 'queued' }] })
})

t.test('a retry tells what its last attempt came to', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig, { retry: { on: ['exit'], attempts: 3, backoff_ms: 60_000 } })
  await box.say(await box.start(), { ...finalWord, rc: 4, message: 'no such input' })
  t.match(await why(rig, id), {
    says: /attempt 1 ended \(the process exited by itself; rc tells how\), and it waits for its next attempt/,
    change: /its time comes: 2026-/,
    waiting: { tried: { attempt: 1, cause: 'exit', rc: 4, note: 'no such input', worker: { name: 'box' } } },
  })
})

t.test('the nearest to running it comes first, and waking what lacks something would not help', async (t) => {
  const rig = await createPondRig(t)
  const gpus = [{ uuid: 'GPU-1' }]
  const boxes = [
    await pairMachine(rig, { letter: 'a', name: 'lab1', slots: 1 }),
    await pairMachine(rig, { letter: 'b', name: 'lab2', slots: 1 }),
  ]
  const gpu = await pairMachine(rig, { letter: 'c', name: 'lab3', slots: 1, has: { gpus } })
  await pairMachine(rig, { letter: 'd', name: 'gone', slots: 1 })
  for (const machine of boxes) void hold(rig, machine, 1)
  void hold(rig, gpu, 0)
  const { id } = await submit(rig, { requires: { gpus: { count: 1 } } })
  const told = await why(rig, id)
  t.equal(told.says, 'lab3 has no room for it; 3 others for other reasons')
  t.match(told.waiting, {
    ahead: 0,
    at: { name: 'lab3' },
    workers: [{ reason: 'busy' }, { reason: 'lacks', count: 3 }],
  })
})

t.test('equals are told once, with the range of what they have', async (t) => {
  const rig = await createPondRig(t)
  const sizes = [1, 3, 2].map((gigabytes) => gigabytes * 2 ** 30)
  const machines: Machine[] = []
  for (const [index, memory_bytes] of sizes.entries()) {
    machines.push(
      await pairMachine(rig, { letter: 'abc'[index] ?? 'd', name: `lab${index}`, slots: 1, has: { memory_bytes } }),
    )
  }
  for (const machine of machines) void hold(rig, machine)
  const large = await submit(rig, { requires: { memory_bytes: 100 * 2 ** 30 } })
  const [group] = (await why(rig, large.id)).waiting?.workers ?? []
  t.match(group, { reason: 'lacks', count: 3, says: /^do not have/, has_least: 2 ** 30, has_most: 3 * 2 ** 30 })
  const small = await submit(rig)
  for (const machine of machines) {
    for (const intent of await machine.take())
      await machine.say(intent, { state: 'declined', message: `not at ${machine.workerId}` })
    await rig.clock.advance(1000)
  }
  for (const machine of machines) void hold(rig, machine, 1)
  await rig.clock.settle()
  const [declined, ...others] = (await why(rig, small.id)).waiting?.workers ?? []
  t.strictSame(others, [])
  t.match(declined, { reason: 'passed_over', count: 3, notes: [/not at/, /not at/, /not at/] })
  t.ok((declined?.until_most ?? 0) > (declined?.until ?? 0))
})

t.test('a large fleet of different machines is told in few words', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  const { core } = rig.pond.services
  const known = core.fleet.get(box.workerId)
  if (!known) throw new Error('it is paired')
  for (let index = 0; index < 5000; index++) {
    const id = `wrk_${index}` as typeof known.id
    core.fleet.set({ ...known, id, name: `box${index}`, resources: { slots: 1, memory_bytes: index + 1 } })
  }
  const { id } = await submit(rig, { requires: { memory_bytes: 1e9 } })
  const asked = why(rig, id)
  await rig.clock.advance(1000)
  const told = await asked
  t.match(told.waiting?.workers, [{ reason: 'lacks', count: 5001, says: /^do not/ }])
  t.ok(JSON.stringify(told).length < 4096, `${JSON.stringify(told).length}`)
})

t.test('a worker on probation, and a project that is paused, tell what ends that', async (t) => {
  const { rig, box } = await withBox(t)
  for (let mishap = 0; mishap < 3; mishap++) {
    await submit(rig)
    for (const intent of await box.take()) await box.say(intent, { state: 'declined', message: 'odd' })
  }
  const { id } = await submit(rig)
  void hold(rig, box, 1)
  await rig.clock.settle()
  t.match((await why(rig, id)).waiting?.workers, [{ reason: 'probation', mishaps: 3, until: Number }])
  await rig.call('pauseProject', { params: { name: 'default' }, body: { note: 'a move' } })
  t.match(await why(rig, id), { says: /is paused by an operator: a move/, change: /pond project resume/ })
})

t.test('at a budget of the day each worker tells what ends that', async (t) => {
  const { rig, box } = await withBox(t)
  await rig.call('setQuota', { params: { project: 'default' }, body: { cpu_seconds_per_day: 1 } })
  await submit(rig)
  const usage = { cpu_ms: 2000, max_rss_bytes: 1, wall_ms: 1, sampled: false }
  const intent = await box.start()
  const { id } = await submit(rig)
  await box.say(intent, { ...finalWord, usage })
  void hold(rig, box, 1)
  await rig.clock.settle()
  t.match(await why(rig, id), {
    change: /the day ends, in UTC, or an operator allows more/,
    waiting: { workers: [{ reason: 'quota', change: /the day ends, in UTC/ }] },
  })
})
