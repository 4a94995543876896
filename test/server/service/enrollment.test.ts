// Enrollment: one more worker joins a binding through an orchestrator that may be false. What is swapped, replayed or borrowed gains nothing.
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { EnrollBody } from '../../../src/protocol/orch.ts'
import { enrolledMac, isEnrolled } from '../../../src/seal/enrollment.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { isPrinter, type PairingCode } from '../../../src/seal/pairing.ts'
import {
  aKey,
  createCode,
  finalWord,
  jobOf,
  type Machine,
  pairBody,
  pairMachine,
  submit,
} from '../../harness/machine.ts'
import { createEnrollment, enrollBody, workerKeys } from '../../harness/newcomer.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { workerSigner } from '../../harness/worker-key.ts'

const enroll = (rig: PondRig, box: Machine, [code, body]: readonly [PairingCode, EnrollBody]) =>
  rig.call('enroll', { token: box.token, params: { code_id: code.id }, body })
const print = (letter: string) => fingerprint(workerKeys(letter).sealing_key, workerKeys(letter).signing_key)
const actions = async (rig: PondRig) => (await rig.call('listAudit')).reply.items.map(({ action }) => action)

t.test('a further worker: pinned, shown, and given jobs of its own', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const code = await createEnrollment(rig, box, { labels: { room: '7' } })
  t.match((await rig.call('listEnrollmentCodes')).reply.items, [{ binding_id: box.bindingId, labels: { room: '7' } }])
  t.strictSame((await rig.call('listPairingCodes')).reply.items, [], 'it is no pairing code')
  const { reply } = await enroll(rig, box, [code, enrollBody(code, box)])
  t.ok(isEnrolled(code, reply))
  t.strictSame((await rig.call('listEnrollmentCodes')).reply.items, [], 'it is used up')
  const { items } = (await rig.call('listWorkers')).reply
  t.match(items, [
    { id: box.workerId },
    { id: reply.worker_id, name: 'second', binding_id: box.bindingId, fingerprint: print('e'), labels: { room: '7' } },
  ])
  const job = await submit(rig)
  const workers = [{ worker_id: reply.worker_id, free: { slots: 1 } }]
  const [intent] = (await box.poll({ workers, claim_key: 'key-of-second' })).reply.intents
  t.match(intent, { job_id: job.id, worker_id: reply.worker_id })
  if (!intent) return
  const second = { ...box, workerId: reply.worker_id }
  const claim = { params: { id: job.id }, headers: { 'x-claim-token': intent.claim_token }, token: box.token }
  const word = { claim_id: intent.claim_id, ...finalWord }
  await rig.call('sendWord', { ...claim, body: { ...word, attestation: box.attest([intent, finalWord]) } })
  t.match(
    await jobOf(rig, job.id),
    { state: 'failed', cause: 'bad_signature' },
    "the first worker's key is not its own",
  )
  t.ok(second.workerId !== box.workerId)
})

t.test('a lost reply loses nothing; a replay with other keys, or after the end, gains nothing', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const code = await createEnrollment(rig, box)
  const body = enrollBody(code, box)
  const first = await enroll(rig, box, [code, body])
  t.strictSame((await enroll(rig, box, [code, body])).reply, first.reply, 'the same worker')
  t.match(await enroll(rig, box, [code, enrollBody(code, box, { letter: 'x' })]), { status: 409, code: 'code_used' })
  await rig.clock.advance(limit.pairingCodeMs)
  t.equal((await enroll(rig, box, [code, body])).code, 'code_expired', 'replayed when the code is over')
  const other = await createEnrollment(rig, box)
  t.equal((await enroll(rig, box, [other, body])).code, 'unauthenticated', 'replayed with another code')
  t.equal((await rig.call('listWorkers')).reply.items.length, 2)
  const shut = await rig.call('revokeWorker', { params: { id: first.reply.worker_id } })
  t.equal(shut.reply.state, 'revoked')
})

t.test('what an orchestrator in between swaps is refused, and burns a try', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const other = await pairMachine(rig, { letter: 'o' })
  const code = await createEnrollment(rig, box)
  const body = enrollBody(code, box)
  const { worker } = body
  const swaps: readonly EnrollBody[] = [
    { ...body, worker: { ...worker, sealing_key: aKey('x') } },
    { ...body, worker: { ...worker, signing_key: workerSigner('x').publicKey } },
    { ...body, worker: { ...worker, labels: { room: '8' } } },
    { ...body, name: 'other' },
    enrollBody(code, other),
  ]
  for (const [index, swapped] of swaps.entries()) {
    const left = limit.pairingTries - 1 - index
    const wanted =
      left > 0 ? { code: 'unauthenticated', error: { details: { tries_left: left } } } : { code: 'code_burned' }
    t.match(await enroll(rig, box, [code, swapped]), wanted)
  }
  t.equal((await enroll(rig, box, [code, body])).code, 'code_burned', 'also with the right MAC')
  t.equal((await actions(rig)).filter((action) => action === 'enrollment.wrong_mac').length, swaps.length)
})

t.test('a code is good for its binding and for enrolling only', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const other = await pairMachine(rig, { letter: 'o' })
  const code = await createEnrollment(rig, box)
  t.equal((await enroll(rig, other, [code, enrollBody(code, other)])).code, 'code_expired', 'another binding')
  t.equal((await rig.call('pair', { token: null, body: pairBody(code, { letter: 'p' }) })).code, 'code_expired')
  const pairing = (await createCode(rig)).parsed
  t.equal((await enroll(rig, box, [pairing, enrollBody(pairing, box)])).code, 'code_expired')
  t.equal((await rig.call('revokePairingCode', { params: { id: code.id } })).code, 'not_found')
  t.equal((await rig.call('revokeEnrollmentCode', { params: { id: pairing.id } })).code, 'not_found')
  t.equal((await rig.call('revokeEnrollmentCode', { params: { id: code.id } })).status, 200)
  t.equal((await enroll(rig, box, [code, enrollBody(code, box)])).code, 'code_expired')
  await rig.call('revokeBinding', { params: { id: other.bindingId } })
  const dead = await rig.call('createEnrollmentCode', { body: { binding: other.bindingId } })
  t.match(dead, { code: 'not_possible', error: { details: { state: 'revoked' } } })
})

t.test('labels come from the code, and a worker names no other', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const labels = { room: '7', zone: 'a' }
  const join = async (letter: string, named: Record<string, string>, given = labels) => {
    const code = await createEnrollment(rig, box, { labels: given })
    const answer = await enroll(rig, box, [code, enrollBody(code, box, { letter, labels: named })])
    const { items } = (await rig.call('listWorkers')).reply
    return answer.error?.details ?? items.find(({ id }) => id === answer.reply.worker_id)?.labels
  }
  t.strictSame(await join('a', {}), labels, 'none named: all of them')
  t.strictSame(await join('b', { zone: 'a' }), labels, 'one named: all the same')
  t.strictSame(await join('c', { zone: 'b' }), { field: 'worker.labels.zone' }, 'another value')
  t.strictSame(await join('d', { trusted: 'yes' }), { field: 'worker.labels.trusted' }, 'one that was not given')
  t.strictSame(await join('f', { constructor: 'x' }), { field: 'worker.labels.constructor' })
})

t.test('an expected fingerprint: other keys are refused, burn a try and do not use the code up', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const code = await createEnrollment(rig, box, { fingerprint: print('e') })
  const refused = { code: 'forbidden', error: { details: { tries_left: limit.pairingTries - 1 } } }
  t.match(await enroll(rig, box, [code, enrollBody(code, box, { letter: 'x' })]), refused)
  t.equal((await enroll(rig, box, [code, enrollBody(code, box)])).status, 200)
  const { parsed } = await createCode(rig, 'default', { fingerprint: print('p') })
  t.match((await rig.call('listPairingCodes')).reply.items, [{ fingerprint: print('p') }])
  const pair = (letter: string) => rig.call('pair', { token: null, body: pairBody(parsed, { letter }) })
  t.match(await pair('x'), refused)
  t.equal((await pair('p')).status, 200)
  const { items } = (await rig.call('listAudit')).reply
  const wrong = items.filter(({ action }) => action.endsWith('.wrong_keys'))
  t.match(wrong, [{ action: 'pairing.wrong_keys', note: `keys ${print('x')}` }, { action: 'enrollment.wrong_keys' }])
})

t.test('a reply whose pond key a proxy swapped is refused by who enrolls and by who pairs', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const code = await createEnrollment(rig, box)
  const { reply } = await enroll(rig, box, [code, enrollBody(code, box)])
  t.notOk(isEnrolled(code, { ...reply, pond_key: aKey('x') }))
  t.notOk(isEnrolled(code, { ...reply, worker_id: box.workerId }), 'another worker id')
  const forged = { worker_id: reply.worker_id, pond_key: aKey('x') }
  t.notOk(isEnrolled(code, { ...forged, mac: enrolledMac(Buffer.alloc(16), code.id, forged) }), 'its own MAC')
  t.notOk(isEnrolled(code, { ...reply, mac: '0'.repeat(64) }))
  const { parsed } = await createCode(rig)
  const paired = await rig.call('pair', { token: null, body: pairBody(parsed, { letter: 'p' }) })
  t.ok(isPrinter(parsed, paired.reply.pond_key))
  t.notOk(isPrinter(parsed, aKey('x')))
})

t.test('a replayed pairing gains nothing once the machine has used its token', async (t) => {
  const rig = await createPondRig(t)
  const { parsed } = await createCode(rig)
  const body = pairBody(parsed)
  const { reply } = await rig.call('pair', { token: null, body })
  const early = (await rig.call('pair', { token: null, body })).reply.token
  t.equal((await rig.call('orchWhoami', { token: reply.token })).status, 200)
  t.equal((await rig.call('orchWhoami', { token: early })).code, 'unauthenticated', 'what an earlier replay got')
  t.match(await rig.call('pair', { token: null, body }), { status: 409, code: 'code_used' })
  t.equal((await rig.call('orchWhoami', { token: reply.token })).status, 200)
})
