// What a worker states about claims that ended: the words it is about to say, in the words of an attestation, under its signature.
import type { Dsse } from '../protocol/sealed.ts'
import { attest, describeExecution } from '../seal/attestation.ts'
import type { ClaimParts } from './claim.ts'
import type { FinalWord } from './words.ts'

/** All of one worker. */
export function attestWords(
  words: readonly FinalWord[],
  { signerOf, version }: Pick<ClaimParts, 'signerOf'> & { readonly version: string },
): Dsse {
  const [first] = words
  if (!first) throw new Error('there is nothing to attest')
  const worker = first.claim.worker_id
  const executions = words.map(({ word, claim }) => {
    const { job_digest, epoch, bundle } = claim
    return describeExecution(word, { job_digest, epoch, bundle })
  })
  return attest(signerOf(worker), { worker, version }, executions)
}
