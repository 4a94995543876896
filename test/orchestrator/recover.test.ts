// kill -9 of swarm at each step of a claim: the next life kills what it finds, says what is true, and starts nothing again.
import t from 'tap'
import { printKey } from '../../src/seal/key-text.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { sealingPair } from '../harness/seal.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

t.test(
  'killed while a job runs: its tree is swept before the first poll, its output arrives, its end is worker_lost',
  async (t) => {
    const { clock, pond, executor, disk, lines, start } = await createSwarmRig()
    const life = await start()
    const { claim_id } = pond.give()
    await clock.settle()
    executor.processes[0]?.write('stdout', 'first ')
    await clock.advance(250)
    pond.fault = (name) => (name === 'sendChunk' ? refusal('unreachable') : undefined)
    executor.processes[0]?.write('stdout', 'second')
    await clock.advance(250)
    life.die()
    executor.left = 3
    pond.fault = (name) => {
      if (name === 'poll') t.same(executor.swept, [executor.processes[0]?.trace], 'swept before any poll')
      return undefined
    }
    await start()
    const [before] = pond.polls
    t.match(pond.polls.find((poll) => poll.session !== before?.session)?.have, [{ claim_id, state: 'ended' }])
    await clock.advance(1000)
    t.match(
      lines.find((line) => line.event === 'swept'),
      { fields: { claims: 1, processes_killed: 3 } },
    )
    t.equal(pond.stream(claim_id, 'stdout').toString(), 'first second')
    t.match(pond.finalOf(claim_id), {
      cause: 'worker_lost',
      message: 'swarm was restarted',
      started_at: Number,
      streams: { stdout: { bytes: 12, produced: 12, end: 'lost' } },
    })
    const [first, second] = pond.chunks.map((chunk) => chunk.order)
    t.ok(Number(second) > Number(first), 'orders still rise')
    t.equal(executor.processes.length, 1)
    t.notOk(disk.paths().some((path) => path.includes(claim_id)))
  },
)

t.test('killed before pond accepted the start: declined, nothing ran', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  pond.fault = (name) => (name === 'sendWords' ? refusal('unreachable') : undefined)
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  life.die()
  pond.fault = () => undefined
  await start()
  await clock.advance(1000)
  t.match(pond.finalOf(claim_id), { state: 'declined', cause: 'worker_lost', message: 'swarm was restarted' })
  t.equal(executor.processes.length, 0)
  t.match(executor.swept, [{ claimId: claim_id, pid: 0 }], 'a tree without a line is looked for by its claim')
})

t.test('killed between the accepted start and the line of the tree: worker_lost, never declined', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const life = await start()
  executor.onStart = () => life.die()
  const { claim_id } = pond.give()
  await clock.settle()
  await start()
  await clock.advance(1000)
  t.match(pond.finalOf(claim_id), { state: 'final', cause: 'worker_lost' })
  t.equal(executor.processes.length, 1)
})

t.test(
  'killed with output still to send: the code and the whole output arrive as if nothing had happened',
  async (t) => {
    const { clock, pond, executor, start } = await createSwarmRig()
    const life = await start()
    const { claim_id } = pond.give({ limits: { stream_bytes: 8 } })
    await clock.settle()
    pond.fault = () => refusal('unreachable')
    executor.processes[0]?.write('stdout', 'kept kept and the tail')
    executor.processes[0]?.exit({ rc: 5, result: Buffer.from('{}') })
    await clock.advance(5000)
    life.die()
    pond.fault = () => undefined
    await start()
    await clock.advance(1000)
    t.match(pond.finalOf(claim_id), {
      cause: 'exit',
      rc: 5,
      result: '{}',
      streams: { stdout: { bytes: 8, produced: 22, end: 'capped' }, 'stdout.tail': { bytes: 14, end: 'complete' } },
    })
    t.equal(pond.stream(claim_id, 'stdout.tail').toString(), 't and the tail')
    t.same(executor.swept, [], 'its tree was gone')
  },
)

t.test('killed after the final word was said and before the reply: the same word again', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  executor.processes[0]?.write('stdout', 'x')
  pond.fault = (name) => (name === 'sendWords' ? 'lost' : undefined)
  executor.processes[0]?.exit({ rc: 1 })
  await clock.settle()
  life.die()
  pond.fault = () => undefined
  const { swarm } = await start()
  await clock.advance(1000)
  const finals = pond.words.filter((word) => word.state === 'final')
  t.equal(finals.length, 2)
  t.same(finals[0], finals[1])
  t.ok(pond.finalOf(claim_id))
  t.same(swarm.status().claims, [])
})

t.test('killed twice: the second life that follows says the same', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  let life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  executor.processes[0]?.write('stderr', 'abc')
  await clock.settle()
  for (const _ of [1, 2]) {
    life.die()
    pond.fault = () => refusal('unreachable')
    life = await start()
    await clock.advance(3000)
  }
  pond.fault = () => undefined
  await clock.advance(120_000)
  t.equal(pond.stream(claim_id, 'stderr').toString(), 'abc')
  t.match(pond.finalOf(claim_id), { cause: 'worker_lost' })
})

t.test('killed while a job runs, and again before its end is told: what may be missing stays lost', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  executor.processes[0]?.write('stdout', 'some of it')
  await clock.advance(500)
  life.die()
  pond.fault = (name) => (name === 'poll' ? undefined : refusal('unreachable'))
  const second = await start()
  await clock.advance(5000)
  second.die()
  pond.fault = () => undefined
  await start()
  await clock.advance(5000)
  t.match(pond.finalOf(claim_id), { cause: 'worker_lost', streams: { stdout: { bytes: 10, end: 'lost' } } })
})

t.test('killed after a disk took only part of the output: it is told as lost, and never as capped', async (t) => {
  const { clock, pond, executor, disk, start } = await createSwarmRig()
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  pond.fault = () => refusal('unreachable')
  executor.processes[0]?.write('stdout', 'kept ')
  await clock.settle()
  disk.fault = (operation, path) => (operation === 'append' && path.endsWith('/stdout') ? new Error('EIO') : undefined)
  executor.processes[0]?.write('stdout', 'gone')
  await clock.settle()
  executor.processes[0]?.exit({ rc: 0 })
  await clock.advance(5000)
  life.die()
  disk.fault = () => undefined
  pond.fault = () => undefined
  await start()
  await clock.advance(5000)
  t.match(pond.finalOf(claim_id), { streams: { stdout: { bytes: 5, produced: 9, end: 'lost' } } })
})

t.test('a power cut: the spool may be shorter than what pond has, and the truth is lost, not wrong', async (t) => {
  const { clock, pond, executor, disk, start } = await createSwarmRig()
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  executor.processes[0]?.write('stdout', 'gone with the cut')
  await clock.advance(1500)
  life.die()
  disk.powerCut()
  await start()
  await clock.advance(1000)
  t.match(pond.finalOf(claim_id), { cause: 'worker_lost' })
  t.equal(pond.stream(claim_id, 'stdout').toString(), 'gone with the cut')
})

t.test(
  'a power cut, or a spool that cannot be opened, after the end: the code stands, and the output is told as lost',
  async (t) => {
    for (const fault of ['power cut', 'folder'] as const) {
      const { clock, pond, executor, disk, start } = await createSwarmRig()
      const life = await start()
      const { claim_id } = pond.give()
      await clock.settle()
      pond.fault = () => refusal('unreachable')
      executor.processes[0]?.write('stdout', 'gone')
      executor.processes[0]?.exit({ rc: 0 })
      await clock.advance(1500)
      life.die()
      if (fault === 'power cut') disk.powerCut()
      else disk.fault = (operation) => (operation === 'makeFolder' ? new Error('the disk is broken') : undefined)
      pond.fault = () => undefined
      await start()
      await clock.advance(3000)
      t.match(
        pond.finalOf(claim_id),
        { cause: 'exit', rc: 0, streams: { stdout: { produced: 4, end: 'lost' } } },
        fault,
      )
    }
  },
)

t.test(
  'a power cut that leaves a spool its length and not its bytes: what never was is not told as output',
  async (t) => {
    for (const ended of [false, true]) {
      const { clock, pond, executor, disk, start } = await createSwarmRig()
      const life = await start()
      const { claim_id } = pond.give()
      await clock.settle()
      executor.processes[0]?.write('stdout', 'said and sent')
      await clock.advance(1500)
      pond.fault = () => refusal('unreachable')
      executor.processes[0]?.write('stdout', 'gone with the cut')
      if (ended) executor.processes[0]?.exit({ rc: 0 })
      await clock.advance(1500)
      life.die()
      // All of the file survives by its length, its last block does not.
      disk.dice = () => 0.999
      disk.powerCut()
      pond.fault = () => undefined
      await start()
      await clock.advance(3000)
      t.match(
        pond.finalOf(claim_id),
        ended ? { cause: 'exit', streams: { stdout: { end: 'lost' } } } : { cause: 'worker_lost' },
      )
      t.equal(pond.stream(claim_id, 'stdout').toString(), 'said and sent')
    }
  },
)

t.test('a machine that ran on lost nothing: zeros that a process wrote are its output', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  pond.fault = () => refusal('unreachable')
  executor.processes[0]?.write('stdout', `said${'\0'.repeat(5000)}`)
  await clock.advance(1500)
  life.die()
  pond.fault = () => undefined
  await start()
  await clock.advance(3000)
  t.match(pond.finalOf(claim_id), { cause: 'worker_lost' })
  t.equal(pond.stream(claim_id, 'stdout').length, 5004)
})

t.test(
  'a power cut that leaves a sealed spool less than pond has: nothing is added where it does not belong',
  async (t) => {
    const { clock, pond, executor, disk, start } = await createSwarmRig({ allowUnsandboxed: true })
    const life = await start()
    const { claim_id } = pond.give({ recipients: [printKey('recipient', sealingPair('consumer').publicKey)] })
    await clock.settle()
    for (const text of ['a'.repeat(300), 'b'.repeat(600)]) {
      executor.processes[0]?.write('stdout', text)
      await clock.advance(1000)
    }
    const before = pond.stream(claim_id, 'stdout')
    life.die()
    // Two thirds of it are on the disk: the first frame, and part of the second.
    disk.dice = () => 0.69
    disk.powerCut()
    await start()
    await clock.advance(3000)
    t.match(pond.finalOf(claim_id), {
      cause: 'worker_lost',
      streams: { stdout: { end: 'lost' } },
    })
    t.ok(before.length > 0)
    t.ok(pond.stream(claim_id, 'stdout').equals(before), 'what opened before still opens')
  },
)

t.test(
  'after a power cut nothing is added to a sealed stream: a chunk of the former life may still be on its way',
  async (t) => {
    const { clock, pond, executor, disk, home, start } = await createSwarmRig({ allowUnsandboxed: true })
    const life = await start()
    const { claim_id } = pond.give({ recipients: [printKey('recipient', sealingPair('consumer').publicKey)] })
    await clock.settle()
    executor.processes[0]?.write('stdout', 'a'.repeat(300))
    await clock.advance(1500)
    const before = pond.stream(claim_id, 'stdout')
    pond.fault = () => refusal('unreachable')
    executor.processes[0]?.write('stdout', 'b'.repeat(300))
    await clock.advance(1500)
    life.die()
    // What pond has is there, the rest may have left this machine and not arrived.
    const spool = await disk.open(`${home.jobsPath}/${claim_id}/stdout`)
    await spool.truncate(before.length)
    await spool.sync()
    disk.powerCut()
    pond.fault = () => undefined
    await start()
    await clock.advance(3000)
    t.match(pond.finalOf(claim_id), { cause: 'worker_lost', streams: { stdout: { end: 'lost' } } })
    t.ok(before.length > 0)
    t.ok(pond.stream(claim_id, 'stdout').equals(before), 'what the former life sent still fits behind it')
  },
)

t.test('killed again after a disk lost what it had taken: pond never gets a second end behind the first', async (t) => {
  const { clock, pond, executor, disk, home, start } = await createSwarmRig({ allowUnsandboxed: true })
  const life = await start()
  const { claim_id } = pond.give({ recipients: [printKey('recipient', sealingPair('consumer').publicKey)] })
  await clock.settle()
  // The last word waits for the other stream.
  let takenBytes = 0
  pond.fault = (_, { query }) => {
    const { stream, offset } = { ...query } as { stream?: string; offset?: number }
    return stream === 'stderr' && Number(offset) >= takenBytes ? refusal('unreachable') : undefined
  }
  executor.processes[0]?.write('stdout', 'a'.repeat(300))
  executor.processes[0]?.write('stderr', 'b'.repeat(300))
  executor.processes[0]?.exit({ rc: 0 })
  await clock.advance(1500)
  const before = pond.stream(claim_id, 'stdout')
  life.die()
  // Its last frame is not on the disk, and pond has it.
  const spool = await disk.open(`${home.jobsPath}/${claim_id}/stdout`)
  await spool.truncate(Math.floor(before.length * 0.69))
  await spool.close()
  takenBytes = 1
  const second = await start()
  await clock.advance(5000)
  second.die()
  pond.fault = () => undefined
  await start()
  await clock.advance(5000)
  t.match(pond.finalOf(claim_id), { cause: 'exit', streams: { stdout: { end: 'lost' } } })
  t.ok(before.length > 0)
  t.ok(pond.stream(claim_id, 'stdout').equals(before), 'what opened before still opens')
})

t.test('a claim that pond dropped meanwhile is forgotten', async (t) => {
  const { clock, pond, executor, disk, start } = await createSwarmRig()
  const life = await start()
  const { claim_id } = pond.give()
  await clock.settle()
  executor.processes[0]?.write('stdout', 'x')
  await clock.settle()
  life.die()
  pond.fault = (name) => (name === 'sendChunk' ? refusal('unreachable') : undefined)
  await start()
  pond.direct({ type: 'drop', claim_id })
  await clock.advance(1000)
  t.notOk(pond.finalOf(claim_id))
  t.same(pond.polls.at(-1)?.have, [])
  t.notOk(disk.paths().some((path) => path.includes(claim_id)))
})

t.test('folders that no claim owns are removed', async (t) => {
  const { disk, start } = await createSwarmRig()
  await disk.makeFolder('/home/swarm/jobs/clm_forgotten/box')
  await start()
  t.notOk(disk.paths().some((path) => path.includes('forgotten')))
})
