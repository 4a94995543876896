// pond artifacts against a scripted pond: plain and confidential, resumed, and never mixed with another job's.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createFakeIo, type FakeIo, makeFolder, pond } from '../../harness/fake-io.ts'
import { makeConfidential, takeJob } from '../../harness/sealed-job.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** An ended plain job that left one file. */
function plainJob(io: FakeIo, text: string, change: object = {}): string {
  const { id } = io.pond.addJob({ state: 'succeeded', attempts: 1, cause: 'exit', rc: 0 })
  io.pond.write(id, 'artifact/0', text)
  io.pond.end(id, 'artifact/0', 'complete')
  const item = { path: 'out/a.txt', stream: 'artifact/0', bytes: text.length, sha256: sha256(text), end: 'complete' }
  const missing = { path: '*.log', problem: 'missing' }
  io.pond.answers.listArtifacts = { claim_id: 'clm_1', items: [{ ...item, ...change }, missing] }
  return id
}

t.test('plain ones are listed and fetched, and their digest is looked at', async (t) => {
  const io = createFakeIo()
  const out = makeFolder()
  plainJob(io, 'content')
  t.equal(await pond(io, 'artifacts', 'ls'), 0)
  t.match(io.printed().out, /out\/a\.txt\t7 B\t\t[0-9a-f]{64}\n\*\.log\t-\tmissing/)
  t.equal(await pond(io, 'artifacts', 'get', '--out', out), 0)
  t.equal(readFileSync(join(out, 'out', 'a.txt'), 'utf8'), 'content')
  t.match(io.printed().err, 'not there: *.log (missing)')
  t.equal(await pond(io, 'artifacts', 'get', '--out', out, io.pond.jobs.keys().next().value ?? '', 'other'), 1)
  plainJob(io, 'changed', { sha256: sha256('content') })
  t.equal(await pond(io, 'artifacts', 'get', '--out', makeFolder()), 1)
  t.match(io.printed().err, /is not what its worker sent/)
  plainJob(io, 'half', { end: 'lost' })
  t.equal(await pond(io, 'artifacts', 'get', '--out', makeFolder()), 1)
  t.match(io.printed().err, /is not whole/)
})

t.test('two that would lie on each other are not fetched, and nothing is written', async (t) => {
  for (const paths of [
    ['a', 'a'],
    ['a', 'a/b'],
    ['a/b', 'a'],
  ]) {
    const io = createFakeIo()
    const out = makeFolder()
    plainJob(io, 'x')
    const { claim_id, items } = io.pond.answers.listArtifacts as { claim_id: string; items: object[] }
    const both = paths.map((path, at) => ({ ...items[0], path, stream: `artifact/${at}` }))
    io.pond.answers.listArtifacts = { claim_id, items: both }
    t.equal(await pond(io, 'artifacts', 'get', '--out', out), 1)
    t.match(io.printed().err, /two artifacts cannot both be put where a/)
    t.same(readdirSync(out), [])
  }
})

for (const path of ['../x', '/etc/x', 'a/../../x', 'a//x', 'a\\x']) {
  t.test(`a path that leads out of the folder: ${path}`, async (t) => {
    const io = createFakeIo()
    plainJob(io, 'x', { path })
    t.equal(await pond(io, 'artifacts', 'get', '--out', makeFolder()), 1)
    t.match(io.printed().err, /leads out of the folder/)
  })
}

async function confidentialJob(io: FakeIo, text: string, { cut = false } = {}) {
  t.equal(await pond(io, 'submit', '--idempotency-key', text.slice(0, 9), '--artifact', 'out/*', '--', 'x'), 0)
  const id = [...io.pond.jobs.keys()].at(-1) ?? ''
  const job = await takeJob(io, id)
  job.write('artifact/0', text)
  if (cut) job.endOf('artifact/0')
  await job.finish(undefined, {
    artifacts: [
      { stream: 'artifact/0', path: 'out/a.txt' },
      { path: '*.log', problem: 'missing' },
    ],
  })
  io.pond.answers.listArtifacts = { claim_id: job.claim, items: [{ stream: 'artifact/0', bytes: 9, end: 'complete' }] }
  io.writes.length = 0
  return { id, job }
}

t.test('confidential ones are named by what their worker attested, and opened here', async (t) => {
  const io = createFakeIo()
  await makeConfidential(io)
  const { id } = await confidentialJob(io, 'secret content')
  t.equal(await pond(io, 'artifacts', 'ls'), 0)
  t.match(io.printed().out, /out\/a\.txt\t.*\n\*\.log\t-\tmissing/)
  const out = makeFolder()
  t.equal(await pond(io, 'artifacts', 'get', '--out', out), 0)
  t.equal(readFileSync(join(out, 'out', 'a.txt'), 'utf8'), 'secret content')
  io.pond.answers.listArtifacts = { claim_id: 'clm_other', items: [{ stream: 'artifact/0', end: 'complete' }] }
  io.writes.length = 0
  t.equal(await pond(io, 'artifacts', 'ls', id), 0)
  t.notMatch(io.printed().out, 'a.txt', 'names of another attempt are not given to these')
  io.pond.answers.listArtifacts = { claim_id: 'clm_other', items: [] }
})

t.test('one that pond leaves off its list is missed', async (t) => {
  const io = createFakeIo()
  await makeConfidential(io)
  const { job } = await confidentialJob(io, 'secret content')
  io.pond.answers.listArtifacts = { claim_id: job.claim, items: [] }
  t.equal(await pond(io, 'artifacts', 'get', '--out', makeFolder()), 1)
  t.match(io.printed().err, /out\/a\.txt is not whole/)
})

t.test('one that pond cuts short, and calls whole in its list only, is no file', async (t) => {
  for (const end of ['lost', 'open', 'capped', 'complete']) {
    const io = createFakeIo()
    await makeConfidential(io)
    const { id } = await confidentialJob(io, 'all but the end', { cut: true })
    io.pond.end(id, 'artifact/0', end)
    const out = makeFolder()
    t.equal(await pond(io, 'artifacts', 'get', '--out', out), 1, end)
    t.notOk(existsSync(join(out, 'out', 'a.txt')))
  }
})

t.test('a name that pond gives to a file of a confidential job is not believed', async (t) => {
  const io = createFakeIo()
  await makeConfidential(io)
  const { id, job } = await confidentialJob(io, 'secret content')
  const item = { stream: 'artifact/0', path: 'out/b.txt', bytes: 9, end: 'complete' }
  io.pond.answers.listArtifacts = { claim_id: job.claim, items: [item] }
  io.pond.change(id, { has_result: false, attested: false })
  t.equal(await pond(io, 'artifacts', 'ls', id), 0)
  t.notMatch(io.printed().out, 'b.txt')
})

t.test('a fetch that stopped goes on, and takes nothing from another job', async (t) => {
  const io = createFakeIo()
  await makeConfidential(io)
  const text = 'abcdefgh'.repeat(200_000)
  const { id } = await confidentialJob(io, text)
  const out = makeFolder()
  mkdirSync(join(out, 'out'))
  writeFileSync(join(out, 'out', `a.txt.${id}.1.part`), text.slice(0, 1_200_000))
  writeFileSync(join(out, 'out', 'a.txt.job_other.1.part'), 'somebody else')
  t.equal(await pond(io, 'artifacts', 'get', '--out', out), 0)
  t.ok(readFileSync(join(out, 'out', 'a.txt'), 'utf8') === text)
  const reads = io.pond.calls.filter(({ name, params }) => name === 'readStream' && params.name === 'artifact/0')
  t.ok(reads.some(({ query }) => Number(query.offset) >= 1024 * 1024))
  t.same(readdirSync(join(out, 'out')).sort(), ['a.txt', 'a.txt.job_other.1.part'])
  t.notOk(existsSync(join(out, 'a.txt')))
})
