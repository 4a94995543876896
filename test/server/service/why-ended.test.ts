// Who has a job, and how it ended: what that is known from.
import t from 'tap'
import { finalWord, submit } from '../../harness/machine.ts'
import { why, withBox } from '../../harness/why.ts'

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

t.test('a held attempt tells until when, and what becomes of it then', async (t) => {
  const { rig, box } = await withBox(t)
  const { id } = await submit(rig, { on_lost: 'hold', hold_ms: 60_000 })
  await box.start()
  t.match(await why(rig, id), { says: 'box has it', change: /ends there/, held: { lease: 'confirmed' } })
  await rig.clock.advance(100_000)
  const { held, says, change } = await why(rig, id)
  t.match(held, { lease: 'held', until: Number })
  t.ok((held?.until ?? 0) > rig.clock.now())
  t.match(says, /box fell silent, and pond waits for it until 2026-/)
  t.match(change, /heard of again; else that time comes, the attempt is lost, and the job has failed/)
  await rig.call('cancelJob', { params: { id }, body: {} })
  t.match(await why(rig, id), { says: /its end was asked for/, held: { cancelled_by: /^(key|admin):/ } })
})

t.test('an element that never began ends as its array says: cause, when and by whom', async (t) => {
  const { rig, box } = await withBox(t)
  const cancelled = await submit(rig, { count: 3 })
  const intent = await box.start()
  await rig.clock.advance(1000)
  const at = rig.clock.now()
  await rig.call('cancelJob', { params: { id: cancelled.id }, body: {} })
  t.match(await why(rig, `${cancelled.id}.2`), {
    state: 'cancelled',
    ended: { cause: 'cancelled', at, by: /^(key|admin):/, cancelled_by: /^(key|admin):/, attempts: 0, attested: false },
  })
  await box.say(intent, { ...finalWord, cause: 'cancelled', rc: 143 })
  const expired = await submit(rig, { count: 2, ttl_ms: 5000 })
  const other = await submit(rig, { count: 2, after: [expired.id] })
  await rig.clock.advance(6000)
  t.match(await why(rig, `${expired.id}.1`), {
    state: 'expired',
    ended: { cause: 'ttl', by: 'pond', limit_ms: 5000, waited_ms: 5000 },
  })
  t.match(await why(rig, `${other.id}.1`), {
    state: 'failed',
    ended: { cause: 'dependency', by: 'pond', note: `it waited for ${expired.id} expired` },
  })
  t.match(await why(rig, other.id), { ended: { cause: 'dependency', note: /it waited for/ } })
})

t.test('ends tell what they are known by: times, limits, signals, the first element that failed', async (t) => {
  const { rig, box } = await withBox(t, { slots: 2 })
  const late = await submit(rig, { timeout_ms: 2000 })
  const intent = await box.start()
  const started_at = rig.clock.now()
  await rig.clock.advance(2000)
  await box.say(intent, { ...finalWord, cause: 'timeout', rc: 143, started_at })
  t.match((await why(rig, late.id)).ended, { cause: 'timeout', signal: 15, started_at, limit_ms: 2000, ran_ms: Number })
  const { id } = await submit(rig, { count: 2 })
  const [one, two] = await box.take(2)
  if (!one || !two) throw new Error('both were to be offered')
  await box.say(two, { ...finalWord, rc: 7 })
  await box.say(one, { ...finalWord, rc: 3 })
  const { ended, array } = await why(rig, id)
  t.match(ended, { cause: 'exit', rc: 7, first: { job: `${id}.1`, cause: 'exit', rc: 7 } })
  t.match(array, { failed: 2 })
})
