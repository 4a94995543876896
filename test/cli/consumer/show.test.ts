// The consumer's short verbs against a scripted pond: ps, show, cancel, result, workers, whoami, login, submit; text and --json.
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createFakeIo, pond } from '../../harness/fake-io.ts'
import { FAKE_TOKEN, FAKE_URL, fakeId } from '../../harness/fake-pond.ts'
import { errorReply, jsonReply, reply } from '../../harness/http-reply.ts'

const worker = {
  id: fakeId('wrk', 1),
  name: 'lab',
  binding_id: fakeId('bnd', 1),
  project: 'default',
  state: 'online',
  sealing_key: 'a',
  signing_key: 'b',
  fingerprint: 'ab-cd',
  labels: { room: '7' },
  slots: 4,
  inflight: 1,
  class: 'laptop',
  note: 'it is on battery',
}

const pondKeys = { signing_key: 'k', sealing_key: 'k', proofs: [] }
const me = {
  kind: 'key',
  id: fakeId('key', 1),
  name: 'ci',
  project: 'web',
  scopes: ['read'],
  protocol: 2,
  pond: pondKeys,
}

t.test('ps lists what has not ended, --all the rest too', async (t) => {
  const io = createFakeIo()
  const queued = io.pond.addJob({ command: ['a\tb', '\x1b[2J'] })
  const done = io.pond.addJob({ state: 'failed', cause: 'oom', rc: 137, started_at: 0, ended_at: 61_000 })
  t.equal(await pond(io, 'ps'), 0)
  t.match(io.printed().out, new RegExp(`^${queued.id}\tqueued\t-\t\\d+ m?s ago\t-\ta b \\\\x1b\\[2J\n$`))
  t.equal(await pond(io, 'ps', '--all'), 0)
  t.match(io.printed().out, `${done.id}\tfailed (oom)\t137\t`)
  t.match(io.printed().out, '\t1 min 1 s\t')
})

t.test('ps on a terminal is a table, without colour under NO_COLOR', async (t) => {
  const io = createFakeIo({ tty: true })
  io.pond.addJob()
  t.equal(await pond(io, 'ps'), 0)
  t.match(io.printed().out, '\x1b[1mJOB')
  io.env.NO_COLOR = '1'
  io.writes.length = 0
  t.equal(await pond(io, 'ps'), 0)
  t.match(io.printed().out, /^JOB +STATE +CODE +CREATED +RAN +COMMAND\njob_\S+ +queued/)
})

t.test('ps --json is one object a line, and an empty list nothing', async (t) => {
  const io = createFakeIo()
  t.equal(await pond(io, 'ps', '--json'), 0)
  t.equal(io.printed().out, '')
  io.pond.addJob()
  io.pond.addJob()
  t.equal(await pond(io, 'ps', '--json'), 0)
  t.equal(
    io
      .printed()
      .out.trim()
      .split('\n')
      .map((line) => JSON.parse(line).id).length,
    2,
  )
})

t.test('show tells fields, transitions, attempts and streams', async (t) => {
  const io = createFakeIo()
  const usage = { cpu_ms: 1500, max_rss_bytes: 3 * 1024 ** 2, wall_ms: 2000, sampled: true }
  const { id } = io.pond.addJob({ command: ['echo', "it's"], labels: { k: 'v' }, usage, attempts: 1 })
  const transition = { version: 1, at: 0, from: null, to: 'queued', by: 'consumer:key_1' }
  io.pond.answers.listTransitions = {
    items: [transition, { ...transition, from: 'queued', to: 'failed', cause: 'ttl', note: 'late' }],
  }
  const streams = [{ name: 'stdout', bytes: 10, produced: 2048, end: 'capped' as const }]
  io.pond.attempts.set(id, [
    {
      claim_id: 'clm_1',
      attempt: 1,
      epoch: 1,
      state: 'ended',
      worker: 'wrk_1',
      worker_name: 'lab',
      claimed_at: 0,
      streams,
      orphan: true,
    },
  ])
  t.equal(await pond(io, 'show', id), 0)
  const { out } = io.printed()
  t.match(out, /command: +echo 'it'\\''s'\n/)
  t.match(out, /usage: +cpu 1 s, memory 3.0 MiB, ran 2 s \(sampled\)\n/)
  t.match(out, '1970-01-01T00:00:00Z  queued → failed  by consumer:key_1  (ttl: late)')
  t.match(out, /attempt 1: +ended, orphan/)
  t.match(out, /stdout: +10 B of 2.0 KiB, capped/)
  io.writes.length = 0
  t.equal(await pond(io, 'show', '--json'), 0)
  t.match(JSON.parse(io.printed().out), {
    job: { id },
    transitions: [{ to: 'queued' }, {}],
    attempts: [{ attempt: 1 }],
  })
})

t.test('show tells what the job requires and what it waits for', async (t) => {
  const io = createFakeIo()
  const requires = {
    labels: { ssd: { op: 'exists' }, zone: { op: 'in', value: ['a', 'b'] }, tier: { op: 'between', value: [1, 2] } },
    ...{ cpus: 0.5, memory_bytes: 1024 ** 3, gpus: { count: 2, model: 'A100', min_vram_bytes: 16 * 1024 ** 3 } },
    sandbox: 'uid',
  }
  const { id } = io.pond.addJob({
    requires,
    after: [
      { job: 'job_a', on: 'success' },
      { job: 'job_b', on: 'end' },
    ],
  })
  io.pond.answers.listTransitions = { items: [] }
  t.equal(await pond(io, 'show', id), 0)
  const { out } = io.printed()
  t.match(
    out,
    /requires: +ssd, zone=a or b, tier>=1 and <=2, cpus 0\.5, memory 1\.0 GiB, sandbox uid, gpus 2 A100 of 16\.0 GiB\n/,
  )
  t.match(out, /waits for: +job_a, the end of job_b\n/)
})

t.test('cancel', async (t) => {
  const io = createFakeIo()
  const { id } = io.pond.addJob({ state: 'running' })
  t.equal(await pond(io, 'cancel'), 0)
  t.equal(io.printed().out, `${id} running, cancel asked\n`)
  io.pond.change(id, { state: 'succeeded' })
  t.equal(await pond(io, 'cancel', id), 1)
  t.match(io.printed().err, `could not cancel ${id}`)
  t.match(io.printed().err, `next: There is nothing left to cancel; see how it ended: pond show ${id}.`)
})

t.test('a refusal says what to do next in words that stand on the screen', async (t) => {
  const io = createFakeIo()
  const array = fakeId('job', 7)
  const details = { field: 'requires.labels.tier', state: 'queued' }
  const refuse = (code: 'not_possible' | 'invalid_field') => () => errorReply(code, 'no', details)
  io.pond.intercept = refuse('not_possible')
  t.equal(await pond(io, 'cancel', `${array}.3`), 1)
  t.match(io.printed().err, `next: Cancel all of the array, or wait until this one has begun: pond cancel ${array}.`)
  t.equal(await pond(io, 'adopt', array, '--attempt', '1'), 1)
  t.match(io.printed().err, 'next: It is queued, which does not allow this.')
  io.pond.intercept = refuse('invalid_field')
  t.equal(await pond(io, 'submit', '--plain', '--', 'x'), 1)
  t.match(io.printed().err, 'next: Mend requires.labels.tier.')
  t.notMatch(io.printed().err, 'details.')
})

t.test('result is passed through byte for byte; one that is not there yet is 75', async (t) => {
  const io = createFakeIo()
  io.pond.addJob()
  io.pond.intercept = ({ name }) => (name === 'getResult' ? reply(200, {}, '{"a": 1}') : undefined)
  t.equal(await pond(io, 'result'), 0)
  t.equal(io.printed().out, '{"a": 1}')
  io.pond.intercept = ({ name }) => (name === 'getResult' ? errorReply('not_final', 'it runs') : undefined)
  t.equal(await pond(io, 'result'), 75)
})

t.test('workers and whoami', async (t) => {
  const io = createFakeIo()
  io.pond.answers.listWorkers = { items: [worker] }
  io.pond.answers.whoami = me
  t.equal(await pond(io, 'workers'), 0)
  t.equal(io.printed().out, `${worker.id}\tlab\tonline\t1/4\tnever\t-\t-\tab-cd\troom=7\tlaptop\tit is on battery\n`)
  io.writes.length = 0
  t.equal(await pond(io, 'whoami'), 0)
  t.match(io.printed().out, /pond: +http:\/\/pond.localhost:7460\nkey: +ci key_/)
  io.writes.length = 0
  t.equal(await pond(io, 'whoami', '--json'), 0)
  t.match(JSON.parse(io.printed().out), { url: FAKE_URL, kind: 'key', scopes: ['read'] })
})

t.test('login keeps a token that pond accepts, readable by its owner only', async (t) => {
  const io = createFakeIo()
  io.pond.answers.whoami = me
  io.env.POND_URL = undefined
  io.env.POND_TOKEN = undefined
  io.input = 'pond_key_wrong\n'
  t.equal(await pond(io, 'whoami'), 2, 'no pond is known')
  t.equal(await pond(io, 'login', FAKE_URL), 77, 'pond refuses the token')
  t.equal(await pond(io, 'whoami'), 2, 'nothing was kept')
  io.input = `${FAKE_TOKEN}\n`
  t.equal(await pond(io, 'login', FAKE_URL), 0)
  t.equal(statSync(join(io.home, '.config', 'pond', 'config.json')).mode & 0o777, 0o600)
  t.equal(await pond(io, 'whoami'), 0)
  t.equal(await pond(io, 'whoami', '--url', 'http://other.localhost'), 77, 'a token goes to its own pond only')
  t.notMatch(io.printed().err + io.printed().out, 'pond_key_')
})

t.test('login asks on a terminal', async (t) => {
  const io = createFakeIo({ tty: true })
  io.env.POND_TOKEN = undefined
  io.pond.answers.whoami = me
  t.equal(await pond(io, 'login', FAKE_URL), 2)
  io.answer = FAKE_TOKEN
  t.equal(await pond(io, 'login', FAKE_URL), 0)
})

t.test('the latest job is the one submitted from here', async (t) => {
  const io = createFakeIo()
  t.equal(await pond(io, 'submit', '--', 'mine'), 0)
  const mine = io.printed().out.trim()
  io.pond.addJob({ command: ['other'] })
  io.writes.length = 0
  t.equal(await pond(io, 'cancel'), 0)
  t.match(io.printed().out, mine)
  io.pond.jobs.clear()
  t.equal(await pond(createFakeIo(), 'cancel'), 1, 'no job at all')
})

t.test('an element without its array is one of the latest array', async (t) => {
  const io = createFakeIo()
  const tally = { count: 3, queued: 3, under_way: 0, succeeded: 0, failed: 0, cancelled: 0, expired: 0 }
  const refused = errorReply('not_found', 'seen')
  const asked = async (...words: string[]) => {
    await pond(io, ...words)
    return io.pond.calls.at(-1)?.params.id
  }
  t.equal(await pond(io, 'cancel', '.1'), 1)
  t.match(io.printed().err, 'there is no array among the latest 1000 jobs')
  const other = io.pond.addJob({ array: tally })
  io.pond.addJob()
  io.pond.intercept = (call) => (call.name === 'cancelJob' ? refused : undefined)
  t.equal(await asked('cancel', '.1'), `${other.id}.1`, 'where none was submitted from here')
  const mine = io.pond.addJob({ array: tally })
  io.pond.intercept = (call) =>
    call.name === 'submitJob' ? jsonReply(mine) : call.name === 'cancelJob' ? refused : undefined
  await pond(io, 'submit', '--plain', '--count', '3', '--', 'x')
  io.pond.intercept = (call) => (call.name === 'cancelJob' ? refused : undefined)
  await pond(io, 'submit', '--plain', '--', 'x')
  io.pond.addJob({ array: tally })
  t.equal(await asked('cancel', '.2'), `${mine.id}.2`, 'whatever was submitted since')
})

t.test('input comes from a file or from stdin, as text', async (t) => {
  const io = createFakeIo()
  io.input = 'ünï\n'
  const file = join(io.home, 'in')
  writeFileSync(file, Buffer.from([0xff, 0xfe]))
  t.equal(await pond(io, 'submit', '--input', '-', '--', 'cat'), 0)
  t.match(io.pond.calls[0]?.body, { input: 'ünï\n' })
  t.equal(await pond(io, 'submit', '--input', file, '--', 'cat'), 2)
  t.match(io.printed().err, /not UTF-8/)
})

t.test('cancel takes a label instead of a job', async (t) => {
  const io = createFakeIo()
  io.pond.intercept = ({ name }) => (name === 'cancelJobs' ? jsonReply({ cancelled: 3, asked: 1 }) : undefined)
  t.equal(await pond(io, 'cancel', '--label', 'app=x'), 0)
  t.equal(io.printed().out, '3 cancelled, 1 asked\n')
  t.match(io.pond.calls.at(-1)?.body, { label: 'app=x' })
  t.equal(await pond(io, 'cancel', 'job_1', '--label', 'app=x'), 2)
})

t.test('every flag of a job arrives', async (t) => {
  const io = createFakeIo()
  io.env.POND_RUN_PRIORITY = '3'
  io.env.POND_RUN_ENV = 'A=1\nB=2'
  const flags = [
    '--ttl',
    '1h',
    '--idempotent',
    '--on-lost',
    'hold',
    '--hold',
    '5m',
    '--retry',
    '4',
    '--retry-on',
    'exit',
  ]
  const reserved = [
    '--credential',
    'c',
    '--bundle',
    'b'.repeat(64),
    '--artifact',
    '*.o',
    '--artifact',
    '*.a',
    '--gpus',
    '1',
  ]
  t.equal(await pond(io, 'submit', ...flags, '--stream-limit', '200M', ...reserved, '--', 'x'), 0)
  t.same(io.pond.calls.find(({ name }) => name === 'submitJob')?.body, {
    command: ['x'],
    env: { A: '1', B: '2' },
    priority: 3,
    ttl_ms: 3_600_000,
    idempotent: true,
    on_lost: 'hold',
    hold_ms: 300_000,
    retry: { attempts: 4, on: ['exit'] },
    limits: { stream_bytes: 209_715_200 },
    credential: 'c',
    bundle: 'b'.repeat(64),
    artifacts: ['*.o', '*.a'],
    requires: { gpus: { count: 1 } },
  })
})
