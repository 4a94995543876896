// What one claim may open: who signed its job, and what pond granted to it. All is checked against what this worker knows by itself; nothing is fetched here.

import type { Intent } from '../protocol/orch.ts'
import { type Bound, type Context, type Dsse, payloadType } from '../protocol/sealed.ts'
import { openDsse } from '../seal/dsse.ts'
import type { KeyPair } from '../seal/key.ts'
import { openGrant } from '../seal/open/envelope.ts'
import { SealError, type SealReason } from '../seal/refusal.ts'
import { loadSodium } from '../seal/sodium.ts'

/** What a job ends with that cannot be given what it needs. */
export type SupplyCause = 'no_seal' | 'bundle_rejected' | 'bad_signature' | 'disk_full'

/** A job cannot be given what it needs. Its message travels to the consumer, so it holds no value of a credential. */
export class SupplyError extends Error {
  override readonly name = 'SupplyError'
  readonly ending: SupplyCause
  /** What was wrong with what is sealed or signed; for the log of this machine alone. */
  readonly reason: SealReason | undefined

  constructor(ending: SupplyCause, message: string, reason?: SealReason) {
    super(message)
    this.ending = ending
    this.reason = reason
  }
}

/** Where a grant must be for, and who may open it. */
export interface ClaimScope {
  readonly bound: Bound
  /** Of the binding, as pairing told it. */
  readonly project: string
  /** Pond's Ed25519 key, as pinned. */
  readonly pondKey: () => string
  /** The worker's own X25519 pairs, older ones behind. */
  readonly pairs: readonly KeyPair[]
  /** Who signed the job, if anyone did. */
  readonly jobSigner: string | undefined
}

/**
 * The key that signed the job's exact bytes; undefined for a job that nobody signed. With `signers`, only theirs are run: a pond that
 * leaves the signature off gets no further than one that forges it.
 */
export function readJobSigner({ job, job_signature }: Intent, signers: readonly string[]): string | undefined {
  if (job_signature) verify(job, job_signature)
  const signer = job_signature?.keyid
  if (signers.length === 0 || (signer !== undefined && signers.includes(signer))) return signer
  throw new SupplyError('bad_signature', 'this worker runs only jobs signed by those whom its owner named')
}

function verify(job: string, signature: Dsse['signatures'][number]): void {
  try {
    openDsse({ payloadType: payloadType.job, payload: job, signatures: [signature] }, payloadType.job, signature.keyid)
  } catch (error) {
    throw toSupplyError(error, { ending: 'bad_signature', what: 'the signature of the job' })
  }
}

/** The content key of a grant for this claim, and the sealed object that it opens. */
export async function openFor(
  scope: ClaimScope,
  place: Context,
  signed: Dsse,
): Promise<ReturnType<typeof openGrant> & { readonly sodium: Awaited<ReturnType<typeof loadSodium>> }> {
  const sodium = await loadSodium()
  const { pairs, pondKey, bound, jobSigner } = scope
  return { ...openGrant({ sodium, pairs, pondKey: pondKey(), bound, place, jobSigner }, signed), sodium }
}

/** One sentence for all that can be wrong with what is sealed or signed: who changes bytes must not learn by the answers. */
export function toSupplyError(
  error: unknown,
  { ending, what }: { readonly ending: SupplyCause; readonly what: string },
): unknown {
  return error instanceof SealError ? new SupplyError(ending, `${what} was refused`, error.reason) : error
}
