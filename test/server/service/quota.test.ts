// Quotas: what is refused, what is only kept waiting, and that neither is ever passed, not for a moment, in any order and after a restart.
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { JobSpec } from '../../../src/protocol/job.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import type { Quota } from '../../../src/protocol/quota.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const setQuota = (rig: PondRig, quota: Quota, project = 'default') =>
  rig.call('setQuota', { params: { project }, body: quota })

async function limited(t: Pick<Test, 'teardown'>, quota: Quota): Promise<PondRig> {
  const rig = await createPondRig(t)
  await setQuota(rig, quota)
  return rig
}

const send = (rig: PondRig, job: Partial<JobSpec> = {}, key?: string) =>
  rig.call('submitJob', {
    body: { command: ['true'], ...job },
    ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
  })
const sendMany = (rig: PondRig, jobs: number, more: Partial<JobSpec> = {}) =>
  rig.call('submitJob', { body: { jobs: Array.from({ length: jobs }, () => ({ command: ['true'], ...more })) } })
const count = async (rig: PondRig) => (await rig.call('listJobs', { query: { limit: '1000' } })).reply.items.length
const usage = async (rig: PondRig) => (await rig.call('getUsage', {})).reply
const isTaken = ({ status }: { readonly status: number }) => status === 201

/** A parked poll that holds what it has, and stays. */
async function hold(rig: PondRig, box: Machine, { slots, have = [] }: { slots: number; have?: readonly Intent[] }) {
  const poll = box.poll({ slots, wait_ms: 20_000, claim_key: `held-key-${Math.random()}`, have: box.have(have) })
  await rig.clock.settle()
  return poll
}

t.test('of a hundred submits at once exactly so many are stored as may wait', async (t) => {
  const rig = await limited(t, { queued: 10 })
  const answers = await Promise.all(Array.from({ length: 100 }, () => send(rig)))
  t.equal(answers.filter(isTaken).length, 10)
  t.equal(await count(rig), 10)
  const [refused] = answers.filter((answer) => !isTaken(answer))
  t.match(refused, {
    ...{ status: 429, code: 'quota_exceeded' },
    error: { message: /quota queued, 10 of 10 used/, details: { quota: 'queued', most: 10, used: 10 } },
  })
})

t.test('what waits for its time, and for others, counts as waiting; what ends or is claimed makes room', async (t) => {
  const rig = await limited(t, { queued: 3 })
  const box = await pairMachine(rig)
  const first = await submit(rig, { retry: { on: ['exit'], attempts: 2, backoff_ms: 60_000 } })
  const second = await submit(rig, { after: [first.id] })
  await box.say(await box.start(), { ...finalWord, rc: 1 })
  t.match(await jobOf(rig, first.id), { state: 'queued' }, 'it waits for its next attempt')
  await submit(rig)
  t.equal((await send(rig)).code, 'quota_exceeded')
  await rig.call('cancelJob', { params: { id: second.id }, body: {} })
  t.equal((await send(rig)).status, 201)
  t.equal((await send(rig)).code, 'quota_exceeded')
  t.equal((await box.take()).length, 1)
  t.equal((await send(rig)).status, 201)
})

t.test('a job that is claimed in the commit that stores it takes no place in the queue', async (t) => {
  const rig = await limited(t, { queued: 1 })
  const box = await pairMachine(rig, { slots: 3 })
  const poll = hold(rig, box, { slots: 3 })
  await rig.clock.settle()
  t.strictSame((await Promise.all([send(rig), send(rig)])).map(isTaken), [true, true])
  t.ok((await poll).reply.intents.length > 0)
  const { queued, running } = await usage(rig)
  t.equal(queued + running, 2)
})

t.test('a batch is taken whole or not at all, and one that never fits is told so', async (t) => {
  const rig = await limited(t, { queued: 5, submits_per_minute: 50 })
  await sendMany(rig, 3)
  t.match(await sendMany(rig, 3), { status: 429, error: { details: { quota: 'queued', used: 3, most: 5 } } })
  t.equal(await count(rig), 3)
  t.match((await usage(rig)).quotas, [
    { name: 'queued', used: 3 },
    { name: 'submits_per_minute', used: 3 },
  ])
  t.equal((await sendMany(rig, 2)).status, 201, 'the batch that was refused cost nothing')
  t.match(await sendMany(rig, 6), {
    ...{ status: 422, code: 'invalid_field', error: { details: { field: 'jobs', quota: 'queued', most: 5 } } },
  })
})

t.test('a submit that fails behind the look at the quota costs nothing, also to its neighbours', async (t) => {
  const rig = await limited(t, { queued: 4, submits_per_minute: 8 })
  const both = await Promise.all([sendMany(rig, 4, { credential: 'none' }), sendMany(rig, 4)])
  t.strictSame(
    both.map(({ status }) => status),
    [422, 201],
  )
  await rig.call('cancelJob', { params: { id: (await rig.call('listJobs', {})).reply.items[0]?.id ?? '' }, body: {} })
  rig.storeFault = () => 'lose'
  t.equal((await send(rig)).code, 'store_failing')
  rig.storeFault = () => undefined
  t.match((await usage(rig)).quotas, [
    { name: 'queued', used: 3 },
    { name: 'submits_per_minute', used: 4 },
  ])
  t.equal((await send(rig)).status, 201)
})

t.test('a repeat is answered with its jobs though the quota is full, and costs nothing', async (t) => {
  const rig = await limited(t, { queued: 1, submits_per_minute: 1 })
  const first = await send(rig, {}, 'once')
  t.equal((await send(rig, {}, 'other')).code, 'quota_exceeded')
  const again = await send(rig, {}, 'once')
  t.strictSame([again.status, again.reply], [201, first.reply])
  await setQuota(rig, { queued: 1, submits_per_minute: 1, priority_most: 0 })
  t.equal((await send(rig, {}, 'once')).status, 201, 'also when less is allowed by now')
  t.match((await usage(rig)).quotas, [{ used: 1 }, { used: 1 }])
})

t.test('so many jobs a minute: a burst, then as time brings them', async (t) => {
  const rig = await limited(t, { submits_per_minute: 60 })
  t.equal((await sendMany(rig, 60)).status, 201)
  t.match(await sendMany(rig, 5), { code: 'quota_exceeded', error: { details: { retry_after_ms: 5000 } } })
  await rig.clock.advance(4999)
  t.equal((await sendMany(rig, 5)).code, 'quota_exceeded')
  await rig.clock.advance(1)
  t.equal((await sendMany(rig, 5)).status, 201)
})

t.test('jobs ask for the priority that they may have, and without a wish get no higher one', async (t) => {
  const rig = await limited(t, { priority_most: 3 })
  t.match(await send(rig, { priority: 4 }), {
    ...{ status: 422, code: 'invalid_field', error: { details: { field: 'priority', most: 3 } } },
  })
  const bad = await rig.call('submitJob', { body: { jobs: [{ command: ['a'] }, { command: ['b'], priority: 9 }] } })
  t.match(bad.error?.details, { field: 'jobs.1.priority', most: 3 })
  t.equal((await submit(rig, { priority: 3 })).priority, 3)
  t.equal((await submit(rig)).priority, 3)
})

t.test('beyond the running quota nothing is handed out and nothing refused; each end brings the next', async (t) => {
  const rig = await limited(t, { running: 2 })
  const box = await pairMachine(rig, { slots: 4 })
  const jobs = [await submit(rig), await submit(rig), await submit(rig), await submit(rig)]
  const first = await box.take(4)
  t.equal(first.length, 2)
  const why = await rig.call('explainJob', { params: { id: jobs[2]?.id ?? '' } })
  t.match(why.reply, {
    says: /runs as many jobs as it may: 2 of 2/,
    waiting: { quota: { name: 'running', most: 2, used: 2, change: /a job of the project ends/ } },
  })
  for (const intent of first) await box.say(intent, { state: 'running' })
  const poll = hold(rig, box, { slots: 2, have: first })
  await rig.clock.settle()
  await box.say(first[0] as Intent, finalWord)
  await rig.clock.settle()
  t.equal((await poll).reply.intents.length, 1)
  t.equal(rig.pond.services.core.live.size, 2)
})

t.test('at its quota a look at the queue writes nothing', async (t) => {
  const rig = await limited(t, { running: 1 })
  const box = await pairMachine(rig, { slots: 2 })
  await submit(rig)
  const intent = await box.start()
  const poll = hold(rig, box, { slots: 1, have: [intent] })
  await submit(rig)
  await rig.clock.settle()
  let writes = 0
  rig.storeFault = () => void writes++ as undefined
  const { projects, wake } = rig.pond.services.core
  for (const projectId of projects.keys()) wake.send(projectId)
  await rig.clock.settle()
  t.equal(writes, 0)
  await box.say(intent, finalWord)
  await rig.clock.settle()
  t.equal((await poll).reply.intents.length, 1)
})

t.test('the reply to the last word of a job brings the next, and a lost attempt counts no more', async (t) => {
  const rig = await limited(t, { running: 1 })
  const box = await pairMachine(rig, { slots: 2 })
  const other = await pairMachine(rig, { letter: 'o', slots: 2 })
  for (let jobs = 0; jobs < 3; jobs++) await submit(rig)
  const intents = await box.take(2)
  t.equal(intents.length, 1)
  const next = await box.end(intents, { refill: true })
  t.equal(next.length, 1, 'one ended and one began in the same commit')
  t.equal(rig.pond.services.core.live.size, 1)
  await rig.clock.advance(16_000)
  t.equal(rig.pond.services.core.live.size, 0, 'it was not confirmed')
  t.equal((await other.take(2)).length, 1)
})

t.test('with a larger quota what waits begins at once, and without one all of it', async (t) => {
  const rig = await limited(t, { running: 1 })
  const box = await pairMachine(rig, { slots: 4 })
  for (let jobs = 0; jobs < 4; jobs++) await submit(rig)
  const had = [...(await box.take(4))]
  t.equal(had.length, 1)
  for (const [quota, more] of [
    [{ running: 2 }, 1],
    [{}, 2],
  ] as const) {
    const poll = hold(rig, box, { slots: 4 - had.length, have: had })
    await rig.clock.settle()
    await setQuota(rig, quota)
    await rig.clock.settle()
    const { intents } = (await poll).reply
    t.equal(intents.length, more)
    had.push(...intents)
  }
})

/** What a process used, and what it wrote. */
const used = (cpu_ms: number, bytes = 0) => ({
  ...finalWord,
  usage: { cpu_ms, max_rss_bytes: 1, wall_ms: cpu_ms, sampled: false },
  ...(bytes > 0 && { streams: { stdout: { bytes, sha256: '0'.repeat(64), produced: bytes, end: 'capped' as const } } }),
})

async function run(rig: PondRig, box: Machine, word: ReturnType<typeof used>): Promise<void> {
  await submit(rig)
  await box.say(await box.start(), word)
  await rig.clock.settle()
}

t.test('a budget of the day that is used up stops submits and what waits until the day ends', async (t) => {
  const rig = await limited(t, { cpu_seconds_per_day: 10 })
  await rig.clock.advance(3_600_000)
  const box = await pairMachine(rig)
  await run(rig, box, used(9999))
  await submit(rig)
  const running = await box.start()
  await submit(rig)
  await box.say(running, used(1))
  t.match(await send(rig), {
    status: 429,
    headers: { 'retry-after': '82800' },
    error: { details: { quota: 'cpu_seconds_per_day', most: 10, used: 10, retry_after_ms: 82_800_000 } },
  })
  t.strictSame(await box.take(), [])
  const waiting = (await rig.call('listJobs', { query: { state: 'queued' } })).reply.items
  t.equal(waiting.length, 1)
  const until = Date.UTC(2026, 0, 2)
  const why = (await rig.call('explainJob', { params: { id: waiting[0]?.id ?? '' } })).reply
  t.match(why, {
    says: /used its CPU time of the day: 10 of 10/,
    waiting: { quota: { name: 'cpu_seconds_per_day', most: 10, used: 10, until } },
  })
  rig.clock.jump(until - rig.clock.now() - 5000)
  const poll = hold(rig, box, { slots: 1 })
  await rig.clock.advance(6000)
  t.equal((await poll).reply.intents.length, 1, 'the next day it is handed out by itself')
  t.equal((await send(rig)).status, 201)
})

t.test(
  'output counts by the bytes of streams; a day is known after a restart, with the attempts of jobs that go on',
  async (t) => {
    const rig = await limited(t, { output_bytes_per_day: 1000, cpu_seconds_per_day: 1000, queued: 7, running: 1 })
    const box = await pairMachine(rig, { slots: 2 })
    await run(rig, box, used(1500, 300))
    await submit(rig, { retry: { on: ['exit'], attempts: 3, backoff_ms: 60_000 } })
    await box.say(await box.start(), { ...used(500, 200), rc: 1 })
    await submit(rig)
    const live = await box.start()
    await submit(rig)
    const before = await usage(rig)
    t.match(before, {
      ...{ queued: 2, running: 1 },
      quotas: [
        { name: 'queued', most: 7, used: 2 },
        { name: 'cpu_seconds_per_day', used: 2 },
        { name: 'output_bytes_per_day', used: 500 },
        { name: 'running', most: 1, used: 1 },
      ],
    })
    await rig.restart()
    const after = await usage(rig)
    t.strictSame({ ...after, at: 0 }, { ...before, at: 0 })
    t.strictSame(await box.take(2), [], 'the claim of the life before counts')
    await box.say(live, used(0, 500))
    t.equal((await send(rig)).error?.details.quota, 'output_bytes_per_day')
    await rig.restart()
    t.equal((await send(rig)).error?.details.quota, 'output_bytes_per_day', 'also in the next life')
    rig.clock.jump(24 * 3_600_000)
    await rig.restart()
    t.match((await usage(rig)).quotas, [{}, { used: 0 }, { used: 0 }])
  },
)

t.test('a budget that is set in the middle of a day knows what was used before', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await run(rig, box, used(7000, 70))
  await setQuota(rig, { cpu_seconds_per_day: 7 })
  t.equal((await send(rig)).error?.details.used, 7)
  await setQuota(rig, { cpu_seconds_per_day: 8 })
  t.equal((await send(rig)).status, 201)
})

t.test('quotas are of one project', async (t) => {
  const rig = await limited(t, { queued: 1, running: 1 })
  const { reply } = await rig.call('createProject', { body: { name: 'other' } })
  await setQuota(rig, { queued: 2 }, reply.id)
  await setQuota(rig, { queued: 2 }, reply.id)
  const other = { 'pond-project': 'other' }
  await submit(rig)
  await submit(rig, {}, other)
  await submit(rig, {}, other)
  t.equal((await send(rig)).code, 'quota_exceeded')
  const { items } = (await rig.call('listProjects', {})).reply
  t.match(items, [
    { name: 'default', quota: { queued: 1, running: 1 } },
    { name: 'other', quota: { queued: 2 } },
  ])
  const orders = (await rig.call('listAudit', {})).reply.items.filter(({ action }) => action === 'project.quota')
  t.match(orders, [{ target: reply.id, note: '{"queued":2}' }, { note: '{"queued":1,"running":1}' }])
  await setQuota(rig, {}, 'other')
  t.equal((await rig.call('listProjects', {})).reply.items[1]?.quota, undefined)
  t.equal((await setQuota(rig, {}, 'nobody')).code, 'not_found')
})

type Step =
  | { readonly do: 'submit'; readonly jobs: number }
  | { readonly do: 'poll'; readonly machine: number; readonly slots: number }
  | { readonly do: 'confirm' | 'end' | 'decline' | 'refill'; readonly at: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'fail'; readonly how: 'lose' | 'refuse' | undefined }
  | { readonly do: 'settle' }

const stepOf = fc.oneof<fc.Arbitrary<Step>[]>(
  fc.record({ do: fc.constant('submit' as const), jobs: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant('poll' as const), machine: fc.nat(1), slots: fc.integer({ min: 0, max: 4 }) }),
  fc.record({
    do: fc.constantFrom('confirm' as const, 'end' as const, 'decline' as const, 'refill' as const),
    at: fc.nat(9),
  }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(100, 16_000, 100_000) }),
  fc.record({ do: fc.constant('fail' as const), how: fc.constantFrom('lose' as const, 'refuse' as const, undefined) }),
  fc.record({ do: fc.constant('settle' as const) }),
)

t.test('with polls, words, lost leases and failing writes side by side never more run than may', async () => {
  const RUNNING = 3
  const one = async (steps: readonly Step[]) => {
    const closing: (() => unknown)[] = []
    const rig = await limited({ teardown: (run) => void closing.push(run as () => unknown) }, { running: RUNNING })
    const boxes = [await pairMachine(rig, { slots: 4 }), await pairMachine(rig, { letter: 'o', slots: 4 })]
    const had: { readonly box: Machine; readonly intent: Intent }[] = []
    const claimedNow = () => rig.store.read(async (tx) => (await tx.listLiveClaims()).length)
    const act = async (step: Step): Promise<unknown> => {
      if (step.do === 'submit') return sendMany(rig, step.jobs, { on_lost: 'rerun', idempotent: true })
      if (step.do === 'settle') return rig.clock.settle()
      if (step.do === 'wait') return rig.clock.advance(step.ms)
      if (step.do === 'fail') return Object.assign(rig, { storeFault: () => step.how })
      if (step.do === 'poll') {
        const box = boxes[step.machine] as Machine
        const { reply } = await hold(rig, box, { slots: step.slots })
        for (const intent of reply?.intents ?? []) had.push({ box, intent })
        return undefined
      }
      const { box, intent } = had[step.at % Math.max(1, had.length)] ?? {}
      if (!box || !intent) return undefined
      if (step.do === 'refill') {
        for (const next of await box.end([intent], { refill: true })) had.push({ box, intent: next })
        return undefined
      }
      return box.say(intent, step.do === 'end' ? finalWord : { state: step.do === 'confirm' ? 'running' : 'declined' })
    }
    const under: Promise<unknown>[] = []
    let most = 0
    for (const step of steps) {
      under.push(act(step).catch(() => undefined))
      if (step.do === 'settle' || step.do === 'wait') await under.at(-1)
      most = Math.max(most, await claimedNow())
    }
    rig.storeFault = () => undefined
    await rig.clock.advance(200_000)
    most = Math.max(most, await claimedNow())
    const { live } = rig.pond.services.core
    const [projectId] = rig.pond.services.core.projects.keys()
    const counted = projectId && live.inProject(projectId)
    for (const close of closing) await close()
    return most <= RUNNING && counted === live.size
  }
  await fc.assert(fc.asyncProperty(fc.array(stepOf, { minLength: 5, maxLength: 40 }), one), { numRuns: 25 })
})
