// The poll loop: heartbeat, lost replies, a second session, and facts that change while a poll is held.
import t from 'tap'
import { limit } from '../../src/protocol/limit.ts'
import { sleep } from '../../src/system/clock.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

t.test('an idle poll is held 50 s, one that holds claims 20 s, and each follows the one before', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  await start()
  await clock.advance(100_000)
  t.same(
    pond.polls.map((poll) => [poll.seq, poll.wait_ms]),
    [1, 2, 3].map((seq) => [seq, 50_000]),
  )
  t.equal(new Set(pond.polls.map((poll) => poll.session)).size, 1)
  const { claim_id } = pond.give()
  await clock.advance(40_000)
  t.match(pond.polls.at(-1), { wait_ms: 20_000, have: [{ claim_id, state: 'running' }] })
})

t.test('lost intents reply: the same claim key gets them again, and each runs once', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  pond.fault = (name) => (name === 'poll' && pond.polls.length < 2 ? 'lost' : undefined)
  pond.give()
  pond.give()
  await start()
  await clock.advance(200_000)
  t.equal(executor.processes.length, 2)
  const keys = pond.polls.map((poll) => poll.claim_key)
  t.equal(keys[0], keys[1], 'the key of a lost reply is used again')
  t.not(keys.at(-1), keys[0], 'and never after its intents arrived')
})

t.test('a reply that comes late repeats intents whose job is long over: it does not run again', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  executor.onStart = (process) => process.exit()
  let arrive = () => {}
  const late = new Promise<void>((resolve) => {
    arrive = resolve
  })
  pond.deliver = (_, call) => ((call.body as unknown as { seq?: number }).seq === 1 ? late : undefined)
  const { swarm } = await start()
  const { claim_id } = pond.give({ idempotent: true })
  await clock.settle()
  t.equal(executor.processes.length, 0, 'the first reply is on its way')
  void swarm.pause()
  void swarm.resume()
  await clock.advance(100)
  t.ok(pond.finalOf(claim_id), 'the second brought it too, and it ran')
  arrive()
  await clock.advance(1000)
  t.equal(executor.processes.length, 1)
})

t.test(
  'the last word of a job tells that its slot is free: pond fills it in its reply to the poll it holds',
  async (t) => {
    const { clock, pond, executor, start } = await createSwarmRig({ slots: 1 })
    await start()
    pond.give()
    await clock.advance(1000)
    const held = pond.polls.length
    t.match(pond.polls.at(-1), { workers: [{ free: { slots: 0 } }], have: [{}], refill: true })
    executor.processes[0]?.exit()
    await clock.advance(1000)
    t.equal(pond.polls.length, held)
    const { claim_id } = pond.give()
    await clock.settle()
    t.equal(executor.processes[1]?.plan.claimId, claim_id)
    t.equal(pond.polls.length, held + 1, 'and the next poll waits for what comes')
  },
)

t.test('the reply to a last word fills its slot beside the held poll', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 1 })
  await start()
  pond.give()
  await clock.advance(1000)
  const held = pond.polls.length
  const next = [pond.giveWithWords(), pond.giveWithWords()].map(({ claim_id }) => claim_id)
  const [last] = pond.withWords.splice(1)
  executor.processes[0]?.exit()
  await clock.advance(1000)
  if (last) pond.withWords.push(last)
  executor.processes[1]?.exit()
  await clock.advance(1000)
  t.strictSame(
    executor.processes.slice(1).map(({ plan }) => plan.claimId),
    next,
  )
  t.equal(pond.polls.length, held)
  await clock.advance(limit.pollHoldBusyMs)
  t.match(pond.polls.at(-1), { have: [{ claim_id: next[1] }] }, 'the next one names it')
})

t.test('a thousand jobs under one held poll are not remembered without an end', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 1 })
  await start()
  pond.give({ idempotent: true })
  await clock.settle()
  const held = pond.polls.length
  for (let jobs = 0; jobs < 1500; jobs++) {
    pond.giveWithWords({ idempotent: true })
    executor.processes.at(-1)?.exit()
    await clock.settle()
  }
  t.equal(executor.processes.length, 1501)
  t.ok(pond.polls.length > held && pond.polls.length < held + 10, `${pond.polls.length - held} polls`)
})

t.test(
  'a slot whose last word takes its time, or is not taken, is told by a newer poll beside the held one',
  async (t) => {
    for (const fault of [() => new Promise<undefined>(() => {}), () => refusal('stale')]) {
      const { clock, pond, executor, start } = await createSwarmRig({ slots: 1 })
      await start()
      pond.give()
      await clock.advance(1000)
      const held = pond.polls.length
      pond.fault = (name) => (name === 'sendWords' ? fault() : undefined)
      executor.processes[0]?.exit()
      await clock.advance(25)
      t.match(pond.polls.at(-1), { workers: [{ free: { slots: 1 } }] })
      t.equal(pond.polls.length, held + 1)
    }
  },
)

t.test('a swarm that takes no more says so before the word that frees a slot', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 1 })
  const { swarm } = await start()
  pond.give()
  await clock.advance(1000)
  swarm.pause()
  await clock.settle()
  t.notOk(pond.polls.at(-1)?.refill)
  executor.processes[0]?.exit()
  await clock.settle()
  t.match(pond.polls.at(-1), { workers: [{ free: { slots: 0 } }], have: [] })
  pond.give()
  await clock.advance(1000)
  t.equal(executor.processes.length, 1)
})

t.test('never more than two polls are under way, however fast jobs come and go', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig({ slots: 8 })
  let underWay = 0
  let most = 0
  pond.fault = (name) => {
    if (name === 'poll') most = Math.max(most, ++underWay)
    return undefined
  }
  pond.deliver = (name) => {
    if (name === 'poll') underWay--
  }
  executor.onStart = (process) => process.exit()
  await start()
  for (let count = 0; count < 100; count++) pond.give({ idempotent: true })
  await clock.advance(1000)
  t.equal(executor.processes.length, 100)
  t.ok(most <= 2)
  t.ok(pond.polls.length < 100)
})

t.test('pond away: tries again with jitter up to a minute, and Retry-After is obeyed', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  pond.fault = (name) => (name === 'poll' ? refusal('unreachable') : undefined)
  await start()
  await clock.advance(3_600_000)
  const tries = pond.calls.filter((name) => name === 'poll').length
  t.ok(tries > 60 && tries < 300, `${tries} tries in an hour`)
  pond.fault = (name) => (name === 'poll' ? { ...refusal('too_many_requests'), retryAfterMs: 600_000 } : undefined)
  await clock.advance(61_000)
  const before = pond.calls.filter((name) => name === 'poll').length
  await clock.advance(500_000)
  t.equal(pond.calls.filter((name) => name === 'poll').length, before)
  pond.fault = () => undefined
  pond.give()
  await clock.advance(200_000)
  t.equal(executor.processes.length, 1)
})

t.test('the line broke a moment ago: who holds claims tries often while their lease runs', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  await start()
  pond.give()
  await clock.advance(30_000)
  pond.fault = () => refusal('unreachable')
  const tries = () => pond.calls.filter((name) => name === 'poll').length
  await clock.advance(20_000)
  for (let turn = 0; turn < 6; turn++) {
    const tried = tries()
    await clock.advance(9000)
    t.ok(tries() > tried)
  }
})

t.test('pond is back after an hour and listens for one lease: who holds claims is heard in it', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  await start()
  pond.give({}, { lease_ms: 6000 })
  await clock.advance(1000)
  pond.fault = (name) => (name === 'poll' ? refusal('unreachable') : undefined)
  await clock.advance(3_600_000)
  const before = pond.polls.length
  const tries = () => pond.calls.filter((name) => name === 'poll').length
  for (let lease = 0; lease < 100; lease++) {
    const tried = tries()
    await clock.advance(6000)
    t.ok(tries() > tried, 'within any lease')
  }
  pond.fault = () => undefined
  await clock.advance(6000)
  t.ok(pond.polls.length > before)
})

t.test('a second session: says so and keeps asking until the other is gone', async (t) => {
  const { clock, pond, executor, lines, start } = await createSwarmRig()
  pond.fault = (name) => (name === 'poll' ? refusal('session_conflict') : undefined)
  const life = await start()
  await clock.advance(60_000)
  t.match(
    lines.find((line) => line.event === 'poll_failed'),
    { fields: { code: 'session_conflict' } },
  )
  t.notOk(life.end)
  pond.fault = () => undefined
  pond.give()
  await clock.advance(120_000)
  t.equal(executor.processes.length, 1)
})

t.test('revoked or outdated: swarm ends with the reason, and nothing of it goes on running', async (t) => {
  for (const code of ['unauthenticated', 'upgrade_required'] as const) {
    const { clock, pond, executor, start } = await createSwarmRig()
    const life = await start()
    pond.give()
    await clock.settle()
    pond.fault = () => refusal(code)
    await clock.advance(60_000)
    t.match(life.end, { reason: code, message: /refused/ })
    t.same(executor.processes[0]?.signals, ['KILL'])
  }
})

t.test('slow_down is obeyed, directives of a later version are passed over', async (t) => {
  const { clock, pond, lines, start } = await createSwarmRig()
  await start()
  pond.direct({ type: 'slow_down', wait_ms: 30_000 })
  pond.direct({ type: 'sing' })
  await clock.settle()
  const count = pond.polls.length
  await clock.advance(29_000)
  t.equal(pond.polls.length, count)
  await clock.advance(2000)
  t.ok(pond.polls.length > count)
  t.match(
    lines.find((line) => line.event === 'directive_ignored'),
    { fields: { type: 'sing' } },
  )
})

t.test('a directive that takes its time makes no storm of polls', async (t) => {
  const { clock, pond, executor, start } = await createSwarmRig()
  executor.onTerminate = () => {}
  await start()
  const { claim_id } = pond.give()
  await clock.settle()
  pond.direct({ type: 'cancel', claim_id })
  // Pond repeats it until it is obeyed, so no poll is held.
  const repeat = () => pond.direct({ type: 'cancel', claim_id })
  pond.fault = (name) => {
    if (name === 'poll') queueMicrotask(repeat)
    return undefined
  }
  const before = pond.polls.length
  await clock.advance(9_000)
  const count = pond.polls.length - before
  t.ok(count >= 9 && count <= 20, `${count} polls in 9 s`)
})

t.test('healthy while polls are answered, not after hold and grace without one', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  const { swarm } = await start()
  t.notOk(swarm.health().ok, 'before the first answer')
  await clock.advance(51_000)
  t.ok(swarm.health().ok)
  pond.fault = () => refusal('unreachable')
  await clock.advance(50_000)
  t.ok(swarm.health().ok)
  await clock.advance(66_000)
  t.notOk(swarm.health().ok)
  t.match(swarm.status(), { state: 'ready', healthy: false, slots: 2, free: 2 })
})

t.test('a poll says which replies arrived, once pond has told that it knows of that', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  pond.fault = (name) => (name === 'poll' && pond.polls.length === 2 ? 'lost' : undefined)
  await start()
  await clock.advance(250_000)
  t.same(
    pond.polls.slice(0, 5).map(({ heard }) => heard),
    [undefined, 'receipt 1', 'receipt 2', 'receipt 2', 'receipt 4'],
    'the third reply was lost',
  )
  const older = await createSwarmRig()
  older.pond.protocol = 2
  await older.start()
  await older.clock.advance(200_000)
  t.notOk(
    older.pond.polls.some((poll) => 'heard' in poll),
    'a pond of the step before is not told',
  )
})

t.test('three holds in a row without any reply: the client is made anew, and the hold is what it was', async (t) => {
  const { clock, pond, lines, start, renewed } = await createSwarmRig()
  const { swarm } = await start()
  await clock.advance(60_000)
  let silent = true
  pond.fault = (name) => (name === 'poll' && silent ? { ...refusal('unreachable'), loss: 'silent' } : undefined)
  await clock.until(() => swarm.health().missed_holds === 2)
  t.equal(renewed(), 0)
  t.equal(swarm.status().hold_ms, 12_500, 'a NAT may have forgotten: half, and half of that')
  await clock.until(() => swarm.health().missed_holds === 3)
  t.equal(renewed(), 1)
  t.match(
    lines.find(({ event }) => event === 'client_rebuilt'),
    { fields: { missed_holds: 3 } },
  )
  t.equal(swarm.status().hold_ms, 50_000)
  await clock.until(() => swarm.health().missed_holds === 6)
  t.equal(renewed(), 2)
  silent = false
  await clock.advance(200_000)
  t.match(swarm.health(), { ok: true, missed_holds: 0, turning: true })
})

t.test('what is refused, cut or not even sent is no missed hold', async (t) => {
  const { clock, pond, start, renewed } = await createSwarmRig()
  const { swarm } = await start()
  const faults = [refusal('internal'), { ...refusal('unreachable'), loss: 'unsent' as const }]
  pond.fault = (name) => (name === 'poll' ? faults[pond.calls.length % 2] : undefined)
  await clock.advance(600_000)
  t.equal(swarm.health().missed_holds, 0)
  t.equal(renewed(), 0)
})

t.test('polls that are cut at the same age are held for less', async (t) => {
  const { clock, pond, start } = await createSwarmRig()
  const { swarm } = await start()
  pond.fault = async (name, call) => {
    const { wait_ms = 0 } = (call.body ?? {}) as { readonly wait_ms?: number }
    if (name !== 'poll' || wait_ms < 30_000) return undefined
    await sleep(clock, 30_000)
    return { ...refusal('unreachable'), loss: 'cut' }
  }
  await clock.advance(300_000)
  t.equal(swarm.status().hold_ms, 24_000)
  t.ok(swarm.health().ok)
})

t.test('a hold that pond ends a little early was a whole one, and a cut before it is forgotten', async (t) => {
  const holdAfter = async (heldMs: number) => {
    const { clock, pond, start } = await createSwarmRig()
    const lives = [30_000, heldMs, 30_000]
    pond.fault = async (name) => {
      const ageMs = name === 'poll' ? lives.shift() : undefined
      await sleep(clock, ageMs ?? 0)
      pond.direct({ type: 'sing' })
      return ageMs === 30_000 ? { ...refusal('unreachable'), loss: 'cut' } : undefined
    }
    const { swarm } = await start()
    await clock.until(() => lives.length === 0)
    await clock.advance(30_000)
    return swarm.status().hold_ms
  }
  t.equal(await holdAfter(49_400), 50_000)
  t.equal(await holdAfter(48_000), 24_000)
})

t.test('whoever lost pond waits a random part of the time that pond asked for', async (t) => {
  const { clock, pond, lines, start } = await createSwarmRig()
  pond.returnMs = 20_000
  await start()
  await clock.advance(60_000)
  pond.fault = () => refusal('unreachable')
  await clock.advance(120_000)
  const waits = lines.flatMap(({ event, fields }) => (event === 'poll_failed' ? [Number(fields?.wait_ms)] : []))
  t.ok(waits.length > 3)
  t.ok(
    waits.some((ms) => ms > 4000),
    `${waits}`,
  )
  t.ok(waits.every((ms) => ms <= 60_000))
})
