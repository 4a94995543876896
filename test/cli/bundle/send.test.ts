// pond run --bundle against a scripted pond: packed and sealed here, sent once, resumed after anything, and what cannot be packed told.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { CustodyDetached } from '../../../src/protocol/sealed.ts'
import { openBox } from '../../../src/seal/box.ts'
import { readCustodyDetached } from '../../../src/seal/envelope.ts'
import type { KeyPair } from '../../../src/seal/key.ts'
import { openPayload } from '../../../src/seal/open/frame.ts'
import { createFakeIo, drive, type FakeIo, pond, startPond, waitFor } from '../../harness/fake-io.ts'
import { pondPairOf, sodium, tellKeys } from '../../harness/fake-safe.ts'
import { errorReply } from '../../harness/http-reply.ts'
import { clientHomeOf, labOf } from '../../harness/sealed-job.ts'

const MARK = 'unique source text'
const MiB = 1024 * 1024

/** A folder with a few files, `bytes` in all. */
function makeSource(io: FakeIo, bytes = 1000): string {
  const folder = join(io.home, 'source')
  mkdirSync(join(folder, 'lib'), { recursive: true })
  writeFileSync(join(folder, 'main.sh'), `echo ${MARK}\n`)
  writeFileSync(join(folder, 'lib', 'data'), Buffer.alloc(bytes, 'd'))
  return folder
}

let submits = 0
const run = (io: FakeIo, folder: string, ...words: string[]) =>
  pond(io, 'submit', '--idempotency-key', `k${submits++}`, '--bundle', folder, ...words, '--', './main.sh')

const digestOfJob = (io: FakeIo) => [...io.pond.jobs.values()].at(-1)?.bundle ?? ''

const puts = (io: FakeIo) => io.pond.calls.filter(({ name }) => name === 'putBundle')
const drafts = (io: FakeIo) => readdirSync(join(clientHomeOf(io), 'bundles')).filter((name) => name.endsWith('.frames'))

/** The archive as whoever holds the pair finds it. */
async function opened(io: FakeIo, digest: string, pair: KeyPair): Promise<string> {
  const { bytes, custody } = io.pond.safe.bundles.get(digest) ?? { bytes: Buffer.alloc(0) }
  const { sealed } = readCustodyDetached(custody as CustodyDetached)
  t.equal(sealed.digest, createHash('sha256').update(bytes).digest('hex'))
  const { key } = openBox(sodium, sealed, { pairs: [pair], place: sealed.context })
  const parts: Buffer[] = []
  const content = { key: Buffer.from(key, 'base64url'), place: sealed.context }
  for await (const part of openPayload(sodium, content, [bytes])) parts.push(part)
  return Buffer.concat(parts).toString('latin1')
}

t.test('a folder is sealed to pond, sent, and named in the job; unchanged it is not sent again', async (t) => {
  const io = createFakeIo()
  const folder = makeSource(io)
  t.equal(await run(io, folder), 0)
  const digest = digestOfJob(io)
  t.match(await opened(io, digest, io.pond.safe.pair.sealing), MARK)
  t.notMatch(io.pond.safe.bundles.get(digest)?.bytes.toString('latin1'), MARK)
  t.match(io.printed().err, /bundle [0-9a-f]{12}: 2 files, .* at pond\n/)
  t.same(drafts(io), [])
  const sent = puts(io).length
  t.equal(await run(io, folder), 0)
  t.equal(digestOfJob(io), digest)
  t.equal(puts(io).length, sent)
  writeFileSync(join(folder, 'main.sh'), 'echo other\n')
  t.equal(await run(io, folder), 0)
  t.not(digestOfJob(io), digest)
  const known = join(clientHomeOf(io), 'bundles')
  for (const name of readdirSync(known)) t.equal(statSync(join(known, name)).mode & 0o777, 0o600)
})

t.test(
  'pond has other keys, or other workers are named: the same frames get boxes for them, and nothing is sent again',
  async (t) => {
    const io = createFakeIo()
    const folder = makeSource(io)
    t.equal(await run(io, folder), 0)
    const digest = digestOfJob(io)
    const sent = puts(io).length
    const before = io.pond.safe.pair
    io.pond.safe.pair = pondPairOf('q')
    io.pond.safe.told = tellKeys(io.pond.safe.pair, [before])
    t.equal(await run(io, folder), 0)
    t.equal(digestOfJob(io), digest)
    t.match(await opened(io, digest, io.pond.safe.pair.sealing), MARK)
    await t.rejects(opened(io, digest, before.sealing), 'not for the old one')
    t.equal(puts(io).length, sent)
    t.equal(await run(io, folder), 0)
    t.equal(io.pond.calls.filter(({ name }) => name === 'sealBundle').length, 2, 'and the boxes once')
  },
)

t.test('what pond lost is sealed and sent anew; a digest is taken as it is', async (t) => {
  const io = createFakeIo()
  const folder = makeSource(io)
  t.equal(await run(io, folder), 0)
  const digest = digestOfJob(io)
  io.pond.safe.bundles.clear()
  t.equal(await run(io, folder), 0)
  t.not(digestOfJob(io), digest)
  t.match(await opened(io, digestOfJob(io), io.pond.safe.pair.sealing), MARK)
  const calls = puts(io).length
  t.equal(await run(io, 'c'.repeat(64)), 0)
  t.equal(puts(io).length, calls)
  t.equal(digestOfJob(io), 'c'.repeat(64))
})

t.test('through an outage and a gap it goes on in pieces of at most 4 MiB', async (t) => {
  const io = createFakeIo()
  const folder = makeSource(io, 12 * MiB)
  let turn = 0
  io.pond.intercept = ({ name }) => {
    if (name !== 'putBundle') return undefined
    turn++
    if (turn === 2 || turn === 3) throw new Error('socket hang up')
    return turn === 5 ? errorReply('chunk_gap', 'a gap', { committed: 1000 }) : undefined
  }
  t.equal(await run(io, folder), 0)
  const bytes = io.pond.safe.bundles.get(digestOfJob(io))?.bytes ?? Buffer.alloc(0)
  t.equal(createHash('sha256').update(bytes).digest('hex'), digestOfJob(io))
  t.ok(puts(io).every(({ body }) => (body as Buffer).length <= 4 * MiB))
  t.ok(puts(io).some(({ query }) => query.offset === '1000'))
  t.match(io.printed().err, /trying again/)
})

for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  t.test(`${name} stops it, and the same command goes on from there`, async (t) => {
    const io = createFakeIo({ tty: true })
    const folder = makeSource(io, 6 * MiB)
    let turn = 0
    io.pond.intercept = ({ name: called }) => {
      if (called === 'putBundle' && turn++ > 1) throw new Error('socket hang up')
      return undefined
    }
    const going = startPond(io, 'submit', '--bundle', folder, '--', 'x')
    await waitFor(io, () => turn > 2)
    io.signal(name)
    t.equal(await drive(io, going.code), code)
    t.match(io.printed().err, /Type the same command again/)
    t.match(io.printed().err, /sending the bundle: .* of 6\.\d MiB, .*\/s/)
    t.equal(io.pond.jobs.size, 0)
    t.equal(drafts(io).length, 1)
    io.pond.intercept = undefined
    const before = puts(io).length
    t.equal(await run(io, folder), 0)
    t.not(puts(io)[before]?.query.offset, '0')
    t.match(await opened(io, digestOfJob(io), io.pond.safe.pair.sealing), MARK)
    t.same(drafts(io), [])
  })
}

t.test('a draft that was cut off or changed is given up', async (t) => {
  const io = createFakeIo()
  const folder = makeSource(io, MiB)
  const stopped = async () => {
    io.pond.intercept = ({ name }) => (name === 'putBundle' ? errorReply('invalid_field', 'no') : undefined)
    t.equal(await run(io, folder), 1)
    io.pond.intercept = undefined
    return join(clientHomeOf(io), 'bundles', drafts(io)[0] ?? '')
  }
  truncateSync(await stopped(), 1000)
  t.equal(await run(io, folder), 0)
  io.pond.safe.bundles.clear()
  const draft = await stopped()
  writeFileSync(draft, Buffer.alloc(statSync(draft).size, 1))
  t.equal(await run(io, folder), 1, 'pond sees that it is not what its digest says')
  t.same(drafts(io), [])
  t.equal(await run(io, folder), 0)
})

t.test('a pond that gets no further is given up', async (t) => {
  const io = createFakeIo()
  io.pond.intercept = ({ name, params }) =>
    name === 'putBundle'
      ? errorReply('chunk_gap', 'a gap', { committed: params.digest === undefined ? 1 : 0 })
      : undefined
  t.equal(await run(io, makeSource(io)), 1)
  t.match(io.printed().err, /pond stays at byte 0/)
})

t.test('sealed to a checked worker, pond cannot open it and the job is signed', async (t) => {
  const io = createFakeIo()
  const folder = makeSource(io)
  const lab = labOf()
  io.pond.safe.workers = [lab.view]
  t.equal(await run(io, folder, '--seal-to', 'lab'), 1)
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  t.equal(await run(io, folder, '--seal-to', 'lab'), 0)
  t.match(await opened(io, digestOfJob(io), lab.sealing), MARK)
  await t.rejects(opened(io, digestOfJob(io), io.pond.safe.pair.sealing))
  t.match(io.pond.calls.filter(({ name }) => name === 'submitJob').at(-1)?.body, { signed: {} })
  const toLab = digestOfJob(io)
  t.equal(await run(io, folder), 0)
  t.not(digestOfJob(io), toLab, 'for pond it is sealed on its own')
  t.equal(await pond(io, 'submit', '--seal-to', 'lab', '--', 'x'), 2)
})

t.test('what cannot be packed is told before anything is sent', async (t) => {
  const io = createFakeIo()
  const folder = makeSource(io)
  t.equal(await run(io, join(folder, 'nothing')), 2)
  t.match(io.printed().err, /it is no folder/)
  t.equal(await run(io, join(folder, 'main.sh')), 2)
  writeFileSync(join(folder, '.pondignore'), '*\n')
  t.equal(await run(io, folder), 2)
  t.match(io.printed().err, /its .pondignore leaves out all of them/)
  writeFileSync(join(folder, '.pondignore'), Buffer.alloc(8 * MiB, 'x'))
  t.equal(await run(io, folder), 2)
  t.match(io.printed().err, /Mend .pondignore/)
  rmSync(join(folder, '.pondignore'))
  t.equal(io.pond.calls.filter(({ name }) => name === 'putBundle' || name === 'submitJob').length, 0)
})

t.test('a file that changes while it is packed is told', async (t) => {
  const io = createFakeIo()
  const folder = makeSource(io)
  t.equal(await run(io, folder), 0)
  io.pond.safe.bundles.clear()
  io.pond.intercept = ({ name }) => {
    // Between the first reading, for the digest, and the second one.
    if (name === 'getBundle') writeFileSync(join(folder, 'main.sh'), 'echo something else\n')
    return undefined
  }
  t.equal(await run(io, folder), 2)
  t.match(io.printed().err, /the file changed while it was packed: main\.sh/)
  t.same(drafts(io), [])
})

t.test('what nobody came back for is swept', async (t) => {
  const io = createFakeIo()
  const folder = join(clientHomeOf(io), 'bundles')
  mkdirSync(folder, { recursive: true })
  const day = 24 * 60 * 60
  for (const [name, days] of [
    ['old.frames', 8],
    ['new.frames', 6],
    ['old.json', 91],
    ['new.json', 89],
  ] as const) {
    writeFileSync(join(folder, name), '')
    const at = io.clock.now() / 1000 - days * day
    utimesSync(join(folder, name), at, at)
  }
  t.equal(await run(io, makeSource(io)), 0)
  const left = readdirSync(folder)
  t.same(left.filter((name) => /^(old|new)\./.test(name)).sort(), ['new.frames', 'new.json'])
})
