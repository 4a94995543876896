// pond why: what pond told, in words and as JSON.
import t from 'tap'
import type { WhyView } from '../../../src/protocol/why.ts'
import { createFakeIo, pond } from '../../harness/fake-io.ts'
import { jsonReply } from '../../harness/http-reply.ts'

async function ask(told: Omit<WhyView, 'id'>, ...flags: string[]) {
  const io = createFakeIo()
  const { id } = io.pond.addJob()
  io.pond.intercept = (call) => (call.name === 'explainJob' ? jsonReply({ id, ...told }) : undefined)
  const code = await pond(io, 'why', id, ...flags)
  return { code, id, ...io.printed() }
}

const lab = { id: 'wrk_1', name: 'lab' }
const waiting: Omit<WhyView, 'id'> = {
  state: 'queued',
  says: 'two workers lack something',
  waiting: {
    since: 0,
    ahead: 10_000,
    ahead_is_least: true,
    workers: [
      {
        ...{ reason: 'lacks', says: 'does not have it', change: 'another worker', requirement: 'labels.zone' },
        ...{ wants: { op: 'in', value: ['a'] }, has: 'b', count: 3, workers: [lab, { id: 'wrk_2', name: 'box' }] },
      },
      {
        ...{ reason: 'passed_over', says: 'declined it', change: 'time', until: 4_102_444_800_000, note: 'on battery' },
        ...{ count: 1, workers: [lab] },
      },
    ],
  },
}

t.test('of a job that waits: its place, and for each kind of worker what stands between', async (t) => {
  const { code, out } = await ask(waiting)
  t.equal(code, 0)
  t.match(out, /why: +two workers lack something/)
  t.match(out, /before it: +more than 10000 jobs/)
  t.match(out, /workers: +lab, box and 1 more\n +why: +does not have it/)
  t.match(out, /labels\.zone: +wanted \{"op":"in","value":\["a"\]\}, there b/)
  t.match(out, /said: +on battery\n +until: +2100-01-01/)
})

t.test('of a job whose project is at a quota: which, how far, until when', async (t) => {
  const quota = {
    name: 'cpu_seconds_per_day',
    most: 10,
    used: 12,
    until: 4_102_444_800_000,
    says: 'x',
    change: 'the day ends',
  }
  const { out } = await ask({ state: 'queued', says: 'it used its day', waiting: { since: 0, quota, workers: [] } })
  t.match(
    out,
    /quota: +cpu_seconds_per_day, 12 of 10\nuntil: +2100-01-01T00:00:00Z, in .*\nchanges when: +the day ends\n/,
  )
})

t.test('of a job that runs, and of one that ended', async (t) => {
  const held = { worker: lab, since: 0, silent_ms: 2000, lease_ms: 90_000 }
  t.match((await ask({ state: 'running', says: 'lab has it', held })).out, /last heard: +2 s ago; after 1 min 30 s/)
  const ended: NonNullable<WhyView['ended']> = {
    cause: 'cancelled',
    ...{ means: 'a person did', at: 0, by: 'worker:wrk_1', note: 'stopped', rc: 143, signal: 15 },
    ...{ cancelled_by: 'key:key_1', cancel_requested_at: 0, worker: lab, attempts: 1, attested: true },
  }
  const { out } = await ask({ state: 'cancelled', says: 'it ended', ended })
  t.match(out, /cause: +cancelled\ncode: +143\nsignal: +15\n/)
  t.match(out, /cancelled by: +key:key_1, 1970/)
})

t.test('of a job whose project is paused', async (t) => {
  const paused = { at: 0, by: 'admin:key_1', note: 'a move', until: 4_102_444_800_000 }
  const { out } = await ask({ state: 'queued', says: 'paused', waiting: { since: 0, paused, workers: [] } })
  t.match(out, /project: +paused until 2100-01-01T00:00:00Z, by admin:key_1: a move\n/)
})

t.test('with --json it is what pond said', async (t) => {
  const { out, id } = await ask(waiting, '--json')
  t.strictSame(JSON.parse(out), { id, ...waiting })
})
