// Labels of workers: an operator who relies on one has given it, and a machine that says another is told so.
import t from 'tap'
import type { PairingBody } from '../../../src/protocol/admin.ts'
import type { AllowedLabels } from '../../../src/protocol/job.ts'
import { OLDEST_PROTOCOL } from '../../../src/protocol/version.ts'
import { createCode, pairBody, pairMachine, submit } from '../../harness/machine.ts'
import { createEnrollment, enrollBody } from '../../harness/newcomer.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

type Said = Pick<NonNullable<Parameters<typeof pairBody>[1]>, 'labels' | 'without'>

/** Pairs with a new code that says this of labels. */
async function come(rig: PondRig, code: Partial<PairingBody>, said: Said = {}) {
  const { parsed } = await createCode(rig, 'default', code)
  const answer = await rig.call('pair', { token: null, body: pairBody(parsed, said) })
  const { items } = (await rig.call('listWorkers')).reply
  return { parsed, answer, worker: items.find(({ id }) => id === answer.reply?.worker_id) }
}

t.test('a machine does not give itself a label: it is refused, by name, and the code stays good', async (t) => {
  const rig = await createPondRig(t)
  const { parsed, answer } = await come(rig, { labels: { zone: 'eu' } }, { labels: { secure: 'yes' } })
  t.match(answer, { status: 422, code: 'invalid_field', error: { details: { field: 'worker.labels.secure' } } })
  t.match(answer.error?.message, /--allow-label secure/)
  t.match((await rig.call('listPairingCodes')).reply.items, [{ id: parsed.id, uses_left: 1, tries_left: 5 }])
  const wrong = await rig.call('pair', { token: null, body: pairBody(parsed, { labels: { zone: 'us' } }) })
  t.match(wrong.error, { message: /gives zone=eu/, details: { field: 'worker.labels.zone' } })
  const right = await rig.call('pair', { token: null, body: pairBody(parsed, { labels: { zone: 'eu' } }) })
  t.match(right.reply, { labels: { zone: 'eu' } })
})

t.test('what is granted and what a machine chose are told apart, also after a restart', async (t) => {
  const rig = await createPondRig(t)
  const allowed_labels: AllowedLabels = { rack: { op: 'exists' }, site: { op: 'in', value: ['lab', 'attic'] } }
  const code = { labels: { zone: 'eu', room: '7' }, allowed_labels }
  const { worker, answer } = await come(rig, code, { labels: { rack: '12', site: 'lab' }, without: ['room'] })
  const labels = { zone: 'eu', rack: '12', site: 'lab' }
  t.strictSame(answer.reply.labels, labels)
  t.strictSame([worker?.labels, worker?.granted_labels], [labels, ['zone']])
  await rig.restart()
  const [again] = (await rig.call('listWorkers')).reply.items
  t.strictSame([again?.labels, again?.granted_labels], [labels, ['zone']])
  const { parsed } = await createCode(rig, 'default', code)
  t.match((await rig.call('listPairingCodes')).reply.items, [{ id: parsed.id, allowed_labels }])
  const other = await rig.call('pair', { token: null, body: pairBody(parsed, { labels: { site: 'cellar' } }) })
  t.match(other.error?.message, /only site=lab or attic/)
})

t.test('a repeat after a lost reply tells the same labels', async (t) => {
  const rig = await createPondRig(t)
  const { parsed, answer } = await come(
    rig,
    { labels: { zone: 'eu' }, allowed_labels: { '*': { op: 'exists' } } },
    { labels: { a: '1' } },
  )
  const again = await rig.call('pair', { token: null, body: pairBody(parsed, { labels: { a: '1' } }) })
  t.strictSame(again.reply.labels, answer.reply.labels)
  t.equal(again.reply.worker_id, answer.reply.worker_id)
})

t.test('a label is either given or chosen', async (t) => {
  const rig = await createPondRig(t)
  const body = { labels: { zone: 'eu' }, allowed_labels: { zone: { op: 'exists' } } } as const
  const refused = { code: 'invalid_field', error: { details: { field: 'allowed_labels.zone' } } }
  t.match(await rig.call('createPairingCode', { body }), refused)
  const box = await pairMachine(rig)
  t.match(await rig.call('createEnrollmentCode', { body: { ...body, binding: box.bindingId } }), refused)
  t.match(await rig.call('createPairingCode', { body: { allowed_labels: { 'NO KEY': 'x' } } }), { status: 422 })
})

t.test('jobs go by what was settled, and a snapshot changes nothing of it', async (t) => {
  const rig = await createPondRig(t)
  const code = await createCode(rig, 'default', { labels: { zone: 'eu' } })
  const paired = pairBody(code.parsed)
  const { worker_id, token } = (await rig.call('pair', { token: null, body: paired })).reply
  const { sealing_key, signing_key, resources } = paired.worker
  const worker = { worker_id, keys: { sealing_key, signing_key }, resources, inflight: 0, load: 0, version: '1' }
  const body = { session: 'session-1', seq: 1, workers: [{ ...worker, labels: { zone: 'us', secure: 'yes' } }] }
  await rig.call('sendSnapshot', { token, body })
  t.match((await rig.call('listWorkers')).reply.items, [{ labels: { zone: 'eu' } }])
  const { id } = await submit(rig, { requires: { labels: { secure: 'yes' } } })
  const poll = { protocol: OLDEST_PROTOCOL, session: 'session-1', seq: 1, claim_key: 'claim-key', wait_ms: 0, have: [] }
  const polled = rig.call('poll', { token, body: { ...poll, workers: [{ worker_id, free: { slots: 1 } }] } })
  await rig.clock.advance(1000)
  t.strictSame((await polled).reply.intents, [])
  const { waiting } = (await rig.call('explainJob', { params: { id } })).reply
  t.match(waiting?.workers, [{ reason: 'lacks', requirement: 'labels.secure' }])
})

t.test('a further worker is as bound to its code as the first', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const code = await createEnrollment(rig, box, {
    labels: { zone: 'eu', room: '7' },
    allowed_labels: { rack: { op: 'gte', value: 3 } },
  })
  const join = (said: Parameters<typeof enrollBody>[2]) =>
    rig.call('enroll', { token: box.token, params: { code_id: code.id }, body: enrollBody(code, box, said) })
  t.match((await join({ labels: { rack: '2' } })).error?.message, /only rack>=3/)
  t.match((await join({ labels: { secure: 'yes' } })).error?.details, { field: 'worker.labels.secure' })
  const { reply } = await join({ labels: { rack: '3' }, without: ['room'] })
  t.strictSame(reply.labels, { zone: 'eu', rack: '3' })
  const { items } = (await rig.call('listWorkers')).reply
  t.match(
    items.find(({ id }) => id === reply.worker_id),
    { labels: reply.labels, granted_labels: ['zone'] },
  )
})
