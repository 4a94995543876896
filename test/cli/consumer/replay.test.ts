// pond dead and pond replay against a scripted pond.
import t from 'tap'
import { recallSubmitted } from '../../../src/cli/trust/job-memory.ts'
import type { JobView } from '../../../src/protocol/consumer.ts'
import { createFakeIo, pond } from '../../harness/fake-io.ts'
import { fakeId } from '../../harness/fake-pond.ts'

const failed = {
  state: 'failed',
  cause: 'oom',
  rc: 137,
  ended_at: 0,
  command: ['make', 'it'],
} satisfies Partial<JobView>

t.test('dead ls goes on behind short pages, as far as asked', async (t) => {
  const io = createFakeIo()
  const [one, two] = [io.pond.addJob(failed), io.pond.addJob({ ...failed, cause: 'ttl', state: 'expired' })]
  io.pond.answers.listDead = { items: [one, two], next: null }
  t.equal(await pond(io, 'dead', 'ls', '--label', 'a=b', '--limit', '7'), 0)
  const lines = io.printed().out.trim().split('\n')
  t.equal(lines.length, 2)
  t.match(lines[0]?.split('\t'), [one.id, 'oom', '137', /./, 'make it'])
  t.match(io.pond.calls.at(-1), { name: 'listDead', query: { label: 'a=b', limit: 7 } })
  io.writes.length = 0
  t.equal(await pond(io, 'dead', 'ls', '--json'), 0)
  t.match(JSON.parse(io.printed().out.split('\n')[1] ?? ''), { id: two.id, cause: 'ttl' })
  io.writes.length = 0
  const tally = { count: 4, queued: 0, under_way: 0, succeeded: 1, failed: 0, cancelled: 0, expired: 3, never_began: 3 }
  io.pond.answers.listDead = { items: [{ ...two, array: tally }], next: null }
  t.equal(await pond(io, 'dead', 'ls'), 0)
  t.match(io.printed().out, `${two.id}\tttl, 3 never began\t`)
  io.writes.length = 0
  io.pond.answers.listDead = { items: [], next: null }
  t.equal(await pond(io, 'dead', 'ls', '--array', one.id, '--cause', 'exit'), 0)
  t.equal(io.printed().err, 'no dead letters\n')
  t.match(io.pond.calls.at(-1), { query: { array: one.id, cause: 'exit' } })
})

t.test('dead rm says what became of the job', async (t) => {
  const io = createFakeIo()
  const { id } = io.pond.addJob(failed)
  io.pond.answers.dismissJob = { ...io.pond.jobs.get(id), dismissed_at: 1 }
  t.equal(await pond(io, 'dead', 'rm', id), 0)
  t.equal(io.printed().out, `${id} dismissed\n`)
  io.writes.length = 0
  io.pond.answers.dismissJob = { ...io.pond.jobs.get(id), replayed_by: 'job_2' }
  t.equal(await pond(io, 'dead', 'rm', id), 0)
  t.equal(io.printed().out, `${id} was replayed as job_2\n`)
})

t.test('replay prints the id of the new job, which is the latest from then on', async (t) => {
  const io = createFakeIo()
  const { id } = io.pond.addJob(failed)
  const made = io.pond.addJob({ state: 'queued' })
  io.pond.answers.replayJob = { ...made, replay_of: id }
  t.equal(await pond(io, 'replay', id), 0)
  t.equal(io.printed().out, `${made.id}\n`)
  t.match(io.pond.calls.at(-1), { name: 'replayJob', params: { id }, body: {} })
  io.writes.length = 0
  io.pond.change(id, { replayed_by: made.id, dismissed_at: 0 })
  io.pond.answers.listTransitions = { items: [] }
  t.equal(await pond(io, 'show', id), 0)
  t.match(io.printed().out, new RegExp(`replayed by: +${made.id}\\ndismissed: +1970`))
})

t.test('what was known of the old job is known of the new one; of a stranger nothing is', async (t) => {
  const io = createFakeIo()
  const { home } = io
  t.equal(await pond(io, 'submit', '--home', home, '--', 'true'), 0)
  const from = io.printed().out.trim()
  const known = await recallSubmitted(home, from)
  const [to, other] = [io.pond.addJob({}), io.pond.addJob({})]
  io.pond.answers.replayJobs = {
    replayed: [
      { from, to: to.id },
      { from: to.id, to: other.id },
      { from: fakeId('job', 77), to: fakeId('job', 78) },
    ],
    ...{ refused: [], left: false },
  }
  t.equal(await pond(io, 'replay', '--cause', 'oom', '--home', home), 0)
  t.match(known, { recipients: [] })
  const kept = { digest: known?.digest, recipients: [] }
  t.match(await recallSubmitted(home, to.id), kept)
  t.match(await recallSubmitted(home, other.id), kept)
  t.equal(await recallSubmitted(home, fakeId('job', 78)), undefined)
})

t.test('replay of many names each, and what was not', async (t) => {
  const io = createFakeIo()
  const done = {
    replayed: [{ from: 'job_1', to: 'job_2' }],
    refused: [{ id: 'job_3', message: 'it is gone' }],
    left: true,
  }
  io.pond.answers.replayJobs = done
  t.equal(await pond(io, 'replay', '--cause', 'oom', '--label', 'a=b', '--most', '5'), 0)
  t.equal(io.printed().out, 'job_1 -> job_2\n')
  t.match(io.printed().err, /1 replayed\n.*job_3 was not: it is gone\n.*there may be more; say it again/)
  t.match(io.pond.calls.at(-1), { name: 'replayJobs', body: { cause: 'oom', label: 'a=b', most: 5 } })
  io.writes.length = 0
  t.equal(await pond(io, 'replay', '--array', io.pond.addJob(failed).id, '--json'), 0)
  t.strictSame(JSON.parse(io.printed().out), done)
  for (const words of [
    ['--most', '5'],
    ['--label', 'a=b', 'job_1'],
  ])
    t.equal(await pond(io, 'replay', ...words), 2)
})
