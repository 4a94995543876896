// The call key of a running swarm: there behind the first poll, replaced in time, and missed by no job when pond forgets it.
import t, { type Test } from 'tap'
import { createCallKeeper } from '../../src/orchestrator/call-key.ts'
import { createLiveBinding } from '../../src/orchestrator/live-binding.ts'
import { limit } from '../../src/protocol/limit.ts'
import { makeSigningPair } from '../../src/seal/key.ts'
import { silentLog } from '../../src/system/log.ts'
import { FakePond } from '../harness/fake-pond-client.ts'
import { makeWorkerPairs, type WorkerPairs } from '../harness/fake-vault.ts'
import { submit } from '../harness/machine.ts'
import { createPondRig } from '../harness/pond.ts'
import { startPool } from '../harness/pool.ts'
import { createSeededRandom } from '../harness/seeded-random.ts'
import { fakeBinding } from '../harness/swarm-rig.ts'
import { createVirtualClock } from '../harness/virtual-clock.ts'

async function setUp(t: Test) {
  const rig = await createPondRig(t)
  const pool = await startPool(rig)
  const calls: string[] = []
  pool.line.fault = ({ url, headers }) => {
    const [, keyId = '', alg] = /keyid="([^"]+)";alg="([^"]+)"/.exec(headers['signature-input'] ?? '') ?? []
    calls.push(`${new URL(url).pathname.replace(/^\/orch\//, '')} ${alg}${alg === 'ed25519' ? '' : ` ${keyId}`}`)
    return undefined
  }
  const run = async () => {
    const { id } = await submit(rig)
    await rig.clock.settle()
    pool.executor.processes.at(-1)?.exit()
    await rig.clock.settle()
    return (await rig.call('getJob', { params: { id } })).reply.state
  }
  return { rig, pool, calls, run }
}

t.test('behind its first poll a swarm has one, and says everything under it', async (t) => {
  const { rig, calls, run } = await setUp(t)
  await rig.clock.advance(limit.pollHoldMs)
  calls.length = 0
  t.equal(await run(), 'succeeded')
  t.ok(calls.length > 1)
  t.strictSame(
    calls.filter((call) => !call.includes('hmac-sha256')),
    [],
  )
})

t.test('the next one is agreed on before it ends, with the key of the binding', async (t) => {
  const { rig, calls } = await setUp(t)
  await rig.clock.advance(limit.pollHoldMs)
  calls.length = 0
  for (let spent = 0; spent < 2 * limit.callKeyMs; spent += limit.pollHoldMs) await rig.clock.advance(limit.pollHoldMs)
  const agreed = calls.filter((call) => call.startsWith('call-key'))
  t.ok(agreed.length >= 2 && agreed.length <= 3, `${agreed.length} in two hours`)
  t.strictSame([...new Set(agreed)], ['call-key ed25519'])
  const others = calls.filter((call) => !call.startsWith('call-key'))
  t.strictSame(
    others.filter((call) => call.includes('ed25519')),
    [],
    'none of its calls was ever without',
  )
})

t.test('a pond that was started anew is believed, and costs no job', async (t) => {
  const { rig, pool, calls, run } = await setUp(t)
  await rig.clock.advance(limit.pollHoldMs)
  calls.length = 0
  await rig.restart()
  await rig.clock.advance(limit.pollHoldMs)
  t.equal(pool.end, undefined, 'it did not take the 401 for the end of its binding')
  t.equal(await run(), 'succeeded')
  t.ok(calls.includes('poll ed25519'), 'said once more with the key of the binding')
  t.ok(calls.includes('call-key ed25519'))
})

t.test('where a rotation crosses the agreement, the next is asked for at the next poll', async (t) => {
  const clock = createVirtualClock()
  const random = createSeededRandom(1)
  const pond = new FakePond({ clock, random })
  const home = { writeBinding: async () => {}, writeKeys: async () => {} }
  const live = createLiveBinding(home, fakeBinding, {
    binding: await makeSigningPair(),
    workers: [await makeWorkerPairs()],
  })
  const { signal } = new AbortController()
  const heard = createCallKeeper({ client: pond.client, clock, random, log: silentLog, live, signal })
  const asked = () => pond.calls.filter((name) => name === 'agreeCallKey').length
  const rotated = { binding: await makeSigningPair(), workers: [await makeWorkerPairs()] as [WorkerPairs] }
  pond.deliver = (name) => (name === 'agreeCallKey' ? live.keep({ keys: rotated }) : undefined)
  heard()
  await clock.settle()
  heard()
  await clock.settle()
  t.equal(asked(), 2)
  heard()
  await clock.settle()
  t.equal(asked(), 2, 'a refusal without one rests')
})
