// pond recipient and pond trust recipients: pond's list of a project, pinned here, its changes asked about.
import { join } from 'node:path'
import t from 'tap'
import { describeIdentity } from '../../../src/seal/identity.ts'
import { parseKey, printKey } from '../../../src/seal/key-text.ts'
import { createFakeIo, type FakeIo, pond } from '../../harness/fake-io.ts'
import { sealingPairOf } from '../../harness/fake-safe.ts'
import { errorReply } from '../../harness/http-reply.ts'
import { identityOf, labOf, makeConfidential, takeJob } from '../../harness/sealed-job.ts'

const [ann, bob] = ['a', 'b'].map((letter) => printKey('recipient', sealingPairOf(letter).publicKey)) as [
  string,
  string,
]

async function consumer(tty = false): Promise<FakeIo> {
  const io = createFakeIo({ tty })
  await makeConfidential(io)
  return io
}

async function recipientsOfJob(io: FakeIo, code = 0): Promise<readonly string[]> {
  t.equal(await pond(io, 'submit', '--idempotency-key', `${io.pond.calls.length}`, '--', 'x'), code)
  const { body } = io.pond.calls.filter(({ name }) => name === 'submitJob').at(-1) ?? {}
  return (body as { recipients: string[] } | undefined)?.recipients ?? []
}

t.test('add, ls and rm set the list of the project and pin it', async (t) => {
  const io = await consumer()
  t.equal(await pond(io, 'recipient', 'add'), 0)
  const own = io.pond.safe.recipients[0] ?? ''
  t.equal(await pond(io, 'recipient', 'add', ann, bob, ann), 0)
  t.same(io.pond.safe.recipients, [own, ann, bob])
  t.same((await recipientsOfJob(io)).slice().sort(), [own, ann, bob].sort())
  io.writes.length = 0
  t.equal(await pond(io, 'recipient', 'ls', '--json'), 0)
  const items = io
    .printed()
    .out.trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.same(
    items.map(({ recipient }) => recipient),
    [own, ann, bob],
  )
  t.equal(await pond(io, 'recipient', 'rm', items[1].fingerprint, bob), 0)
  t.same(await recipientsOfJob(io), [own])
  t.equal(await pond(io, 'recipient', 'rm', ann), 1)
  t.equal(await pond(io, 'recipient', 'add', `${ann.slice(0, -1)}x`), 2)
  t.equal(await pond(io, 'submit', '--recipient', 'pond_recipient_x', '--', 'x'), 2)
  t.equal(await pond(io, 'submit', '--plain', '--recipient', ann, '--', 'x'), 2)
})

t.test(
  'a list that is first seen is pinned and told; a change stops the submit until somebody says that it is right',
  async (t) => {
    const io = await consumer()
    io.pond.safe.recipients = [ann]
    t.match(await recipientsOfJob(io), [/./, ann])
    t.match(io.printed().err, /also sealed to/)
    io.pond.safe.recipients = [ann, bob]
    const before = io.pond.jobs.size
    await recipientsOfJob(io, 1)
    t.equal(io.pond.jobs.size, before)
    t.match(io.printed().err, /the recipients of project default changed: added/)
    t.equal(await pond(io, 'recipient', 'rm', ann), 1, 'setting the list anew would hide it')
    t.equal(await pond(io, 'trust', 'recipients'), 2, 'nobody is here to say so')
    t.equal(await pond(io, 'trust', 'recipients', '--yes'), 0)
    t.match(await recipientsOfJob(io), [/./, ann, bob])
  },
)

for (const answer of ['yes', 'no', undefined]) {
  t.test(`a change on a terminal, and the answer ${answer}`, async (t) => {
    const io = await consumer(true)
    io.pond.safe.recipients = [ann]
    await recipientsOfJob(io)
    io.pond.safe.recipients = []
    io.answer = answer
    const named = await recipientsOfJob(io, answer === 'yes' ? 0 : 1)
    t.equal(named.includes(ann), answer !== 'yes')
  })
}

t.test('who may not read the list seals to itself; a pond that is away is waited for', async (t) => {
  const io = await consumer()
  io.pond.intercept = ({ name }) => (name === 'getRecipients' ? errorReply('forbidden', 'no scope') : undefined)
  t.equal((await recipientsOfJob(io)).length, 1)
  let away = 2
  io.pond.intercept = ({ name }) =>
    name === 'getRecipients' && away-- > 0 ? errorReply('shutting_down', 'stopping') : undefined
  t.equal((await recipientsOfJob(io)).length, 1)
  io.network = () => Promise.reject(new Error('connect ECONNREFUSED'))
  t.equal(await pond(io, 'submit', '--patience', '3s', '--', 'x'), 75)
})

t.test('an identity is made by the first submit, which says what sealing hides and what not', async (t) => {
  const io = createFakeIo()
  delete io.env.POND_PLAIN
  t.equal((await recipientsOfJob(io)).length, 1)
  t.match(io.printed().err, /only it opens that/)
  t.match(io.printed().err, /pond still sees commands/)
})

t.test('whoever is added reads what the one who added him submits', async (t) => {
  const io = await consumer()
  const other = join(io.home, 'other')
  io.writes.length = 0
  t.equal(await pond(io, 'identity', '--home', other, '--json'), 0)
  const { recipient } = JSON.parse(io.printed().out)
  t.equal(await pond(io, 'recipient', 'add', recipient), 0)
  const own = describeIdentity(await identityOf(io)).recipient
  t.same([...io.pond.safe.recipients].sort(), [own, recipient].sort(), 'and his own key is on the list')
  t.equal(await pond(io, 'submit', '--', 'x'), 0)
  const id = [...io.pond.jobs.keys()].at(-1) ?? ''
  const keys = [own, recipient].map((text) => parseKey('recipient', text) ?? '')
  io.pond.safe.workers = [labOf().view]
  const job = await takeJob(io, id, { recipients: keys })
  job.write('stdout', 'for both')
  await job.finish()
  t.equal(await pond(io, 'trust', 'recipients', '--home', other, '--yes'), 0)
  for (const words of [[], ['--home', other]]) {
    io.writes.length = 0
    t.equal(await pond(io, 'logs', id, ...words), 0, io.printed().err)
    t.equal(io.printed().out, 'for both')
  }
})
