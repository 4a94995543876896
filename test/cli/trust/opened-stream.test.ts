// Confidential output against a scripted pond: opened live, from any place and at its end; whatever is not as its worker sealed it is refused.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createFakeIo, drive, type FakeIo, pond, startPond, waitFor } from '../../harness/fake-io.ts'
import { fakeId } from '../../harness/fake-pond.ts'
import { createFakeWorker, sealingPairOf } from '../../harness/fake-safe.ts'
import { errorReply } from '../../harness/http-reply.ts'
import {
  clientHomeOf,
  identityOf,
  labOf,
  makeConfidential,
  type SealedJobOptions,
  takeJob,
} from '../../harness/sealed-job.ts'

async function confidential(): Promise<FakeIo> {
  const io = createFakeIo()
  await makeConfidential(io)
  return io
}

/** Submits by `pond submit`, so that it is remembered here, and takes the job as its worker. */
async function submitted(io: FakeIo, options: SealedJobOptions = {}) {
  t.equal(await pond(io, 'submit', '--idempotency-key', `${io.pond.jobs.size}`, '--', 'x'), 0)
  const id = [...io.pond.jobs.keys()].at(-1) ?? ''
  io.writes.length = 0
  return { id, job: await takeJob(io, id, options) }
}

const lines = (count: number) => Array.from({ length: count }, (_, at) => `line ${at}\n`).join('')

t.test('run shows it while it runs, pins the worker once, and gives the code', async (t) => {
  const io = await confidential()
  io.pond.safe.workers = []
  const going = startPond(io, 'run', '--', 'make')
  await waitFor(io, () => io.pond.jobs.size > 0)
  const id = [...io.pond.jobs.keys()][0] ?? ''
  const job = await takeJob(io, id)
  // The worker is paired while the job waits.
  io.pond.safe.workers = [labOf().view]
  job.start()
  job.write('stdout', 'one\n')
  await waitFor(io, () => io.printed().out === 'one\n')
  job.write('stderr', 'two\n')
  await waitFor(io, () => io.printed().err.includes('two\n'))
  await job.finish({ state: 'failed', cause: 'exit', rc: 7 })
  t.equal(await drive(io, going.code), 7)
  t.equal(io.printed().out, 'one\n')
  t.equal(io.printed().err.match(/trusting worker lab/g)?.length, 1)
  const stored = io.pond.calls.find(({ name }) => name === 'submitJob')?.body
  t.match(stored, { recipients: [/^pond_recipient_/] })
})

t.test('a job that ends badly says why, from its private end', async (t) => {
  const io = await confidential()
  const { job } = await submitted(io)
  job.write('stdout', 'x')
  await job.finish({ state: 'failed', cause: 'setup_failed', rc: 125 }, { message: 'no such file: /secret' })
  t.equal(await pond(io, 'logs', '-f'), 125)
  t.match(io.printed().err, /setup_failed.*no such file: \/secret/)
})

t.test('logs -f, --from, --tail and --timestamps, over several segments', async (t) => {
  const io = await confidential()
  const { job } = await submitted(io)
  const text = lines(300_000)
  job.write('stdout', text)
  await job.finish()
  const shown = async (...words: string[]) => {
    io.writes.length = 0
    t.equal(await pond(io, 'logs', ...words), 0, words.join(' '))
    return io.printed().out
  }
  t.ok((await shown('-f')) === text, 'whole')
  const reads = () => io.pond.calls.filter(({ name, query }) => name === 'readStream' && query.wait_ms !== undefined)
  for (const from of [1, 1_000_000, 1_048_576, 2_500_001, text.length - 1, text.length, text.length + 5]) {
    t.ok((await shown('--from', `${from}`)) === text.slice(from), `from ${from}`)
  }
  t.ok(Number(reads().at(-1)?.query.offset) > 1024 * 1024, 'reading starts at a segment, not at the beginning')
  for (const count of [0, 1, 3, 150_000]) {
    const wanted =
      count === 0
        ? ''
        : text
            .split('\n')
            .slice(-1 - count)
            .join('\n')
    t.ok((await shown('--tail', `${count}`, '--stream', 'stdout')) === wanted, `tail ${count}`)
  }
  io.pond.answers.listChunks = { items: [{ offset: 0, length: 64 * 1024 * 1024, at: Date.UTC(2026, 0, 2), order: 1 }] }
  t.match(
    await shown('-t', '--tail', '2', '--stream', 'stdout'),
    /^2026-01-02T00:00:00.000Z line 299998\n2026\S+ line 299999\n$/,
  )
})

t.test('a stream that was cut in the middle of a reply goes on where it was', async (t) => {
  const io = await confidential()
  const { job } = await submitted(io)
  job.write('stdout', lines(20_000))
  await job.finish()
  let cuts = 0
  const served = io.pond.network
  io.network = async (request) => {
    const reply = await served(request)
    return request.url.includes('/streams/stdout') && cuts++ === 0 ? { ...reply, body: half(reply.body) } : reply
  }
  t.equal(await pond(io, 'logs', '-f'), 0)
  t.ok(io.printed().out === lines(20_000))
})

async function* half(body: AsyncIterable<Uint8Array>) {
  for await (const bytes of body) yield bytes.subarray(0, bytes.length / 2)
  throw new Error('terminated')
}

t.test('result is the private one', async (t) => {
  const io = await confidential()
  const { id, job } = await submitted(io)
  await job.finish({ state: 'succeeded', cause: 'exit', rc: 0 }, { result: '{"sum":3}' })
  t.equal(await pond(io, 'result'), 0)
  t.equal(io.printed().out, '{"sum":3}')
  io.pond.change(id, { has_result: false })
  t.equal(await pond(io, 'result'), 0, 'what was attested is asked for, whatever pond says')
  io.pond.answers.getResult = JSON.parse(
    JSON.stringify(io.pond.answers.getResult).replace('"format":1', '"format": 1 '),
  )
  await job.finish({ state: 'succeeded', cause: 'exit', rc: 0 })
  io.pond.change(id, { has_result: true })
  t.equal(await pond(io, 'result'), 1, 'a result that nobody attested')
})

t.test('a plain job is printed as it is', async (t) => {
  const io = await confidential()
  t.equal(await pond(io, 'submit', '--plain', '--', 'x'), 0)
  const id = [...io.pond.jobs.keys()].at(-1) ?? ''
  io.pond.change(id, { state: 'succeeded', attempts: 1, cause: 'exit', rc: 0, recipients: ['pond_recipient_x'] })
  io.pond.write(id, 'stdout', 'plain')
  for (const stream of ['stdout', 'stderr']) io.pond.end(id, stream, 'complete')
  io.writes.length = 0
  t.equal(await pond(io, 'logs'), 0)
  t.equal(io.printed().out, 'plain')
})

/** Each bends what comes; the words are those of the Failure. */
const refusals: Readonly<Record<string, { bend: (io: FakeIo) => Promise<void>; says: RegExp; out?: string }>> = {
  'an unsigned header': {
    async bend(io) {
      const { job } = await submitted(io)
      const [length, header, , ...rest] = job.seal('stdout', 'secret')
      for (const bytes of [length, header, Buffer.alloc(64), ...rest]) if (bytes) job.store('stdout', bytes)
      await job.finish()
    },
    says: /not signed by a worker/,
  },
  'a worker that nobody trusts': {
    async bend(io) {
      const { job } = await submitted(io, { worker: createFakeWorker('x', { id: fakeId('wrk', 9) }) })
      job.write('stdout', 'forged')
      await job.finish()
    },
    says: /worker is not trusted here/,
  },
  'a worker whose key is another than the pinned one': {
    async bend(io) {
      const first = await submitted(io)
      first.job.write('stdout', 'x')
      await first.job.finish()
      t.equal(await pond(io, 'logs'), 0)
      const swapped = createFakeWorker('x', { id: labOf().view.id })
      io.pond.safe.workers = [swapped.view]
      const { job } = await submitted(io, { worker: swapped })
      job.write('stdout', 'forged')
      await job.finish()
    },
    says: /shows another key than the one that was pinned/,
  },
  'a worker that was only met, where only checked ones count': {
    async bend(io) {
      io.env.POND_TRUST = 'checked'
      const { job } = await submitted(io)
      job.write('stdout', 'x')
      await job.finish()
    },
    says: /worker is not trusted here/,
  },
  'a recipient that was not named': {
    async bend(io) {
      const { sealing } = await identityOf(io)
      const { job } = await submitted(io, { recipients: [sealing.publicKey, sealingPairOf('e').publicKey] })
      job.write('stdout', 'x')
      await job.finish()
    },
    says: /somebody whom this client did not name can read it too/,
  },
  'another job than the one that was submitted': {
    async bend(io) {
      const { job } = await submitted(io, { jobDigest: 'f'.repeat(64) })
      job.write('stdout', 'x')
      await job.finish()
    },
    says: /belongs to another job/,
  },
  'bytes that were changed': {
    async bend(io) {
      const { job } = await submitted(io)
      const frames = job.seal('stdout', 'secret')
      const last = Buffer.from(frames.at(-1) ?? [])
      last[last.length - 1] = (last.at(-1) ?? 0) ^ 1
      for (const bytes of [...frames.slice(0, -1), last]) job.store('stdout', bytes)
      await job.finish()
    },
    says: /changed, cut or put together/,
  },
  'an end that was cut off': {
    async bend(io) {
      const { job } = await submitted(io)
      job.write('stdout', 'all but the end')
      job.endOf('stdout')
      await job.finish()
    },
    says: /changed, cut or put together/,
    out: 'all but the end',
  },
  'a stream that pond shows as empty': {
    async bend(io) {
      const { id, job } = await submitted(io)
      job.write('stdout', 'kept back')
      await job.finish()
      io.pond.intercept = ({ name, params }) =>
        name === 'readStream' && params.name === 'stdout' && params.id === id
          ? { status: 200, headers: { 'pond-end': 'complete', 'pond-next-offset': '0' }, body: nothing() }
          : undefined
    },
    says: /changed, cut or put together/,
  },
  'a stream without a word about its end': {
    async bend(io) {
      const { id, job } = await submitted(io)
      job.write('stdout', 'begin')
      job.endOf('stdout')
      await job.finish()
      io.pond.end(id, 'stdout', 'open')
    },
    says: /could not open the end of stdout/,
    out: 'begin',
  },
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

for (const [what, { bend, says, out = '' }] of Object.entries(refusals)) {
  t.test(`refused: ${what}`, async (t) => {
    const io = await confidential()
    await bend(io)
    io.writes.length = 0
    for (const words of [['-f'], []]) {
      t.equal(await pond(io, 'logs', ...words), 1)
      t.match(io.printed().err, says)
      t.match(io.printed().err, /next: \S/)
      t.equal(io.printed().out, out)
      io.writes.length = 0
    }
    if (out !== '') return
    t.equal(await pond(io, 'logs', '--tail', '1', '--stream', 'stdout'), 1)
    t.match(io.printed().err, says)
    t.equal(await pond(io, 'logs', '--json'), 1)
    t.equal(io.printed().out, '')
  })
}

t.test('a pond that takes the recipients off its view gets no plain output believed', async (t) => {
  const io = await confidential()
  const { id } = await submitted(io)
  io.pond.change(id, { recipients: [], state: 'succeeded', attempts: 1, cause: 'exit', rc: 0 })
  io.pond.write(id, 'stdout', 'forged in plain')
  for (const stream of ['stdout', 'stderr']) io.pond.end(id, stream, 'complete')
  const attempt = {
    claim_id: fakeId('clm', 1),
    attempt: 1,
    epoch: 1,
    state: 'ended',
    worker: 'wrk_1',
    worker_name: 'lab',
  }
  io.pond.attempts.set(id, [{ ...attempt, claimed_at: 1, streams: [{ name: 'stdout', bytes: 15 }], orphan: false }])
  t.equal(await pond(io, 'logs'), 1)
  t.equal(io.printed().out, '')
  t.match(io.printed().err, /could not open/)
})

t.test('a pond that took another job than was sent is not believed', async (t) => {
  const io = await confidential()
  io.pond.intercept = (call) => {
    if (call.name !== 'submitJob') return undefined
    const job = io.pond.submit(call)
    io.pond.change(job.id, { digest: 'f'.repeat(64) })
    return undefined
  }
  t.equal(await pond(io, 'run', '--', 'x'), 1)
  t.match(io.printed().err, /pond took another job than was sent/)
})

t.test('an output of somebody else needs the identity that it names', async (t) => {
  const io = await confidential()
  const { id, job } = await submitted(io)
  job.write('stdout', 'x')
  await job.finish()
  rmSync(clientHomeOf(io), { recursive: true })
  t.equal(await pond(io, 'logs', id), 1)
  t.match(io.printed().err, /there is no identity here that could open it/)
  t.equal(await pond(io, 'identity'), 0)
  t.equal(await pond(io, 'logs', id), 1)
  t.match(io.printed().err, /not sealed to the identity of this client|did not name/)
})

t.test('what is remembered of a job and cannot be read is no reason to believe pond', async (t) => {
  const io = await confidential()
  const { id } = await submitted(io)
  const file = join(clientHomeOf(io), 'jobs', `${id}.json`)
  t.match(JSON.parse(readFileSync(file, 'utf8')), { digest: /^[0-9a-f]{64}$/, recipients: [/^pond_recipient_/] })
  rmSync(file)
  writeFileSync(file, '{')
  t.equal(await pond(io, 'logs', id), 1)
  t.match(io.printed().err, /it is damaged/)
})

t.test('a pond that is away while the worker is looked up is waited for', async (t) => {
  const io = await confidential()
  const { job } = await submitted(io)
  job.write('stdout', 'x')
  await job.finish()
  let away = 3
  io.pond.intercept = ({ name }) =>
    name === 'listWorkers' && away-- > 0 ? errorReply('shutting_down', 'stopping') : undefined
  t.equal(await pond(io, 'logs', '-f'), 0)
  t.equal(io.printed().out, 'x')
})
