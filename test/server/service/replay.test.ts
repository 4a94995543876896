// Replays through the services: the same exact bytes as a new job, once; admitted like a submit; elements, arrays, many at a time, and after a restart.
import t from 'tap'
import type { JobSpec } from '../../../src/protocol/job.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { createSealer } from '../../harness/sealer.ts'

const replay = (rig: PondRig, id: string) => rig.call('replayJob', { params: { id }, body: {} })
const replayMany = (rig: PondRig, body: object) => rig.call('replayJobs', { body })
const dismiss = (rig: PondRig, id: string) => rig.call('dismissJob', { params: { id } })
const dead = async (rig: PondRig, query: Record<string, string> = {}) =>
  (await rig.call('listDead', { query })).reply.items.map(({ id }) => id)
const specOf = async (rig: PondRig, id: string) => (await rig.call('getJobSpec', { params: { id } })).bytes.toString()

async function fail(rig: PondRig, box: Machine, job: Partial<JobSpec> = {}): Promise<string> {
  const { id } = await submit(rig, job)
  await box.say(await box.start(), { ...finalWord, rc: 3 })
  return id
}

t.test('the same bytes run as a new job; a repeat answers that one; the old end stands', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const first = await fail(rig, box, { env: { A: '1' } })
  const id = await fail(rig, box, { after: [{ job: first, on: 'end' }], ttl_ms: 5000, labels: { app: 'a' } })
  const before = await jobOf(rig, id)
  await rig.clock.advance(10_000)
  const { reply: made, status, headers } = await replay(rig, id)
  t.equal(status, 201)
  t.match(headers, { location: `/v1/jobs/${made.id}` })
  t.match(made, { state: 'queued', digest: before.digest, replay_of: id, labels: { app: 'a' }, attempts: 0 })
  t.equal(made.expires_at, rig.clock.now() + 5000, 'its time to live begins anew')
  t.equal(await specOf(rig, made.id), await specOf(rig, id))
  const key = (await rig.call('whoami')).reply.id
  t.strictSame(
    JSON.parse(JSON.stringify(await jobOf(rig, id))),
    JSON.parse(JSON.stringify({ ...before, version: before.version + 1, replayed_by: made.id })),
    'nothing else of it changed',
  )
  t.match((await rig.call('listTransitions', { params: { id } })).reply.items.at(-1), {
    ...{ from: 'failed', to: 'failed', by: `admin:${key}`, note: `replayed as ${made.id}` },
  })
  await rig.restart()
  t.match((await replay(rig, id)).reply, { id: made.id }, 'also after a restart')
  const both = await Promise.all([replay(rig, first), replay(rig, first)])
  t.equal(both[0].reply.id, both[1].reply.id, 'of two at once, too')
  await box.say(await box.start(), finalWord)
  t.match(await jobOf(rig, made.id), { state: 'succeeded', replay_of: id })
  t.strictSame(await dead(rig), [])
})

t.test('what the job waited for in vain does not stand in the way of its replay', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const body = { jobs: [{ command: ['a'] }, { command: ['b'], after: ['#0'] }] }
  const { reply } = await rig.call('submitJob', { body })
  const [, second] = 'items' in reply ? reply.items : []
  if (!second) throw new Error('there are two')
  await box.say(await box.start(), { ...finalWord, rc: 1 })
  await rig.clock.settle()
  t.match(await jobOf(rig, second.id), { state: 'failed', cause: 'dependency' })
  t.strictSame(await dead(rig, { cause: 'dependency' }), [second.id])
  t.match((await replay(rig, second.id)).reply, { state: 'queued', replay_of: second.id })
})

t.test('what has not ended is not replayed; what ended well is, where a person asks', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  t.match(await replay(rig, id), { code: 'not_possible', error: { details: { state: 'queued' } } })
  t.match(await replay(rig, `job_${'0'.repeat(26)}`), { code: 'not_found' })
  await box.say(await box.start(), finalWord)
  t.strictSame(await dead(rig), [])
  t.match((await replay(rig, id)).reply, { state: 'queued', replay_of: id })
})

t.test('a replay is admitted as a submit is, and what is refused leaves the old job as it was', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const sealer = await createSealer(rig)
  await rig.call('putCredential', { params: { name: 'c' }, body: await sealer.credential('c', {}) })
  const named = await fail(rig, box, { credential: 'c' })
  const high = await fail(rig, box, { priority: 9 })
  await rig.call('deleteCredential', { params: { name: 'c' } })
  t.match(await replay(rig, named), { code: 'invalid_field', error: { details: { field: 'credential' } } })
  const setQuota = (body: object) => rig.call('setQuota', { params: { project: 'default' }, body })
  await setQuota({ priority_most: 5 })
  t.match(await replay(rig, high), { code: 'invalid_field', error: { details: { field: 'priority' } } })
  await setQuota({ queued: 1 })
  const { id } = await submit(rig)
  t.match(await replay(rig, high), { code: 'quota_exceeded' })
  t.match(await replayMany(rig, { cause: 'exit' }), { code: 'quota_exceeded' }, 'none of many was let in')
  t.equal((await jobOf(rig, high)).replayed_by, undefined)
  await rig.call('cancelJob', { params: { id }, body: {} })
  await setQuota({ queued: 2 })
  const { reply } = await replayMany(rig, { cause: 'exit' })
  t.match(reply, { replayed: [{ from: high }], refused: [{ id: named, message: /credential/ }], left: false })
  t.match(await replay(rig, high), { status: 201 }, 'a repeat passes whatever the quotas say')
})

t.test('a signed job keeps its signature', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const sealer = await createSealer(rig)
  const { reply } = await rig.call('submitJob', { body: { signed: sealer.job({ command: ['true'] }) } })
  const old = await box.start()
  await box.say(old, { ...finalWord, rc: 1 })
  const id = 'id' in reply ? reply.id : ''
  const { reply: made } = await replay(rig, id)
  t.equal(made.signer, sealer.signer.publicKey)
  const intent = await box.start()
  t.strictSame([intent.job, intent.job_signature], [old.job, old.job_signature], 'its worker sees the same')
})

t.test('an element runs again as an array of its own at the same index; an array over all of them', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 4, max_parallel: 3 })
  const [zero, one, two] = await box.take(4)
  if (!zero || !one || !two) throw new Error('there is room for three')
  for (const intent of [one, two]) await box.say(intent, { ...finalWord, rc: 1 })
  t.strictSame(await dead(rig), [two.job_id, one.job_id], 'each by itself')
  t.match(await replay(rig, `${array.id}.3`), { code: 'not_possible', error: { details: { state: 'queued' } } })
  const { reply: made } = await replay(rig, two.job_id)
  t.match(made, { replay_of: two.job_id, array: { count: 1, from: 2, queued: 1 } })
  t.match((await replay(rig, two.job_id)).reply, { id: made.id })
  t.match(await rig.call('getJob', { params: { id: `${made.id}.0` } }), { code: 'not_found' })
  t.match(await jobOf(rig, `${made.id}.2`), { state: 'queued', array_index: 2 }, 'before it is drawn')
  await box.end([zero])
  await rig.restart()
  const rest = await box.take(4)
  t.strictSame(rest.map(({ array_index }) => array_index).sort(), [2, 3])
  await box.end(rest)
  t.match(await jobOf(rig, made.id), { state: 'succeeded', array: { succeeded: 1, queued: 0 } })
  const again = await jobOf(rig, `${made.id}.2`)
  t.match(again, { state: 'succeeded', replay_of: undefined }, 'its array says so')
  t.strictSame(await dead(rig, { array: array.id }), [one.job_id])
  const { reply: whole } = await replay(rig, array.id)
  t.match(whole, { replay_of: array.id, array: { count: 4, max_parallel: 3, queued: 4, from: undefined } })
  t.match((await replay(rig, made.id)).reply, { array: { count: 1, from: 2 } })
  t.strictSame(await dead(rig), [one.job_id], 'the run of the whole leaves its elements where they are')
})

t.test(
  'an array stands in the list for its elements that never began, and these are replayed from there',
  async (t) => {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig)
    const array = await submit(rig, { count: 4, ttl_ms: 60_000 })
    const [zero] = await box.take(1)
    if (!zero) throw new Error('one element')
    await box.say(zero, { state: 'running' })
    await rig.clock.advance(60_000)
    t.strictSame(await dead(rig), [], 'it has not ended')
    await box.say(zero, { ...finalWord, rc: 1 })
    t.strictSame((await dead(rig)).sort(), [array.id, zero.job_id], 'once for all of them')
    t.match(await jobOf(rig, array.id), { array: { failed: 1, expired: 3, never_began: 3 } })
    t.match(await replay(rig, `${array.id}.1`), { code: 'not_possible', error: { message: /replay its array/ } })
    t.match((await dismiss(rig, `${array.id}.1`)).code, 'not_possible')
    const { reply } = await replayMany(rig, { array: array.id })
    t.strictSame(reply.replayed.map(({ from }) => from).sort(), [array.id, zero.job_id])
    const made = reply.replayed.find(({ from }) => from === array.id)?.to ?? ''
    t.match(await jobOf(rig, made), { replay_of: array.id, array: { count: 3, from: 1, queued: 3 } })
    t.strictSame(await dead(rig), [])
  },
)

t.test('an array of which nothing began: dismissed, or replayed as a whole', async (t) => {
  const rig = await createPondRig(t)
  const [one, other] = [await submit(rig, { count: 2, ttl_ms: 1000 }), await submit(rig, { count: 2, ttl_ms: 1000 })]
  await rig.clock.advance(2000)
  t.match((await dismiss(rig, one.id)).reply, { state: 'expired', dismissed_at: rig.clock.now() })
  t.match((await replay(rig, other.id)).reply, { array: { count: 2, queued: 2 } })
  t.strictSame(await dead(rig), [])
  const cancelled = await submit(rig, { count: 2 })
  await rig.call('cancelJob', { params: { id: cancelled.id }, body: {} })
  t.strictSame(await dead(rig), [], 'what somebody ended on purpose is no dead letter')
})

t.test('many: by label, array and cause, so many at a time, latest first', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const ids: string[] = []
  for (const app of ['a', 'a', 'b', 'a']) {
    ids.push(await fail(rig, box, { labels: { app } }))
    await rig.clock.advance(10)
  }
  const [one, two, three, four] = ids
  t.match(await replayMany(rig, {}), { code: 'invalid_field' })
  t.match(await replayMany(rig, { label: 'app=a', cause: 'oom' }), { reply: { replayed: [], left: false } })
  const first = (await replayMany(rig, { label: 'app=a', most: 2 })).reply
  t.match(first, { replayed: [{ from: four }, { from: two }], left: true })
  t.match((await replayMany(rig, { label: 'app=a' })).reply, { replayed: [{ from: one }], refused: [], left: false })
  t.strictSame(await dead(rig), [three])
  t.match(await jobOf(rig, four ?? ''), { replayed_by: first.replayed[0]?.to })
})

t.test('as many as fit into the quota are let in, and the rest is left', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (let number = 0; number < 5; number++) await fail(rig, box)
  await rig.call('setQuota', { params: { project: 'default' }, body: { queued: 2 } })
  const { reply } = await replayMany(rig, { cause: 'exit' })
  t.equal(reply.replayed.length, 2)
  t.match(reply, { refused: [], left: true })
  t.equal((await dead(rig)).length, 3)
})
