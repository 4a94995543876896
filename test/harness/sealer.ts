// A consumer with real keys: it seals credentials and bundles for a pond or for workers, signs jobs, and hands them in.
import { createHash } from 'node:crypto'
import type { JobSpec } from '../../src/protocol/job.ts'
import {
  type Custody,
  type CustodyDetached,
  type Dsse,
  payloadType,
  type SealedDetached,
} from '../../src/protocol/sealed.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { signDsse } from '../../src/seal/dsse.ts'
import { sealDetached, sealInline, signSealed } from '../../src/seal/envelope.ts'
import { type Identity, makeIdentity } from '../../src/seal/identity.ts'
import { createSigner, type Signer } from '../../src/seal/signature.ts'
import { loadSodium } from '../../src/seal/sodium.ts'
import { systemRandom } from '../../src/system/random.ts'
import type { Asking, PondRig } from './pond.ts'

export interface SealedBundle {
  readonly frames: Buffer
  readonly digest: string
  readonly size: number
  readonly custody: CustodyDetached
}

/** For whom something is sealed. Without `to` it is for pond, and not signed. */
export interface For {
  readonly project?: string
  readonly to?: readonly string[]
}

export interface Sealer {
  readonly identity: Identity
  readonly signer: Signer
  credential(name: string, values: object, wish?: For): Promise<Custody>
  bundle(content: Uint8Array, wish?: For): Promise<SealedBundle>
  job(spec: JobSpec): Dsse
  /** Uploads frames and boxes. */
  upload(bundle: SealedBundle, asking?: Asking): Promise<string>
}

export async function createSealer(rig: PondRig): Promise<Sealer> {
  const sodium = await loadSodium()
  const identity = await makeIdentity()
  const signer = createSigner(identity.signing)
  const base = ({ project = 'default', to }: For) => ({
    wish: { sodium, random: systemRandom, recipients: to ?? [rig.pond.services.core.keys.sealing[0].publicKey] },
    place: { project, ...(to ? { signer: signer.publicKey } : {}) },
  })
  return {
    identity,
    signer,
    async credential(name, values, wanted = {}) {
      const { wish, place } = base(wanted)
      const context = { kind: 'credential', name, ...place } as const
      const sealed = await sealInline({ ...wish, context }, Buffer.from(JSON.stringify(values)))
      return wanted.to ? { signed: signSealed(sealed, signer) } : { sealed }
    },
    async bundle(content, wanted = {}) {
      const { wish, place } = base(wanted)
      const { frames, finish } = sealDetached({ ...wish, context: { kind: 'bundle', ...place } }, source(content))
      const parts: Buffer[] = []
      for await (const part of frames) parts.push(part)
      const sealed: SealedDetached = finish()
      const custody = wanted.to ? { signed: signSealed(sealed, signer) } : { sealed }
      return { frames: Buffer.concat(parts), digest: sealed.digest, size: sealed.size, custody }
    },
    job: (spec) => signDsse(payloadType.job, canonicalBytes(spec), signer),
    async upload({ digest, size, frames, custody }, asking = {}) {
      const params = { digest }
      const query = { offset: '0', size: String(size) }
      await rig.call('putBundle', { ...asking, params, query, body: frames })
      await rig.call('sealBundle', { ...asking, params, body: custody })
      return digest
    },
  }
}

async function* source(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
}

/** A tar of one empty file, as far as its first block goes; what comes behind it pond never looks at. */
export function plainTar(secret: string): Buffer {
  const head = Buffer.alloc(512)
  head.write('a.txt')
  head.write('ustar\0', 257)
  return Buffer.concat([head, Buffer.from(secret), Buffer.alloc(100_000, 7)])
}

export const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
