// Pairing: the code proves both sides to each other, a lost reply loses nothing, and what is kept is private.
import { createPublicKey, sign, verify } from 'node:crypto'
import t from 'tap'
import type { Answer, Client } from '../../src/client/contract.ts'
import { systemKeyPair } from '../../src/orchestrator/key.ts'
import { openHome, PairError, pair } from '../../src/orchestrator/swarm.ts'
import type { CodeId } from '../../src/protocol/id.ts'
import type { PairBody } from '../../src/protocol/orch.ts'
import { OLDEST_PROTOCOL, PROTOCOL } from '../../src/protocol/version.ts'
import { hashPondKey, pairingMac, printPairingCode } from '../../src/seal/pairing.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createMemoryDisk } from '../harness/memory-disk.ts'

const pondKey = `${'B'.repeat(42)}A`
const secret = Buffer.alloc(16, 7)
const code = printPairingCode({ id: `cod_${'0'.repeat(26)}` as CodeId, secret, pondKeyHash: hashPondKey(pondKey) })

const request = {
  pond: 'https://pond.example',
  code,
  name: 'lab box',
  labels: { site: 'lab' },
  resources: { slots: 4 },
}

async function setUp(answer: (body: PairBody) => Partial<Answer<'pair'>> = () => ({})) {
  const disk = createMemoryDisk()
  const home = await openHome(disk, '/h')
  const bodies: PairBody[] = []
  const reply = {
    binding_id: `bnd_${'0'.repeat(26)}`,
    worker_id: `wrk_${'0'.repeat(26)}`,
    token: 'pond_bind_secret',
    token_expires_at: 4_000_000_000_000,
    protocol: 2,
    pond_key: pondKey,
    project: 'default',
    limits: { chunk_bytes: 1, poll_hold_ms: 1, words_per_call: 1 },
  }
  const client = {
    async call(_: 'pair', { body }: { body: PairBody }) {
      t.ok(await disk.read('/h/keys.json'), 'the keys are on the disk before the first call')
      bodies.push(body)
      return { ok: true, status: 200, headers: {}, reply, ...answer(body) }
    },
  } as unknown as Client
  return { disk, home, bodies, parts: { home, makeKeyPair: systemKeyPair, connect: () => client } }
}

t.test('the code and the keys travel, the secret does not, and the MAC covers all of it', async (t) => {
  const { home, bodies, parts } = await setUp()
  const binding = await pair(parts, request)
  const [body] = bodies
  if (!body) throw new Error('nothing was sent')
  const { mac, ...rest } = body
  t.equal(mac, pairingMac(secret, rest))
  t.notOk(JSON.stringify(body).includes(secret.toString('base64url')))
  t.match(body, {
    code: `cod_${'0'.repeat(26)}`,
    name: 'lab box',
    protocol: PROTOCOL,
    worker: { labels: { site: 'lab' } },
  })
  t.match(await home.readBinding(), { pond: 'https://pond.example', token: 'pond_bind_secret', name: 'lab box' })
  t.same(await home.readBinding(), binding)
  const keys = await home.readKeys()
  t.equal(keys?.binding.publicKey, body.binding_key)
  t.equal(keys?.workers[0].sealing.publicKey, body.worker.sealing_key)
  t.equal(keys?.workers[0].signing.publicKey, body.worker.signing_key)
})

t.test('a lost reply: the same code goes again with the same keys', async (t) => {
  let tries = 0
  const { bodies, parts } = await setUp(() => (tries++ === 0 ? { ok: false, error: refusal('unreachable') } : {}))
  await t.rejects(pair(parts, request), { name: 'PairError', call: { code: 'unreachable' } })
  await pair(parts, request)
  t.same(bodies[0], bodies[1])
})

t.test('an older pond is asked once more in its own step, under a MAC of its own', async (t) => {
  const older = refusal('upgrade_required', { protocol: OLDEST_PROTOCOL })
  const { bodies, parts } = await setUp(({ protocol }) => (protocol === PROTOCOL ? { ok: false, error: older } : {}))
  await pair(parts, request)
  t.same(
    bodies.map(({ protocol }) => protocol),
    [PROTOCOL, OLDEST_PROTOCOL],
  )
  for (const { mac, ...rest } of bodies) t.equal(mac, pairingMac(secret, rest))
})

t.test('a pond whose key is not the one in the code leaves nothing behind', async (t) => {
  const { home, parts } = await setUp()
  const other = printPairingCode({
    id: `cod_${'0'.repeat(26)}` as CodeId,
    secret,
    pondKeyHash: hashPondKey(`${'C'.repeat(42)}A`),
  })
  await t.rejects(pair(parts, { ...request, code: other }), /not the one that printed the code/)
  t.equal(await home.readBinding(), undefined)
})

t.test('a mistyped code burns no try', async (t) => {
  const { bodies, parts } = await setUp()
  for (const text of ['', 'abc', code.slice(0, -1), `${code}.x`, code.replace('0', 'u')])
    await t.rejects(pair(parts, { ...request, code: text }), PairError, text)
  t.equal(bodies.length, 0)
})

t.test('a paired home is not paired again until it is unpaired', async (t) => {
  const { home, bodies, parts } = await setUp()
  await pair(parts, request)
  await t.rejects(pair(parts, request), /swarm unpair/)
  await home.forget()
  await pair(parts, request)
  t.not(bodies[0]?.binding_key, bodies[1]?.binding_key, 'with new keys')
})

t.test('a damaged binding says what to do', async (t) => {
  const { disk, home } = await setUp()
  await disk.replace('/h/binding.json', '{"pond": 1')
  await t.rejects(home.readBinding(), /binding.json is damaged.*pair/)
})

t.test('the made keys are whole pairs', async (t) => {
  const { publicKey, privateKey } = await systemKeyPair('ed25519')
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: publicKey }
  const signature = sign(null, Buffer.from('text'), { key: { ...jwk, d: privateKey }, format: 'jwk' })
  t.ok(verify(null, Buffer.from('text'), createPublicKey({ key: jwk, format: 'jwk' }), signature))
  t.equal((await systemKeyPair('x25519')).publicKey.length, 43)
})
