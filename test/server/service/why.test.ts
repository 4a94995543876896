// Why a job waits and how it ended: each reason with the facts behind it, of the same moment.
import t from 'tap'
import type { Hindrance, WhyView } from '../../../src/protocol/why.ts'
import { finalWord, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const why = async (rig: PondRig, id: string): Promise<WhyView> =>
  (await rig.call('explainJob', { params: { id } })).reply

/** Of the only kind of worker that there is. */
async function reasonOf(
  rig: PondRig,
  id: string,
): Promise<Partial<NonNullable<WhyView['waiting']>['workers'][number]>> {
  const { waiting } = await why(rig, id)
  if (waiting?.workers.length !== 1) throw new Error(`one kind of worker, not ${JSON.stringify(waiting)}`)
  return waiting.workers[0] ?? {}
}

async function withBox(t: Parameters<typeof createPondRig>[0], said: Parameters<typeof pairMachine>[1] = {}) {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1, ...said })
  return { rig, box }
}

/** Its poll is held with nothing free, so it is online and busy. */
async function hold(rig: PondRig, box: Machine, slots = 0) {
  const poll = box.poll({ slots, wait_ms: 20_000, claim_key: 'the key of the held' })
  await rig.clock.settle()
  return poll
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

t.test('an end is told with whose word it was and what was said', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig)
  const intent = await box.start()
  await rig.call('cancelJob', { params: { id }, body: {} })
  await box.say(intent, { ...finalWord, cause: 'cancelled', rc: 143, message: 'it stopped in time' })
  const { ended, state } = await why(rig, id)
  t.equal(state, 'cancelled')
  t.match(ended, { cause: 'cancelled', by: /^worker:/, note: 'it stopped in time', cancelled_by: /^(key|admin):/ })
  const lost = await submit(rig)
  await box.start()
  await rig.clock.advance(200_000)
  t.match((await why(rig, lost.id)).ended, {
    cause: 'worker_lost',
    by: 'pond',
    note: /fell silent/,
    worker: { name: 'box' },
  })
})

t.test('what an earlier attempt said is no evidence of the end, and nobody is in the way of a retry', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig, { retry: { on: ['exit'], attempts: 3, backoff_ms: 60_000 } })
  const intent = await box.start()
  await box.say(intent, { ...finalWord, rc: 1, message: 'the first went wrong' })
  const later = await why(rig, id)
  t.match(later, { state: 'queued', waiting: { workers: [] } })
  t.ok((later.waiting?.not_before ?? 0) > rig.clock.now())
  await rig.call('cancelJob', { params: { id }, body: {} })
  const { ended } = await why(rig, id)
  t.match(ended, { cause: 'cancelled', attested: false })
  t.notMatch(ended?.note, /first/)
})

t.test('an adoption is not the end', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig)
  const intent = await box.start()
  await rig.clock.advance(200_000)
  await box.say(intent, finalWord)
  await rig.call('adoptAttempt', { params: { id }, body: { attempt: 1 } })
  t.match((await why(rig, id)).ended, { cause: 'worker_lost', by: 'pond' })
})
