// Bindings that serve several projects: whose jobs their workers get, who sees them, and what an operator may say.
import t from 'tap'
import { createCode, type Machine, pairBody, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const inProject = (project: string) => ({ 'pond-project': project })

async function createProjects(rig: PondRig, ...names: readonly string[]) {
  for (const name of names) await rig.call('createProject', { body: { name } })
}

const everybody = '*'

const serve = (rig: PondRig, { bindingId }: Machine, others: readonly string[]) => {
  const body = { friends: others.filter((name) => name !== everybody), public: others.includes(everybody) }
  return rig.call('putLadder', { params: { id: bindingId }, body })
}

let parked = 0

async function park(rig: PondRig, box: Machine, slots = 1) {
  const seen: { jobs?: readonly string[] } = {}
  parked += 1
  void box.poll({ wait_ms: 50_000, slots, claim_key: `parked-key-${parked}` }).then(({ reply }) => {
    seen.jobs = reply.intents.map(({ job_id }) => job_id)
  })
  await rig.clock.settle()
  return seen
}

t.test('a worker takes the jobs of its own project, then of its friends, then of everybody', async (t) => {
  const rig = await createPondRig(t)
  await createProjects(rig, 'friend', 'stranger')
  const box = await pairMachine(rig)
  const jobs = {
    stranger: await submit(rig, { priority: 9 }, inProject('stranger')),
    friend: await submit(rig, {}, inProject('friend')),
    own: await submit(rig, { priority: 0 }),
  }
  const { reply } = await serve(rig, box, ['friend', 'friend', everybody])
  t.strictSame(reply.ladder, { friends: ['friend'], public: true })
  const order: string[] = []
  for (let turn = 0; turn < 3; turn++) {
    for (const intent of await box.take()) {
      order.push(intent.job_id)
      await box.end([intent])
    }
  }
  t.strictSame(order, [jobs.own.id, jobs.friend.id, jobs.stranger.id])
})

t.test('a parked poll serves whom it is told to, at once and no longer', async (t) => {
  const rig = await createPondRig(t)
  await createProjects(rig, 'friend')
  const box = await pairMachine(rig)
  const waiting = await submit(rig, {}, inProject('friend'))
  const before = await park(rig, box)
  t.notOk(before.jobs)
  await serve(rig, box, ['friend'])
  await rig.clock.settle()
  t.strictSame(before.jobs, [], 'it is answered, and comes back')
  t.strictSame((await park(rig, box)).jobs, [waiting.id])
  const next = await park(rig, box, 2)
  const fresh = await submit(rig, {}, inProject('friend'))
  await rig.clock.settle()
  t.strictSame(next.jobs, [fresh.id], 'a fresh job of a friend is claimed with its submit')
  await serve(rig, box, [])
  await submit(rig, {}, inProject('friend'))
  const after = await park(rig, box, 3)
  t.notOk(after.jobs)
})

t.test('two projects share a pool by turns, and what each had counts', async (t) => {
  const rig = await createPondRig(t)
  await createProjects(rig, 'friend')
  const box = await pairMachine(rig, { project: 'friend' })
  await createProjects(rig, 'one', 'two')
  await rig.call('putWeight', { params: { project: 'one' }, body: { weight: 300 } })
  await serve(rig, box, ['one', 'two'])
  for (let index = 0; index < 12; index++) await submit(rig, {}, inProject('one'))
  for (let index = 0; index < 12; index++) await submit(rig, {}, inProject('two'))
  const { reply } = await rig.call('listJobs', { query: { limit: '100' }, headers: inProject('one') })
  const ofOne = new Set(reply.items.map(({ id }) => id))
  let had = 0
  for (let turn = 0; turn < 12; turn++) {
    for (const intent of await box.take()) {
      await box.say(intent, { state: 'running' })
      await rig.clock.advance(1000)
      if (ofOne.has(intent.job_id)) had++
      await box.end([intent])
    }
  }
  t.equal(had, 9, 'three of four')
})

t.test('consumers see the workers that serve them, and why knows whose turn it is', async (t) => {
  const rig = await createPondRig(t)
  await createProjects(rig, 'friend')
  const box = await pairMachine(rig)
  const seenBy = async (project: string) =>
    (await rig.call('listWorkers', { headers: inProject(project) })).reply.items.map(({ id }) => id)
  t.strictSame(await seenBy('friend'), [])
  await serve(rig, box, ['friend'])
  t.strictSame(await seenBy('friend'), [box.workerId])
  const own = await submit(rig, { requires: { labels: { never: 'here' } } })
  const friend = await submit(rig, {}, inProject('friend'))
  t.strictSame(await box.take(0), [])
  const why = async (id: string) => (await rig.call('explainJob', { params: { id } })).reply.waiting?.workers
  t.match(await why(own.id), [{ reason: 'lacks' }])
  t.match(await why(friend.id), [{ reason: 'busy' }])
})

t.test('a ladder of a code is that of the bindings that it makes', async (t) => {
  const rig = await createPondRig(t)
  await createProjects(rig, 'friend')
  const ladder = { friends: ['friend'], public: false }
  const code = await createCode(rig, 'default', { ladder })
  t.strictSame(code.ladder, ladder)
  const { reply } = await rig.call('pair', { body: pairBody(code.parsed), token: null })
  t.strictSame((await rig.call('getBinding', { params: { id: reply.binding_id } })).reply.ladder, ladder)
  t.strictSame((await rig.call('orchWhoami', { token: reply.token })).reply.ladder, ladder)
  await rig.restart()
  t.strictSame((await rig.call('getBinding', { params: { id: reply.binding_id } })).reply.ladder, ladder)
})

t.test('what is no ladder and no weight is refused with its field', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const unknown = await serve(rig, box, ['nobody'])
  t.match(unknown, { code: 'not_found', error: { details: { field: 'project' } } })
  const own = await serve(rig, box, ['default'])
  t.match(own, { status: 422, error: { code: 'invalid_field', details: { field: 'friends' } } }, 'its own project')
  t.match(own.error?.message, /default is the binding's own project/)
  const many = await serve(
    rig,
    box,
    Array.from({ length: 257 }, (_, index) => `p${index}`),
  )
  t.equal(many.code, 'invalid_field')
  const light = await rig.call('putWeight', { params: { project: 'default' }, body: { weight: 0 } })
  t.match(light, { code: 'invalid_field', error: { details: { field: 'weight' } } })
  await rig.call('revokeBinding', { params: { id: box.bindingId } })
  t.equal((await serve(rig, box, [everybody])).code, 'not_possible')
})
