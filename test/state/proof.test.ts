// What a final word is worth with its proof: every proof, with every kind of end.
import t from 'tap'
import { workerCauses } from '../../src/protocol/job.ts'
import { newJob, stepJob, type Verdict } from '../../src/state/job.ts'
import { judgeProof } from '../../src/state/proof.ts'
import { policyOf } from '../../src/state/retry.ts'

const success: Verdict = { cause: 'exit', rc: 0 }
const failures: readonly Verdict[] = [
  { cause: 'exit', rc: 1 },
  ...workerCauses.filter((cause) => cause !== 'exit').map((cause) => ({ cause })),
]

t.test('a good proof changes nothing, a bad one spoils every end', async (t) => {
  for (const verdict of [success, ...failures]) {
    for (const required of [true, false]) {
      t.equal(judgeProof(verdict, 'good', required), verdict)
      t.same(judgeProof(verdict, 'bad', required), { cause: 'bad_signature' })
    }
  }
})

t.test('without a proof only success is refused, and only where one is required', async (t) => {
  t.same(judgeProof(success, 'none', true), { cause: 'bad_signature' })
  t.equal(judgeProof(success, 'none', false), success)
  for (const verdict of failures) t.equal(judgeProof(verdict, 'none', true), verdict)
})

t.test('what is not proved fails the job, and is tried again only where the job asks for that', async (t) => {
  for (const [words, state] of [
    [{ idempotent: true }, 'failed'],
    [{ retry: { on: ['bad_signature' as const] } }, 'queued'],
  ] as const) {
    const running = {
      ...newJob(policyOf(words), 'queued'),
      state: 'running' as const,
      claimId: 'c',
      epoch: 1,
      attempts: 1,
    }
    const verdict = judgeProof(success, 'none', true)
    t.match(stepJob(running, { type: 'finish', claimId: 'c', verdict }, 1), { job: { state }, cause: 'bad_signature' })
  }
})
