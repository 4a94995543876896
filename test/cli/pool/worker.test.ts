// The verbs about workers and keys: a further worker by a code, keys for comparing by eye, and new ones with and without a running swarm.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { CodeId, WorkerId } from '../../../src/protocol/id.ts'
import { enrolledMac } from '../../../src/seal/enrollment.ts'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { printKey } from '../../../src/seal/key-text.ts'
import { hashPondKey, printPairingCode } from '../../../src/seal/pairing.ts'
import { sleep } from '../../../src/system/clock.ts'
import { createFakeIo, drive, type FakeIo, makeFolder, startSwarm, swarm, waitFor } from '../../harness/fake-io.ts'
import { FAKE_URL, fakeId } from '../../harness/fake-pond.ts'
import { errorReply, jsonReply } from '../../harness/http-reply.ts'

const POND_KEY = Buffer.alloc(32, 9).toString('base64url')
const secret = Buffer.alloc(16, 1)
const codeId = fakeId('cod', 1) as CodeId
const CODE = printPairingCode({ id: codeId, secret, pondKeyHash: hashPondKey(POND_KEY) })
const second = fakeId('wrk', 2) as WorkerId
const limits = { chunk_bytes: 262_144, poll_hold_ms: 50_000, words_per_call: 256 }
const FAR = 4_000_000_000_000

const answers: Readonly<Record<string, unknown>> = {
  pair: {
    ...{ binding_id: fakeId('bnd', 1), worker_id: fakeId('wrk', 1), token: 'pond_bind_one', token_expires_at: FAR },
    ...{ protocol: 1, pond_key: POND_KEY, project: 'default', limits },
  },
  enroll: {
    worker_id: second,
    pond_key: POND_KEY,
    mac: enrolledMac(secret, codeId, { worker_id: second, pond_key: POND_KEY }),
  },
  rotate: {
    token: 'pond_bind_two',
    token_expires_at: FAR,
    workers: [fakeId('wrk', 1), second],
    pond_key: POND_KEY,
    pond_rotations: [],
  },
  sendSnapshot: {},
}

async function paired(t: Test): Promise<FakeIo> {
  const io = createFakeIo()
  io.env.SWARM_HOME = makeFolder()
  io.pond.intercept = ({ name }) => (name in answers ? jsonReply(answers[name]) : undefined)
  t.equal(await swarm(io, 'pair', `${FAKE_URL}#${CODE}`, '--name', 'lab', '--slots', '3'), 0)
  io.writes.length = 0
  return io
}

const read = (io: FakeIo, name: string) => JSON.parse(readFileSync(join(io.env.SWARM_HOME ?? '', name), 'utf8'))

t.test('worker add, and who is there then', async (t) => {
  const io = await paired(t)
  t.equal(await swarm(io, 'worker', 'add', `${FAKE_URL}#${CODE}`, '--slots', '2', '--label', 'gpu=yes'), 0)
  t.match(io.printed().out, new RegExp(`lab-2 is a worker of .*${second}`))
  t.match(io.pond.calls.at(-1)?.body, { name: 'lab-2', worker: { labels: { gpu: 'yes' }, resources: { slots: 2 } } })
  t.match(read(io, 'binding.json').workers, [{ name: 'lab' }, { name: 'lab-2', worker_id: second }])
  for (const file of ['binding.json', 'keys.json'])
    t.equal(statSync(join(io.env.SWARM_HOME ?? '', file)).mode & 0o777, 0o600)
  io.writes.length = 0
  t.equal(await swarm(io, 'worker', 'ls'), 0)
  t.match(io.printed().out, new RegExp(`\tlab\t3\t\\S+\n${second}\tlab-2\t2\t`))
})

t.test('what keeps a worker from being added', async (t) => {
  const io = await paired(t)
  t.equal(await swarm(io, 'worker', 'add', 'short'), 1)
  t.match(io.printed().err, /could not add a worker/)
  io.pond.intercept = () => errorReply('code_expired', 'too late')
  t.equal(await swarm(io, 'worker', 'add', CODE), 1)
  io.input = `${CODE}\n`
  io.network = () => Promise.reject(new Error('ENOTFOUND'))
  t.equal(await swarm(io, 'worker', 'add', '-'), 75)
  const fresh = createFakeIo()
  fresh.env.SWARM_HOME = makeFolder()
  t.equal(await swarm(fresh, 'worker', 'add', CODE), 1, 'not paired')
})

t.test('keys shows what two people compare, and nothing private', async (t) => {
  const io = await paired(t)
  t.equal(await swarm(io, 'keys', '--json'), 0)
  const { out } = io.printed()
  const { workers } = read(io, 'binding.json')
  const { sealing_key, signing_key } = workers[0].keys
  t.match(JSON.parse(out), {
    pond: { url: FAKE_URL, fingerprint: fingerprint(POND_KEY), signing_key: POND_KEY },
    workers: [
      {
        fingerprint: fingerprint(sealing_key, signing_key),
        recipient: printKey('recipient', sealing_key),
        signing_key,
      },
    ],
  })
  for (const { sealing, signing } of read(io, 'keys.json').workers)
    for (const { privateKey } of [sealing, signing]) t.notOk(out.includes(privateKey))
  io.writes.length = 0
  t.equal(await swarm(io, 'keys'), 0)
  t.match(io.printed().out, /worker: +lab\n[\s\S]*recipient: +pond_recipient_[\s\S]*pond: +http/)
})

t.test('keys rotate replaces all of them and the token', async (t) => {
  const io = await paired(t)
  const before = read(io, 'binding.json')
  t.equal(await swarm(io, 'keys', 'rotate'), 0)
  const after = read(io, 'binding.json')
  t.equal(after.token, 'pond_bind_two')
  t.not(after.binding_key, before.binding_key)
  t.not(after.workers[0].keys.signing_key, before.workers[0].keys.signing_key)
  t.equal(read(io, 'keys.json').workers[0].former[0].publicKey, before.workers[0].keys.sealing_key)
  io.pond.intercept = () => errorReply('forbidden', 'no')
  t.equal(await swarm(io, 'keys', 'rotate'), 77)
  io.pond.intercept = () => jsonReply({ ...(answers.rotate as object), pond_key: before.binding_key })
  t.equal(await swarm(io, 'keys', 'rotate'), 1)
  t.match(io.printed().err, /did not sign/)
  t.same(read(io, 'binding.json'), after, 'nothing of it was kept')
})

t.test('a running swarm replaces them itself, and speaks with the new token from then on', async (t) => {
  const io = await paired(t)
  const tokens = new Set<string | undefined>()
  io.pond.intercept = async ({ name, headers, signal }) => {
    if (name !== 'poll') return jsonReply(answers[name] ?? {})
    tokens.add(headers.authorization)
    await sleep(io.clock, 1000, signal)
    return jsonReply({ protocol: 1, intents: [], directives: [], limits })
  }
  const first = startSwarm(io, 'run', '--signer', printKey('signer', POND_KEY))
  await waitFor(io, () => io.pond.calls.some(({ name }) => name === 'poll'))
  t.equal(await swarm(io, 'worker', 'add', CODE), 1)
  t.match(io.printed().err, /already runs(.|\n)*End it first/)
  const rotated = startSwarm(io, 'keys', 'rotate')
  t.equal(await drive(io, rotated.code), 0)
  await waitFor(io, () => tokens.has('Bearer pond_bind_two'))
  t.equal(await swarm(io, 'status'), 0)
  t.match(
    io.printed().out,
    `fingerprint: ${fingerprint(...(Object.values(read(io, 'binding.json').workers[0].keys) as [string]))}`,
  )
  io.signal('SIGTERM')
  t.equal(await drive(io, first.code), 0)
})

t.test('a signer that is none is a mistake of the command line', async (t) => {
  const io = await paired(t)
  t.equal(await swarm(io, 'run', '--signer', 'pond_signer_x'), 2)
})
