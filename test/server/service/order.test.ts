// Cordon and pause: nothing new is handed out from the acknowledgement on, what runs goes on, and it ends by a word or by its time.
import t from 'tap'
import type { StopBody } from '../../../src/protocol/stop.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createEnrollment, enrollBody } from '../../harness/newcomer.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const HOUR_MS = 3_600_000

const cordon = (rig: PondRig, { workerId }: Machine, body: StopBody = {}) =>
  rig.call('cordonWorker', { params: { id: workerId }, body })
const uncordon = (rig: PondRig, { workerId }: Machine) => rig.call('uncordonWorker', { params: { id: workerId } })
const pause = (rig: PondRig, body: StopBody = {}) => rig.call('pauseProject', { params: { name: 'default' }, body })
const resume = (rig: PondRig) => rig.call('resumeProject', { params: { name: 'default' } })
const view = async (rig: PondRig, { workerId }: Machine) =>
  (await rig.call('listWorkers')).reply.items.find(({ id }) => id === workerId)
const project = async (rig: PondRig) => (await rig.call('listProjects')).reply.items[0]
const why = async (rig: PondRig, id: string) => (await rig.call('explainJob', { params: { id } })).reply
const rows = async (rig: PondRig) => (await rig.dump()).stops ?? []
const audited = async (rig: PondRig) =>
  (await rig.call('listAudit')).reply.items
    .filter(({ action }) => /cordon|pause|resume/.test(action))
    .map(({ action, by, note }) => [action, by.split(':')[0], note])
    .reverse()

/** A poll that waits, under a key of its own. */
async function park(rig: PondRig, box: Machine, more: Parameters<Machine['poll']>[0] = {}) {
  const polled = box.poll({ wait_ms: 20_000, claim_key: 'the key of the parked', ...more })
  await rig.clock.settle()
  return { polled }
}

const jobsOf = async ({ polled }: Awaited<ReturnType<typeof park>>) =>
  (await polled).reply.intents.map(({ job_id }) => job_id)

async function withBox(t: Parameters<typeof createPondRig>[0]) {
  const rig = await createPondRig(t)
  return { rig, box: await pairMachine(rig) }
}

t.test('a cordoned worker gets nothing new, stays, and ends what it runs', async (t) => {
  const { rig, box } = await withBox(t)
  await submit(rig)
  const intent = await box.start()
  const said = (await cordon(rig, box, { note: 'new kernel', for_ms: HOUR_MS })).reply
  const told = { at: rig.clock.now(), by: /^admin:/, note: 'new kernel', until: rig.clock.now() + HOUR_MS }
  t.match(said, { state: 'cordoned', note: 'new kernel', cordon: { ...told, of: 'worker' }, inflight: 1 })
  const { id } = await submit(rig)
  const parked = await park(rig, box, { have: box.have([intent]) })
  t.match(await view(rig, box), { state: 'cordoned' }, 'its poll is held as ever')
  t.match((await rig.call('getStats', {})).reply, { workers: { cordoned: 1 }, polls_parked: 1 })
  t.match((await why(rig, id)).waiting?.workers, [
    { reason: 'cordoned', note: 'new kernel', until: told.until, of: 'worker', says: 'is cordoned' },
  ])
  t.match(await box.say(intent, finalWord), { status: 200 })
  await rig.clock.advance(1000)
  t.match(await jobOf(rig, id), { state: 'queued' })
  const other = await pairMachine(rig, { letter: 'o' })
  t.match(await other.take(), [{ job_id: id }], 'another worker gets it')
  const next = await submit(rig)
  t.match((await uncordon(rig, box)).reply, { state: 'online', cordon: undefined })
  t.strictSame(await jobsOf(parked), [next.id], 'at once, in the poll that waited')
  t.equal((await uncordon(rig, box)).status, 200)
  t.strictSame(await audited(rig), [
    ['worker.cordon', 'admin', `new kernel, until ${new Date(told.until).toISOString()}`],
    ['worker.uncordon', 'admin', undefined],
  ])
})

t.test('what fills a slot in the reply to the last word is held back too', async (t) => {
  const { rig, box } = await withBox(t)
  for (let job = 0; job < 3; job++) await submit(rig)
  const first = await box.start()
  await park(rig, box, { slots: 0, have: box.have([first]), refill: true })
  const [second] = await box.end([first], { refill: true })
  if (!second) throw new Error('the next one comes with the reply')
  await cordon(rig, box)
  t.strictSame(await box.end([second], { refill: true }), [])
})

t.test('the cordon of a binding holds for workers that join later', async (t) => {
  const { rig, box } = await withBox(t)
  const params = { id: box.bindingId }
  t.match((await rig.call('cordonBinding', { params, body: { note: 'rack 4' } })).reply, { cordon: { note: 'rack 4' } })
  const code = await createEnrollment(rig, box)
  const body = enrollBody(code, box, { letter: 'e' })
  const { reply } = await rig.call('enroll', { token: box.token, params: { code_id: code.id }, body })
  const { id } = await submit(rig)
  const workers = [box.workerId, reply.worker_id].map((worker_id) => ({ worker_id, free: { slots: 1 } }))
  const parked = await park(rig, box, { workers })
  t.match((await why(rig, id)).waiting?.workers, [{ reason: 'cordoned', of: 'binding', note: 'rack 4', count: 2 }])
  t.match(await view(rig, box), { state: 'cordoned', cordon: { of: 'binding' } })
  await cordon(rig, box, { for_ms: HOUR_MS })
  t.match(await view(rig, box), { cordon: { of: 'binding', note: 'rack 4' } }, 'the one that ends last is told')
  await rig.call('cordonBinding', { params, body: { for_ms: 1000 } })
  t.match(await view(rig, box), { cordon: { of: 'worker' } })
  t.match((await rig.call('uncordonBinding', { params })).reply, { cordon: undefined })
  t.match((await parked.polled).reply.intents, [{ job_id: id, worker_id: reply.worker_id }], 'the other has its own')
})

t.test('a paused project takes jobs in and hands none out', async (t) => {
  const { rig, box } = await withBox(t)
  await submit(rig)
  const intent = await box.start()
  t.match((await pause(rig, { note: 'database moves' })).reply, { name: 'default', pause: { note: 'database moves' } })
  t.match(await project(rig), { pause: { by: /^admin:/, note: 'database moves' } })
  const parked = await park(rig, box, { slots: 2, have: box.have([intent]) })
  const { id } = await submit(rig)
  await rig.clock.settle()
  t.match(await box.say(intent, finalWord), { status: 200 })
  const told = await why(rig, id)
  t.match(told, { state: 'queued', says: /^the project is paused by an operator: database moves$/ })
  t.match(told.waiting, { ahead: 0, paused: { by: /^admin:/, note: 'database moves' }, workers: [] })
  t.match(await view(rig, box), { state: 'online' }, 'nobody is in its way but the pause')
  t.equal((await resume(rig)).reply.pause, undefined)
  t.strictSame(await jobsOf(parked), [id])
  t.equal((await resume(rig)).status, 200)
})

t.test('a pause is of one project', async (t) => {
  const { rig, box } = await withBox(t)
  await rig.call('createProject', { body: { name: 'other' } })
  t.equal((await rig.call('pauseProject', { params: { name: 'other' }, body: {} })).status, 200)
  const { id } = await submit(rig)
  t.match(await box.take(), [{ job_id: id }])
})

t.test('it ends by itself, to the millisecond, and wakes what waits', async (t) => {
  const { rig, box } = await withBox(t)
  await cordon(rig, box, { for_ms: 10_000, note: 'short' })
  await pause(rig, { for_ms: 5000 })
  const { id } = await submit(rig)
  const parked = await park(rig, box)
  await rig.clock.advance(9999)
  t.match(await jobOf(rig, id), { state: 'queued' })
  await rig.clock.advance(1)
  t.strictSame(await jobsOf(parked), [id])
  t.strictSame(await rows(rig), [])
  const ends = (await audited(rig)).slice(2)
  t.strictSame(ends, [
    ['project.resume', 'pond', 'its time is over'],
    ['worker.uncordon', 'pond', 'its time is over'],
  ])
})

t.test('it outlives a restart, and one whose time passed without pond ends with the start', async (t) => {
  const { rig, box } = await withBox(t)
  await cordon(rig, box, { for_ms: 10_000, note: 'short' })
  await pause(rig, { for_ms: 60_000, note: 'long' })
  await rig.restart(() => rig.clock.advance(10_000))
  await rig.clock.settle()
  await rig.clock.advance(0)
  t.match(await rows(rig), [{ note: 'long' }], 'its row is gone')
  t.match((await audited(rig)).at(-1), ['worker.uncordon', 'pond', 'its time is over'])
  const { id } = await submit(rig)
  box.session = 'session-2'
  t.strictSame(await box.take(), [])
  t.match(await view(rig, box), { state: 'online', cordon: undefined })
  t.match(await project(rig), { pause: { note: 'long' } })
  await rig.clock.advance(48_000)
  const parked = await park(rig, box)
  await rig.clock.advance(999)
  t.match(await jobOf(rig, id), { state: 'queued' }, 'until then')
  await rig.clock.advance(1)
  t.strictSame(await jobsOf(parked), [id])
})

t.test('a repeat is the same call within the time of a retry, and counts anew behind it', async (t) => {
  const { rig, box } = await withBox(t)
  const said = async (body: StopBody) => (await cordon(rig, box, body)).reply.cordon
  const first = await said({ for_ms: HOUR_MS, note: 'a' })
  await rig.clock.advance(30_000)
  t.strictSame(await said({ for_ms: HOUR_MS, note: 'a' }), first)
  t.equal((await audited(rig)).length, 1, 'and is not audited')
  await rig.clock.advance(30_000)
  t.match(await said({ for_ms: HOUR_MS, note: 'a' }), { until: rig.clock.now() + HOUR_MS })
  t.match(await said({ note: 'b' }), { note: 'b', until: undefined })
  const endless = await said({ note: 'b' })
  await rig.clock.advance(2 * HOUR_MS)
  t.strictSame(await said({ note: 'b' }), endless, 'the expiry of before has no meaning any more')
  t.match(await said({}), { at: rig.clock.now(), note: undefined, until: undefined })
  t.equal((await rows(rig)).length, 1)
})

t.test('no claim is committed behind a cordon or a pause, whatever is submitted beside it', async (t) => {
  for (const early of [0, 1, 2]) {
    for (const [stop, lift] of [
      [cordon, uncordon],
      [pause, resume],
    ] as const) {
      const { rig, box } = await withBox(t)
      const claims = async () => (await rig.dump()).claims?.length ?? 0
      await park(rig, box, { slots: 4 })
      const before = Array.from({ length: early }, () => submit(rig))
      const stopped = stop === cordon ? cordon(rig, box) : pause(rig)
      const behind = Array.from({ length: 3 }, () => submit(rig))
      t.equal((await stopped).status, 200)
      const acknowledged = await claims()
      await Promise.all(before)
      for (const job of behind)
        t.match(await jobOf(rig, (await job).id), { state: 'queued' }, 'not in one commit either')
      await submit(rig)
      await park(rig, box, { slots: 4 })
      t.equal(await claims(), acknowledged, 'and nothing since')
      await lift(rig, box)
      await rig.clock.settle()
      t.ok((await claims()) > acknowledged, 'it goes on')
    }
  }
})

t.test('one whose write failed holds nobody back', async (t) => {
  const { rig, box } = await withBox(t)
  const parked = await park(rig, box)
  let faults = 1
  rig.storeFault = () => (faults-- > 0 ? 'lose' : undefined)
  const stopped = cordon(rig, box)
  const submitted = submit(rig)
  t.equal((await stopped).status, 503)
  t.strictSame(await jobsOf(parked), [(await submitted).id])
  t.strictSame(await rows(rig), [])
})

t.test('an end that could not be written holds nobody back, and is written later', async (t) => {
  const { rig, box } = await withBox(t)
  await cordon(rig, box, { for_ms: 10_000 })
  await rig.clock.advance(9000)
  rig.storeFault = () => 'refuse'
  await rig.clock.advance(1000)
  rig.storeFault = () => undefined
  t.equal((await rows(rig)).length, 1)
  t.equal((await view(rig, box))?.cordon, undefined)
  const { id } = await submit(rig)
  t.match(await box.take(), [{ job_id: id }])
  await rig.clock.advance(2000)
  t.strictSame(await rows(rig), [])
})

t.test('whoever is revoked takes its cordons along, and gets none', async (t) => {
  const { rig, box } = await withBox(t)
  const other = await pairMachine(rig, { letter: 'o' })
  const params = { id: box.bindingId }
  await rig.call('cordonBinding', { params, body: {} })
  for (const machine of [box, other]) await cordon(rig, machine)
  t.equal((await rows(rig)).length, 3)
  await rig.call('revokeBinding', { params })
  t.match(await rows(rig), [{ target: other.workerId }])
  await rig.call('revokeWorker', { params: { id: other.workerId } })
  t.strictSame(await rows(rig), [])
  const revoked = { code: 'not_possible', error: { details: { state: 'revoked' } } }
  t.match(await cordon(rig, box), revoked)
  t.match(await rig.call('cordonBinding', { params, body: {} }), revoked)
  t.match(await rig.call('drainBinding', { params, body: {} }), revoked)
  t.equal((await uncordon(rig, box)).status, 200, 'there is none to take back')
})

t.test('unknown ids, and an expiry out of its limits', async (t) => {
  const { rig, box } = await withBox(t)
  const wrk = { params: { id: `wrk_${'0'.repeat(26)}` } }
  const bnd = { params: { id: `bnd_${'0'.repeat(26)}` } }
  t.equal((await rig.call('cordonWorker', { ...wrk, body: {} })).code, 'not_found')
  t.equal((await rig.call('uncordonWorker', wrk)).code, 'not_found')
  for (const name of ['cordonBinding', 'drainBinding'] as const) {
    t.equal((await rig.call(name, { ...bnd, body: {} })).code, 'not_found')
  }
  t.equal((await rig.call('uncordonBinding', bnd)).code, 'not_found')
  t.equal((await rig.call('pauseProject', { params: { name: 'none' }, body: {} })).code, 'not_found')
  const outOf = { code: 'invalid_field', error: { details: { field: 'for_ms' } } }
  for (const for_ms of [999, 31 * 24 * HOUR_MS]) t.match(await cordon(rig, box, { for_ms }), outOf)
  t.strictSame(await rows(rig), [])
})

t.test('offline is told before a cordon, for nothing else helps until it is back', async (t) => {
  const { rig, box } = await withBox(t)
  await cordon(rig, box)
  await rig.clock.advance(HOUR_MS)
  t.match(await view(rig, box), { state: 'offline', cordon: { of: 'worker' } })
  t.match((await why(rig, (await submit(rig)).id)).waiting?.workers, [{ reason: 'offline' }])
})

t.test('draining a binding drains each of its workers, in one write', async (t) => {
  const { rig, box } = await withBox(t)
  const code = await createEnrollment(rig, box)
  const body = enrollBody(code, box, { letter: 'e' })
  const { reply } = await rig.call('enroll', { token: box.token, params: { code_id: code.id }, body })
  const third = await createEnrollment(rig, box)
  const gone = await rig.call('enroll', {
    ...{ token: box.token, params: { code_id: third.id }, body: enrollBody(third, box, { letter: 'g' }) },
  })
  await rig.call('revokeWorker', { params: { id: gone.reply.worker_id } })
  const workers = [box.workerId, reply.worker_id].map((worker_id) => ({ worker_id, free: { slots: 1 } }))
  const parked = await park(rig, box, { workers })
  const order = { deadline_ms: 60_000, note: 'new disk' }
  const drained = await rig.call('drainBinding', { params: { id: box.bindingId }, body: order })
  t.match(drained.reply, { id: box.bindingId, draining: 2, workers: 3 })
  const asked = { type: 'drain', wait_ms: 60_000, note: 'new disk' }
  t.match(
    (await parked.polled).reply.directives,
    workers.map(({ worker_id }) => ({ ...asked, worker_id })),
  )
  t.match(await view(rig, box), { drain: { note: 'new disk', deadline_at: rig.clock.now() + 60_000 } })
})

t.test('a disk that cannot be asked for its room makes nobody deaf for good', async (t) => {
  const { rig, box } = await withBox(t)
  await pause(rig)
  const { id } = await submit(rig)
  const parked = await park(rig, box)
  const { blobs } = rig.pond.services.core
  t.intercept(blobs, 'roomBytes', { value: async () => Promise.reject(new Error('EIO')), configurable: true })
  await resume(rig)
  await rig.clock.settle()
  t.match(await jobOf(rig, id), { state: 'queued' })
  Reflect.deleteProperty(blobs, 'roomBytes')
  const other = await pairMachine(rig, { letter: 'o' })
  t.match(await other.start(), { job_id: id }, 'the next poll looks again')
  await rig.clock.advance(20_000)
  t.strictSame(await jobsOf(parked), [])
})
