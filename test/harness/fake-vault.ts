// Pond's half of what is sealed, in memory: it keeps ciphertext as consumers hand it in and grants it to one worker for one claim.
import type { Call } from '../../src/client/contract.ts'
import type { Intent } from '../../src/protocol/orch.ts'
import type { RouteName } from '../../src/protocol/route.ts'
import {
  type Bound,
  type Context,
  type CredentialValues,
  type Dsse,
  payloadType,
  type Sealed,
} from '../../src/protocol/sealed.ts'
import { signDsse } from '../../src/seal/dsse.ts'
import { grantSealed, grantSigned, sealDetached, sealInline, signSealed } from '../../src/seal/envelope.ts'
import { type KeyPair, makeSealingPair, makeSigningPair } from '../../src/seal/key.ts'
import { createSigner, type Signer } from '../../src/seal/signature.ts'
import { loadSodium } from '../../src/seal/sodium.ts'
import { systemRandom } from '../../src/system/random.ts'
import { refusal } from './fake-pond-client.ts'

export interface WorkerPairs {
  readonly sealing: KeyPair
  readonly signing: KeyPair
}

export const makeWorkerPairs = async (): Promise<WorkerPairs> => ({
  sealing: await makeSealingPair(),
  signing: await makeSigningPair(),
})

interface Kept {
  readonly place: Context
  readonly thing: { readonly sealed: Sealed } | { readonly signed: Dsse }
}

type BoundBody = {
  readonly job_id: Bound['job']
  readonly claim_id: Bound['claim']
  readonly worker_id: Bound['worker']
}

export const PROJECT = 'default'
const PIECE_BYTES = 100_000

export class FakeVault {
  readonly pondKey: string
  readonly worker: WorkerPairs
  /** The offsets at which pieces of bundles were asked for. */
  readonly pieces: number[] = []
  /** Changes a grant before it goes out; what comes of it is signed. */
  alter: (bound: Bound) => Bound = (bound) => bound
  readonly #signer: Signer
  readonly #sealing: KeyPair
  readonly #kept = new Map<string, Kept>()
  readonly #stored = new Map<string, Buffer>()

  constructor(own: WorkerPairs, worker: WorkerPairs) {
    this.#signer = createSigner(own.signing)
    this.#sealing = own.sealing
    this.pondKey = own.signing.publicKey
    this.worker = worker
  }

  /** With `signer` it is sealed to the worker, so that pond cannot open it. */
  async setCredential(name: string, values: CredentialValues | string, signer?: Signer): Promise<Partial<Intent>> {
    const place = { kind: 'credential', project: PROJECT, name, ...(signer && { signer: signer.publicKey }) } as const
    const wish = await this.#wish(place, signer)
    const text = typeof values === 'string' ? values : JSON.stringify(values)
    this.#kept.set(name, { place, thing: signedBy(signer, await sealInline(wish, Buffer.from(text))) })
    return { cred_request: { name, project: PROJECT } }
  }

  async setBundle(content: Uint8Array, signer?: Signer): Promise<NonNullable<Intent['source_bundle']>> {
    const place = { kind: 'bundle', project: PROJECT, ...(signer && { signer: signer.publicKey }) } as const
    const { frames, finish } = sealDetached(await this.#wish(place, signer), parts(content))
    const stored: Buffer[] = []
    for await (const frame of frames) stored.push(frame)
    const sealed = finish()
    this.#kept.set(sealed.digest, { place, thing: signedBy(signer, sealed) })
    this.#stored.set(sealed.digest, Buffer.concat(stored))
    return { digest: sealed.digest, size: sealed.size, token: 'bundle token' }
  }

  /** What pond stores of a bundle; may be damaged by whoever gets it. */
  stored(digest: string): Buffer {
    return this.#stored.get(digest) ?? Buffer.alloc(0)
  }

  async #wish(context: Context, signer: Signer | undefined) {
    const recipients = [signer ? this.worker.sealing.publicKey : this.#sealing.publicKey]
    return { sodium: await loadSodium(), random: systemRandom, context, recipients }
  }

  async #grant(name: string, { job_id, claim_id, worker_id }: BoundBody): Promise<Dsse | undefined> {
    const kept = this.#kept.get(name)
    const bound = this.alter({ job: job_id, claim: claim_id, worker: worker_id })
    if (!kept) return undefined
    if ('signed' in kept.thing) return grantSigned(this.#signer, bound, kept.thing.signed)
    const wish = { sodium: await loadSodium(), pairs: [this.#sealing], place: kept.place, bound, signer: this.#signer }
    return grantSealed({ ...wish, sealingKey: this.worker.sealing.publicKey }, kept.thing.sealed)
  }

  /** For FakePond's `serve`; `name` says which credential the job names. */
  async serve(route: RouteName, call: Call<RouteName>, name = 'db'): Promise<unknown> {
    const body = call.body as unknown as BoundBody & { readonly token?: string }
    if (call.claimToken === undefined) return refusal('unauthenticated')
    switch (route) {
      case 'seal': {
        const sealed = await this.#grant(name, body)
        return sealed ? { sealed } : refusal('no_seal', { reason: 'there is no such credential' })
      }
      case 'bundleRedeem': {
        const digest = [...this.#stored.keys()].at(-1) ?? ''
        const sealed = body.token === 'bundle token' ? await this.#grant(digest, body) : undefined
        const size = this.stored(digest).length
        return sealed ? { sealed, digest, size, href: 'https://elsewhere.example/b' } : refusal('forbidden')
      }
      case 'fetchBundle': {
        const offset = Number(call.query?.offset)
        this.pieces.push(offset)
        return this.stored(call.params?.digest ?? '').subarray(offset, offset + PIECE_BYTES)
      }
      default:
        return refusal('not_found')
    }
  }
}

const signedBy = (signer: Signer | undefined, sealed: Sealed) =>
  signer ? { signed: signSealed(sealed, signer) } : { sealed }

async function* parts(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
}

export async function createVault(): Promise<FakeVault> {
  return new FakeVault(await makeWorkerPairs(), await makeWorkerPairs())
}

/** The fields of an intent for a job that this key signed. */
export function signedJob(job: object, signer: Signer): Pick<Intent, 'job' | 'job_signature'> {
  const { payload, signatures } = signDsse(payloadType.job, Buffer.from(JSON.stringify(job)), signer)
  const [signature] = signatures
  if (!signature) throw new Error('a DSSE has a signature')
  return { job: payload, job_signature: signature }
}
