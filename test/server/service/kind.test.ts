// Kinds of requirements in a project: no more wait than a look for a job can go through, however they come in.
import t from 'tap'
import type { JobSpec } from '../../../src/protocol/job.ts'
import { finalWord, jobOf, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const send = (rig: PondRig, job: Partial<JobSpec> = {}, key?: string) =>
  rig.call('submitJob', {
    body: { command: ['true'], ...job },
    ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
  })
/** So many jobs, each of a kind of its own. */
const sendKinds = (
  rig: PondRig,
  { from, count, more = {} }: { from: number; count: number; more?: Partial<JobSpec> },
) => {
  const kind = (index: number) => ({ command: ['true'], requires: { memory_bytes: from + index }, ...more })
  return rig.call('submitJob', { body: { jobs: Array.from({ length: count }, (_, index) => kind(index)) } })
}
const kindsOf = (rig: PondRig) => [
  ...rig.pond.services.core.quotas.of([...rig.pond.services.core.projects.keys()][0] as never).kinds.keys(),
]

t.test('a thousand kinds of requirements wait in a project, and no batch passes that', async (t) => {
  const rig = await createPondRig(t)
  await send(rig, { requires: { memory_bytes: 1 } }, 'once')
  t.equal((await sendKinds(rig, { from: 2, count: 998 })).status, 201)
  t.match(await sendKinds(rig, { from: 998, count: 5 }), {
    ...{ status: 429, code: 'too_many_requests' },
    error: { details: { field: 'jobs.3.requires', most: 1000, used: 999 } },
  })
  t.match(await send(rig, { requires: { memory_bytes: 1000 } }), { status: 201 }, 'a refused batch keeps nothing')
  t.match(await send(rig), { code: 'too_many_requests', error: { details: { field: 'requires' } } })
  t.equal((await send(rig, { requires: { memory_bytes: 7 } })).status, 201, 'a kind that waits costs nothing')
  t.equal((await sendKinds(rig, { from: 1, count: 2 })).status, 201)
  t.equal((await send(rig, { requires: { memory_bytes: 1 } }, 'once')).status, 201, 'nor does a repeat')
  await rig.restart()
  t.equal(kindsOf(rig).length, 1000)
  t.equal((await send(rig)).code, 'too_many_requests')
  const { items } = (await rig.call('listJobs', { query: { limit: '1000' } })).reply
  for (const { id } of items.slice(0, 10)) await rig.call('cancelJob', { params: { id }, body: {} })
  t.equal((await send(rig)).status, 201, 'what ends makes room')
})

t.test('of submits at once no more kinds come in than there is room for, and lost ones leave it', async (t) => {
  const rig = await createPondRig(t)
  const batch = (from: number) => sendKinds(rig, { from, count: 400 })
  const answers = await Promise.all([batch(1), batch(401), batch(801), batch(201)])
  t.strictSame(
    answers.map(({ status }) => status),
    [201, 201, 429, 201],
  )
  t.equal(kindsOf(rig).length, 800)
  rig.storeFault = () => 'lose'
  t.equal((await sendKinds(rig, { from: 2000, count: 200 })).code, 'store_failing')
  rig.storeFault = () => undefined
  t.equal((await sendKinds(rig, { from: 3000, count: 200 })).status, 201)
  t.equal(kindsOf(rig).length, 1000)
})

t.test('kinds that wait for others count as they come, so an end that lets them go brings no more', async (t) => {
  const rig = await createPondRig(t)
  const first = await submit(rig)
  const after = { more: { after: [first.id] } }
  t.equal((await sendKinds(rig, { from: 1, count: 999, ...after })).status, 201)
  t.equal((await sendKinds(rig, { from: 1000, count: 1, ...after })).code, 'too_many_requests')
  const box = await pairMachine(rig)
  await box.say(await box.start(), finalWord)
  await rig.clock.settle()
  t.equal(kindsOf(rig).length, 999)
  t.match((await rig.call('getStats', {})).reply, { waiting: 0, queued: 999, classes_in_all: 999 })
})

t.test('what comes back for its next attempt is never refused, and counts from then on', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, { retry: { on: ['exit'], attempts: 2, backoff_ms: 60_000 } })
  const intent = await box.start()
  t.equal((await sendKinds(rig, { from: 1, count: 1000 })).status, 201)
  await box.say(intent, { ...finalWord, rc: 1 })
  t.match(await jobOf(rig, id), { state: 'queued' })
  t.equal(kindsOf(rig).length, 1001)
  t.equal((await sendKinds(rig, { from: 2000, count: 1 })).code, 'too_many_requests')
  t.equal((await send(rig)).status, 201)
})

t.test('an array is of one kind until its last element has begun', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 4 })
  await submit(rig, { count: 3, requires: { os: 'linux' } })
  t.strictSame(kindsOf(rig), ['{"os":"linux"}'])
  const { id } = await submit(rig, { count: 3 })
  const taken = await box.take(2)
  t.equal(taken.length, 2)
  t.equal(kindsOf(rig).length, 2)
  await box.end(taken)
  await box.end(await box.take(4))
  t.strictSame(kindsOf(rig), ['{"os":"linux"}'])
  t.match(await jobOf(rig, id), { state: 'succeeded' })
})
