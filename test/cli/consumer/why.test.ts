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
    ...{ ahead: 10_000, ahead_is_least: true, at: lab },
    before: [
      { by: 'own', says: 'jobs of the owner come first', jobs: 9999, is_least: true },
      { by: 'turn', says: 'job is of a project whose turn is before', jobs: 1, projects: 2, first: 1 },
    ],
    rest: 3,
    workers: [
      {
        ...{ reason: 'lacks', says: 'does not have it', change: 'another worker', requirement: 'labels.zone' },
        ...{ wants: { op: 'in', value: ['a', 'c'] }, has: 'b', count: 3, workers: [lab, { id: 'wrk_2', name: 'box' }] },
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
  t.match(
    out,
    /before it: +at least 10000 jobs, at lab: more than 9999 jobs of the owner come first, 1 job is .* \(1 of 2 projects before it now\)/,
  )
  t.match(out, /\n3 more workers, for other reasons\n$/)
  t.match(out, /workers: +lab, box and 1 more\n +why: +does not have it/)
  t.match(out, /labels\.zone: +wanted zone=a or c, there b/)
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
    /changes when: +the day ends\n.*quota: +cpu_seconds_per_day, 12 of 10\nuntil: +2100-01-01T00:00:00Z, in /s,
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

t.test('values stand as people write them', async (t) => {
  const GiB = 1024 ** 3
  const group = { reason: 'lacks', says: 'lack it', change: 'x', count: 2, workers: [lab] }
  const { out } = await ask({
    state: 'queued',
    says: 'x',
    waiting: {
      since: 0,
      ...{ ahead: 1, at: lab },
      workers: [
        { ...group, requirement: 'memory_bytes', wants: 100 * GiB, has_least: GiB, has_most: 2 * GiB },
        { ...group, requirement: 'gpus.min_vram_bytes', wants: GiB, has: [] },
        { ...group, requirement: 'labels.tier', wants: { op: 'gte', value: 9 }, has_some: ['3', null] },
        { ...group, requirement: 'labels.new', wants: { op: 'newer', value: 9 }, has: '3' },
        { ...group, of: 'binding', until: 0, until_most: 1000, notes: ['one', 'two'], mishaps: 3 },
      ],
    },
  })
  t.match(out, /before it: +1 job, at lab\n/)
  t.match(out, /memory_bytes: +wanted 100\.0 GiB, there 1\.0 GiB to 2\.0 GiB\n/)
  t.match(out, /gpus\.min_vram_bytes: +wanted 1\.0 GiB, there none\n/)
  t.match(out, /labels\.tier: +wanted tier>=9, there 3 or none\n/)
  t.match(out, /labels\.new: +wanted \{"op":"newer","value":9\}, there 3\n/)
  t.match(out, /cordon of: +its binding\n +mishaps: +3\n +said: +one\n +said: +two\n +until: .*; the last 1970/)
})

t.test('of an array how far it is; of a retry what was tried; of an end what was allowed', async (t) => {
  const tally = { queued: 2, under_way: 1, succeeded: 1, failed: 0, cancelled: 0, expired: 0 }
  const tried: NonNullable<WhyView['waiting']>['tried'] = {
    ...{ cause: 'exit', means: 'x', at: 0, by: 'worker:wrk_1', note: 'no', attempt: 2, rc: 3 },
    worker: lab,
  }
  const { out } = await ask({
    ...{ state: 'running', says: 'x', change: 'an element ends', array: { count: 4, ...tally } },
    waiting: {
      ...{ since: 0, tried, not_before: 4_102_444_800_000, max_parallel: { most: 1, under_way: 1 }, workers: [] },
      ...{ element: { job: 'job_1.2', count: 1 } },
    },
  })
  t.match(out, /changes when: +an element ends\nelements: +1 of 4 ended, 1 under way\n/)
  t.match(out, /told of: +job_1\.2\n.*last attempt: +2, exit, code 3, on lab, 1970-01-01T00:00:00Z: no\n/s)
  t.match(out, /not before: +2100-01-01T00:00:00Z, in .*max_parallel: +1 of 1 under way\n/s)
  const ended: NonNullable<WhyView['ended']> = {
    ...{ cause: 'oom', means: 'x', at: 0, by: 'pond', rc: 137, signal: 9, attempts: 0, attested: false },
    ...{ started_at: 0, ran_ms: 1500, limit_ms: 2000, max_rss_bytes: 2048, memory_bytes: 1024 },
    first: { job: 'job_1.3', cause: 'exit', rc: 7 },
  }
  const end = (await ask({ state: 'failed', says: 'x', ended })).out
  t.match(end, /signal: +9\nfirst to fail: +job_1\.3, exit, code 7\nstarted: .*\nended: .*\nran: +1 s\nallowed: +2 s\n/)
  t.match(end, /memory: +2\.0 KiB at most, of 1\.0 KiB that it asked for\n/)
  t.notMatch(end, /attempts|signed/, 'an array has none of its own')
  const held = {
    worker: lab,
    since: 0,
    silent_ms: 2000,
    lease_ms: 90_000,
    lease: 'held',
    until: 4_102_444_800_000,
  } as const
  t.match((await ask({ state: 'running', says: 'x', held })).out, /last heard: +2 s ago\nheld until: +2100/)
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
