// Calls under a call key: as good as signed by the binding's own key, but for what outlasts it.
import t, { type Test } from 'tap'
import type { PondRequest } from '../../../server/http/message.ts'
import { limit } from '../../../src/protocol/limit.ts'
import { acceptCallKey, type CallKey, makeHalf } from '../../../src/seal/call-key.ts'
import { hashPondKey } from '../../../src/seal/pairing.ts'
import { createMacSigner } from '../../../src/seal/request-signature.ts'
import { signRotation } from '../../../src/seal/rotation.ts'
import { createSigner } from '../../../src/seal/signature.ts'
import { type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { createSeededRandom } from '../../harness/seeded-random.ts'
import { bindingPair } from '../../harness/signing-key.ts'

const random = createSeededRandom(2)

async function agree(rig: PondRig, box: Machine): Promise<CallKey> {
  const half = makeHalf(random)
  const { reply } = await rig.call('agreeCallKey', { token: box.token, body: { half: half.shown } })
  const { publicKey: pondKey } = rig.pond.services.core.keys
  return acceptCallKey(half, reply.signed, { bindingId: box.bindingId, pondKey })
}

function underKey(rig: PondRig, request: PondRequest, key: CallKey): PondRequest {
  const { publicKey } = rig.pond.services.core.keys
  const sign = createMacSigner(key, hashPondKey(publicKey))
  // The rig signed it with the binding key.
  const { 'content-digest': _, ...headers } = request.headers
  const own = sign({ ...request, headers }, { createdMs: rig.clock.now(), nonce: random.bytes(16) })
  return { ...request, headers: { ...headers, ...own } }
}

async function statusOf(rig: PondRig, box: Machine, key: CallKey): Promise<number> {
  const request = rig.request('orchWhoami', { token: box.token })
  return (await rig.pond.answer(underKey(rig, request, key))).status
}

async function setUp(t: Test) {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  return { rig, box, key: await agree(rig, box) }
}

t.test('a call under the key is heard, for its binding alone and with its token alone', async (t) => {
  const { rig, box, key } = await setUp(t)
  t.equal(await statusOf(rig, box, key), 200)
  const other = await pairMachine(rig, { letter: 'o' })
  t.equal(await statusOf(rig, other, key), 401, 'the key of another binding')
  t.equal(await statusOf(rig, { ...box, token: other.token }, key), 401, 'the token of another binding')
  t.equal(await statusOf(rig, box, { ...key, secret: Buffer.alloc(32) }), 401, 'another secret')
  t.equal(await statusOf(rig, box, { ...key, id: key.id.replace(/.$/, '!') }), 401, 'no such key')
})

t.test('what changes who is trusted takes the key of the binding itself', async (t) => {
  const { rig, box, key } = await setUp(t)
  const code_id = `cod_${'0'.repeat(26)}`
  const calls = {
    agreeCallKey: { body: { half: makeHalf(random).shown } },
    rotate: { body: {} },
    enroll: { params: { code_id }, body: {} },
    unpair: { body: {} },
  } as const
  for (const [name, asking] of Object.entries(calls)) {
    const request = rig.request(name as keyof typeof calls, { token: box.token, ...asking })
    t.equal((await rig.pond.answer(underKey(rig, request, key))).status, 401, name)
  }
  t.equal(await statusOf(rig, box, key), 200, 'and nothing came of them')
})

t.test('a long chunk comes with its MAC, and no other bytes come with it', async (t) => {
  const { rig, box, key } = await setUp(t)
  await submit(rig)
  const { job_id, claim_id, claim_token } = await box.start()
  const chunk = rig.request('sendChunk', {
    token: box.token,
    params: { id: job_id },
    query: { claim: claim_id, stream: 'stdout', offset: '0', at: '1', order: '0' },
    headers: { 'x-claim-token': claim_token },
    body: random.bytes(limit.chunkBytes),
  })
  const signed = underKey(rig, chunk, key)
  t.match(signed.headers, { 'content-mac': /^chacha20-poly1305=:/, 'content-digest': undefined })
  const other = Buffer.from(chunk.body ?? '').fill('x', limit.chunkBytes - 1)
  t.equal((await rig.pond.answer({ ...signed, body: other })).status, 401)
  const { status, body } = await rig.pond.answer(signed)
  t.equal(status, 200)
  t.strictSame(JSON.parse(`${body}`), { committed: limit.chunkBytes })
})

t.test('it lives an hour, and of one binding the latest few live', async (t) => {
  const { rig, box, key } = await setUp(t)
  await rig.clock.advance(limit.callKeyMs - 1)
  t.equal(await statusOf(rig, box, key), 200)
  await rig.clock.advance(1)
  t.equal(await statusOf(rig, box, key), 401)
  const other = await pairMachine(rig, { letter: 'o' })
  const others = await agree(rig, other)
  const own: CallKey[] = []
  for (let count = 0; count <= limit.callKeysPerBinding; count++) own.push(await agree(rig, box))
  const statuses = await Promise.all(own.map((each) => statusOf(rig, box, each)))
  t.strictSame(statuses, [401, ...own.slice(1).map(() => 200)])
  t.equal(await statusOf(rig, other, others), 200, "another's is no part of these")
})

t.test('a wall clock that is set back lengthens no life', async (t) => {
  const { rig, box, key } = await setUp(t)
  await rig.clock.advance(limit.callKeyMs - 1)
  rig.clock.setBack(limit.callKeyMs / 2)
  t.equal(await statusOf(rig, box, key), 200)
  await rig.clock.advance(1)
  t.equal(await statusOf(rig, box, key), 401)
})

t.test('a call for a key that is caught and said again throws none out', async (t) => {
  const { rig, box } = await setUp(t)
  const half = makeHalf(random)
  const asked = { token: box.token, body: { half: half.shown } }
  const { reply } = await rig.call('agreeCallKey', asked)
  const key = acceptCallKey(half, reply.signed, {
    bindingId: box.bindingId,
    pondKey: rig.pond.services.core.keys.publicKey,
  })
  const latest = await agree(rig, box)
  for (let count = 0; count <= limit.callKeysPerBinding; count++) {
    t.strictSame((await rig.call('agreeCallKey', asked)).reply, reply)
  }
  t.strictSame(await Promise.all([key, latest].map((each) => statusOf(rig, box, each))), [200, 200])
  const other = await pairMachine(rig, { letter: 'o' })
  t.notSame(
    (await rig.call('agreeCallKey', { ...asked, token: other.token })).reply,
    reply,
    'to another it is no answer',
  )
})

t.test('under it a worker is not put into quarantine', async (t) => {
  const { rig, box, key } = await setUp(t)
  const { signing_key } = box.paired.worker
  const told = { worker_id: box.workerId, labels: {}, resources: { slots: 2 }, inflight: 0, load: 0, version: '1' }
  const shown = { ...told, keys: { sealing_key: makeHalf(random).shown, signing_key } }
  const asking = { token: box.token, body: { session: 'session-1', seq: 1, workers: [shown] } }
  const stateOf = async () => (await rig.call('listAllWorkers')).reply.items[0]?.state
  const request = rig.request('sendSnapshot', asking)
  t.equal((await rig.pond.answer(underKey(rig, request, key))).status, 401)
  t.not(await stateOf(), 'quarantined')
  t.equal((await rig.call('sendSnapshot', asking)).status, 200, 'by the key of the binding it is')
  t.equal(await stateOf(), 'quarantined')
})

t.test('it goes with the key under which it was agreed, and with its binding', async (t) => {
  const { rig, box, key } = await setUp(t)
  const next = bindingPair('n').publicKey
  const said = { kind: 'binding', binding_id: box.bindingId, binding_key: next } as const
  const body = { binding: signRotation(said, createSigner(bindingPair('k'))) }
  const { reply } = await rig.call('rotate', { token: box.token, body })
  t.equal(await statusOf(rig, { ...box, token: reply.token }, key), 401)
  const renewed = { ...box, token: reply.token }
  const another = await agree(rig, renewed)
  t.equal(await statusOf(rig, renewed, another), 200)
  await rig.call('revokeBinding', { params: { id: box.bindingId } })
  t.equal(await statusOf(rig, renewed, another), 401)
})

t.test('a pond that was started anew knows none', async (t) => {
  const { rig, box, key } = await setUp(t)
  await rig.restart()
  t.equal(await statusOf(rig, box, key), 401)
  t.equal(await statusOf(rig, box, await agree(rig, box)), 200)
})

t.test('a weak half is named', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const half = Buffer.alloc(32).toString('base64url')
  const { code, error } = await rig.call('agreeCallKey', { token: box.token, body: { half } })
  t.match({ code, error }, { code: 'invalid_field', error: { details: { field: 'half' } } })
})
