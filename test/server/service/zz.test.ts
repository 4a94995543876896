import t from 'tap'
import { finalWord, jobOf, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig } from '../../harness/pond.ts'

t.test('smoke', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const job = await submit(rig)
  const intent = await box.start()
  const said = await box.send(intent, { offset: 0, bytes: 'hi' })
  t.equal(said.reply.committed, 2)
  t.equal((await box.say(intent, finalWord)).reply.outcome, 'accepted')
  t.equal((await jobOf(rig, job.id)).state, 'succeeded')
  const p0 = process.hrtime.bigint()
  for (let i = 0; i < 100; i++) await rig.dump()
  console.error(Number(process.hrtime.bigint() - p0) / 1e8, 'ms a dump')
  await rig.restart()
  t.equal((await jobOf(rig, job.id)).state, 'succeeded')
})
