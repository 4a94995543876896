// Room: a poll is filled up to what its worker said, and again where a final word says that a slot came free.
import t from 'tap'
import type { Intent } from '../../../src/protocol/orch.ts'
import { finalWord, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

/** Two jobs run, more wait, and the poll that names the two is held. */
async function full(rig: PondRig, box: Machine, { refill }: { readonly refill: boolean }) {
  const running: Intent[] = []
  for (let jobs = 0; jobs < 5; jobs++) await submit(rig, { idempotent: true })
  running.push(...(await box.take(2)))
  for (const intent of running) await box.say(intent, { state: 'running' })
  const replies: (readonly Intent[])[] = []
  const hold = () => {
    const poll = box.poll({
      claim_key: 'the key of the held',
      wait_ms: 20_000,
      slots: 0,
      have: box.have(running),
      refill,
    })
    void poll.then(({ reply }) => {
      replies.push(reply.intents)
      t.strictSame(reply.directives, [], 'nothing is said of a claim whose end was heard')
    })
    return rig.clock.settle()
  }
  await hold()
  const [one, other] = running
  if (!one || !other) throw new Error('two jobs were to run')
  return { one, other, replies }
}

t.test('a final word fills its slot in the reply to the held poll, where that allows it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, replies } = await full(rig, box, { refill: true })
  await box.say(one, finalWord)
  await rig.clock.settle()
  t.equal(replies.length, 1)
  t.equal(replies[0]?.length, 1, 'one slot, one job')
})

t.test('without the poll’s word for it a slot stays empty until the next poll', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, replies } = await full(rig, box, { refill: false })
  await box.say(one, finalWord)
  await rig.clock.settle()
  t.strictSame(replies, [])
})

t.test('a claim that died without a final word may be running still: its slot is not filled', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, other, replies } = await full(rig, box, { refill: true })
  await box.say(one, { state: 'declined', message: 'no' }).catch(() => {})
  await rig.clock.settle()
  t.strictSame(replies, [], 'a running job is not declined')
  await box.say(other, finalWord)
  await rig.clock.settle()
  t.equal(replies.flat().length, 1)
})

t.test('a slot is filled once, however often its word is said', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, replies } = await full(rig, box, { refill: true })
  await Promise.all([1, 2, 3].map(() => box.say(one, finalWord)))
  await rig.clock.settle()
  t.equal(replies.flat().length, 1)
  t.equal(rig.pond.services.core.live.held(box.bindingId, box.workerId), 2)
})

t.test('a slot that came free while nothing waited is filled by the next submit', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 1 })
  await submit(rig)
  const intent = await box.start()
  const poll = box.poll({ claim_key: 'another key', wait_ms: 20_000, slots: 0, have: box.have([intent]), refill: true })
  await rig.clock.settle()
  await box.say(intent, finalWord)
  const job = await submit(rig)
  const { reply } = await poll
  t.match(reply.intents, [{ job_id: job.id }])
  t.equal(reply.intents.length, 1)
})

t.test(
  'between two polls a slot is filled ahead: the next poll brings the job, under whatever key, again if its reply was lost',
  async (t) => {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig, { slots: 2 })
    const { one, other, replies } = await full(rig, box, { refill: true })
    await box.say(one, finalWord)
    await rig.clock.settle()
    await box.say(other, finalWord)
    await rig.clock.settle()
    t.equal(replies.flat().length, 1, 'the held poll had gone with the first')
    t.equal(rig.pond.services.core.live.held(box.bindingId, box.workerId), 2, 'the second slot is filled too')
    const have = box.have(replies.flat())
    const next = async (claim_key: string) => {
      const poll = box.poll({ claim_key, wait_ms: 1000, slots: 0, have, refill: true })
      await rig.clock.advance(1000)
      return (await poll).reply.intents
    }
    const [brought] = await next('the next key')
    t.ok(brought)
    t.match(await next('the next key'), [{ claim_id: brought?.claim_id }], 'again under the same key')
    t.strictSame(await next('one more key'), [], 'and under no other')
  },
)

t.test('a binding that does not poll again is left alone after a second', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 2 })
  const { one, other } = await full(rig, box, { refill: true })
  await box.say(one, finalWord)
  await rig.clock.advance(1000)
  await box.say(other, finalWord)
  await rig.clock.settle()
  t.equal(rig.pond.services.core.live.held(box.bindingId, box.workerId), 1)
})
