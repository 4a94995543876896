// pond credential, and jobs that are signed because of one: where values come from, to whom they are sealed, and that none is printed.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { changeTrust, workerKey } from '../../../src/cli/trust/store.ts'
import { type Custody, type Dsse, payloadType } from '../../../src/protocol/sealed.ts'
import { openDsse } from '../../../src/seal/dsse.ts'
import { readCustody } from '../../../src/seal/envelope.ts'
import type { KeyPair } from '../../../src/seal/key.ts'
import { openOwn } from '../../../src/seal/open/envelope.ts'
import { createFakeIo, type FakeIo, pond } from '../../harness/fake-io.ts'
import { FAKE_URL, fakeId } from '../../harness/fake-pond.ts'
import { createFakeWorker, sodium } from '../../harness/fake-safe.ts'
import { errorReply } from '../../harness/http-reply.ts'
import { clientHomeOf, identityOf, labOf } from '../../harness/sealed-job.ts'

const SECRET = 'Zq7-unique-secret'

/** What the holder of a pair finds in a stored credential. */
async function opened(io: FakeIo, name: string, pair: KeyPair): Promise<unknown> {
  const { sealed } = readCustody(io.pond.safe.credentials.get(name) as Custody)
  return JSON.parse((await openOwn(sodium, sealed, { pairs: [pair], place: sealed.context })).toString('utf8'))
}

function file(io: FakeIo, name: string, content: string | Uint8Array): string {
  const path = join(io.home, name)
  writeFileSync(path, content)
  return path
}

t.test('one key takes all of stdin, several take lines, files go along', async (t) => {
  const io = createFakeIo()
  const pondPair = io.pond.safe.pair.sealing
  io.input = `${SECRET}\nsecond line=\n`
  t.equal(await pond(io, 'credential', 'set', 'one', '--key', 'A'), 0)
  t.same(await opened(io, 'one', pondPair), { env: { A: `${SECRET}\nsecond line=` } })
  io.input = `B=${SECRET}=x\n\nA= y \r\n`
  const key = file(io, 'id_ed25519', Buffer.from([0, 255]))
  const words = ['--key', 'A', '--key', 'B', '--from-file', key, '--from-file', `k.pem=${key}`]
  t.equal(await pond(io, 'credential', 'set', 'two', ...words), 0)
  t.same(await opened(io, 'two', pondPair), {
    env: { B: `${SECRET}=x`, A: ' y ' },
    files: { id_ed25519: 'AP8=', 'k.pem': 'AP8=' },
  })
  const { sealed } = readCustody(io.pond.safe.credentials.get('two') as Custody)
  t.same(sealed.context, { kind: 'credential', project: 'default', name: 'two' })
  t.notMatch(JSON.stringify(io.printed()) + JSON.stringify([...io.pond.safe.credentials]), 'Zq7-')
})

t.test('on a terminal each is asked for', async (t) => {
  const io = createFakeIo({ tty: true })
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A'), 1, 'nothing was answered')
  io.answer = SECRET
  t.equal(await pond(io, 'credential', 'set', 'db', '-k', 'A', '-k', 'B'), 0)
  t.same(await opened(io, 'db', io.pond.safe.pair.sealing), { env: { A: SECRET, B: SECRET } })
})

for (const [what, input, words, says] of [
  ['nothing', '', [], /needs a value/],
  ['a value in argv', '', ['--key', `A=${SECRET}`], /argv is no secret/],
  ['a name that pond sets', 'x', ['--key', 'POND_TOKEN'], /cannot have the variable POND_TOKEN/],
  ['a name that stands for the folder', 'x', ['--key', 'CREDENTIALS_DIRECTORY'], /cannot have the variable/],
  ['a name twice', 'x', ['--key', 'A', '--key', 'A'], /A is named twice/],
  ['no value', '\n', ['--key', 'A'], /A has no value/],
  ['a value with a NUL', `${SECRET}\0`, ['--key', 'A'], /cannot hold the value of A/],
  ['a line of another name', `A=1\nC=${SECRET}`, ['--key', 'A', '--key', 'B'], /line 2 of stdin/],
  ['a line without a name', `${SECRET}\nA=1`, ['--key', 'A', '--key', 'B'], /line 1 of stdin/],
  ['a key without a line', `A=${SECRET}`, ['--key', 'A', '--key', 'B'], /must hold B once/],
  ['a key with two lines', `A=${SECRET}\nA=2\nB=1`, ['--key', 'A', '--key', 'B'], /must hold A once/],
  ['a file that is none', '', ['--from-file', '/nowhere/at/all'], /could not read/],
  ['a file name with a slash', '', ['--from-file', 'a/b=/dev/null'], /cannot be called "a\/b"/],
  ['two files of one name', '', ['--from-file', '/dev/null', '--from-file', 'null=/dev/null'], /two files/],
  ['the token on stdin too', 'pond_key_x', ['--token-file', '-', '--key', 'A'], /./],
] as const) {
  t.test(`refused: ${what}`, async (t) => {
    const io = createFakeIo()
    io.input = input
    t.not(await pond(io, 'credential', 'set', 'db', ...words), 0)
    t.match(io.printed().err, says)
    t.notMatch(JSON.stringify(io.printed()), 'Zq7-')
    t.equal(io.pond.safe.credentials.size, 0)
  })
}

t.test('bytes that are no text, too many of them, and a name that is none', async (t) => {
  const io = createFakeIo()
  Object.assign(io.stdin, { readAll: async () => Buffer.from([0xff, 0xfe]) })
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A'), 2)
  t.match(io.printed().err, /not UTF-8/)
  const large = file(io, 'large', Buffer.alloc(1024 * 1024))
  t.equal(await pond(io, 'credential', 'set', 'db', '--from-file', large), 2)
  t.match(io.printed().err, /too large/)
  t.equal(await pond(io, 'credential', 'set', '-db', '--from-file', large), 2)
})

t.test('ls, show and rm', async (t) => {
  const io = createFakeIo()
  io.input = SECRET
  t.equal(await pond(io, 'credential', 'ls'), 0)
  t.match(io.printed().err, /no credentials/)
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A', '--json'), 0)
  t.match(JSON.parse(io.printed().out), { name: 'db', custody: 'pond' })
  io.writes.length = 0
  t.equal(await pond(io, 'credential', 'ls'), 0)
  t.match(io.printed().out, /^db\tpond\t/)
  t.equal(await pond(io, 'credential', 'show', 'db'), 0)
  t.match(io.printed().out, /custody: +pond/)
  t.equal(await pond(io, 'credential', 'rm', 'db'), 0)
  t.equal(await pond(io, 'credential', 'show', 'db'), 1)
})

t.test('sealed to workers only a checked one opens it, and every job that names it is signed by itself', async (t) => {
  const io = createFakeIo()
  const lab = labOf()
  const attic = createFakeWorker('a', { id: fakeId('wrk', 2), name: 'attic' })
  io.pond.safe.workers = [lab.view, attic.view]
  io.input = SECRET
  const set = (...words: string[]) => pond(io, 'credential', 'set', 'db', '--key', 'A', ...words)
  t.equal(await set('--seal-to', 'lab'), 1)
  t.match(io.printed().err, /no worker that is trusted here/)
  const { id, sealing_key, signing_key } = lab.view
  const met = { id, name: 'lab', pond: FAKE_URL, sealing_key, signing_key, former: [], checked: false, at: 1 }
  await changeTrust({ home: clientHomeOf(io), clock: io.clock }, (before) => ({
    ...before,
    workers: { [workerKey(FAKE_URL, id)]: met },
  }))
  t.equal(await set('--seal-to', 'lab'), 1)
  t.match(io.printed().err, /nobody compared it/)
  t.equal(io.pond.safe.credentials.size, 0)
  for (const name of ['lab', 'attic']) t.equal(await pond(io, 'trust', 'worker', name, '--yes'), 0)
  t.equal(await set('--seal-to', 'lab', '--seal-to', attic.view.id), 0)
  const { sealed, signer } = readCustody(io.pond.safe.credentials.get('db') as Custody)
  t.equal(signer, (await identityOf(io)).signing.publicKey)
  t.match(sealed.context, { signer, project: 'default' })
  for (const { sealing } of [lab, attic]) t.same(await opened(io, 'db', sealing), { env: { A: SECRET } })
  await t.rejects(opened(io, 'db', io.pond.safe.pair.sealing), 'pond cannot')

  t.equal(await pond(io, 'submit', '--credential', 'db', '--', 'x'), 0)
  const call = io.pond.calls.find(({ name }) => name === 'submitJob')
  const { signed } = (call?.body ?? {}) as { readonly signed?: Dsse }
  const bytes = signed ? openDsse(signed, payloadType.job, signer ?? '') : Buffer.alloc(0)
  t.same(JSON.parse(bytes.toString('utf8')), { command: ['x'], credential: 'db' })
})

t.test('a credential in pond custody needs no signature; --sign gives one to any job', async (t) => {
  const io = createFakeIo()
  io.input = SECRET
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A'), 0)
  const submitted = async (...words: string[]) => {
    t.equal(await pond(io, 'submit', '--idempotency-key', `${io.pond.calls.length}`, ...words, '--', 'x'), 0)
    return io.pond.calls.filter(({ name }) => name === 'submitJob').at(-1)?.body
  }
  t.match(await submitted('--credential', 'db'), { command: ['x'] })
  t.match(await submitted('--sign'), { signed: { payloadType: payloadType.job } })
  io.pond.intercept = ({ name }) => (name === 'getCredential' ? errorReply('forbidden', 'no scope') : undefined)
  t.match(await submitted('--credential', 'db'), { command: ['x'] }, 'a key that may not look leaves it to --sign')
  t.match(await submitted('--credential', 'db', '--sign'), { signed: {} })
})

t.test('what another identity sealed is told, not tried', async (t) => {
  const io = createFakeIo()
  io.pond.safe.workers = [labOf().view]
  io.input = SECRET
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  t.equal(await pond(io, 'credential', 'set', 'db', '--key', 'A', '--seal-to', 'lab'), 0)
  mkdirSync(join(io.home, 'other'))
  t.equal(await pond(io, 'submit', '--home', join(io.home, 'other'), '--credential', 'db', '--', 'x'), 1)
  t.match(io.printed().err, /opens only for jobs that [0-9a-f-]+ signed/)
})
