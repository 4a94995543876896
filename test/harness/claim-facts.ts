// What a swarm knows of a claim before it starts, and a worker that signs: for tests of its parts.
import { createHash } from 'node:crypto'
import type { ClaimFacts } from '../../src/orchestrator/journal-entry.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import { createSigner } from '../../src/seal/signature.ts'
import { signingPairOf } from './signing-key.ts'

export const workerSigner = createSigner(signingPairOf(Buffer.alloc(32, 'w')))

export function factsOf({ claim_id, job_id, claim_token, worker_id, attempt, epoch, limits, job }: Intent): ClaimFacts {
  const job_digest = createHash('sha256').update(Buffer.from(job, 'base64')).digest('hex')
  return { claim_id, job_id, claim_token, worker_id, attempt, epoch, ...limits, job_digest }
}
