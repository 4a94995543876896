// Workers whose owners want nothing of what they get: they are offered less and less of it, and all again once they take a job.
import t from 'tap'
import { Refusals } from '../../../server/service/refusal.ts'
import { workerIdOf } from '../../contract/store-row.ts'
import { type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

/** Polls for so long and refuses all that comes; answers how many that were. */
async function refuseFor(rig: PondRig, box: Machine, forMs: number): Promise<number> {
  const until = rig.clock.now() + forMs
  let count = 0
  while (rig.clock.now() < until) {
    const intents = await box.take(4)
    for (const intent of intents) await box.say(intent, { state: 'declined', cause: 'refused' })
    count += intents.length
    if (intents.length > 0) await rig.clock.advance(10)
  }
  return count
}

t.test('a queue of what the owner does not want is tried slowly, and what another takes at once', async (t) => {
  const rig = await createPondRig(t)
  const [box, other] = [await pairMachine(rig), await pairMachine(rig, { letter: 'o', name: 'other' })]
  for (let times = 0; times < 100; times++) await submit(rig)
  const count = await refuseFor(rig, box, 10_000)
  t.ok(count >= 12 && count <= 22, `${count} in ten seconds`)
  t.equal((await other.take(4)).length, 4)
  const [intent] = await box.take(4)
  if (!intent) throw new Error('one at a time is still tried')
  await box.say(intent, { state: 'running' })
  t.equal((await box.take(4)).length, 3, 'who takes a job is asked as before')
})

t.test('a refusal whose commit was lost, and that is said again, counts once', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig, { slots: 8 })
  for (let times = 0; times < 16; times++) await submit(rig)
  for (const intent of await box.take(7)) {
    rig.storeFault = () => 'lose'
    const lost = await box.say(intent, { state: 'declined', cause: 'refused' })
    t.equal(lost.status, 503)
    rig.storeFault = () => undefined
    await box.say(intent, { state: 'declined', cause: 'refused' })
  }
  t.equal((await box.take(8)).length, 8, 'seven in a row are not yet many')
})

t.test('the eighth in a row begins it, and one that was taken ends it', (t) => {
  const refusals = new Refusals()
  const id = workerIdOf(1)
  const refuse = (times: number) => {
    for (let time = 0; time < times; time++) refusals.refused(id, 0)
    return [refusals.room(id, 0), refusals.room(id, 1000)]
  }
  const all = Number.POSITIVE_INFINITY
  t.strictSame(refuse(7), [all, all])
  t.strictSame(refuse(1), [0, 1])
  refusals.took(id)
  t.strictSame(refuse(7), [all, all])
  t.end()
})
