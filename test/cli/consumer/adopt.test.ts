// pond adopt against a scripted pond, and what show, logs and artifacts say of a job with a late result.
import t from 'tap'
import type { AttemptView } from '../../../src/protocol/consumer.ts'
import { createFakeIo, type FakeIo, pond } from '../../harness/fake-io.ts'

const attempt = (number: number, more: Partial<AttemptView> = {}): AttemptView => ({
  ...{ claim_id: `clm_${number}`, attempt: number, epoch: number, state: 'lost' },
  ...{ worker: 'wrk_1', worker_name: 'lab', claimed_at: 0, cause: 'exit', rc: 0, streams: [], orphan: true },
  ...more,
})

function jobWith(io: FakeIo, attempts: readonly AttemptView[], state: 'failed' | 'running' = 'failed'): string {
  const { id } = io.pond.addJob({
    state,
    attempts: attempts.length,
    ...(state === 'failed' && { cause: 'worker_lost' }),
  })
  io.pond.attempts.set(id, [...attempts])
  io.pond.answers.listTransitions = { items: [] }
  return id
}

const adopted = { attempt: 1, by: 'key:key_1', at: 0, cause: 'exit', rc: 0 } as const

t.test('the only late result is adopted without its number', async (t) => {
  const io = createFakeIo()
  const id = jobWith(io, [attempt(1), attempt(2, { orphan: false })])
  io.pond.answers.adoptAttempt = { ...io.pond.jobs.get(id), adopted }
  t.equal(await pond(io, 'adopt'), 0)
  t.equal(io.printed().out, `${id} is failed as before; its output is that of attempt 1 (exit 0)\n`)
  t.match(io.pond.calls.at(-1), { name: 'adoptAttempt', params: { id }, body: { attempt: 1 } })
  io.writes.length = 0
  t.equal(await pond(io, 'adopt', id, '--json'), 0)
  t.match(JSON.parse(io.printed().out), { id, state: 'failed', adopted })
})

t.test('of several one is named; of none nothing is said to pond', async (t) => {
  const io = createFakeIo()
  const id = jobWith(io, [attempt(1), attempt(2, { rc: 3 })])
  t.equal(await pond(io, 'adopt'), 2)
  t.match(io.printed().err, /attempt 1 \(exit 0\), attempt 2 \(exit 3\)/)
  t.match(io.printed().err, `pond adopt ${id} --attempt 1`)
  io.pond.attempts.set(id, [attempt(1, { orphan: false })])
  t.equal(await pond(io, 'adopt'), 1)
  t.match(io.printed().err, /no attempt of job_\S+ left a late result/)
  t.notOk(io.pond.calls.some(({ name }) => name === 'adoptAttempt'))
})

t.test('show names what can be adopted, and how; then what was', async (t) => {
  const io = createFakeIo()
  const id = jobWith(io, [attempt(1)])
  t.equal(await pond(io, 'show'), 0)
  t.match(io.printed().err, `attempt 1 finished after pond had given it up (exit 0); pond adopt ${id} --attempt 1`)
  io.writes.length = 0
  io.pond.change(id, { adopted })
  t.equal(await pond(io, 'show'), 0)
  t.match(io.printed().out, /adopted: +attempt 1 \(exit 0\), by key:key_1 on 1970-01-01T00:00:00Z\n/)
  t.notMatch(io.printed().err, 'given it up')
  io.writes.length = 0
  jobWith(io, [attempt(1), attempt(2, { orphan: false })], 'running')
  t.equal(await pond(io, 'show', ...[...io.pond.jobs.keys()].slice(-1)), 0)
  t.match(io.printed().err, 'it can be adopted when the job has ended: attempt 1')
})

t.test('logs are those of the adopted attempt, -f too', async (t) => {
  const io = createFakeIo()
  const id = jobWith(io, [attempt(1), attempt(2, { orphan: false })])
  io.pond.change(id, { adopted, cause: 'exit', rc: 4 })
  for (const [number, text] of [
    [1, 'late\n'],
    [2, 'rerun\n'],
  ] as const) {
    io.pond.write(id, `stdout@${number}`, text)
    for (const name of ['stdout', 'stderr']) io.pond.end(id, `${name}@${number}`, 'complete')
  }
  t.equal(await pond(io, 'logs', id), 0)
  t.equal(io.printed().out, 'late\n')
  io.writes.length = 0
  t.equal(await pond(io, 'logs', '-f', id), 4, 'the code is the one that the job ended with')
  t.equal(io.printed().out, 'late\n')
  io.writes.length = 0
  t.equal(await pond(io, 'logs', id, '--attempt', '2'), 0)
  t.equal(io.printed().out, 'rerun\n')
})
