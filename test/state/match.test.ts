// How many claims a poll may get, and who is passed over.
import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { type Candidate, grants, isConfidential, isPassedOver, mayKeepSecrets } from '../../src/state/match.ts'
import { newWorker, workerStates } from '../../src/state/worker.ts'

const now = 1_000_000
const candidate: Candidate = { workerId: 'w1', worker: newWorker, slots: 8, freeSlots: 8, held: 0 }

t.test('the least of what the worker says, the ledger says and trust allows', async (t) => {
  t.equal(grants(candidate, now), 8)
  t.equal(grants({ ...candidate, freeSlots: 3 }, now), 3, 'the worker has less room')
  t.equal(grants({ ...candidate, held: 6 }, now), 2, 'the ledger still counts six')
  t.equal(grants({ ...candidate, held: 9 }, now), 0, 'slots were taken away under live claims')
  const worker = { state: 'probation', mishaps: 3, pausedUntil: now } as const
  t.equal(grants({ ...candidate, worker }, now), 1, 'one on probation')
  t.equal(grants({ ...candidate, worker }, now - 1), 0, 'none in the pause')
  t.equal(grants({ ...candidate, worker, held: 1 }, now), 0, 'one at a time')
  t.equal(grants({ ...candidate, worker: { ...worker, state: 'quarantined' } }, now), 0)
  t.equal(grants({ ...candidate, worker: { ...worker, state: 'revoked' } }, now), 0)
})

t.test('never negative, never over the ledger, never over what is free', async (t) => {
  const candidates: fc.Arbitrary<Candidate> = fc.record({
    workerId: fc.constant('w1'),
    worker: fc.record({ state: fc.constantFrom(...workerStates), mishaps: fc.nat(9), pausedUntil: fc.nat(2 * now) }),
    slots: fc.nat(64),
    freeSlots: fc.nat(64),
    held: fc.nat(80),
  })
  fc.assert(
    fc.property(candidates, (one) => {
      const given = grants(one, now)
      assert.ok(Number.isInteger(given) && given >= 0)
      assert.ok(given <= one.freeSlots)
      assert.ok(given === 0 || one.held + given <= one.slots)
      if (one.worker.state !== 'ready') assert.ok(given <= 1)
    }),
    { numRuns: 1000 },
  )
  t.pass('1000 candidates')
})

t.test('a worker is passed over until the time is there', async (t) => {
  t.equal(isPassedOver({}, 'w1', now), false)
  t.equal(isPassedOver({ w1: now + 1 }, 'w1', now), true)
  t.equal(isPassedOver({ w1: now }, 'w1', now), false)
  t.equal(isPassedOver({ w1: now + 1 }, 'w2', now), false)
})

t.test('confidential is what brings a secret, or puts one out', async (t) => {
  t.equal(isConfidential({}), false)
  for (const job of [{ credential: 'c' }, { bundle: 'b' }, { recipients: ['r'] }]) t.equal(isConfidential(job), true)
})

t.test('secrets go where other jobs cannot read them, or where the owner says so', async (t) => {
  t.equal(mayKeepSecrets(), false, 'nothing was said yet')
  t.equal(mayKeepSecrets({}), false)
  t.equal(mayKeepSecrets({ sandbox: 'none', allow_unsandboxed: false }), false)
  t.equal(mayKeepSecrets({ sandbox: 'none', allow_unsandboxed: true }), true)
  for (const sandbox of ['uid', 'bubblewrap'] as const) t.equal(mayKeepSecrets({ sandbox }), true)
})
