// What one claim's job is given, and what may leave it: had before anything of it runs, or the end of the job.
import { SealError } from '../seal/refusal.ts'
import type { ClaimParts } from './claim.ts'
import type { ClaimFacts, Ending } from './journal-entry.ts'
import { createPrivacy, type Privacy } from './privacy.ts'
import { isRefused, type Supply, type SupplyOrder } from './supply.ts'

export interface Equipment {
  /** To be closed, whatever becomes of the job. */
  readonly supply?: Supply
  /** Absent where not even that could be made. */
  readonly privacy?: Privacy
  /** Why the job ends here. */
  readonly refused?: Pick<Ending, 'cause' | 'message'>
}

/** `unsaid`: the signal aborted first. Never rejects. */
export async function equip(
  { fetchSupply, log, random, signerOf }: ClaimParts,
  { claim, ...order }: SupplyOrder & { readonly claim: ClaimFacts },
): Promise<Equipment | 'unsaid'> {
  let supply: Supply | undefined
  try {
    const supplied = await fetchSupply(order)
    if (supplied === 'unsaid') return supplied
    const refused = isRefused(supplied) ? supplied.refused : undefined
    supply = isRefused(supplied) ? undefined : supplied
    const secrets = supply?.secrets ?? []
    const privacy = await createPrivacy({ random, signer: signerOf(claim.worker_id), claim, secrets })
    return { privacy, ...(supply && { supply }), ...(refused && { refused }) }
  } catch (error) {
    log.error('equip_failed', { claim_id: claim.claim_id, error: String(error) })
    const cause = error instanceof SealError ? 'no_seal' : 'setup_failed'
    return { ...(supply && { supply }), refused: { cause, message: says[cause] } }
  }
}

/** Nothing seals or redacts yet, so what is said holds nothing of the error. */
const says = {
  no_seal: 'nothing can be sealed to one of the recipients',
  setup_failed: 'this worker could not prepare what the job needs',
} as const
