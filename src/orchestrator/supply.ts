// What a job is given besides its spec: the values of its credential and the content of its bundle. Asked of pond when the claim is
// confirmed, checked here, and handed to the executor; what reaches the disk in the clear lies in the box that the executor removes.
import type { unpack } from '../bundle/unpack.ts'
import type { CallError, Client } from '../client/contract.ts'
import type { WorkerId } from '../protocol/id.ts'
import type { JobSpec } from '../protocol/job.ts'
import type { Intent } from '../protocol/orch.ts'
import type { KeyPair } from '../seal/key.ts'
import { openPayload } from '../seal/open/frame.ts'
import { isNoRoom } from '../system/disk.ts'
import type { Log } from '../system/log.ts'
import { type BundleCache, BundleDamagedError, type HeldBundle } from './bundle-cache.ts'
import { type Credential, noCredential, openCredential } from './credential.ts'
import { type ClaimScope, openFor, readJobSigner, type SupplyCause, SupplyError, toSupplyError } from './grant.ts'

export interface Supply {
  /** For the environment of the process. */
  readonly env: Readonly<Record<string, string>>
  /** For the plan's `files`. */
  readonly files: Readonly<Record<string, Buffer>>
  /** Values that must not show in what the job says: of the environment, and contents of files. */
  readonly secrets: readonly Buffer[]
  /**
   * For the plan's `prepare`: fills the folder that the process starts in. Rejects with SupplyError, or with what the disk says. Absent without a bundle: a
   * folder that is touched is not used again.
   */
  readonly prepare?: (work: string) => Promise<void>
  /** Once nothing of the job runs and nothing of it is redacted any more; harmless twice. */
  close(): Promise<void>
}

export interface Refused {
  readonly refused: { readonly cause: SupplyCause; readonly message: string }
}

/** `unsaid`: the signal aborted first. */
export type Supplied = Supply | Refused | 'unsaid'

export const isRefused = (supplied: Supply | Refused): supplied is Refused => 'refused' in supplied

export interface SupplyOrder {
  readonly intent: Intent
  readonly job: JobSpec
  /** The claim's: aborts when the job is not wanted any more, or swarm ends. */
  readonly signal: AbortSignal
}

export interface SupplyParts {
  readonly client: Client
  readonly log: Log
  readonly bundles: () => Promise<BundleCache>
  readonly unpack: typeof unpack
  /** Of the binding, as pairing told it. */
  readonly project: string
  /** Ed25519 keys of those whose jobs are run; empty: anybody's. */
  readonly signers: readonly string[]
  /** Pond's Ed25519 key as it is pinned now. */
  readonly pondKey: () => string
  /** A worker's X25519 pairs, older ones behind. */
  readonly pairsOf: (worker: WorkerId) => readonly KeyPair[]
}

/** A piece is small; a line that does not bring one in this time brings nothing. */
const PIECE_MS = 2 * 60 * 1000

export async function fetchSupply(parts: SupplyParts, order: SupplyOrder): Promise<Supplied> {
  let bundle: HeldSource | undefined
  try {
    const scope = scopeOf(parts, order)
    // The bundle first: it can take long, and secrets are fetched as late as they can be.
    bundle = await fetchBundle(parts, order, scope)
    const credential = await fetchCredential(parts, order, scope)
    return toSupply(parts, order, { credential, bundle })
  } catch (error) {
    await bundle?.held.release()
    if (order.signal.aborted) return 'unsaid'
    const refusal = toRefusal(error)
    if (refusal === undefined) throw error
    const { claim_id, job_id } = order.intent
    const reason = error instanceof SupplyError ? error.reason : undefined
    parts.log.warn('supply_refused', { claim_id, job_id, ...refusal, reason })
    return { refused: refusal }
  }
}

/** How a job ends that could not be given what it needs; undefined for any other error. Also for what `prepare` rejects with. */
export function toRefusal(error: unknown): Refused['refused'] | undefined {
  if (error instanceof SupplyError) return { cause: error.ending, message: error.message }
  const inner = error instanceof Error ? error.cause : undefined
  if (isNoRoom(error) || isNoRoom(inner))
    return { cause: 'disk_full', message: 'this worker has no room for the bundle' }
  if (error instanceof BundleDamagedError) return { cause: 'bundle_rejected', message: error.message }
  return undefined
}

function scopeOf(parts: SupplyParts, { intent, job }: SupplyOrder): ClaimScope {
  const { job_id, claim_id, worker_id, cred_request, source_bundle } = intent
  const jobSigner = readJobSigner(intent, parts.signers)
  // What pond offers must be what the job's own bytes ask for, in the project that this machine was paired for.
  const named = cred_request?.name === job.credential && (cred_request?.project ?? parts.project) === parts.project
  if (!named) throw new SupplyError('no_seal', 'pond offers another credential than the one that the job names')
  if (source_bundle?.digest !== job.bundle)
    throw new SupplyError('bundle_rejected', 'pond offers another bundle than the one that the job names')
  return {
    bound: { job: job_id, claim: claim_id, worker: worker_id },
    project: parts.project,
    // It may be replaced while a bundle is on its way.
    pondKey: parts.pondKey,
    pairs: parts.pairsOf(worker_id),
    jobSigner,
  }
}

async function fetchCredential(
  { client }: SupplyParts,
  { intent, job, signal }: SupplyOrder,
  scope: ClaimScope,
): Promise<Credential> {
  if (job.credential === undefined) return noCredential
  const { job_id, claim_id, worker_id, claim_token: claimToken } = intent
  const answer = await client.persist('seal', { body: { job_id, claim_id, worker_id }, claimToken, signal })
  if (!answer.ok) throw notGiven('no_seal', 'the credential', answer.error)
  return openCredential(scope, job.credential, answer.reply.sealed)
}

/** Ciphertext in hand, and what it opens to. */
interface HeldSource {
  readonly held: HeldBundle
  open(): AsyncIterable<Buffer>
}

async function fetchBundle(
  parts: SupplyParts,
  { intent, signal }: SupplyOrder,
  scope: ClaimScope,
): Promise<HeldSource | undefined> {
  const { job_id, claim_id, worker_id, claim_token: claimToken, source_bundle } = intent
  if (!source_bundle) return undefined
  const { digest, size, token } = source_bundle
  const body = { job_id, claim_id, worker_id, token }
  const answer = await parts.client.persist('bundleRedeem', { body, claimToken, signal })
  if (!answer.ok) throw notGiven('bundle_rejected', 'the bundle', answer.error)
  const { sodium, sealed, content } = await openBundleGrant(scope, answer.reply.sealed)
  const same = 'digest' in sealed && sealed.digest === digest && sealed.size === size
  if (!same || answer.reply.digest !== digest || answer.reply.size !== size)
    throw new SupplyError('bundle_rejected', 'pond granted another bundle than the one that the job names')
  // Pond's own path always serves it, so `href`, which may be a URL elsewhere that needs another kind of call, is not followed.
  const piece = (offset: number) => fetchPiece(parts.client, { intent, digest, offset, signal })
  const held = await (await parts.bundles()).take({ digest, sizeBytes: size, piece, signal })
  return { held, open: () => openPayload(sodium, content, untilAborted(held.read(), signal)) }
}

async function openBundleGrant(scope: ClaimScope, signed: Parameters<typeof openFor>[2]) {
  try {
    return await openFor(scope, { kind: 'bundle', project: scope.project }, signed)
  } catch (error) {
    throw toSupplyError(error, { ending: 'bundle_rejected', what: 'the seal of the bundle' })
  }
}

interface Piece {
  readonly intent: Intent
  readonly digest: string
  readonly offset: number
  readonly signal: AbortSignal
}

async function fetchPiece(client: Client, { intent, digest, offset, signal }: Piece): Promise<Uint8Array> {
  const { job_id, claim_id, claim_token: claimToken } = intent
  const query = { job: job_id, claim: claim_id, offset }
  const call = { params: { digest }, query, claimToken, deadlineMs: PIECE_MS, signal }
  const answer = await client.persist('fetchBundle', call)
  if (!answer.ok) throw notGiven('bundle_rejected', 'the bundle', answer.error)
  return answer.reply as Uint8Array
}

async function* untilAborted(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    signal.throwIfAborted()
    yield bytes
  }
}

const notGiven = (ending: SupplyCause, what: string, { message }: CallError) =>
  new SupplyError(ending, `pond does not give ${what}: ${message}`)

function toSupply(
  { unpack }: SupplyParts,
  { signal }: SupplyOrder,
  { credential: { env, files }, bundle }: { readonly credential: Credential; readonly bundle: HeldSource | undefined },
): Supply {
  const values = Object.values(env).map((text) => Buffer.from(text))
  return {
    env,
    files,
    secrets: [...values, ...Object.values(files)].filter(({ length }) => length > 0),
    ...(bundle && { prepare: (work: string) => unpackInto(work, { unpack, bundle, signal }) }),
    close: async () => bundle?.held.release(),
  }
}

async function unpackInto(
  work: string,
  {
    unpack,
    bundle,
    signal,
  }: Pick<SupplyParts, 'unpack'> & Pick<SupplyOrder, 'signal'> & { readonly bundle: HeldSource },
): Promise<void> {
  try {
    await unpack(bundle.open(), work)
  } catch (error) {
    throw signal.aborted ? new SupplyError('bundle_rejected', 'the job is not wanted any more') : toRejection(error)
  }
  await bundle.held.release()
}

/** Also a bundle that is whole by its digest can have been sealed wrongly, or be none. */
function toRejection(error: unknown): unknown {
  const what = 'the content of the bundle'
  if (!(error instanceof Error) || error.name !== 'BundleError')
    return toSupplyError(error, { ending: 'bundle_rejected', what })
  const noRoom = isNoRoom(error) || isNoRoom(error.cause)
  return noRoom ? error : new SupplyError('bundle_rejected', error.message)
}
