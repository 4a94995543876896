// Rotation: tokens that end, keys that are signed by the ones before them, pond's own key and how machines follow it.
import t from 'tap'
import { type Dsse, payloadType } from '../../../src/protocol/sealed.ts'
import { PROTOCOL } from '../../../src/protocol/version.ts'
import { signDsse } from '../../../src/seal/dsse.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { pairingMac } from '../../../src/seal/pairing.ts'
import { SealError } from '../../../src/seal/refusal.ts'
import { followPondKey, followWorkerKeys, signRotation } from '../../../src/seal/rotation.ts'
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
import { rotationOf, workerKeys } from '../../harness/newcomer.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { workerSigner } from '../../harness/worker-key.ts'

const MINUTE = 60_000
/** Of tokens here, so that the clock need not be driven through months. */
const LIFE = 60 * MINUTE
const settings = { tokenLifeMs: LIFE }
const rotate = (rig: PondRig, token: string, body: object = {}) => rig.call('rotate', { token, body })
const isOpen = async (rig: PondRig, token: string) => (await rig.call('orchWhoami', { token })).status === 200
const audits = async (rig: PondRig) => (await rig.call('listAudit')).reply.items

/** Its binding's key is one that it can sign with. */
async function pairSigning(rig: PondRig, letter: string) {
  const { parsed } = await createCode(rig)
  const { mac: _mac, ...body } = pairBody(parsed, { letter })
  const key = workerSigner(`binding ${letter}`)
  const said = { ...body, binding_key: key.publicKey }
  const { reply } = await rig.call('pair', { token: null, body: { ...said, mac: pairingMac(parsed.secret, said) } })
  await isOpen(rig, reply.token)
  return { ...reply, key }
}

t.test('a new token: the old one lives until the new one is used, a repeat gets the same one', async (t) => {
  const rig = await createPondRig(t, { settings })
  const box = await pairMachine(rig)
  await rig.clock.advance(MINUTE)
  const { reply } = await rotate(rig, box.token)
  t.match(reply, { token_expires_at: rig.clock.now() + LIFE, pond_rotations: [] })
  t.strictSame((await rotate(rig, box.token)).reply, reply, 'the lost reply is said again')
  t.ok(await isOpen(rig, box.token), 'a call that is under way with the old token')
  t.ok(await isOpen(rig, reply.token), 'does not end the new one')
  t.notOk(await isOpen(rig, box.token))
  t.equal((await rotate(rig, box.token)).code, 'unauthenticated', 'a replay behind that')
  t.match((await rig.call('getBinding', { params: { id: box.bindingId } })).reply, {
    token_expires_at: reply.token_expires_at,
  })
  t.not((await rotate(rig, reply.token)).reply.token, reply.token)
})

t.test('an expired token opens nothing but its renewal, and not even that once the binding is revoked', async (t) => {
  const rig = await createPondRig(t, { settings })
  const box = await pairMachine(rig)
  const gone = await pairMachine(rig, { letter: 'g' })
  await rig.clock.advance(LIFE)
  for (const name of ['orchWhoami', 'poll', 'unpair'] as const) {
    t.equal((await rig.call(name, { token: box.token, body: {} })).code, 'unauthenticated', name)
  }
  const { reply } = await rotate(rig, box.token)
  t.ok(await isOpen(rig, reply.token))
  await rig.call('revokeBinding', { params: { id: gone.bindingId } })
  t.equal((await rotate(rig, gone.token)).code, 'unauthenticated')
})

t.test('pond asks for a rotation when three quarters of the life are over, and does not spin', async (t) => {
  const rig = await createPondRig(t, { settings })
  const box = await pairMachine(rig)
  const told = async () => {
    const polled = box.poll({ slots: 0, wait_ms: 1000 })
    await rig.clock.advance(1000)
    return (await polled).reply.directives
  }
  await rig.clock.advance(44 * MINUTE)
  t.strictSame(await told(), [])
  await rig.clock.advance(MINUTE)
  t.match(await told(), [{ type: 'rotate' }])
  t.strictSame(await told(), [], 'not in each reply')
  await rig.clock.advance(10 * MINUTE)
  t.match(await told(), [{ type: 'rotate' }])
  const { token } = (await rotate(rig, box.token)).reply
  const fresh = rig.call('poll', {
    token,
    body: {
      protocol: PROTOCOL,
      session: 'session-1',
      seq: 99,
      claim_key: 'claim-key',
      wait_ms: 0,
      workers: [],
      have: [],
    },
  })
  await rig.clock.advance(1)
  t.strictSame((await fresh).reply.directives, [])
})

t.test("a worker's keys are replaced by a rotation that they signed, and by no other", async (t) => {
  const rig = await createPondRig(t, { settings })
  const box = await pairMachine(rig)
  const other = await pairMachine(rig, { letter: 'o' })
  const shown = async () => (await rig.call('listWorkers')).reply.items.find(({ id }) => id === box.workerId)
  const send = (workers: readonly object[]) => rotate(rig, box.token, { workers })
  const forged = signRotation({ kind: 'worker', worker_id: box.workerId, ...workerKeys('x') }, workerSigner('x'))
  const good = rotationOf(box, 'n')
  const bent = { ...good, payload: forged.payload }
  const foreign = rotationOf(other, 'n')
  const kind = signRotation({ kind: 'pond', ...workerKeys('n') }, box.signer)
  const before = await rig.dump()
  for (const bad of [forged, bent, foreign, kind]) {
    t.match(await send([bad]), { code: 'invalid_field', error: { details: { field: 'workers.0' } } })
    t.equal((await send([good, bad])).code, 'invalid_field', 'nor is a good one beside it heard')
  }
  t.strictSame(await rig.dump(), before)
  t.equal((await send([good])).status, 200)
  t.match(await shown(), { ...workerKeys('n'), state: 'offline' })
  t.equal((await send([good])).status, 200, 'its reply was lost')
  t.match(
    (await audits(rig)).find(({ action }) => action === 'worker.rotate'),
    {
      note: `${fingerprint(box.paired.worker.sealing_key, box.paired.worker.signing_key)} to ${(await shown())?.fingerprint}`,
    },
  )
  const later = rotationOf({ ...box, signer: workerSigner('n') }, 'm')
  t.equal((await send([later])).status, 200)
  t.equal((await send([good])).code, 'invalid_field', 'an old one does not turn it back')
})

t.test(
  'until a worker shows its new keys the replaced ones hold, behind that for claims of their time only',
  async (t) => {
    const rig = await createPondRig(t, { settings })
    const box = await pairMachine(rig)
    let seq = 0
    const show = (keys: object) => {
      const worker = {
        worker_id: box.workerId,
        labels: {},
        resources: { slots: 3 },
        inflight: 1,
        load: 0,
        version: '1',
        keys,
      }
      return rig.call('sendSnapshot', {
        token: box.token,
        body: { session: 'session-1', seq: ++seq, workers: [worker] },
      })
    }
    const replaced = { sealing_key: box.paired.worker.sealing_key, signing_key: box.paired.worker.signing_key }
    const state = async () => (await rig.call('listWorkers')).reply.items[0]?.state
    for (let count = 0; count < 3; count += 1) await submit(rig)
    await rotate(rig, box.token, { workers: [rotationOf(box, 'n')] })
    await rig.clock.advance(1000)
    const unheard = await box.start()
    await box.say(unheard, finalWord)
    t.match(await jobOf(rig, unheard.job_id), { state: 'succeeded', attested: true }, 'the reply is on its way')
    await show(replaced)
    t.equal(await state(), 'online', 'and no quarantine')
    const patient = await box.start()
    await show(workerKeys('n'))
    await rig.clock.advance(1000)
    await box.say(patient, finalWord)
    t.match(await jobOf(rig, patient.job_id), { state: 'succeeded', attested: true }, 'a claim of that time')
    const late = await box.start()
    await box.say(late, finalWord)
    t.match(await jobOf(rig, late.job_id), { state: 'failed', cause: 'bad_signature' })
    box.signer = workerSigner('n')
    const last = await submit(rig)
    await box.say(await box.start(), finalWord)
    t.match(await jobOf(rig, last.id), { state: 'succeeded', attested: true })
    await show(replaced)
    t.equal(await state(), 'quarantined', 'a copy of what the machine was')
  },
)

t.test('who signs the next rotation uses its keys: those before are over, and each step can be followed', async (t) => {
  const rig = await createPondRig(t, { settings })
  const box = await pairMachine(rig)
  const pinned = box.paired.worker.signing_key
  await rotate(rig, box.token, { workers: [rotationOf(box, 'n')] })
  await rotate(rig, box.token, { workers: [rotationOf({ ...box, signer: workerSigner('n') }, 'm')] })
  const [shown] = (await rig.call('listWorkers')).reply.items
  if (!shown) throw new Error('it is listed')
  t.equal(shown.rotations?.length, 2)
  t.strictSame(
    followWorkerKeys(pinned, shown).map(({ signing_key }) => signing_key),
    [workerKeys('n').signing_key, workerKeys('m').signing_key],
  )
  await submit(rig)
  await rig.clock.advance(1000)
  const claim = await box.start()
  await box.say(claim, finalWord)
  t.match(await jobOf(rig, claim.job_id), { state: 'failed', cause: 'bad_signature' })
})

t.test('what a worker signs with its new keys ends the ones before, without a snapshot', async (t) => {
  const rig = await createPondRig(t, { settings })
  const box = await pairMachine(rig)
  const old = box.signer
  for (let count = 0; count < 2; count += 1) await submit(rig)
  t.match((await rotate(rig, box.token, { workers: [rotationOf(box, 'n')] })).reply, { workers: [box.workerId] })
  box.signer = workerSigner('n')
  await box.say(await box.start(), finalWord)
  await rig.clock.advance(1000)
  box.signer = old
  const late = await box.start()
  await box.say(late, finalWord)
  t.match(await jobOf(rig, late.job_id), { state: 'failed', cause: 'bad_signature' })
})

t.test('keys that any worker has or had, and a rotation in other bytes, are not taken', async (t) => {
  const rig = await createPondRig(t, { settings })
  const box = await pairMachine(rig)
  const other = await pairMachine(rig, { letter: 'o' })
  const send = (signed: Dsse) => rotate(rig, box.token, { workers: [signed] })
  t.equal((await send(rotationOf(box, 'n'))).status, 200)
  const now = { ...box, signer: workerSigner('n') }
  const { sealing_key, signing_key } = box.paired.worker
  const say = (keys: object) => ({ kind: 'worker', worker_id: box.workerId, ...workerKeys('m'), ...keys }) as const
  const spread = Buffer.from(JSON.stringify(say({}), undefined, 2))
  for (const [says, bad] of [
    ['its own former ones', signRotation(say({ signing_key }), now.signer)],
    ['a former sealing key', signRotation(say({ sealing_key }), now.signer)],
    ['its signing key of now', signRotation(say({ signing_key: now.signer.publicKey }), now.signer)],
    ["another worker's", signRotation(say({ signing_key: other.paired.worker.signing_key }), now.signer)],
    ['white space', signDsse(payloadType.rotation, spread, now.signer)],
  ] as const) {
    t.match(await send(bad), { code: 'invalid_field', error: { details: { field: 'workers.0' } } }, says)
  }
  const good = rotationOf(now, 'm')
  const more = { ...good, signatures: [...good.signatures, { keyid: aKey('z'), sig: good.signatures[0]?.sig ?? '' }] }
  t.equal((await send(more)).status, 200)
  const [shown] = (await rig.call('listWorkers')).reply.items.filter(({ id }) => id === box.workerId)
  t.equal(shown?.rotations?.at(-1)?.signatures.length, 1, 'nothing beside it is kept')
})

t.test('the key of a binding is replaced by a rotation that it signed; it stands when its token is used', async (t) => {
  const rig = await createPondRig(t, { settings })
  const paired = await pairSigning(rig, 'b')
  const keyOf = async () => (await rig.store.read((tx) => tx.getBinding(paired.binding_id)))?.bindingKey
  const binding_key = workerSigner('binding c').publicKey
  const said = { kind: 'binding', binding_id: paired.binding_id, binding_key } as const
  const other = await pairMachine(rig, { letter: 'o' })
  for (const bad of [
    signRotation(said, workerSigner('x')),
    signRotation({ ...said, binding_id: other.bindingId }, paired.key),
    signRotation({ kind: 'pond', signing_key: binding_key, sealing_key: binding_key }, paired.key),
  ]) {
    const answer = await rotate(rig, paired.token, { binding: bad })
    t.match(answer, { code: 'invalid_field', error: { details: { field: 'binding' } } })
  }
  const good = { binding: signRotation(said, paired.key) }
  const { reply } = await rotate(rig, paired.token, good)
  t.strictSame((await rotate(rig, paired.token, good)).reply, reply, 'the lost reply is said again')
  t.equal(await keyOf(), paired.key.publicKey)
  t.ok(await isOpen(rig, reply.token))
  t.equal(await keyOf(), binding_key)
})

t.test(
  "pond's own key: signed by the one before, told at once, followed step by step, kept over a restart",
  async (t) => {
    const rig = await createPondRig(t, { settings })
    const box = await pairMachine(rig)
    const { parsed } = await createCode(rig)
    const first = rig.pond.services.core.keys.publicKey
    const parked = box.poll({ slots: 0, wait_ms: 50_000 })
    await rig.clock.settle()
    const made = await rig.call('rotatePondKey', { body: {} })
    await rig.clock.settle()
    t.match((await parked).reply.directives, [{ type: 'rotate' }], 'a parked poll hears it')
    t.equal(
      (await rig.call('pair', { token: null, body: pairBody(parsed) })).code,
      'code_expired',
      'it holds the old key',
    )
    await rig.call('rotatePondKey', { body: {} })
    await rig.restart()
    const last = (await rig.call('rotatePondKey', { body: {} })).reply
    const { reply } = await rotate(rig, box.token)
    t.equal(reply.pond_rotations.length, 3)
    t.match(followPondKey(first, reply), { signing_key: last.signing_key, sealing_key: last.sealing_key })
    t.throws(() => followPondKey(aKey('x'), reply), SealError)
    t.not(made.reply.signing_key, first)
    t.strictSame((await rotate(rig, reply.token)).reply.pond_rotations, [], 'who knows it is told nothing')
    const { keys } = rig.pond.services.core
    t.equal(keys.sealing.length, 4, 'what was sealed before still opens')
    t.equal((await audits(rig)).filter(({ action }) => action === 'pond.rotate').length, 3)
  },
)

t.test('a worker in quarantine cannot rotate itself out of it', async (t) => {
  const rig = await createPondRig(t, { settings })
  const box: Machine = await pairMachine(rig)
  const worker = { worker_id: box.workerId, labels: {}, resources: { slots: 2 }, inflight: 0, load: 0, version: '1' }
  const body = { session: 'session-1', seq: 1, workers: [{ ...worker, keys: workerKeys('x') }] }
  await rig.call('sendSnapshot', { token: box.token, body })
  const answer = await rotate(rig, box.token, { workers: [rotationOf(box, 'x')] })
  t.match(answer, { status: 200, reply: { workers: [] } }, 'and does not keep its binding from a new token')
  const { sealing_key, signing_key } = box.paired.worker
  t.match((await rig.call('listWorkers')).reply.items, [{ state: 'quarantined', sealing_key, signing_key }])
})
