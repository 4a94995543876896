// pond run and pond submit against a scripted pond: output, exit codes, retries, interrupts.
import t from 'tap'
import { createFakeIo, drive, type FakeIo, pond, startPond, waitFor } from '../../harness/fake-io.ts'
import { errorReply } from '../../harness/http-reply.ts'

const running = { state: 'running', attempts: 1 } as const

/** Starts `pond run` and waits until the job is in pond's hands. */
async function begin(io: FakeIo, ...words: readonly string[]) {
  const going = startPond(io, 'run', ...words)
  await waitFor(io, () => io.pond.jobs.size > 0)
  const id = [...io.pond.jobs.keys()][0] ?? ''
  return { id, end: () => drive(io, going.code) }
}

async function printedBy(io: FakeIo, to: 'out' | 'err', text: string): Promise<void> {
  await waitFor(io, () => io.printed()[to].includes(text))
}

/** Ends the job and the streams of its latest attempt. */
function finish(io: FakeIo, id: string, rc: number): void {
  const attempt = io.pond.jobs.get(id)?.attempts ?? 1
  io.pond.end(id, `stdout@${attempt}`, 'complete')
  io.pond.end(id, `stderr@${attempt}`, 'complete')
  io.pond.change(id, { state: rc === 0 ? 'succeeded' : 'failed', cause: 'exit', rc })
}

t.test('a job shows its output while it runs and gives its exit code', async (t) => {
  const io = createFakeIo()
  const job = await begin(
    io,
    '--env',
    'A=1',
    '--env',
    'B=x=y',
    '--label',
    'k=v',
    '--timeout',
    '10m',
    '--',
    'make',
    '-j',
    '--json',
  )
  io.pond.change(job.id, running)
  io.pond.write(job.id, 'stdout', 'one\n')
  await printedBy(io, 'out', 'one\n')
  io.pond.write(job.id, 'stderr', 'two\n')
  await printedBy(io, 'err', 'two\n')
  io.pond.write(job.id, 'stdout', '\xff\x00three')
  finish(io, job.id, 7)
  t.equal(await job.end(), 7)
  t.same(io.printed(), { out: `one\n${Buffer.from('\xff\x00three').toString('latin1')}`, err: 'two\n' })
  t.same(io.pond.calls.find(({ name }) => name === 'submitJob')?.body, {
    command: ['make', '-j', '--json'],
    env: { A: '1', B: 'x=y' },
    labels: { k: 'v' },
    timeout_ms: 600_000,
  })
})

t.test('nothing that a verb loads takes over signals', async (t) => {
  const io = createFakeIo()
  const before = process.listenerCount('SIGINT')
  t.equal(await pond(io, 'submit', '--', 'true'), 0)
  t.equal(process.listenerCount('SIGINT'), before)
})

t.test('a lost reply to the submit submits nothing twice', async (t) => {
  const io = createFakeIo()
  let lost = 0
  io.pond.intercept = (call) => {
    if (call.name !== 'submitJob' || lost++ > 1) return undefined
    if (lost === 1) io.pond.submit(call)
    throw new Error('socket hang up')
  }
  t.equal(await pond(io, 'run', '--detach', '--', 'true'), 0)
  t.equal(io.pond.jobs.size, 1)
  t.equal(io.printed().out.trim(), [...io.pond.jobs.keys()][0])
  t.match(io.printed().err, /trying again/)
})

t.test('a pond that never answers is 75 once patience is over', async (t) => {
  const io = createFakeIo()
  io.network = () => Promise.reject(new Error('connect ECONNREFUSED'))
  t.equal(await pond(io, 'submit', '--patience', '3s', '--', 'true'), 75)
  t.match(io.printed().err, /could not submit the job/)
})

t.test('a retry says so and goes on with the next attempt', async (t) => {
  const io = createFakeIo()
  const job = await begin(io, '--', 'flaky')
  io.pond.change(job.id, running)
  io.pond.write(job.id, 'stdout', 'first\n')
  await printedBy(io, 'out', 'first\n')
  io.pond.attempts.set(job.id, [attemptOf(1, { cause: 'worker_lost' })])
  io.pond.change(job.id, { state: 'queued' })
  await printedBy(io, 'err', 'attempt 1 ended')
  io.pond.write(job.id, 'stdout@2', 'second\n')
  io.pond.change(job.id, { state: 'running', attempts: 2 })
  finish(io, job.id, 0)
  t.equal(await job.end(), 0)
  t.equal(io.printed().out, 'first\nsecond\n')
  t.match(io.printed().err, 'attempt 1 ended (worker_lost); the job goes on with attempt 2')
})

t.test('a capped stream states its gap and prints the kept tail behind it', async (t) => {
  const io = createFakeIo()
  const job = await begin(io, '--', 'loud')
  io.pond.change(job.id, running)
  io.pond.write(job.id, 'stdout', 'begin…')
  io.pond.write(job.id, 'stdout.tail', '…end')
  io.pond.end(job.id, 'stdout.tail', 'complete')
  const streams = [
    { name: 'stdout', bytes: 8, produced: 100, end: 'capped' as const },
    { name: 'stdout.tail', bytes: 6 },
  ]
  io.pond.attempts.set(job.id, [attemptOf(1, { streams })])
  io.pond.end(job.id, 'stdout', 'capped')
  io.pond.end(job.id, 'stderr', 'lost')
  io.pond.change(job.id, { state: 'succeeded', cause: 'exit', rc: 0 })
  t.equal(await job.end(), 0)
  t.equal(io.printed().out, Buffer.from('begin……end').toString('latin1'))
  t.match(io.printed().err, 'stdout reached its cap: 8 of 100 bytes are kept, 86 left out here, then the last 6')
  t.match(io.printed().err, 'the end of stderr was lost')
})

t.test('a broken line is resumed by offset, and an outage is said once', async (t) => {
  const io = createFakeIo()
  const job = await begin(io, '--', 'long')
  let broken = 0
  io.pond.intercept = (call) => {
    if (call.name !== 'readStream' || call.params.name !== 'stdout' || call.query.offset !== '0' || broken++ > 3)
      return undefined
    return {
      status: 200,
      headers: { 'pond-end': 'open', 'pond-next-offset': '8' },
      body: broken === 4 ? half() : snap(),
    }
  }
  io.pond.change(job.id, running)
  io.pond.write(job.id, 'stdout', 'abcdefgh')
  finish(io, job.id, 0)
  t.equal(await job.end(), 0)
  t.equal(io.printed().out, 'abcdefgh')
  t.equal(io.printed().err.match(/trying again/g)?.length, 1)
  t.match(io.printed().err, 'pond answers again')
})

async function* half() {
  yield Buffer.from('abcd')
  throw new Error('terminated')
}

async function* snap() {
  yield Buffer.alloc(0)
  throw new Error('terminated')
}

for (const [change, code, says] of [
  [{ state: 'failed', cause: 'setup_failed', rc: 125, message: 'no such file' }, 125, /setup_failed: .*no such file/],
  [{ state: 'expired', cause: 'ttl' }, 125, /expired: ttl/],
  [{ state: 'failed', cause: 'signal', rc: 137 }, 137, /signal/],
  [{ state: 'failed', cause: 'timeout', rc: 0 }, 125, /timeout/],
  [{ state: 'cancelled', cause: 'cancelled' }, 125, /cancelled/],
] as const) {
  t.test(`${change.cause} ends with ${code} and says why`, async (t) => {
    const io = createFakeIo()
    const job = await begin(io, '--', 'x')
    io.pond.change(job.id, change)
    t.equal(await job.end(), code)
    t.match(io.printed().err, says)
  })
}

t.test('with --json stdout holds only the ended job', async (t) => {
  const io = createFakeIo()
  const job = await begin(io, '--json', '--', 'x')
  io.pond.change(job.id, running)
  io.pond.write(job.id, 'stdout', 'noise\n')
  finish(io, job.id, 3)
  t.equal(await job.end(), 3)
  t.match(JSON.parse(io.printed().out), { id: job.id, state: 'failed', rc: 3 })
  t.match(io.printed().err, 'noise')
})

t.test('what pond refuses is printed with its help', async (t) => {
  const io = createFakeIo()
  io.pond.intercept = (call) =>
    call.name === 'submitJob' ? errorReply('unsupported', 'requires is not served') : undefined
  t.equal(await pond(io, 'run', '--gpus', '2', '--', 'x'), 1)
  t.match(io.printed().err, /could not submit the job\n {2}why: {2}requires is not served\n {2}next: /)
  t.match(io.pond.calls[0]?.body, { requires: { gpus: { count: 2 } } })
})

t.test('a key that is revoked on the way ends with 77', async (t) => {
  const io = createFakeIo()
  const job = await begin(io, '--', 'x')
  io.pond.intercept = () => errorReply('unauthenticated', 'revoked')
  io.pond.change(job.id, running)
  t.equal(await job.end(), 77)
})

for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  t.test(`off a terminal ${name} cancels the job, waits for its end and gives ${code}`, async (t) => {
    const io = createFakeIo()
    const job = await begin(io, '--', 'sleep')
    io.pond.change(job.id, running)
    await listening(io, job.id)
    io.signal(name)
    await waitFor(io, () => io.pond.jobs.get(job.id)?.cancel_requested_at !== undefined)
    io.pond.write(job.id, 'stdout', 'last words')
    finish(io, job.id, 0)
    t.equal(await job.end(), code)
    t.equal(io.printed().out, 'last words')
  })
}

t.test('a second signal leaves while pond is away', async (t) => {
  const io = createFakeIo()
  const job = await begin(io, '--', 'sleep')
  await listening(io, job.id)
  io.network = () => Promise.reject(new Error('away'))
  io.signal('SIGINT')
  await io.clock.settle()
  io.signal('SIGINT')
  t.equal(await job.end(), 130)
})

for (const [answer, cancelled] of [
  ['detach', false],
  ['cancel', true],
  [undefined, true],
] as const) {
  t.test(`Ctrl-C on a terminal, then ${answer ?? 'Ctrl-C again'}`, async (t) => {
    const io = createFakeIo({ tty: true })
    io.answer = answer
    const job = await begin(io, '--', 'sleep')
    io.pond.change(job.id, running)
    await listening(io, job.id)
    io.signal('SIGINT')
    if (cancelled) {
      await waitFor(io, () => io.pond.jobs.get(job.id)?.cancel_requested_at !== undefined)
      finish(io, job.id, 1)
    }
    t.equal(await job.end(), 130)
    t.equal(
      io.pond.calls.some(({ name }) => name === 'cancelJob'),
      cancelled,
    )
    t.match(io.printed().err, cancelled ? 'cancelling' : 'goes on; come back with: pond logs -f')
  })
}

t.test('Ctrl-C, then staying, follows on', async (t) => {
  const io = createFakeIo({ tty: true })
  io.answer = 'stay'
  const job = await begin(io, '--', 'sleep')
  io.pond.change(job.id, running)
  await listening(io, job.id)
  io.signal('SIGINT')
  await io.clock.settle()
  finish(io, job.id, 4)
  t.equal(await job.end(), 4)
})

t.test('a wait for a worker is one line: rewritten on a terminal, plain after ten seconds elsewhere', async (t) => {
  for (const tty of [true, false]) {
    const io = createFakeIo({ tty })
    io.pond.answers.listWorkers = { items: [] }
    const job = await begin(io, '--', 'x')
    await printedBy(io, 'err', 'no worker is paired')
    await io.clock.advance(30_000)
    const lines = io.printed().err.match(/no worker is paired/g)?.length ?? 0
    t.equal(lines > 1, tty)
    finish(io, job.id, 0)
    t.equal(await job.end(), 0)
    if (tty) t.ok(io.printed().err.endsWith('\r\x1b[K'))
  }
})

const worker = {
  id: 'wrk_1',
  name: 'lab',
  binding_id: 'bnd_1',
  project: 'default',
  state: 'online',
  sealing_key: '',
  signing_key: '',
  fingerprint: '',
  labels: {},
  slots: 2,
  inflight: 0,
  sandbox: 'none',
}

t.test('workers that are there and take no jobs say why', async (t) => {
  const paused = { ...worker, state: 'paused', note: 'paused by its owner' }
  const draining = { ...worker, id: 'wrk_2', name: 'box', state: 'draining' }
  const offline = { ...worker, id: 'wrk_3', name: 'old', state: 'offline' }
  const many = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ ...paused, name, note: undefined }))
  for (const [items, said] of [
    [[paused, draining, offline], 'no worker takes jobs now: lab is paused (paused by its owner), box is draining\n'],
    [many, 'no worker takes jobs now: a is paused, b is paused, c is paused and 2 more\n'],
    [[offline], ': no worker online\n'],
  ] as const) {
    const io = createFakeIo()
    io.pond.answers.listWorkers = { items }
    const job = await begin(io, '--plain', '--', 'x')
    await printedBy(io, 'err', said)
    finish(io, job.id, 0)
    t.equal(await job.end(), 0)
  }
})

t.test('a job that a worker gave back says what it said, as long as a worker is there', async (t) => {
  const note = 'the owner of this machine does not run the command "x"'
  const returned = { version: 3, at: 1, from: 'claimed', to: 'queued', by: 'worker:wrk_1', note }
  for (const [items, said] of [
    [[worker], `: given back by lab: ${note}\n`],
    [[{ ...worker, state: 'offline' }], ': no worker online\n'],
    [[], 'no worker is paired'],
  ] as const) {
    const io = createFakeIo()
    io.pond.answers.listWorkers = { items }
    io.pond.answers.listTransitions = { items: [{ ...returned, version: 2, from: 'queued', to: 'claimed' }, returned] }
    const job = await begin(io, '--plain', '--', 'x')
    await printedBy(io, 'err', said)
    finish(io, job.id, 0)
    t.equal(await job.end(), 0)
  }
})

t.test('a job of a project that is paused says so, though workers are there', async (t) => {
  const says = 'the project is paused by an operator: a move'
  const waiting = { since: 0, paused: { at: 0, by: 'admin:key_1', note: 'a move' }, workers: [] }
  const io = createFakeIo()
  io.pond.answers.listWorkers = { items: [worker] }
  io.pond.answers.explainJob = { id: 'job_1', state: 'queued', says, waiting }
  const job = await begin(io, '--plain', '--', 'x')
  await printedBy(io, 'err', `: ${says}\n`)
  finish(io, job.id, 0)
  t.equal(await job.end(), 0)
})

t.test('a job with secrets that waits for walls says so', async (t) => {
  for (const [more, said] of [
    [{}, 'keeps jobs apart'],
    [{ allow_unsandboxed: true, inflight: 2 }, 'no free slot on 1 worker'],
    [{ sandbox: 'uid', inflight: 2 }, 'no free slot on 1 worker'],
  ] as const) {
    const io = createFakeIo()
    io.pond.answers.listWorkers = { items: [{ ...worker, ...more }] }
    const job = await begin(io, '--credential', 'registry', '--', 'x')
    await printedBy(io, 'err', said)
    finish(io, job.id, 0)
    t.equal(await job.end(), 0)
  }
})

t.test('a reader that goes away ends us quietly and leaves the job', async (t) => {
  const io = createFakeIo()
  const job = await begin(io, '--', 'yes')
  io.closeStdout()
  io.pond.change(job.id, running)
  io.pond.write(job.id, 'stdout', 'y\n')
  t.equal(await job.end(), 141)
  t.match(io.printed().err, `${job.id} goes on`)
})

async function listening(io: FakeIo, id: string): Promise<void> {
  await waitFor(io, () => io.pond.calls.some(({ name, params }) => name === 'getJob' && params.id === id))
}

function attemptOf(attempt: number, change: object) {
  return {
    claim_id: 'clm_1',
    attempt,
    epoch: attempt,
    state: 'ended',
    worker: 'wrk_1',
    worker_name: 'lab',
    claimed_at: 1,
    streams: [],
    orphan: false,
    ...change,
  }
}
