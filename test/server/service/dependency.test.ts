// Jobs that wait for others: released by the last of them, ended by one that did not come, and never forgotten.
import t from 'tap'
import { inOrder } from '../../../server/service/dependency.ts'
import type { JobSpec } from '../../../src/protocol/job.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const failing = { ...finalWord, rc: 1 }

async function begin(t: Parameters<typeof createPondRig>[0]) {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  return { rig, box }
}

const stateOf = async (rig: PondRig, id: string) => (await jobOf(rig, id)).state

async function runNext(rig: PondRig, box: Machine, word: Parameters<Machine['say']>[1] = finalWord) {
  const intent = await box.start()
  await box.say(intent, word)
  await rig.clock.settle()
  return intent.job_id
}

const batch = (rig: PondRig, jobs: readonly Partial<JobSpec>[]) =>
  rig.call('submitJob', { body: { jobs: jobs.map((job) => ({ command: ['true'] as const, ...job })) } })

t.test('a job is released by the last of those that it waits for', async (t) => {
  const { rig, box } = await begin(t)
  const [one, other] = [await submit(rig), await submit(rig)]
  const { id } = await submit(rig, { after: [one.id, { job: other.id, on: 'end' }, one.id] })
  t.equal(await stateOf(rig, id), 'waiting')
  t.match((await rig.call('explainJob', { params: { id } })).reply, {
    after: [
      { job: one.id, on: 'success', state: 'queued' },
      { job: other.id, on: 'end' },
    ],
  })
  t.strictSame((await jobOf(rig, id)).after, [
    { job: one.id, on: 'success' },
    { job: other.id, on: 'end' },
  ])
  t.equal(await runNext(rig, box), one.id)
  t.equal(await stateOf(rig, id), 'waiting')
  t.strictSame((await jobOf(rig, id)).after, [{ job: other.id, on: 'end' }], 'what it still waits for')
  t.equal(await runNext(rig, box, failing), other.id)
  t.equal(await stateOf(rig, id), 'queued')
  t.equal((await jobOf(rig, id)).after, undefined)
  t.equal(await runNext(rig, box), id)
  t.equal(await stateOf(rig, id), 'succeeded')
})

t.test('one that fails ends those that need its success, and these end others', async (t) => {
  const { rig, box } = await begin(t)
  const first = await submit(rig)
  const second = await submit(rig, { after: [first.id] })
  const third = await submit(rig, { after: [second.id] })
  const last = await submit(rig, { after: [{ job: third.id, on: 'end' }] })
  await runNext(rig, box, failing)
  t.match(await jobOf(rig, second.id), { state: 'failed', cause: 'dependency' })
  t.match(await jobOf(rig, third.id), { state: 'failed', cause: 'dependency' })
  t.match((await rig.call('explainJob', { params: { id: third.id } })).reply.ended, {
    ...{ cause: 'dependency', by: 'pond', note: `it waited for ${second.id} failed` },
  })
  t.equal(await stateOf(rig, last.id), 'queued')
})

t.test('those that ended before count at once', async (t) => {
  const { rig, box } = await begin(t)
  const [good, bad] = [await submit(rig), await submit(rig)]
  await runNext(rig, box)
  await runNext(rig, box, failing)
  t.equal((await submit(rig, { after: [good.id, { job: bad.id, on: 'end' }] })).state, 'queued')
  t.match(await submit(rig, { after: [good.id, bad.id] }), { state: 'failed', cause: 'dependency' })
})

t.test('a batch names its own by their places, in any order, and no circle', async (t) => {
  const { rig, box } = await begin(t)
  const { reply } = await batch(rig, [{ after: ['#1'] }, {}, { after: [{ job: '#0', on: 'end' }, '#1'] }])
  if (!('items' in reply)) throw new Error('a batch was sent')
  t.strictSame(
    reply.items.map(({ state }) => state),
    ['waiting', 'queued', 'waiting'],
  )
  const ran = [await runNext(rig, box), await runNext(rig, box), await runNext(rig, box)]
  const [first, second, third] = reply.items.map(({ id }) => id)
  t.strictSame(ran, [second, first, third])
  for (const [jobs, field] of [
    [[{ after: ['#0'] }], 'jobs.0.after'],
    [[{}, { after: ['#2'] }, { after: ['#3'] }, { after: ['#1'] }], 'jobs.1.after'],
    [[{}, { after: ['#2'] }], 'jobs.1.after.0'],
    [[{}, { after: ['nothing'] }], 'jobs.1.after.0'],
  ] as const) {
    t.match(await batch(rig, jobs as never), { code: 'invalid_field', error: { details: { field } } })
  }
  t.equal((await rig.call('listJobs', {})).reply.items.length, 3, 'all or none')
})

t.test('one submission looks up so many jobs and no more', async (t) => {
  const { rig } = await begin(t)
  const { id } = await submit(rig)
  const jobs = Array.from({ length: 11 }, () => ({ after: Array.from({ length: 1000 }, () => id) }))
  t.match(await batch(rig, jobs), {
    code: 'invalid_field',
    error: { details: { field: 'jobs.0.after', most: 10_000 } },
  })
})

t.test('jobs of another project are unknown', async (t) => {
  const { rig } = await begin(t)
  await rig.call('createProject', { body: { name: 'other' } })
  const foreign = await rig.call('submitJob', { body: { command: ['true'] }, headers: { 'pond-project': 'other' } })
  const id = 'id' in foreign.reply ? foreign.reply.id : ''
  const { code, error } = await rig.call('submitJob', { body: { command: ['true'], after: [id] } })
  t.match({ code, field: error?.details.field }, { code: 'invalid_field', field: 'after.0' })
})

t.test('a job that waits can be cancelled and can expire, and is not released after', async (t) => {
  const { rig, box } = await begin(t)
  const first = await submit(rig)
  const cancelled = await submit(rig, { after: [first.id] })
  const expired = await submit(rig, { after: [first.id], ttl_ms: 1000 })
  await rig.call('cancelJob', { params: { id: cancelled.id }, body: {} })
  await rig.clock.advance(2000)
  await runNext(rig, box)
  t.strictSame([await stateOf(rig, cancelled.id), await stateOf(rig, expired.id)], ['cancelled', 'expired'])
})

t.test('pond dies between an end and what it releases: the next life goes on', async (t) => {
  const { rig, box } = await begin(t)
  const first = await submit(rig)
  const waiting = await Promise.all(Array.from({ length: 600 }, () => submit(rig, { after: [first.id] })))
  const intent = await box.start()
  rig.pond.services.core.settle.listen(() => {})
  await box.say(intent, finalWord)
  await rig.clock.settle()
  const states = async () => new Set(await Promise.all(waiting.map(({ id }) => stateOf(rig, id))))
  t.strictSame([...(await states())], ['waiting'])
  await rig.restart()
  await rig.clock.settle()
  t.strictSame([...(await states())], ['queued'])
})

t.test('an order of a thousand jobs in a row is found at once', async (t) => {
  const chain = Array.from({ length: 1000 }, (_, index) => ({ after: index < 999 ? [`#${index + 1}`] : [], field: '' }))
  t.strictSame(inOrder(chain).slice(0, 2), [999, 998])
})
