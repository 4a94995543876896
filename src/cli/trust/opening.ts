// Opening what a confidential job says: with the own identity, for workers that are trusted, sealed to nobody whom the consumer did not name.
import type { JobView } from '../../protocol/consumer.ts'
import type { ClaimId, JobId } from '../../protocol/id.ts'
import { fingerprint } from '../../seal/fingerprint.ts'
import type { Identity } from '../../seal/identity.ts'
import { parseKey } from '../../seal/key-text.ts'
import type { ReaderParts } from '../../seal/open/segment.ts'
import { SealError, type SealReason } from '../../seal/refusal.ts'
import { loadSodium, type Sodium } from '../../seal/sodium.ts'
import { Failure } from '../failure.ts'
import type { Session } from '../session.ts'
import { findIdentity } from './identity.ts'
import { recallSubmitted } from './job-memory.ts'
import { projectKey, readTrust, type Trust } from './store.ts'
import { createWorkerPins, type WorkerPins } from './worker.ts'

export interface Opening extends WorkerPins {
  readonly sodium: typeof Sodium
  readonly identity: Identity
  /** Of the job's exact bytes: as they were submitted from here, else as pond tells. */
  readonly jobDigest: string
  /** Whether the consumer named the recipient of this fingerprint. */
  readonly named: (fingerprint: string) => boolean
  reader(claim: string, stream: string): ReaderParts
}

/** Undefined for a job whose output is plain, as it was submitted from here or as pond tells. */
export async function openingOf(session: Session, job: JobView): Promise<Opening | undefined> {
  const { home, url } = session.connection
  const remembered = await recallSubmitted(home, job.id)
  if ((remembered ?? job).recipients.length === 0) return undefined
  const identity = await findIdentity(home)
  if (!identity) throw noIdentity(job)
  const trust = await readTrust(home)
  const named = namedBy({ job, trust, url, identity, remembered: remembered?.recipients })
  const pins = createWorkerPins(session, { trust, submittedAt: remembered?.at ?? job.created_at })
  const jobDigest = remembered?.digest ?? job.digest
  const sodium = await loadSodium()
  return {
    ...pins,
    sodium,
    identity,
    jobDigest,
    named: (of) => named.has(of),
    reader: (claim, stream) => ({
      sodium,
      stream: { job: job.id as JobId, claim: claim as ClaimId, stream },
      jobDigest,
      pairs: [identity.sealing],
      trusts: pins.trusts,
      sameWorker: pins.sameWorker,
      named: (of) => named.has(of),
    }),
  }
}

function noIdentity(job: JobView): Failure {
  return new Failure({
    what: `the output of ${job.id} is sealed, and there is no identity here that could open it`,
    why: 'it was submitted by somebody else, or with another --home',
    next: 'Bring identity.json from there, or ask its owner to name you: pond identity.',
  })
}

/** Fingerprints of those who may read: whom the job named when it left here; else who is pinned for the project. */
function namedBy({
  job,
  trust,
  url,
  identity,
  remembered,
}: {
  readonly job: JobView
  readonly trust: Trust
  readonly url: string
  readonly identity: Identity
  readonly remembered: readonly string[] | undefined
}): ReadonlySet<string> {
  const texts = remembered ?? trust.recipients[projectKey(url, job.project)] ?? []
  const keys = texts.flatMap((text) => parseKey('recipient', text) ?? [])
  return new Set([identity.sealing.publicKey, ...keys].map((key) => fingerprint(key)))
}

const says: Readonly<Record<SealReason, { readonly why: string; readonly next: string }>> = {
  not_for_you: {
    why: 'it is not sealed to the identity of this client',
    next: 'Use the --home whose identity the job named.',
  },
  damaged: {
    why: 'it was changed, cut or put together from other pieces on its way',
    next: 'Do not believe it; tell the operator of this pond.',
  },
  wrong_place: {
    why: 'it belongs to another job, attempt or stream',
    next: 'Do not believe it; tell the operator of this pond.',
  },
  bad_signature: { why: 'it is not signed by a worker', next: 'Do not believe it; tell the operator of this pond.' },
  untrusted: {
    why: 'its worker is not trusted here, or shows another key than the one that was pinned',
    next: 'Compare the fingerprint with its owner (swarm keys), then: pond trust worker NAME.',
  },
  bad_key: { why: 'nothing can be sealed to that key', next: 'Ask its owner for the right one.' },
  unnamed_recipient: {
    why: 'somebody whom this client did not name can read it too',
    next: 'Do not believe this pond. If that recipient is right, it adds itself (pond recipient add), then: pond trust recipients.',
  },
}

/** What a SealError means to a person; anything else is thrown on as it is. */
export function sealFailure(what: string, error: unknown): unknown {
  if (!(error instanceof SealError)) return error
  const { why, next } = says[error.reason]
  return new Failure({ what, why, next, cause: error }, undefined, { code: 'seal', reason: error.reason })
}
