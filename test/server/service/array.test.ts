// Arrays through the services: one submit, elements drawn as there is room, sums, cancel, expiry, restart, and what waits for them.
import t from 'tap'
import { removeEnded } from '../../../server/service/retention.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { finalWord, jobOf, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const indexOf = ({ array_index }: Intent) => array_index
const tallyOf = async (rig: PondRig, id: string) => (await jobOf(rig, id)).array

t.test('elements come in order, as many as there is room for, and the array ends with the last', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 5 })
  t.match(array, { state: 'queued', array: { count: 5, queued: 5, under_way: 0 } })
  const first = await box.take(3)
  t.strictSame(first.map(indexOf), [0, 1, 2])
  t.strictSame(
    first.map(({ job_id }) => job_id),
    [0, 1, 2].map((index) => `${array.id}.${index}`),
  )
  t.match(await jobOf(rig, array.id), { state: 'running', array: { queued: 2, under_way: 3 } })
  for (const intent of first) await box.say(intent, { state: 'running' })
  await box.end(first)
  t.match(await tallyOf(rig, array.id), { queued: 2, under_way: 0, succeeded: 3 })
  const rest = await box.take(4)
  t.strictSame(rest.map(indexOf), [3, 4])
  await box.end(rest)
  const ended = await jobOf(rig, array.id)
  t.match(ended, { state: 'succeeded', cause: 'exit', rc: 0, array: { succeeded: 5, queued: 0, under_way: 0 } })
  const element = await jobOf(rig, `${array.id}.4`)
  t.match(element, { state: 'succeeded', array_id: array.id, array_index: 4, digest: ended.digest, attested: true })
  t.equal(rig.pond.services.core.queue.size(rig.pond.services.core.projects.keys().next().value as never), 0)
})

t.test('max_parallel holds, also across writes under way, and an ended one makes room for the next', async (t) => {
  const rig = await createPondRig(t)
  const boxes = [await pairMachine(rig), await pairMachine(rig, { letter: 'o' })] as const
  const array = await submit(rig, { count: 6, max_parallel: 2 })
  const taken = (await Promise.all(boxes.map((box) => box.take(4)))).flat()
  t.equal(taken.length, 2)
  const other = await submit(rig)
  t.strictSame(
    (await boxes[0].take(4)).map(({ job_id }) => job_id),
    [other.id],
    'it is in nobody’s way meanwhile',
  )
  const [one] = taken
  const owner = boxes.find(({ workerId }) => workerId === one?.worker_id)
  if (!one || !owner) throw new Error('somebody has it')
  await owner.end([one])
  t.strictSame((await owner.take(4)).map(indexOf), [2])
  t.match(await tallyOf(rig, array.id), { max_parallel: 2, under_way: 2, succeeded: 1, queued: 3 })
})

t.test('the first failure is that of the array, and its other elements run all the same', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 3 })
  const [one, two, three] = await box.take(3)
  if (!one || !two || !three) throw new Error('three elements')
  for (const intent of [one, two, three]) await box.say(intent, { state: 'running' })
  await box.say(two, { ...finalWord, rc: 7 })
  await box.say(one, finalWord)
  t.equal((await jobOf(rig, array.id)).state, 'running')
  await box.say(three, { ...finalWord, rc: 9 })
  t.match(await jobOf(rig, array.id), { state: 'failed', cause: 'exit', rc: 7, array: { failed: 2, succeeded: 1 } })
})

t.test('an element that is tried again holds its place; after a restart all goes on', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 3, max_parallel: 1, retry: { on: ['exit'], attempts: 2, backoff_ms: 0 } })
  const [first] = await box.take(3)
  if (!first) throw new Error('one element')
  await box.say(first, { state: 'running' })
  await box.say(first, { ...finalWord, rc: 1 })
  t.equal((await jobOf(rig, first.job_id)).state, 'queued')
  t.match(await tallyOf(rig, array.id), { under_way: 1, queued: 2 })
  await rig.restart()
  const [again] = await box.take(3)
  t.equal(again?.job_id, first.job_id)
  t.equal(again?.attempt, 2)
  if (again) await box.end([again])
  await rig.restart()
  for (const index of [1, 2]) {
    const [next] = await box.take(3)
    t.equal(next?.array_index, index)
    if (next) await box.end([next])
  }
  t.equal((await jobOf(rig, array.id)).state, 'succeeded')
})

t.test('a cancel drops what was not drawn and calls the others back, also when pond dies over it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 1000 })
  const taken = await box.take(2)
  for (const intent of taken) await box.say(intent, { state: 'running' })
  await rig.call('cancelJob', { params: { id: array.id }, body: {} })
  await rig.restart()
  await rig.clock.settle()
  t.match(await jobOf(rig, array.id), { state: 'running', array: { queued: 0, under_way: 2, cancelled: 998 } })
  t.match(await jobOf(rig, `${array.id}.500`), { state: 'cancelled', cause: 'cancelled', attempts: 0 })
  const { reply } = await box.poll({ have: box.have(taken), wait_ms: 0 })
  t.strictSame(reply.directives.map(({ type }) => type).sort(), ['cancel', 'cancel'])
  for (const intent of taken) await box.say(intent, { state: 'final', cause: 'cancelled' })
  t.match(await jobOf(rig, array.id), { state: 'cancelled', array: { cancelled: 1000 } })
  t.equal((await rig.call('cancelJob', { params: { id: array.id }, body: {} })).reply.state, 'cancelled')
})

t.test('whoever declines one element is asked about no other for a while', async (t) => {
  const rig = await createPondRig(t)
  const boxes = [await pairMachine(rig), await pairMachine(rig, { letter: 'o' })] as const
  await submit(rig, { count: 9 })
  const [first] = await boxes[0].take(1)
  if (!first) throw new Error('one element')
  await boxes[0].say(first, { state: 'declined', message: 'no' })
  t.strictSame(await boxes[0].take(3), [])
  t.strictSame((await boxes[1].take(4)).map(indexOf), [1, 2, 3, 4])
  await rig.clock.advance(300_000)
  t.equal((await boxes[0].take(1)).length, 1)
})

t.test('its time to live ends what was not drawn', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 4, ttl_ms: 60_000 })
  const unseen = await submit(rig, { count: 4, ttl_ms: 60_000, requires: { os: 'plan9' } })
  const [one] = await box.take(1)
  if (!one) throw new Error('one element')
  await box.say(one, { state: 'running' })
  await rig.clock.advance(60_000)
  t.match(await jobOf(rig, array.id), { state: 'running', array: { expired: 3, under_way: 1 } })
  t.match(await jobOf(rig, unseen.id), { state: 'expired', cause: 'ttl', array: { expired: 4 } })
  const late = await rig.call('cancelJob', { params: { id: `${unseen.id}.3` }, body: {} })
  t.match(late.error, { code: 'not_possible', message: /has expired already/, details: { state: 'expired' } })
  await box.end([one])
  t.match(await jobOf(rig, array.id), { state: 'expired', array: { succeeded: 1, expired: 3 } })
})

t.test('others wait for an array or for one of its elements, drawn or not', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 3 })
  const afterOne = await submit(rig, { after: [`${array.id}.1`] })
  const afterLast = await submit(rig, { after: [{ job: `${array.id}.2`, on: 'end' }] })
  const afterAll = await submit(rig, { after: [array.id], count: 2 })
  const wrong = await rig.call('submitJob', { body: { command: ['true'], after: [`${array.id}.3`] } })
  t.equal(wrong.code, 'invalid_field')
  await rig.restart()
  await rig.clock.settle()
  const stateOf = async (id: string) => (await jobOf(rig, id)).state
  t.equal(await stateOf(afterOne.id), 'waiting')
  t.equal(await stateOf(`${afterAll.id}.1`), 'waiting')
  const two = await box.take(2)
  await box.end(two)
  await rig.clock.settle()
  t.equal(await stateOf(afterOne.id), 'queued')
  t.equal(await stateOf(afterLast.id), 'waiting')
  await rig.call('cancelJob', { params: { id: array.id }, body: {} })
  await rig.clock.settle()
  t.equal(await stateOf(afterLast.id), 'queued', 'an element that was dropped has ended')
  t.match(await jobOf(rig, afterAll.id), { state: 'failed', cause: 'dependency', array: { failed: 2 } })
})

t.test('lists show arrays, and the elements of one when asked', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 20, labels: { kind: 'a' } })
  const taken = await box.take(4)
  await box.say(taken[0] as Intent, { state: 'running' })
  const ids = async (query: Record<string, string>) =>
    (await rig.call('listJobs', { query })).reply.items.map(({ id }) => id)
  t.strictSame(await ids({}), [array.id])
  t.strictSame(await ids({ label: 'kind=a' }), [array.id])
  t.strictSame(await ids({ state: 'running' }), [array.id])
  t.strictSame(
    await ids({ array: array.id }),
    [3, 2, 1, 0].map((index) => `${array.id}.${index}`),
  )
  t.strictSame(await ids({ array: array.id, state: 'running' }), [`${array.id}.0`])
  t.strictSame(await ids({ array: array.id, cursor: `${array.id}.2`, limit: '1' }), [`${array.id}.1`])
  const missing = await rig.call('getJob', { params: { id: `${array.id}.20` } })
  t.equal(missing.code, 'not_found')
  t.equal((await rig.call('getJob', { params: { id: `${array.id}.07` } })).code, 'not_found')
  const early = await rig.call('cancelJob', { params: { id: `${array.id}.7` }, body: {} })
  t.match(early, { code: 'not_possible', error: { message: /has not begun/ } })
})

t.test('progress of an array is in its events, and the last one is its end', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 2 })
  const following = rig.call('followJob', { params: { id: array.id } })
  await rig.clock.settle()
  const taken = await box.take(2)
  const late = rig.call('followJob', { params: { id: array.id } })
  await rig.clock.settle()
  await box.end(taken)
  const dataOf = (text: string) => [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data ?? '{}'))
  const told = dataOf((await following).bytes.toString())
  t.match(dataOf((await late).bytes.toString())[2], { array: { under_way: 2 } }, 'who comes late is told how far it is')
  t.match(told.at(-1), { job_id: array.id, state: 'succeeded', array: { succeeded: 2 } })
  t.ok(told.some(({ array: sums }) => sums?.under_way === 2 || sums?.succeeded === 1))
})

t.test('retention removes elements, then their array', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const array = await submit(rig, { count: 3 })
  await box.end(await box.take(3))
  const { core } = rig.pond.services
  rig.clock.jump(core.settings.retentionMs + 1)
  while ((await removeEnded(core)) > 0);
  t.equal((await rig.call('getJob', { params: { id: array.id } })).code, 'not_found')
  t.equal((await rig.call('getJob', { params: { id: `${array.id}.1` } })).code, 'not_found')
})

t.test('what of an array waits counts for its project, and no more of it runs than the project may', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  await rig.call('setQuota', { params: { project: 'default' }, body: { queued: 10, running: 2 } })
  const { core } = rig.pond.services
  const [project] = core.projects.keys()
  const waiting = () => (project ? core.quotas.of(project).waiting : undefined)
  const tooMany = await rig.call('submitJob', { body: { command: ['true'], count: 11 } })
  t.match(tooMany, { code: 'invalid_field', error: { details: { quota: 'queued', most: 10 } } })
  const array = await submit(rig, { count: 8 })
  t.equal(waiting(), 8)
  t.equal((await rig.call('submitJob', { body: { command: ['true'], count: 3 } })).code, 'quota_exceeded')
  const taken = await box.take(4)
  t.equal(taken.length, 2)
  t.equal(waiting(), 6)
  await rig.restart()
  t.equal(rig.pond.services.core.quotas.of(project as never).waiting, 6)
  await box.end(taken)
  t.equal((await box.take(4)).length, 2)
  await rig.call('cancelJob', { params: { id: array.id }, body: {} })
  t.equal(rig.pond.services.core.quotas.of(project as never).waiting, 0)
})
