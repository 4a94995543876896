// The call key of a running swarm: there behind the first poll, replaced in time, and missed by no job when pond forgets it.
import t, { type Test } from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { submit } from '../harness/machine.ts'
import { createPondRig } from '../harness/pond.ts'
import { startPool } from '../harness/pool.ts'

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
