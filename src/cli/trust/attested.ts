// What a worker attested of a job's latest attempt, checked against the keys that are trusted here.
import type { AttestationView } from '../../protocol/asset.ts'
import type { ClaimId, JobId } from '../../protocol/id.ts'
import { type Execution, findExecution, openAttestation } from '../../seal/attestation.ts'
import { SealError } from '../../seal/refusal.ts'
import { callFailure } from '../failure.ts'
import type { Session } from '../session.ts'
import type { Opening } from './opening.ts'

/** The execution that the attestation states, by a trusted worker and of this very job; else a SealError. */
export async function attestedExecution(
  { client }: Pick<Session, 'client'>,
  { id, opening, attempt }: { readonly id: string; readonly opening: Opening; readonly attempt?: number },
): Promise<Execution> {
  const query = attempt === undefined ? {} : { attempt }
  const answer = await client.call('getAttestation', { params: { id }, query })
  if (!answer.ok) throw callFailure(`get the attestation of ${id}`, answer.error)
  const execution = readExecution(answer.reply, id)
  await opening.meet()
  if (!opening.trusts(answer.reply.signing_key)) throw new SealError('untrusted')
  if (execution.facts.job_digest !== opening.jobDigest) throw new SealError('wrong_place')
  return execution
}

/** The execution that the view's own key signed; who that key belongs to is another question. */
export function readExecution(view: AttestationView, jobId: string): Execution {
  const said = openAttestation(view.attestation, view.signing_key)
  if (said.predicate.worker !== view.worker) throw new SealError('wrong_place')
  const found = findExecution(said, jobId as JobId, view.claim_id as ClaimId)
  if (!found) throw new SealError('wrong_place')
  return found
}
