// What pond matches and what a swarm admits are one rule: of what pond knows from a report, nothing is given that would be declined.
import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { admit } from '../../src/orchestrator/admission.ts'
import { sandboxes } from '../../src/protocol/field.ts'
import type { ClaimId, JobId, WorkerId } from '../../src/protocol/id.ts'
import type { JobSpec } from '../../src/protocol/job.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import { lackOf, needsOf } from '../../src/state/match.ts'

const intentOf = (job: JobSpec): Intent => ({
  ...{ claim_id: 'clm_1' as ClaimId, job_id: 'job_1' as JobId, worker_id: 'wrk_1' as WorkerId },
  ...{ epoch: 1, attempt: 1, claim_token: '', lease_ms: 1, confirm_ms: 1 },
  job: Buffer.from(JSON.stringify(job)).toString('base64'),
  limits: { stream_bytes: 1, artifact_bytes: 1 },
})

const kind = fc.constantFrom(...sandboxes, 'docker')
const value = fc.oneof(kind, fc.constantFrom('host', 'bridge', true, 1))

const asked = fc.record(
  {
    sandbox: fc.record({ backend: value, network: value }, { requiredKeys: [] }),
    requires: fc.record({ sandbox: kind }, { requiredKeys: [] }),
    bundle: fc.constant('0'.repeat(64)),
  },
  { requiredKeys: [] },
)

t.test('a job is matched to a worker exactly where the walls there let its swarm admit it', async (t) => {
  const outcomes = new Set<boolean>()
  fc.assert(
    fc.property(asked, fc.constantFrom(...sandboxes), fc.boolean(), (more, sandbox, allowUnsandboxed) => {
      const job: JobSpec = { command: ['true'], ...more }
      const report = { sandbox, allow_unsandboxed: allowUnsandboxed }
      const lack = lackOf(needsOf(job), { ...report, labels: {}, resources: { slots: 1 } })
      const gate = { unwelcome: () => undefined, spareDisk: () => 0 }
      const admission = admit(intentOf(job), { sandbox, allowUnsandboxed, gpus: [], gate })
      assert.equal(admission.ok, lack === undefined, JSON.stringify({ lack, admission }))
      const { backend = sandbox, network = 'host' } = job.sandbox ?? {}
      const held = network === 'host' || (network === 'none' && sandbox === 'bubblewrap')
      const isKept = held && backend === sandbox && (job.requires?.sandbox ?? sandbox) === sandbox
      const isSafe = job.bundle === undefined || sandbox !== 'none' || allowUnsandboxed
      assert.equal(admission.ok, isKept && isSafe)
      outcomes.add(admission.ok)
    }),
    { numRuns: 3000 },
  )
  t.equal(outcomes.size, 2, 'both were met')
})
