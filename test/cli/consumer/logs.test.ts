// pond logs against a scripted pond: offsets, tails, timestamps, attempts, cuts.
import t from 'tap'
import { createFakeIo, drive, type FakeIo, pond, startPond, waitFor } from '../../harness/fake-io.ts'
import { fakeId } from '../../harness/fake-pond.ts'
import { errorReply } from '../../harness/http-reply.ts'

const ended = { state: 'failed', attempts: 1, cause: 'exit', rc: 3 } as const

/** A job that ended with `out` on stdout and `err` on stderr. */
function endedJob(io: FakeIo, out: string, err = ''): string {
  const { id } = io.pond.addJob(ended)
  io.pond.write(id, 'stdout', out)
  io.pond.write(id, 'stderr', err)
  io.pond.end(id, 'stdout', 'complete')
  io.pond.end(id, 'stderr', 'complete')
  const streams = [
    { name: 'stdout', bytes: out.length },
    { name: 'stderr', bytes: err.length },
  ]
  io.pond.attempts.set(id, [{ ...attempt, streams }])
  return id
}

const attempt = {
  claim_id: fakeId('clm', 1),
  attempt: 1,
  epoch: 1,
  state: 'ended',
  worker: 'wrk_1',
  worker_name: 'lab',
  claimed_at: 1,
  streams: [],
  orphan: false,
}

t.test('both streams, each to its own', async (t) => {
  const io = createFakeIo()
  endedJob(io, 'out\n', 'err\n')
  t.equal(await pond(io, 'logs'), 0)
  t.same(io.printed(), { out: 'out\n', err: 'err\n' })
})

for (const [words, out, err] of [
  [['--from', '2'], 'cd', ''],
  [['--from', '9'], '', ''],
  [['--from', '1', '--stderr'], '', 'f'],
  [['--stream', 'stdout'], 'abcd', ''],
  [['--stderr'], '', 'ef'],
] as const) {
  t.test(`logs ${words.join(' ')}`, async (t) => {
    const io = createFakeIo()
    endedJob(io, 'abcd', 'ef')
    t.equal(await pond(io, 'logs', ...words), 0)
    t.same(io.printed(), { out, err })
  })
}

for (const [lines, expected] of [
  [0, ''],
  [1, 'three'],
  [2, 'two\nthree'],
  [9, 'one\ntwo\nthree'],
] as const) {
  t.test(`the last ${lines} lines`, async (t) => {
    const io = createFakeIo()
    endedJob(io, 'one\ntwo\nthree')
    t.equal(await pond(io, 'logs', '--tail', `${lines}`, '--stream', 'stdout'), 0)
    t.equal(io.printed().out, expected)
  })
}

t.test('a tail longer than the first step back', async (t) => {
  const io = createFakeIo()
  const line = `${'x'.repeat(99)}\n`
  endedJob(io, line.repeat(2000))
  t.equal(await pond(io, 'logs', '-n', '1500', '--stream', 'stdout'), 0)
  t.equal(io.printed().out, line.repeat(1500))
})

t.test('timestamps come from the chunks and stand in front of lines only', async (t) => {
  const io = createFakeIo()
  endedJob(io, 'one\ntwo\nhal')
  const at = Date.UTC(2026, 0, 2)
  io.pond.answers.listChunks = {
    items: [
      { offset: 0, length: 6, at, order: 1 },
      { offset: 6, length: 5, at: at + 1500, order: 2 },
    ],
  }
  t.equal(await pond(io, 'logs', '-t', '--stream', 'stdout'), 0)
  t.equal(io.printed().out, '2026-01-02T00:00:00.000Z one\n2026-01-02T00:00:00.000Z two\n2026-01-02T00:00:01.500Z hal')
})

t.test('-f follows to the end, across attempts, and gives the code of the job', async (t) => {
  const io = createFakeIo()
  const { id } = io.pond.addJob({ state: 'running', attempts: 1 })
  const going = startPond(io, 'logs', '-f', id)
  io.pond.write(id, 'stdout', 'one ')
  await waitFor(io, () => io.printed().out === 'one ')
  io.pond.change(id, { state: 'running', attempts: 2 })
  io.pond.write(id, 'stdout@2', 'two')
  await waitFor(io, () => io.printed().out === 'one two')
  io.pond.change(id, { ...ended, attempts: 2 })
  t.equal(await drive(io, going.code), 3)
  t.match(io.printed().err, 'goes on with attempt 2')
})

t.test('-f --attempt stays with that attempt and still gives the code', async (t) => {
  const io = createFakeIo()
  const { id } = io.pond.addJob({ state: 'running', attempts: 2 })
  io.pond.write(id, 'stdout@1', 'old')
  io.pond.write(id, 'stdout@2', 'new')
  const going = startPond(io, 'logs', '-f', '--attempt', '1')
  await waitFor(io, () => io.printed().out === 'old')
  io.pond.change(id, { ...ended, attempts: 2 })
  t.equal(await drive(io, going.code), 3)
  t.equal(io.printed().out, 'old')
})

t.test('-f survives a pond that is away, from the byte where it was cut', async (t) => {
  const io = createFakeIo()
  const { id } = io.pond.addJob({ state: 'running', attempts: 1 })
  io.pond.write(id, 'stdout', 'abc')
  const going = startPond(io, 'logs', '-f')
  await waitFor(io, () => io.printed().out === 'abc')
  io.network = () => Promise.reject(new Error('connect ECONNREFUSED'))
  io.pond.write(id, 'stdout', 'def')
  await waitFor(io, () => io.printed().out === 'abcdef')
  io.pond.write(id, 'stdout', 'ghi')
  await io.clock.advance(5000)
  t.equal(io.printed().out, 'abcdef')
  t.match(io.printed().err, /trying again/)
  io.network = io.pond.network
  await waitFor(io, () => io.printed().out === 'abcdefghi')
  io.pond.change(id, { ...ended, rc: 0, state: 'succeeded' })
  t.equal(await drive(io, going.code), 0)
  t.match(io.printed().err, /answers again/)
})

t.test('a line that falls silent in the middle of a reply is given up', async (t) => {
  const io = createFakeIo()
  const { id } = io.pond.addJob({ state: 'running', attempts: 1 })
  io.pond.write(id, 'stdout', 'ab')
  io.pond.intercept = ({ name, query, signal }) => {
    if (name !== 'readStream' || query.offset !== '0') return undefined
    return { status: 200, headers: { 'pond-end': 'open' }, body: silentAfter('a', signal) }
  }
  const going = startPond(io, 'logs', '-f', '--stream', 'stdout')
  await waitFor(io, () => io.printed().out === 'a')
  await io.clock.advance(60_000)
  await waitFor(io, () => io.printed().out === 'ab')
  io.pond.change(id, ended)
  t.equal(await drive(io, going.code), 3)
})

async function* silentAfter(text: string, signal: AbortSignal | undefined) {
  yield Buffer.from(text)
  await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('aborted'))))
}

t.test('a job that has not started, and what excludes each other', async (t) => {
  const io = createFakeIo()
  io.pond.addJob()
  t.equal(await pond(io, 'logs'), 0)
  t.match(io.printed().err, 'has not started yet (queued)')
  t.equal(await pond(io, 'logs', '--from', '1', '--tail', '1'), 2)
})

t.test('ids take a unique prefix', async (t) => {
  const io = createFakeIo()
  const [first] = [io.pond.addJob(ended), io.pond.addJob(ended)]
  t.equal(await pond(io, 'logs', first.id.slice(4)), 0)
  t.equal(await pond(io, 'logs', first.id.slice(0, -2)), 2)
  t.match(io.printed().err, /2 jobs begin with/)
  t.equal(await pond(io, 'logs', 'job_zzz'), 1)
  t.match(io.printed().err, /no job begins with job_zzz/)
})

t.test('a wrong URL is told at once, a refused key too', async (t) => {
  const io = createFakeIo()
  io.pond.intercept = () => errorReply('forbidden', 'no scope')
  t.equal(await pond(io, 'logs', '-f', fakeId('job', 1)), 77)
  io.network = () => Promise.reject(new Error('ENOTFOUND'))
  t.equal(await pond(io, 'logs', '-f', fakeId('job', 1)), 75)
})
