// Enrollment of a further worker: keys before the call, a MAC that fits only here, and an answer that only pond can give.
import t from 'tap'
import type { Answer, Client } from '../../src/client/contract.ts'
import { enroll } from '../../src/orchestrator/enroll.ts'
import { openHome } from '../../src/orchestrator/home.ts'
import { systemKeyPair } from '../../src/orchestrator/key.ts'
import { openLiveBinding } from '../../src/orchestrator/live-binding.ts'
import type { CodeId, WorkerId } from '../../src/protocol/id.ts'
import type { EnrollBody } from '../../src/protocol/orch.ts'
import { enrolledMac, enrollmentMac } from '../../src/seal/enrollment.ts'
import { hashPondKey, printPairingCode } from '../../src/seal/pairing.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'
import { fakeBinding, fakeKeys } from '../harness/swarm-rig.ts'

const secret = Buffer.alloc(16, 7)
const id = `cod_${'0'.repeat(26)}` as CodeId
const { pond_key, binding_id } = fakeBinding
const code = printPairingCode({ id, secret, pondKeyHash: hashPondKey(pond_key) })
const request = { code, name: 'gpu', labels: { gpu: 'yes' }, resources: { slots: 2 } }

async function setUp() {
  const disk = createMemoryDisk()
  const home = await openHome(disk, '/h')
  await home.writeBinding(fakeBinding)
  await home.writeKeys(fakeKeys)
  const bodies: EnrollBody[] = []
  let count = 0
  const pond = {
    answer: undefined as Partial<Answer<'enroll'>> | undefined,
    reply: () => {
      const worker_id = `wrk_${String(++count).padStart(26, '0')}` as WorkerId
      return { worker_id, pond_key, mac: enrolledMac(secret, id, { worker_id, pond_key }) }
    },
  }
  const client = {
    async call(_: 'enroll', { body }: { body: EnrollBody }) {
      const keys = await home.readKeys()
      t.equal(keys?.workers.at(-1)?.sealing.publicKey, body.worker.sealing_key, 'on the disk before the call')
      bodies.push(body)
      const { worker_id, pond_key, mac } = pond.reply()
      return { ok: true, status: 200, headers: {}, reply: { worker_id, pond_key, mac }, ...pond.answer }
    },
  } as unknown as Client
  /** As by another life of the verb. */
  const add = async (more: Partial<typeof request> = {}) => {
    const live = await openLiveBinding(home)
    if (!live) throw new Error('the home is paired')
    return enroll({ client, live, makeKeyPair: systemKeyPair }, { ...request, ...more })
  }
  return { home, pond, bodies, add }
}

t.test('a code becomes a worker with keys of its own', async (t) => {
  const { home, bodies, add } = await setUp()
  const worker = await add()
  const [body] = bodies
  if (!body) throw new Error('nothing was sent')
  const { mac, ...rest } = body
  t.equal(
    mac,
    enrollmentMac(secret, { pondKeyHash: hashPondKey(pond_key), bindingId: binding_id, codeId: id, said: rest }),
  )
  t.match(rest, { name: 'gpu', worker: { labels: { gpu: 'yes' }, resources: { slots: 2 } } })
  const binding = await home.readBinding()
  t.same(binding?.workers, [fakeBinding.workers[0], worker])
  t.equal((await home.readKeys())?.workers.length, 2)
  t.not(worker.keys.sealing_key, fakeBinding.workers[0].keys.sealing_key)
  t.same(await add(), worker, 'the same code again is the same worker')
  t.equal(bodies.length, 1)
})

t.test('a lost reply: the same code goes again with the same keys; another code with others', async (t) => {
  const { home, pond, bodies, add } = await setUp()
  pond.answer = { ok: false, error: refusal('unreachable') }
  await t.rejects(add(), { name: 'PairError', call: { code: 'unreachable' } })
  await t.rejects(add(), { name: 'PairError' })
  t.same(bodies[0], bodies[1])
  pond.answer = undefined
  await add()
  t.same(bodies[2], bodies[0])
  pond.answer = { ok: false, error: refusal('code_burned') }
  const other = printPairingCode({ id: `cod_${'1'.repeat(26)}` as CodeId, secret, pondKeyHash: hashPondKey(pond_key) })
  await t.rejects(add({ code: other }), { name: 'PairError' })
  t.not(bodies[3]?.worker.sealing_key, bodies[0]?.worker.sealing_key)
  t.equal((await home.readBinding())?.workers.length, 2)
})

t.test('an answer that pond did not give leaves no worker behind', async (t) => {
  const { home, pond, add } = await setUp()
  const strange = `${'D'.repeat(42)}A`
  const good = pond.reply
  const answers = [
    () => ({ ...good(), mac: '0'.repeat(64) }),
    () => ({ ...good(), worker_id: `wrk_${'9'.repeat(26)}` as WorkerId }),
    () => ({ ...good(), pond_key: strange }),
    () => {
      const it = { worker_id: `wrk_${'9'.repeat(26)}` as WorkerId, pond_key: strange }
      return { ...it, mac: enrolledMac(secret, id, it) }
    },
  ]
  for (const answer of answers) {
    pond.reply = answer
    await t.rejects(add(), /nothing was kept/)
  }
  t.equal((await home.readBinding())?.workers.length, 1)
})

t.test('a code that is mistyped, or of another pond, is not tried', async (t) => {
  const { bodies, add } = await setUp()
  await t.rejects(add({ code: code.slice(0, -2) }), /no whole enrollment code/)
  const other = printPairingCode({ id, secret, pondKeyHash: Buffer.alloc(16) })
  await t.rejects(add({ code: other }), /not of the pond/)
  t.equal(bodies.length, 0)
})
