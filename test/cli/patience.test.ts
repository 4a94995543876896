// A full quota is no outage: whoever submits waits for as long as pond names, is told why, and gets the job in once.
import t from 'tap'
import { createFakeIo, drive, type FakeIo, pond, startPond, waitFor } from '../harness/fake-io.ts'
import { errorReply } from '../harness/http-reply.ts'

const DAY_MS = 24 * 3_600_000

/** Refuses submits until told otherwise; answers how often it was asked. */
function refuse(io: FakeIo, retry_after_ms: number) {
  const seen = { submits: 0, isFull: true, quota: 'queued' }
  io.pond.intercept = ({ name }) => {
    if (name !== 'submitJob') return undefined
    seen.submits++
    if (!seen.isFull) return undefined
    const { status, headers, body } = errorReply('quota_exceeded', `the project is full: quota ${seen.quota}`, {
      ...{ quota: seen.quota, most: 1, used: 1, retry_after_ms },
    })
    return { status, body, headers: { ...headers, 'retry-after': `${Math.ceil(retry_after_ms / 1000)}` } }
  }
  return seen
}

t.test('pond run waits while a quota is full, says so once, and runs when there is room', async (t) => {
  const io = createFakeIo()
  const seen = refuse(io, 30_000)
  const going = startPond(io, 'run', '--', 'true')
  await waitFor(io, () => io.printed().err.includes('waiting to submit'))
  t.match(io.printed().err, /^pond: the project is full: quota queued; waiting to submit, the next try is in 3\d s\n$/)
  await io.clock.advance(29_000)
  t.equal(seen.submits, 1, 'not before the time that pond named')
  await io.clock.advance(5 * 60_000)
  t.ok(seen.submits > 2)
  t.equal(io.printed().err.split('\n').length, 2, 'once')
  seen.isFull = false
  await waitFor(io, () => io.pond.jobs.size > 0)
  const [id = ''] = io.pond.jobs.keys()
  for (const stream of ['stdout@1', 'stderr@1']) io.pond.end(id, stream, 'complete')
  io.pond.change(id, { state: 'succeeded', attempts: 1, cause: 'exit', rc: 0 })
  t.equal(await drive(io, going.code), 0)
  t.equal(io.pond.jobs.size, 1)
  const keys = io.pond.calls.flatMap(({ name, headers }) => (name === 'submitJob' ? [headers['idempotency-key']] : []))
  t.equal(new Set(keys).size, 1)
})

t.test('it waits for days, and says when another quota is in the way', async (t) => {
  const io = createFakeIo()
  const seen = refuse(io, DAY_MS)
  const going = startPond(io, 'submit', '--', 'true')
  await waitFor(io, () => io.printed().err.includes('waiting to submit'))
  seen.quota = 'cpu_seconds_per_day'
  await io.clock.advance(2 * 3_600_000)
  t.match(io.printed().err, /quota cpu_seconds_per_day; waiting to submit, the next try is in 1 h/)
  seen.isFull = false
  await io.clock.advance(2 * 3_600_000)
  t.equal(await going.code, 0)
})

t.test('who says for how long gives up then, and no signal is taken over meanwhile', async (t) => {
  const io = createFakeIo()
  refuse(io, 1000)
  const before = process.listenerCount('SIGINT')
  const going = startPond(io, 'submit', '--patience', '20s', '--', 'true')
  await waitFor(io, () => io.printed().err.includes('waiting to submit'))
  t.equal(process.listenerCount('SIGINT'), before)
  t.equal(await drive(io, going.code), 75)
  t.match(io.printed().err, /could not submit the job\n +why: +the project is full/)
  t.equal(io.pond.jobs.size, 0)
})

t.test('an outage behind a full quota is given up as ever', async (t) => {
  const io = createFakeIo()
  refuse(io, 1000)
  const going = startPond(io, 'submit', '--', 'true')
  await waitFor(io, () => io.printed().err.includes('waiting to submit'))
  io.pond.intercept = ({ name }) => (name === 'submitJob' ? errorReply('store_failing', 'no') : undefined)
  t.equal(await drive(io, going.code), 75)
})

t.test('with --quiet it says nothing', async (t) => {
  const io = createFakeIo()
  refuse(io, 1000)
  t.equal(await pond(io, 'run', '--quiet', '--patience', '5s', '--', 'true'), 75)
  t.notMatch(io.printed().err, /waiting to submit/)
})

t.test('a job that waits for a quota to run says so', async (t) => {
  const io = createFakeIo()
  const worker = { id: 'wrk_1', name: 'lab', state: 'online', slots: 2, inflight: 0, binding_id: 'b', project: 'p' }
  const keys = { sealing_key: 'a', signing_key: 'b', fingerprint: 'f', labels: {} }
  io.pond.answers.listWorkers = { items: [{ ...worker, ...keys }] }
  io.pond.answers.listTransitions = { items: [] }
  const says = 'the project runs as many jobs as it may: 2 of 2'
  const quota = { name: 'running', most: 2, used: 2, says, change: 'a job of the project ends' }
  io.pond.answers.explainJob = { id: 'x', state: 'queued', says, waiting: { since: 0, quota, workers: [] } }
  const going = startPond(io, 'run', '--plain', '--', 'true')
  await waitFor(io, () => io.printed().err.includes(says))
  const [id = ''] = io.pond.jobs.keys()
  for (const stream of ['stdout@1', 'stderr@1']) io.pond.end(id, stream, 'complete')
  io.pond.change(id, { state: 'succeeded', attempts: 1, cause: 'exit', rc: 0 })
  t.equal(await drive(io, going.code), 0)
})
