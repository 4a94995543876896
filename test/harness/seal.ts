// What tests of sealing share: fixed keys, places and claims, and how a refusal is told from a crash.
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { digest } from '../../src/protocol/field.ts'
import { claimId, jobId, workerId } from '../../src/protocol/id.ts'
import type { Bound, Context, SegmentContext } from '../../src/protocol/sealed.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import { SealError, type SealReason } from '../../src/seal/refusal.ts'
import { createSigner, type Signer } from '../../src/seal/signature.ts'
import { loadSodium } from '../../src/seal/sodium.ts'

export const sodium = await loadSodium()

const body = '0123456789abcdefghjkmnpqrs'
export const ids = {
  job: jobId.parse(`job_${body}`),
  otherJob: jobId.parse(`job_${body.replace('0', '1')}`),
  claim: claimId.parse(`clm_${body}`),
  otherClaim: claimId.parse(`clm_${body.replace('0', '1')}`),
  worker: workerId.parse(`wrk_${body}`),
  otherWorker: workerId.parse(`wrk_${body.replace('0', '1')}`),
}

export const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')
export const jobBytes = Buffer.from('{"command":["true"]}')
export const jobDigest = digest.parse(sha256(jobBytes))

/** The same key for the same name, for ever. */
export function sealingPair(name: string): KeyPair {
  const { publicKey, privateKey } = sodium.crypto_box_seed_keypair(createHash('sha256').update(`seal ${name}`).digest())
  return {
    publicKey: Buffer.from(publicKey).toString('base64url'),
    privateKey: Buffer.from(privateKey).toString('base64url'),
  }
}

export function signingPair(name: string): KeyPair {
  const d = createHash('sha256').update(`sign ${name}`).digest('base64url')
  // Node asks for a public half and derives it all the same.
  const key = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43), d }, format: 'jwk' })
  return { publicKey: createPublicKey(key).export({ format: 'jwk' }).x ?? '', privateKey: d }
}

export const signerOf = (name: string): Signer => createSigner(signingPair(name))

export const places = {
  credential: { kind: 'credential', project: 'lab', name: 'registry' },
  bundle: { kind: 'bundle', project: 'lab' },
  private: { kind: 'private', job: ids.job, claim: ids.claim, part: 'end' },
  segment: { kind: 'segment', job: ids.job, claim: ids.claim, stream: 'stdout', segment: 0, offset: 0, at: 0 },
} as const satisfies Record<string, Context>

export const bound: Bound = { job: ids.job, claim: ids.claim, worker: ids.worker }
export const stream: Pick<SegmentContext, 'job' | 'claim' | 'stream'> = {
  job: ids.job,
  claim: ids.claim,
  stream: 'stdout',
}

export const outsideMessage = 'what is sealed or signed here was refused'

/** Why it was refused; undefined when it was not. Any other error than the one that a refusal may be goes through. */
export async function refusalOf(run: () => unknown): Promise<SealReason | undefined> {
  try {
    const result = run()
    if (isStream(result)) for await (const _ of result);
    else await result
    return undefined
  } catch (error) {
    if (!(error instanceof SealError) || error.message !== outsideMessage || error.cause !== undefined) throw error
    return error.reason
  }
}

function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

export async function gather(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts)
}

/** The bytes in pieces of these sizes, over and over. */
export function* split(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? bytes.length)
    yield bytes.subarray(at, at + size)
    at += size
  }
}
