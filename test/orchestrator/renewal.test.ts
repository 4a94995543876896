// Tokens and keys that change while a swarm runs: stored before they are used, proved by the keys before them, and never half.
import t from 'tap'
import { type Binding, type KeySet, settleKeys } from '../../src/orchestrator/binding.ts'
import { openHome } from '../../src/orchestrator/home.ts'
import { createLiveBinding, openLiveBinding } from '../../src/orchestrator/live-binding.ts'
import type { SnapshotBody } from '../../src/protocol/orch.ts'
import type { RotateBody } from '../../src/protocol/renewal.ts'
import { makeSigningPair } from '../../src/seal/key.ts'
import { openRotation, signRotation } from '../../src/seal/rotation.ts'
import { createSigner } from '../../src/seal/signature.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { makeWorkerPairs } from '../harness/fake-vault.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { createSwarmRig, fakeBinding } from '../harness/swarm-rig.ts'

const MINUTE = 60 * 1000
const START = Date.UTC(2026, 0, 1)

/** A pond that pins keys as the real one does. */
async function setUp(more: Partial<Binding> = {}) {
  const worker = await makeWorkerPairs()
  const pondPair = await makeSigningPair()
  const keys: KeySet = { binding: await makeSigningPair(), workers: [worker] }
  const [first] = fakeBinding.workers
  const pinned = { sealing_key: worker.sealing.publicKey, signing_key: worker.signing.publicKey }
  const binding: Binding = {
    ...fakeBinding,
    pond_key: pondPair.publicKey,
    binding_key: keys.binding.publicKey,
    token_expires_at: START + 40 * MINUTE,
    workers: [{ ...first, keys: pinned }],
    ...more,
  }
  const rig = await createSwarmRig({ binding, keys })
  const { pond } = rig
  const state = {
    rotations: 0,
    /** Pond renews the token of the binding, and leaves the worker its keys. */
    shutOut: false,
    pondKey: pondPair.publicKey,
    pond_rotations: [] as ReturnType<typeof signRotation>[],
    bindingKey: binding.binding_key,
    workerKeys: pinned,
    bodies: [] as RotateBody[],
    strange: [] as unknown[],
  }
  pond.serve = (name, call) => {
    if (name !== 'rotate') return refusal('not_found')
    const body = call.body as unknown as RotateBody
    state.bodies.push(body)
    for (const signed of state.shutOut ? [] : (body.workers ?? [])) {
      const by = signed.signatures[0]?.keyid ?? ''
      const { sealing_key, signing_key } = openRotation(signed, 'worker', by)
      const again = state.workerKeys.signing_key === signing_key
      if (!again && by !== state.workerKeys.signing_key) return refusal('forbidden')
      state.workerKeys = { sealing_key, signing_key }
    }
    if (body.binding) {
      state.bindingKey = openRotation(body.binding, 'binding', body.binding.signatures[0]?.keyid ?? '').binding_key
    }
    state.rotations++
    return {
      token: `pond_bind_${state.rotations}`,
      token_expires_at: rig.clock.now() + 40 * MINUTE,
      workers: state.shutOut ? [] : (body.workers ?? []).map(() => first.worker_id),
      pond_key: state.pondKey,
      pond_rotations: state.pond_rotations,
    }
  }
  /** A snapshot with keys that pond has not pinned: quarantine. */
  const watch = ({ workers }: SnapshotBody) => {
    const [told] = workers
    if (told?.keys.signing_key !== state.workerKeys.signing_key) state.strange.push(told?.keys)
  }
  pond.deliver = (name, call) => void (name === 'sendSnapshot' && watch(call.body as unknown as SnapshotBody))
  const kept = async () => (await rig.home.readBinding()) as Binding
  return { ...rig, state, pondPair, kept }
}

t.test('a disk that takes no new token does not end swarm: the old one serves until the disk is well', async (t) => {
  const { clock, disk, state, start, kept } = await setUp()
  disk.fault = (operation) => (operation === 'replace' ? new Error('the disk is full') : undefined)
  const { swarm } = await start()
  await clock.advance(31 * MINUTE)
  t.ok(state.rotations >= 1, 'pond was asked')
  t.equal((await kept()).token, fakeBinding.token)
  t.ok(swarm.health().ok)
  disk.fault = () => undefined
  await clock.advance(2 * MINUTE)
  t.match((await kept()).token, /^pond_bind_/)
  t.ok(swarm.health().ok)
})

t.test('the token is replaced when three quarters of its life are over, and used once it is stored', async (t) => {
  const { clock, state, start, kept } = await setUp()
  const { swarm } = await start()
  await clock.advance(30 * MINUTE - 1000)
  t.equal(state.rotations, 0)
  await clock.advance(2000)
  t.equal(state.rotations, 1)
  t.same(state.bodies, [{}], 'keys stay')
  t.match(await kept(), { token: 'pond_bind_1', token_expires_at: START + 70 * MINUTE })
  await clock.advance(30 * MINUTE)
  t.equal((await kept()).token, 'pond_bind_2')
  t.ok(swarm.health().ok)
})

t.test('a restart does not put it off', async (t) => {
  const { clock, state, start } = await setUp()
  for (let minutes = 0; minutes < 28; minutes += 7) {
    const life = await start()
    await clock.advance(7 * MINUTE)
    life.die()
  }
  t.equal(state.rotations, 0)
  await start()
  await clock.advance(3 * MINUTE)
  t.equal(state.rotations, 1)
})

t.test('pond may ask for it, in every reply, and gets it once', async (t) => {
  const { clock, pond, state, start } = await setUp({ token_expires_at: undefined } as Partial<Binding>)
  await start()
  await clock.advance(100 * MINUTE)
  t.equal(state.rotations, 0, 'a token without an end stays')
  pond.direct({ type: 'rotate' })
  await clock.advance(50_000)
  t.equal(state.rotations, 1)
})

t.test('a token that ran out while the machine was off is replaced before the first poll', async (t) => {
  const { clock, pond, state, start } = await setUp({ token_expires_at: START - MINUTE })
  pond.fault = (name) => (name === 'poll' && state.rotations === 0 ? refusal('unauthenticated') : undefined)
  const life = await start()
  await clock.advance(1000)
  t.equal(life.end, undefined)
  t.equal(state.rotations, 1)
})

t.test('a loop that waits for its first token is not stuck: who watches it must not kill it', async (t) => {
  const { clock, pond, state, start } = await setUp({ token_expires_at: START - MINUTE })
  pond.fault = (name) => (name === 'rotate' ? refusal('unreachable') : undefined)
  const { swarm } = await start()
  await clock.advance(60 * MINUTE)
  t.equal(pond.polls.length, 0)
  t.ok(swarm.health().turning)
  pond.fault = () => undefined
  await clock.advance(2 * MINUTE)
  t.equal(state.rotations, 1)
  t.match(swarm.health(), { ok: true, turning: true })
})

t.test('a refusal is tried again, not at once and not never', async (t) => {
  const { clock, pond, start, lines } = await setUp()
  pond.serve = () => refusal('forbidden')
  await start()
  await clock.advance(30 * MINUTE + 3 * 60 * 60 * 1000)
  const tries = pond.calls.filter((name) => name === 'rotate').length
  t.ok(tries >= 3 && tries <= 5, `${tries} tries`)
  t.ok(lines.some(({ event }) => event === 'rotate_failed'))
})

t.test('new keys are signed by the old ones, and what was sealed to those still opens', async (t) => {
  const { clock, disk, state, start, kept } = await setUp()
  const before = await kept()
  const { swarm } = await start()
  t.same(await swarm.rotateKeys(), { ok: true })
  const after = await kept()
  t.equal(after.binding_key, state.bindingKey)
  t.same(after.workers[0].keys, state.workerKeys)
  t.not(after.workers[0].keys.signing_key, before.workers[0].keys.signing_key)
  const live = await openLiveBinding(await openHome(disk, '/home/swarm'))
  const { worker_id } = after.workers[0]
  t.same(
    live?.pairsOf(worker_id).map(({ publicKey }) => publicKey),
    [after.workers[0].keys.sealing_key, before.workers[0].keys.sealing_key],
  )
  t.equal(live?.signerOf(worker_id).publicKey, after.workers[0].keys.signing_key)
  const call = { method: 'GET', path: '/', search: '', headers: {} }
  const signed = live?.signCall(call, { createdMs: 0, nonce: Buffer.alloc(16) })
  t.match(signed?.['signature-input'], `keyid="${state.bindingKey}"`)
  await clock.advance(60_000)
  t.same(state.strange, [], 'no snapshot ever told keys that pond did not know')
  t.equal(swarm.status().workers.length, 1)
})

t.test('a worker that is shut out keeps its keys, and the token is renewed all the same', async (t) => {
  const { state, start, kept, disk } = await setUp()
  const before = await kept()
  const { swarm } = await start()
  state.shutOut = true
  t.same(await swarm.rotateKeys(), { ok: true })
  const after = await kept()
  t.same(after.workers, before.workers)
  t.match(after, { token: 'pond_bind_1', binding_key: state.bindingKey })
  const stored = JSON.parse(`${await disk.read('/home/swarm/keys.json')}`)
  t.equal(stored.workers[0].next, undefined, 'and is not offered again with each renewal')
})

for (const crash of ['the reply is lost', 'swarm dies between the two files'] as const) {
  t.test(`${crash}: the next life finishes the rotation before it says anything else`, async (t) => {
    const { clock, disk, pond, state, start, kept } = await setUp()
    const life = await start()
    if (crash === 'the reply is lost') pond.fault = (name) => (name === 'rotate' ? 'lost' : undefined)
    else
      disk.fault = (_, path) => {
        if (!path.endsWith('keys.json') || state.rotations === 0) return undefined
        return new Error('no time left')
      }
    const rotated = life.swarm.rotateKeys().catch(() => undefined)
    // Keys are made by a library that takes its own time.
    while (!pond.calls.includes('rotate')) await clock.settle()
    await clock.settle()
    life.die()
    pond.fault = () => undefined
    disk.fault = () => undefined
    const calls = pond.calls.length
    await start()
    await clock.advance(60_000)
    if (crash === 'the reply is lost') t.equal(pond.calls[calls], 'rotate')
    else t.equal(state.rotations, 1, 'what the binding names is in force')
    t.same((await kept()).workers[0].keys, state.workerKeys)
    t.same(state.strange, [])
    void rotated
  })
}

t.test("pond's new key is believed if the pinned one signed it, step by step", async (t) => {
  const { clock, pond, state, start, kept, pondPair, lines } = await setUp()
  await start()
  const [second, third, stranger] = [await makeSigningPair(), await makeSigningPair(), await makeSigningPair()]
  const step = (by: typeof second, to: typeof second) =>
    signRotation({ kind: 'pond', signing_key: to.publicKey, sealing_key: to.publicKey }, createSigner(by))
  state.pondKey = third.publicKey
  for (const forged of [[], [step(pondPair, second)], [step(stranger, third)], [step(second, third)]]) {
    state.pond_rotations = forged
    pond.direct({ type: 'rotate' })
    await clock.advance(2 * 60 * 60 * 1000)
    t.match(await kept(), { pond_key: pondPair.publicKey, token: 'pond_bind_fake' }, 'nothing of that reply is kept')
  }
  t.ok(lines.some(({ fields }) => /did not sign/.test(`${fields.message}`)))
  state.pond_rotations = [step(pondPair, second), step(second, third)]
  await clock.advance(2 * 60 * 60 * 1000)
  t.equal((await kept()).pond_key, third.publicKey)
})

t.test('files of the former shape are read as one worker', async (t) => {
  const disk = createMemoryDisk()
  const home = await openHome(disk, '/h')
  t.equal(await openLiveBinding(home), undefined)
  const { workers, binding_key, ...rest } = fakeBinding
  const [{ worker_id, labels, resources, keys }] = workers
  await disk.replace(
    '/h/binding.json',
    JSON.stringify({ ...rest, worker_id, labels, resources, keys: { ...keys, binding_key } }),
  )
  await t.rejects(openLiveBinding(home), /no keys/)
  const pair = { publicKey: keys.sealing_key, privateKey: keys.sealing_key }
  await disk.replace('/h/keys.json', JSON.stringify({ binding: pair, sealing: pair, signing: pair }))
  const live = await openLiveBinding(home)
  t.same(live?.now(), fakeBinding)
  t.same(live?.pairsOf(worker_id), [pair])
  t.throws(() => live?.signerOf(`wrk_${'9'.repeat(26)}` as typeof worker_id), /no keys of/)
})

t.test('keys follow the binding, whatever came between the two files', async (t) => {
  const [old, next] = [await makeWorkerPairs(), await makeWorkerPairs()]
  const binding = await makeSigningPair()
  const next_binding = await makeSigningPair()
  const keys: KeySet = { binding, next_binding, workers: [{ ...old, next }] }
  const named = (key: string, sealing_key: string): Binding => {
    const [worker] = fakeBinding.workers
    return { ...fakeBinding, binding_key: key, workers: [{ ...worker, keys: { sealing_key, signing_key: key } }] }
  }
  t.same(settleKeys(keys, named(binding.publicKey, old.sealing.publicKey)), keys)
  t.same(settleKeys(keys, named(next_binding.publicKey, next.sealing.publicKey)), {
    binding: next_binding,
    workers: [{ ...next, former: [old.sealing] }],
  })
  const home = { writeBinding: () => Promise.reject(new Error('full')), writeKeys: async () => {} }
  const live = createLiveBinding(home, fakeBinding, keys)
  await t.rejects(live.keep({ binding: { ...fakeBinding, token: 'new' }, keys }), /full/)
  t.equal(live.token(), fakeBinding.token, 'what is not on the disk is not used')
})
