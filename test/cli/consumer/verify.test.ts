// pond verify: what a statement proves, with a pond and without one, and that each lie is told.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { canonicalBytes } from '../../../src/seal/canonical.ts'
import { createFakeIo, type FakeIo, pond } from '../../harness/fake-io.ts'
import { fakeId } from '../../harness/fake-pond.ts'
import { createFakeWorker } from '../../harness/fake-safe.ts'
import { reply } from '../../harness/http-reply.ts'
import { mutateValue } from '../../harness/mutation.ts'
import { labOf, makeConfidential, takeJob } from '../../harness/sealed-job.ts'

async function attestedJob({ worker = labOf(), jobDigest = '' } = {}) {
  const io = createFakeIo()
  await makeConfidential(io)
  t.equal(await pond(io, 'submit', '--', 'x'), 0)
  const id = [...io.pond.jobs.keys()].at(-1) ?? ''
  const job = await takeJob(io, id, { worker, ...(jobDigest && { jobDigest }) })
  job.write('stdout', 'output')
  await job.finish()
  const spec = io.pond.calls.find(({ name }) => name === 'submitJob')?.body
  io.pond.intercept = ({ name }) =>
    name === 'getJobSpec' ? reply(200, { 'content-type': 'application/json' }, canonicalBytes(spec)) : undefined
  t.equal(await pond(io, 'trust', 'worker', 'lab', '--yes'), 0)
  io.writes.length = 0
  return { io, id, file: join(io.home, 'statement.json') }
}

async function findings(io: FakeIo, code: number, ...words: string[]): Promise<Record<string, boolean>> {
  io.writes.length = 0
  t.equal(await pond(io, 'verify', '--json', ...words), code)
  const { findings: all } = JSON.parse(io.printed().out)
  return Object.fromEntries(all.map(({ claim, proved }: { claim: string; proved: boolean }) => [claim, proved]))
}

const all = { signature: true, worker: true, end: true, job: true, stdout: true, stderr: true }

t.test('a job that ran as it was submitted', async (t) => {
  const { io, id, file } = await attestedJob()
  t.same(await findings(io, 0), all)
  io.writes.length = 0
  t.equal(await pond(io, 'verify', id, '--save', file), 0)
  t.match(io.printed().out, /proved {2}worker: that key is checked by you \([0-9a-f-]{39}\)\n/)
  t.match(io.printed().out, /not proved: what the owner of that machine may have done/)
  io.network = () => Promise.reject(new Error('no pond here'))
  t.match(await findings(io, 0, file), { signature: true, worker: true, end: true, job: true, stored: false })
  t.same((await findings(io, 1, file, '--worker-key', 'other')).worker, false)
  t.same((await findings(io, 0, file, '--worker-key', labOf().view.signing_key)).worker, true)
})

t.test('any field of a saved statement that was changed, but one that says nothing', async (t) => {
  const { io, id, file } = await attestedJob()
  t.equal(await pond(io, 'verify', id, '--save', file), 0)
  const saved = JSON.parse(readFileSync(file, 'utf8'))
  let refused = 0
  for (const { what, value } of mutateValue(saved)) {
    // The sealing key is there for people who seal to it.
    if (/^\$(\.sealing_key of another value| with)/.test(what)) continue
    writeFileSync(file, JSON.stringify(value))
    if ((await pond(io, 'verify', file)) === 1) refused++
    else t.fail(what)
  }
  t.ok(refused > 60, `${refused} changes`)
})

t.test('a pond that shows the wrong job to both is told from what was submitted here', async (t) => {
  const spec = { command: ['another'] }
  const jobDigest = createHash('sha256').update(canonicalBytes(spec)).digest('hex')
  const { io, file } = await attestedJob({ jobDigest })
  io.pond.intercept = ({ name }) =>
    name === 'getJobSpec' ? reply(200, { 'content-type': 'application/json' }, canonicalBytes(spec)) : undefined
  t.match(await findings(io, 1, '--save', file), { ...all, job: false })
  t.match(await findings(io, 1, file), { signature: true, job: false }, 'without a pond too')
})

t.test('a statement that was changed, and a file that is none', async (t) => {
  const { io, id, file } = await attestedJob()
  t.equal(await pond(io, 'verify', id, '--save', file), 0)
  const saved = JSON.parse(readFileSync(file, 'utf8'))
  const payload = Buffer.from(saved.attestation.payload, 'base64').toString().replace('"rc":0', '"rc":1')
  saved.attestation.payload = Buffer.from(payload).toString('base64')
  writeFileSync(file, JSON.stringify(saved))
  t.same((await findings(io, 1, file)).signature, false)
  writeFileSync(file, '{}')
  t.equal(await pond(io, 'verify', file), 1)
  t.match(io.printed().err, /holds no saved statement/)
})

t.test('another output, another job, and a worker that nobody trusts', async (t) => {
  const { io, id } = await attestedJob()
  io.pond.write(id, 'stdout', 'more')
  t.same(await findings(io, 1), { ...all, stdout: false })
  const other = await attestedJob({ jobDigest: 'f'.repeat(64) })
  t.same(await findings(other.io, 1), { ...all, job: false })
  const foreign = await attestedJob({ worker: createFakeWorker('x', { id: fakeId('wrk', 9) }) })
  t.match(await findings(foreign.io, 1), { signature: true, worker: false, end: false })
})
