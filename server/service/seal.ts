// Sealing for one claim: what its job names, sealed anew to the worker that holds it. Content keys pass through here; what they open does not.
import { Refusal } from '../../src/protocol/error.ts'
import type { WorkerId } from '../../src/protocol/id.ts'
import {
  type Context,
  type Custody,
  type CustodyDetached,
  custody,
  custodyDetached,
  type Dsse,
} from '../../src/protocol/sealed.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { grantSealed, grantSigned, readCustody, readCustodyDetached } from '../../src/seal/envelope.ts'
import { SealError } from '../../src/seal/refusal.ts'
import type { Signer } from '../../src/seal/signature.ts'
import { bundleToken, sameText } from '../../src/seal/token.ts'
import type { BundleRow, JobRow, WorkerRow } from '../store/row.ts'
import { recordAudit } from './audit.ts'
import { framesOf, touchBundle } from './bundle.ts'
import type { Core } from './core.ts'
import type { LiveClaim } from './live.ts'
import { type ClaimCaller, holdClaim } from './stream.ts'

export interface SealCaller extends ClaimCaller {
  readonly workerId: WorkerId
  /** Pond's key as the binding has pinned it: after a rotation it is the former one, until the binding's token is replaced. */
  readonly pondKey: string
}

/** The most that one reply with a bundle's bytes carries. */
const PIECE_BYTES = 4 * 1024 * 1024

/** A live claim, its job, and the worker that may open what the job names. */
interface Holding {
  readonly claim: LiveClaim
  readonly job: JobRow
  readonly worker: WorkerRow
}

/** The job's credential for this claim. A repeat answers again, with a box of its own. */
export async function sealCredential(core: Core, caller: SealCaller): Promise<{ sealed: Dsse }> {
  const holding = await hold(core, caller)
  const { credential: name, projectId } = holding.job
  if (name === undefined) throw namesNone('credential')
  const text = await core.store.read((tx) => tx.getCustody(projectId, name))
  const what = { action: 'credential.seal', note: `credential ${name} for ${holding.job.id}` }
  const place = { kind: 'credential', project: nameOf(core, holding.job), name } as const
  const by = core.keys.signerFor(caller.pondKey)
  const sealed = await grantOrTell(core, holding, {
    what,
    grant: () => grant(core, holding, { place, by, ...readText(text, custody.parse, readCustody) }),
  })
  await core.store.write((tx) => recordAudit(core, tx, auditOf(holding, what)))
  return { sealed }
}

/** Says the token of the intent once more. */
export async function tokenForBundle(core: Core, caller: SealCaller): Promise<{ token: string }> {
  const { claim, job } = await hold(core, caller)
  if (!job.bundle) throw namesNone('bundle')
  return { token: tokenOf(core, claim) }
}

export async function redeemBundle(
  core: Core,
  caller: SealCaller,
  token: string,
): Promise<{ sealed: Dsse; digest: string; size: number; href: string }> {
  const holding = await hold(core, caller)
  const { bundle, projectId } = holding.job
  if (!bundle) throw namesNone('bundle')
  const what = { action: 'bundle.redeem', note: `bundle ${bundle.digest} for ${holding.job.id}` }
  if (!sameText(token, tokenOf(core, holding.claim))) {
    await tell(core, holding, { ...what, note: `${what.note}: the token of another claim` })
    throw new Refusal('forbidden', 'this is not the bundle token of the claim')
  }
  const place = { kind: 'bundle', project: nameOf(core, holding.job) } as const
  const row = await core.store.read((tx) => tx.findBundle(projectId, bundle.digest))
  const sealed = await grantOrTell(core, holding, {
    what,
    grant: () =>
      grant(core, holding, {
        place,
        by: core.keys.signerFor(caller.pondKey),
        ...readText(row?.complete ? row.custody : undefined, custodyDetached.parse, readCustodyDetached),
      }),
  })
  await core.store.write(async (tx) => {
    const fresh = await tx.findBundle(projectId, bundle.digest)
    if (fresh) await touchBundle(core, tx, fresh)
    await recordAudit(core, tx, auditOf(holding, what))
  })
  core.bundleSites.fetched(bundle.digest, holding.claim.workerId)
  return { sealed, ...bundle, href: `/orch/bundles/${bundle.digest}` }
}

/** A piece of the stored bytes, and where the next one starts. */
export async function readBundle(
  core: Core,
  caller: ClaimCaller,
  { digest, offset }: { readonly digest: string; readonly offset: number },
): Promise<{ readonly bytes: Buffer; readonly next: number; readonly size: number }> {
  const { job } = await hold(core, caller)
  const row: BundleRow | undefined =
    job.bundle?.digest === digest ? await core.store.read((tx) => tx.findBundle(job.projectId, digest)) : undefined
  if (!row?.complete) throw new Refusal('not_found', 'the job of this claim has no such bundle', { field: 'digest' })
  const bytes = await core.blobs.read(framesOf(row), offset, PIECE_BYTES)
  return { bytes, next: offset + bytes.length, size: row.size }
}

/** Only who holds the claim now: what a lost one may still deliver it needs no secret for. */
async function hold(core: Core, caller: ClaimCaller & { readonly workerId?: WorkerId }): Promise<Holding> {
  const { id } = await holdClaim(core, caller)
  const claim = core.live.get(id)
  const worker = claim && core.fleet.get(claim.workerId)
  const job = await core.store.read((tx) => tx.getJob(caller.jobId))
  if (!claim || !worker || !job) throw new Refusal('stale', 'the claim no longer holds the job')
  const holding = { claim, job, worker }
  if (caller.workerId !== undefined && caller.workerId !== worker.id) {
    await tell(core, holding, { action: 'seal.refused', note: `asked for as ${caller.workerId}` })
    throw new Refusal('forbidden', 'this claim is of another worker')
  }
  if (worker.law.state === 'quarantined' || worker.law.state === 'revoked') {
    await tell(core, holding, { action: 'seal.refused', note: `the worker is ${worker.law.state}` })
    throw noSeal()
  }
  return holding
}

interface What {
  readonly action: string
  readonly note: string
}

const auditOf = ({ claim }: Holding, what: What) => ({ by: `worker:${claim.workerId}`, target: claim.id, ...what })

async function tell(core: Core, holding: Holding, what: What): Promise<void> {
  core.log.warn('seal.refused', { claim: holding.claim.id, worker: holding.claim.workerId, note: what.note })
  await core.store.write((tx) => recordAudit(core, tx, auditOf(holding, { ...what, action: 'seal.refused' })))
}

/** The worker hears only that there is no seal: to tell why would make pond an oracle for what it was handed. The audit knows. */
async function grantOrTell(
  core: Core,
  holding: Holding,
  { what, grant }: { readonly what: What; readonly grant: () => Dsse },
): Promise<Dsse> {
  try {
    return grant()
  } catch (error) {
    const why = error instanceof SealError ? error.reason : String(error)
    await tell(core, holding, { ...what, note: `${what.note}: ${why}` })
    throw noSeal()
  }
}

function noSeal(): Refusal {
  return new Refusal('no_seal', 'what the job needs cannot be sealed to this worker', { reason: 'no_seal' })
}

interface Kept<T> {
  readonly kept: T
  readonly context: Context
  readonly signer?: string
}

/** What was handed in, read again: the store is trusted to keep it, not to have had it from the right hands. */
function readText<T extends Custody | CustodyDetached>(
  text: string | undefined,
  parse: (value: unknown) => T,
  read: (kept: T) => { readonly sealed: { readonly context: Context }; readonly signer?: string },
): Kept<T> {
  if (text === undefined) throw new SealError('not_for_you')
  const kept = parse(JSON.parse(text))
  const { sealed, signer } = read(kept)
  return { kept, context: sealed.context, ...(signer === undefined ? {} : { signer }) }
}

function grant(
  core: Core,
  { claim, job, worker }: Holding,
  {
    kept,
    context,
    signer,
    place,
    by,
  }: Kept<Custody | CustodyDetached> & { readonly place: Context; readonly by: Signer },
): Dsse {
  const { keys, sodium } = core
  const bound = { job: claim.jobId, claim: claim.id, worker: worker.id }
  if ('sealed' in kept) {
    const wish = { sodium, pairs: keys.sealing, place, sealingKey: worker.sealingKey, bound, signer: by }
    return grantSealed(wish, kept.sealed)
  }
  if (!canonicalBytes(context).equals(canonicalBytes({ ...place, signer }))) throw new SealError('wrong_place')
  if (job.signature?.keyid !== signer) throw new SealError('bad_signature')
  return grantSigned(by, bound, kept.signed)
}

function namesNone(field: 'credential' | 'bundle'): Refusal {
  return new Refusal('invalid_field', `the job names no ${field}`, { field: 'job_id' })
}

const tokenOf = ({ keys }: Core, { id, epoch }: LiveClaim) => bundleToken(keys.tokenKey, id, epoch)

const nameOf = (core: Core, { projectId }: Pick<JobRow, 'id' | 'projectId'>) =>
  core.projects.get(projectId) ?? projectId
