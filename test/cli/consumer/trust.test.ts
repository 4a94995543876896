// pond identity and pond trust: what is pinned, compared and asked about, and that a swapped key is refused.
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fingerprint } from '../../../src/seal/fingerprint.ts'
import { createFakeIo, drive, type FakeIo, pond, startPond } from '../../harness/fake-io.ts'
import { FAKE_URL, fakeId } from '../../harness/fake-pond.ts'
import { createFakeWorker, pondPairOf, tellKeys } from '../../harness/fake-safe.ts'
import { clientHomeOf, labOf } from '../../harness/sealed-job.ts'

const lab = labOf()
const print = lab.view.fingerprint

function trusting({ tty = false } = {}): FakeIo {
  const io = createFakeIo({ tty })
  io.pond.safe.workers = [lab.view]
  return io
}

async function listed(io: FakeIo): Promise<readonly Record<string, unknown>[]> {
  io.writes.length = 0
  t.equal(await pond(io, 'trust', 'ls', '--json'), 0)
  const lines = io.printed().out.trim().split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
}

t.test('an identity is made once, for its owner only, and refused when others may read it', async (t) => {
  const io = createFakeIo()
  t.equal(await pond(io, 'identity', '--json'), 0)
  const first = JSON.parse(io.printed().out)
  t.match(first, { recipient: /^pond_recipient_/, signer: /^pond_signer_/, made: true })
  t.match(io.printed().err, /backup/)
  const file = join(clientHomeOf(io), 'identity.json')
  t.equal(statSync(file).mode & 0o777, 0o600)
  io.writes.length = 0
  t.equal(await pond(io, 'identity'), 0)
  for (const text of [first.recipient, first.signer, first.fingerprints.signer, file]) t.match(io.printed().out, text)
  t.notMatch(io.printed().out, JSON.parse(readFileSync(file, 'utf8')).sealing.privateKey)
  chmodSync(file, 0o640)
  t.equal(await pond(io, 'identity'), 1)
  t.match(io.printed().err, /chmod 600/)
  chmodSync(file, 0o600)
  writeFileSync(file, '{}')
  t.equal(await pond(io, 'identity'), 1)
  t.match(io.printed().err, /holds no identity/)
})

t.test('two programs that make an identity at once end with one', async (t) => {
  const io = createFakeIo()
  const both = [startPond(io, 'identity', '--json'), startPond(io, 'identity', '--json')]
  for (const { code } of both) t.equal(await drive(io, code), 0)
  const shown = io.printed().out.trim().split('\n')
  t.equal(shown.length, 2)
  t.equal(new Set(shown.map((line) => JSON.parse(line).recipient)).size, 1)
})

for (const [what, words, tty, answer, code] of [
  ['its fingerprint', ['lab', '--fingerprint', print], false, undefined, 0],
  [
    'its fingerprint in other letters',
    ['lab', '--fingerprint', print.toUpperCase().replaceAll('-', '')],
    false,
    undefined,
    0,
  ],
  ['another fingerprint', ['lab', '--fingerprint', fingerprint(lab.view.sealing_key)], false, undefined, 1],
  ['--yes', [lab.view.id, '--yes'], false, undefined, 0],
  ['nothing, off a terminal', ['lab'], false, undefined, 2],
  ['yes on a terminal', [print], true, 'yes', 0],
  ['no on a terminal', ['lab'], true, 'no', 1],
  ['a name that nobody has', ['ghost', '--yes'], false, undefined, 1],
] as const) {
  t.test(`trust worker with ${what}`, async (t) => {
    const io = trusting({ tty })
    io.answer = answer
    t.equal(await pond(io, 'trust', 'worker', ...words), code)
    const found = await listed(io)
    t.equal(found.length, code === 0 ? 1 : 0)
    if (code === 0)
      t.match(found[0], { kind: 'worker', name: 'lab', checked: true, fingerprints: [print], pond: FAKE_URL })
  })
}

t.test('trusting a worker anew takes the place of its older key, and of no other worker', async (t) => {
  const io = trusting()
  const attic = createFakeWorker('a', { id: fakeId('wrk', 2), name: 'attic' })
  io.pond.safe.workers = [lab.view, attic.view]
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  t.equal(await pond(io, 'trust', 'worker', 'attic', '--yes'), 0)
  const next = createFakeWorker('n', { id: lab.view.id })
  io.pond.safe.workers = [next.view, attic.view]
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  t.same(
    (await listed(io)).flatMap(({ fingerprints }) => fingerprints).sort(),
    [next.view.fingerprint, attic.view.fingerprint].sort(),
  )
  io.pond.safe.workers = [{ ...next.view, state: 'quarantined' }]
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 1)
  t.match(io.printed().err, /quarantined/)
})

t.test('pond is pinned when it is first seen, and its fingerprint is what whoami shows', async (t) => {
  const io = trusting()
  t.equal(await pond(io, 'trust', 'pond'), 2, 'nobody compared it')
  const shown = fingerprint(io.pond.safe.told.signing_key)
  t.equal(await pond(io, 'trust', 'pond', '--fingerprint', shown), 0)
  t.match(await listed(io), [{ kind: 'pond', pond: FAKE_URL, fingerprints: [shown] }])
  io.writes.length = 0
  t.equal(await pond(io, 'whoami'), 0)
  t.match(io.printed().out, shown)
  t.equal(await pond(io, 'trust', 'pond'), 0, 'the same needs no word')
  t.equal(await pond(io, 'trust', 'pond', '--fingerprint', print), 1, 'another is told, pinned or not')
})

t.test('keys that the pinned one signed are taken; all others are asked about', async (t) => {
  const io = trusting()
  const { safe } = io.pond
  const old = safe.pair
  t.equal(await pond(io, 'trust', 'pond', '--yes'), 0)
  safe.pair = { ...old, sealing: pondPairOf('q').sealing }
  safe.told = tellKeys(safe.pair)
  t.equal(await pond(io, 'trust', 'pond'), 0, 'a new sealing key, by the same signing key')
  safe.pair = pondPairOf('r')
  safe.told = tellKeys(safe.pair, [pondPairOf('o'), old])
  t.equal(await pond(io, 'trust', 'pond'), 0, 'new keys, by the ones before')
  safe.pair = old
  safe.told = tellKeys(old)
  t.equal(await pond(io, 'trust', 'pond'), 2, 'the old ones come back')
  t.equal(await pond(io, 'trust', 'pond', '--yes'), 0)
  safe.told = { ...safe.told, sealing_key: pondPairOf('e').sealing.publicKey }
  t.equal(await pond(io, 'trust', 'pond', '--yes'), 1, 'a sealing key that its signing key did not sign')
  t.match(io.printed().err, /do not belong together/)
})

t.test('a pond key that a proxy swapped gets no secret', async (t) => {
  const io = trusting()
  const { safe } = io.pond
  io.input = 's3cret-value'
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'PW'), 0)
  t.match(io.printed().err, /trusting .* from now on/)
  const calls = () => io.pond.calls.filter(({ name }) => name === 'putCredential').length
  const pinned = await listed(io)
  const proxy = pondPairOf('m')
  for (const told of [
    tellKeys(proxy),
    { ...safe.told, sealing_key: proxy.sealing.publicKey },
    { ...tellKeys(proxy), proofs: safe.told.proofs },
  ]) {
    safe.told = told
    t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'PW'), 1)
    t.match(io.printed().err, /may stand between here and pond/)
  }
  t.equal(calls(), 1, 'nothing was sent to it')
  t.same(await listed(io), pinned, 'and nothing was pinned')
})

t.test('what is trusted can be taken back', async (t) => {
  const io = trusting()
  io.pond.safe.recipients = []
  for (const words of [['worker', 'lab', '--yes'], ['pond', '--yes'], ['recipients']]) {
    t.equal(await pond(io, 'trust', ...words), 0)
  }
  t.same(
    (await listed(io)).map(({ kind }) => kind),
    ['pond', 'worker', 'recipients'],
  )
  t.equal(await pond(io, 'trust', 'rm', 'worker', 'ghost'), 1)
  t.equal(await pond(io, 'trust', 'rm', 'friend', 'lab'), 2)
  for (const words of [
    ['worker', print],
    ['pond', FAKE_URL],
    ['recipients', 'default'],
  ]) {
    t.equal(await pond(io, 'trust', 'rm', ...words), 0)
  }
  t.same(await listed(io), [])
  t.equal(await pond(io, 'trust', 'ls'), 0)
  t.match(io.printed().err, /nothing is trusted yet/)
})

t.test('a store that cannot be read is no reason to trust anew', async (t) => {
  const io = trusting()
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  const file = join(clientHomeOf(io), 'trust.json')
  t.equal(statSync(file).mode & 0o777, 0o600)
  writeFileSync(file, '{"format":1')
  for (const words of [['ls'], ['worker', 'lab', '--yes']]) {
    t.equal(await pond(io, 'trust', ...words), 1)
    t.match(io.printed().err, /it is damaged/)
  }
})
