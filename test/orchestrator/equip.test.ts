// Between the accepted start and the process: whatever comes there, the job ends once, and nothing of it is said in the clear.
import t from 'tap'
import { printKey } from '../../src/seal/key-text.ts'
import { loadSodium } from '../../src/seal/sodium.ts'
import { refusal } from '../harness/fake-pond-client.ts'
import { createSwarmRig } from '../harness/swarm-rig.ts'

// Loaded in real time, which no clock of a test waits for.
await loadSodium()

t.test('a cancel ends the wait for what the job is given', async (t) => {
  const rig = await createSwarmRig({ allowUnsandboxed: true })
  rig.pond.fault = (name) => (name === 'seal' ? refusal('unreachable') : undefined)
  await rig.start()
  const intent = rig.pond.give({ credential: 'db' }, { cred_request: { name: 'db', project: 'default' } })
  await rig.clock.advance(10)
  rig.pond.direct({ type: 'cancel', claim_id: intent.claim_id })
  await rig.clock.settle()
  t.equal(rig.executor.processes.length, 0)
  t.match(rig.pond.finalOf(intent.claim_id), { cause: 'cancelled' })
})

t.test('what cannot be prepared ends the job, in words that hold nothing of the error', async (t) => {
  const rig = await createSwarmRig({ allowUnsandboxed: true })
  rig.pond.serve = () => {
    throw new Error('hunter2hunter2')
  }
  await rig.start()
  const broken = rig.pond.give({ credential: 'db' }, { cred_request: { name: 'db', project: 'default' } })
  const weak = rig.pond.give({ recipients: [printKey('recipient', Buffer.alloc(32).toString('base64url'))] })
  await rig.clock.advance(1000)
  t.match(rig.pond.finalOf(broken.claim_id), { cause: 'setup_failed', rc: 125 })
  t.match(rig.pond.finalOf(weak.claim_id), { cause: 'no_seal', rc: 125 })
  t.notOk(JSON.stringify(rig.pond.words).includes('hunter2'))
})
