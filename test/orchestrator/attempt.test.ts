// One claim's life: what is started when, how it is ended, and what is said about it.
import { createHash } from 'node:crypto'
import t from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { sleep } from '../../src/system/clock.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

async function running(job = {}, options = {}) {
  const rig = await createSwarmRig(options)
  const life = await rig.start()
  const intent = rig.pond.give(job)
  await rig.clock.settle()
  const [process] = rig.executor.processes
  if (!process) throw new Error('the job was not started')
  return { ...rig, life, intent, process }
}

t.test('a job runs, its output arrives while it runs, and pond gets its code', async (t) => {
  const { clock, pond, process, intent, disk } = await running({ command: ['greet'], env: { A: '1' }, input: 'in' })
  t.match(process.plan, {
    command: ['greet'],
    env: { A: '1' },
    attempt: 1,
  })
  t.equal(Buffer.from(process.plan.input ?? '').toString(), 'in')
  process.write('stdout', 'one\n')
  await clock.advance(250)
  t.equal(pond.stream(intent.claim_id, 'stdout').toString(), 'one\n', 'visible long before the end')
  process.write('stdout', 'two\n')
  process.write('stderr', 'bad\n')
  process.exit({ rc: 3, result: Buffer.from('{"x":1}') })
  await clock.settle()
  t.match(pond.finalOf(intent.claim_id), { cause: 'exit', rc: 3, result: '{"x":1}' })
  t.same(pond.finalOf(intent.claim_id)?.streams, {
    stdout: { bytes: 8, sha256: sha256('one\ntwo\n'), produced: 8, end: 'complete' },
    stderr: { bytes: 4, sha256: sha256('bad\n'), produced: 4, end: 'complete' },
  })
  const orders = pond.chunks.map((chunk) => chunk.order)
  t.same(orders, [0, 1, 2], 'one order over both streams')
  t.notOk(
    disk.paths().some((path) => path.includes(intent.claim_id)),
    'the attempt leaves no file behind',
  )
})

t.test('what the kernel killed for lack of memory is counted in the message', async (t) => {
  const { clock, pond, process, intent } = await running({ command: ['eat'] })
  process.exit({ cause: 'oom', rc: 3, oomKills: 2, resultProblem: 'the result is not JSON' })
  await clock.settle()
  const message = 'the kernel killed 2 of its processes for lack of memory; the result is not JSON'
  t.match(pond.finalOf(intent.claim_id), { cause: 'oom', rc: 3, message })
})

t.test(
  'a job not declared idempotent starts only after pond accepted its confirmation and the journal is on the disk',
  async (t) => {
    const rig = await createSwarmRig()
    let open = () => {}
    const opened = new Promise<undefined>((resolve) => {
      open = () => resolve(undefined)
    })
    rig.pond.fault = (name) => (name === 'sendWords' ? opened : undefined)
    await rig.start()
    const synced = rig.disk.counts.sync
    rig.pond.give()
    await rig.clock.settle()
    t.equal(rig.executor.processes.length, 0)
    t.ok(rig.disk.counts.sync > synced, 'the line of the claim was synced meanwhile')
    open()
    await rig.clock.settle()
    t.equal(rig.executor.processes.length, 1)
  },
)

t.test('an idempotent job starts while its confirmation is still on its way', async (t) => {
  const rig = await createSwarmRig()
  rig.pond.fault = (name) => (name === 'sendWords' ? refusal('unreachable') : undefined)
  await rig.start()
  rig.pond.give({ idempotent: true })
  await rig.clock.settle()
  t.equal(rig.executor.processes.length, 1)
})

t.test('an idempotent job says running a little later, and not at all when it ends before', async (t) => {
  const { clock, executor, pond, start } = await createSwarmRig()
  await start()
  pond.give({ idempotent: true })
  await clock.advance(100)
  const short = pond.give({ idempotent: true })
  await clock.settle()
  executor.processes[1]?.exit()
  await clock.advance(100)
  t.same(
    pond.words.map(({ claim_id, state }) => [claim_id === short.claim_id, state]),
    [
      [false, 'running'],
      [true, 'final'],
    ],
  )
  t.type(pond.finalOf(short.claim_id)?.started_at, 'number', 'its final word tells when it started')
})

t.test('a stale confirmation never spawns', async (t) => {
  const rig = await createSwarmRig()
  rig.pond.fault = (name) => {
    if (name === 'sendWords') rig.pond.void(intent.claim_id)
    return undefined
  }
  await rig.start()
  const intent = rig.pond.give()
  await rig.clock.settle()
  t.equal(rig.executor.processes.length, 0)
  t.same(
    rig.pond.words.map((word) => word.state),
    ['running'],
    'and nothing more is said about it',
  )
})

t.test('a confirmation that was an hour on its way is asked again, and a stale answer then never spawns', async (t) => {
  const rig = await createSwarmRig()
  let arrive = () => {}
  const late = new Promise<void>((resolve) => {
    arrive = resolve
  })
  rig.pond.deliver = (name) => (name === 'sendWords' && rig.pond.words.length === 1 ? late : undefined)
  await rig.start()
  const intent = rig.pond.give()
  await rig.clock.advance(3_600_000)
  rig.pond.void(intent.claim_id)
  arrive()
  await rig.clock.settle()
  t.same(
    rig.pond.words.map((word) => word.state),
    ['running', 'running'],
  )
  t.equal(rig.executor.processes.length, 0)
})

t.test('an idempotent job whose confirmation turns out stale is killed and forgotten', async (t) => {
  const rig = await createSwarmRig()
  await rig.start()
  rig.pond.fault = (name) => {
    if (name === 'sendWords') rig.pond.void(intent.claim_id)
    return undefined
  }
  const intent = rig.pond.give({ idempotent: true })
  await rig.clock.advance(100)
  t.same(rig.executor.processes[0]?.signals, ['KILL'])
  t.notOk(rig.pond.finalOf(intent.claim_id))
  t.equal(rig.pond.polls.at(-1)?.have.length, 0)
})

t.test('what this swarm does not serve or understand is declined and burns nothing', async (t) => {
  const cases = [
    { job: { sandbox: { seccomp: 'strict' } }, says: /sandbox\.seccomp/ },
    { job: { sandbox: { backend: 'uid' } }, says: /sandbox\.backend/ },
    { job: { sandbox: { network: 'none' } }, says: /sandbox\.network/ },
    { job: { sandbox: { network: 'bridge' } }, says: /sandbox\.network/ },
    { job: { credential: 'c' }, says: /confidential/ },
    { job: { bundle: 'b' }, says: /bundle/ },
    { job: { recipients: ['r'] }, says: /recipients.0/ },
    { job: { requires: { sandbox: 'strict' } }, says: /requires.sandbox/ },
    { job: { requires: { gpus: { count: 1 } } }, says: /requires.gpus asks for 1, and pond gave it 0/ },
    { job: {}, intent: { gpus: ['GPU-1'] }, says: /requires.gpus asks for 0/ },
    { job: { requires: { gpus: { count: 1 } } }, intent: { gpus: ['GPU-1'] }, says: /there is no GPU GPU-1 here/ },
    { job: { brandNew: 1 }, says: /brandNew/ },
    { intent: { job: 'bm8ganNvbg==' }, says: /no JSON/ },
  ]
  const rig = await createSwarmRig({ slots: cases.length + 2 })
  await rig.start()
  for (const { job = {}, intent = {}, says } of cases) {
    const { claim_id } = rig.pond.give(job, intent)
    await rig.clock.settle()
    t.match(rig.pond.finalOf(claim_id), { state: 'declined', message: says })
  }
  t.equal(rig.executor.processes.length, 0)
  for (const job of [{ sandbox: { backend: 'none' } }, { requires: { sandbox: 'none' } }]) rig.pond.give(job)
  await rig.clock.settle()
  t.equal(rig.executor.processes.length, 2, 'to be without walls it serves')
})

t.test('a job gets the sandbox that it asks for where this swarm has it', async (t) => {
  for (const sandbox of ['uid', 'bubblewrap'] as const) {
    const rig = await createSwarmRig()
    rig.executor.sandbox = sandbox
    await rig.start()
    rig.pond.give({ sandbox: { backend: sandbox, network: 'host' } })
    rig.pond.give({ requires: { sandbox } })
    await rig.clock.settle()
    t.equal(rig.executor.processes.length, 2)
    const { claim_id } = rig.pond.give({ sandbox: { network: 'none' } })
    for (const process of rig.executor.processes) process.exit()
    await rig.clock.settle()
    if (sandbox === 'bubblewrap') t.equal(rig.executor.processes.at(-1)?.plan.network, 'none')
    else t.match(rig.pond.finalOf(claim_id), { state: 'declined', message: /sandbox\.network cannot be "none"/ })
  }
})

t.test('a program that is not there ends as setup_failed with 125', async (t) => {
  const rig = await createSwarmRig()
  rig.executor.refusal = 'no such program: nope'
  await rig.start()
  const { claim_id } = rig.pond.give({ command: ['nope'] })
  await rig.clock.settle()
  t.match(rig.pond.finalOf(claim_id), { cause: 'setup_failed', rc: 125, message: /nope/ })
})

t.test('a cancel asks, waits ten seconds, then kills the whole tree', async (t) => {
  const { clock, pond, process, executor, intent } = await running()
  executor.onTerminate = () => {}
  pond.direct({ type: 'cancel', claim_id: intent.claim_id })
  await clock.settle()
  t.same(process.signals, ['TERM'])
  await clock.advance(limit.killGraceMs - 1)
  t.same(process.signals, ['TERM'], 'a repeated directive does not ask twice')
  await clock.advance(1)
  t.same(process.signals, ['TERM', 'KILL'])
  t.match(pond.finalOf(intent.claim_id), { cause: 'cancelled', rc: 137 })
})

t.test('a job that ends on the first signal is not killed', async (t) => {
  const { clock, pond, process, intent } = await running()
  pond.direct({ type: 'cancel', claim_id: intent.claim_id })
  await clock.advance(60_000)
  t.same(process.signals, ['TERM'])
  t.match(pond.finalOf(intent.claim_id), { cause: 'cancelled', rc: 143 })
})

t.test('a cancel that comes before the start ends the job unstarted', async (t) => {
  const rig = await createSwarmRig()
  let release = () => {}
  const released = new Promise<undefined>((resolve) => {
    release = () => resolve(undefined)
  })
  rig.pond.fault = (name) => (name === 'sendWords' ? released : undefined)
  await rig.start()
  const intent = rig.pond.give()
  await rig.clock.advance(10)
  rig.pond.direct({ type: 'cancel', claim_id: intent.claim_id })
  await rig.clock.settle()
  release()
  await rig.clock.settle()
  t.equal(rig.executor.processes.length, 0)
  t.match(rig.pond.finalOf(intent.claim_id), { cause: 'cancelled' })
})

t.test('what is not wanted any more while its folder is prepared is not started, idempotent or not', async (t) => {
  for (const idempotent of [false, true])
    for (const type of ['cancel', 'drop'] as const) {
      const { clock, executor, pond, start } = await createSwarmRig()
      executor.gate = () => sleep(clock, 5000)
      await start()
      const { claim_id } = pond.give({ idempotent })
      await clock.advance(1000)
      pond.direct({ type, claim_id })
      await clock.advance(10_000)
      t.equal(executor.processes.length, 0)
      t.equal(pond.finalOf(claim_id)?.cause, type === 'cancel' ? 'cancelled' : undefined)
    }
})

t.test('the first reason stands: a timeout during a cancel changes nothing', async (t) => {
  const { clock, pond, executor, intent } = await running({ timeout_ms: 1000 })
  executor.onTerminate = () => {}
  pond.direct({ type: 'cancel', claim_id: intent.claim_id })
  await clock.advance(limit.killGraceMs)
  t.match(pond.finalOf(intent.claim_id), { cause: 'cancelled' })
})

t.test('timeout_ms ends a job that would go on', async (t) => {
  const { clock, pond, process, intent } = await running({ timeout_ms: 5000 })
  await clock.advance(4999)
  t.same(process.signals, [])
  await clock.advance(1)
  t.match(pond.finalOf(intent.claim_id), { cause: 'timeout', rc: 143 })
})

t.test('a drop that crosses the end of the process takes nothing of the result', async (t) => {
  const { clock, pond, process, intent } = await running()
  pond.fault = (name) => (name === 'sendChunk' ? refusal('unreachable') : undefined)
  process.write('stdout', 'all')
  process.exit({ result: Buffer.from('7') })
  await clock.advance(1000)
  pond.direct({ type: 'drop', claim_id: intent.claim_id })
  await clock.advance(1000)
  pond.fault = () => undefined
  await clock.advance(120_000)
  t.match(pond.finalOf(intent.claim_id), { state: 'final', result: '7', streams: { stdout: { bytes: 3 } } })
})

t.test('a dropped claim is killed, and nothing of it is said or kept', async (t) => {
  const { clock, pond, process, intent, disk } = await running()
  process.write('stdout', 'x')
  await clock.settle()
  pond.direct({ type: 'drop', claim_id: intent.claim_id })
  await clock.advance(1000)
  t.same(process.signals, ['KILL'])
  t.notOk(pond.finalOf(intent.claim_id))
  t.equal(pond.stream(intent.claim_id, 'stdout').length, 0)
  t.notOk(disk.paths().some((path) => path.includes(intent.claim_id)))
})

t.test('a full disk under the spool ends the job as disk_full, and what was kept arrives', async (t) => {
  const { clock, pond, process, intent, disk } = await running()
  disk.roomBytes = 10
  process.write('stdout', 'twenty bytes of text')
  await clock.settle()
  t.same(process.signals, ['TERM'])
  t.equal(pond.polls.at(-1)?.workers[0]?.free.slots, 0, 'no other job is taken, from now on')
  await clock.advance(1000)
  t.match(pond.finalOf(intent.claim_id), {
    cause: 'disk_full',
    streams: { stdout: { end: 'lost', bytes: 10, produced: 20 } },
  })
  t.equal(pond.stream(intent.claim_id, 'stdout').toString(), 'twenty byt')
})

t.test('a disk that is full for the last bytes still decides the cause, and the code stays', async (t) => {
  const { clock, pond, process, intent, disk } = await running()
  disk.roomBytes = 10
  process.write('stdout', 'twenty bytes of text')
  process.exit({ rc: 0 })
  await clock.advance(1000)
  t.match(pond.finalOf(intent.claim_id), { cause: 'disk_full', rc: 0 })
})

t.test('output over the cap: the job goes on, the gap is stated and the tail is kept', async (t) => {
  const { clock, pond, process, intent } = await running({ limits: { stream_bytes: 1000 } })
  const text = Buffer.alloc(300_000, 'abcdefg')
  for (let at = 0; at < text.length; at += 1000) process.write('stdout', text.subarray(at, at + 1000))
  process.exit()
  await clock.advance(1000)
  const tail = text.subarray(-limit.tailBytes)
  t.ok(pond.stream(intent.claim_id, 'stdout').equals(text.subarray(0, 1000)))
  t.ok(pond.stream(intent.claim_id, 'stdout.tail').equals(tail))
  t.match(pond.finalOf(intent.claim_id), {
    cause: 'exit',
    rc: 0,
    streams: {
      stdout: { bytes: 1000, produced: 300_000, end: 'capped', sha256: sha256(text.subarray(0, 1000)) },
      'stdout.tail': { bytes: limit.tailBytes, sha256: sha256(tail), end: 'complete' },
    },
  })
})

t.test('a tail never repeats what the stream holds', async (t) => {
  const { clock, pond, process, intent } = await running({ limits: { stream_bytes: 10 } })
  process.write('stdout', '0123456789abc')
  process.exit()
  await clock.advance(1000)
  t.equal(pond.stream(intent.claim_id, 'stdout').toString(), '0123456789')
  t.equal(pond.stream(intent.claim_id, 'stdout.tail').toString(), 'abc')
})

t.test("pond's own cap comes first: the stream ends as capped there, with its tail", async (t) => {
  const { clock, pond, process, intent } = await running()
  pond.capBytes = 4
  process.write('stdout', 'abcd')
  await clock.advance(250)
  process.write('stdout', 'efgh')
  process.exit()
  await clock.advance(1000)
  t.match(pond.finalOf(intent.claim_id), {
    rc: 0,
    streams: { stdout: { bytes: 4, sha256: sha256('abcd'), produced: 8, end: 'capped' }, 'stdout.tail': { bytes: 4 } },
  })
  t.equal(pond.stream(intent.claim_id, 'stdout.tail').toString(), 'efgh')
})

t.test('streams_incomplete: what pond lost is sent again, then the same word', async (t) => {
  const { clock, pond, process, intent } = await running()
  process.write('stdout', 'precious')
  await clock.advance(250)
  pond.forgetStream(intent.claim_id, 'stdout', 3)
  process.exit()
  await clock.advance(1000)
  t.equal(pond.stream(intent.claim_id, 'stdout').toString(), 'precious')
  const finals = pond.words.filter((word) => word.state === 'final')
  t.equal(finals.length, 2)
  t.same(finals[0], finals[1])
})

t.test('pond away for a day: output, result and code still arrive', async (t) => {
  const { clock, pond, process, intent } = await running()
  let away = true
  pond.fault = () => (away ? refusal('unreachable') : undefined)
  process.write('stdout', 'kept')
  await clock.advance(1000)
  process.exit({ rc: 7, result: Buffer.from('[1]') })
  await clock.advance(24 * 60 * 60 * 1000)
  t.notOk(pond.finalOf(intent.claim_id))
  away = false
  await clock.advance(3 * 60_000)
  t.match(pond.finalOf(intent.claim_id), { rc: 7, result: '[1]' })
  t.equal(pond.stream(intent.claim_id, 'stdout').toString(), 'kept')
})
