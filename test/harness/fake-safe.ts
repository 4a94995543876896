// The sealed half of the scripted pond: its keys, workers, recipients, credentials and bundles, kept as the real one keeps them, without a store.
import { createHash } from 'node:crypto'
import type { WorkerView } from '../../src/protocol/consumer.ts'
import type { WorkerId } from '../../src/protocol/id.ts'
import type { Rotation } from '../../src/protocol/renewal.ts'
import { type Custody, type CustodyDetached, type Dsse, payloadType } from '../../src/protocol/sealed.ts'
import { canonicalBytes } from '../../src/seal/canonical.ts'
import { signDsse } from '../../src/seal/dsse.ts'
import { readCustody, readCustodyDetached, requireOpenable } from '../../src/seal/envelope.ts'
import { fingerprint } from '../../src/seal/fingerprint.ts'
import type { KeyPair } from '../../src/seal/key.ts'
import { signRotation } from '../../src/seal/rotation.ts'
import { createSigner, type Signer } from '../../src/seal/signature.ts'
import { loadSodium } from '../../src/seal/sodium.ts'
import type { HttpReply } from '../../src/system/network.ts'
import type { FakeCall } from './fake-pond.ts'
import { errorReply, jsonReply } from './http-reply.ts'
import { signingPairOf } from './signing-key.ts'

export const sodium = await loadSodium()

/** X25519 pairs that are the same each time. */
export function sealingPairOf(letter: string): KeyPair {
  const { publicKey, privateKey } = sodium.crypto_box_seed_keypair(Buffer.alloc(32, letter))
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
  return { publicKey: text(publicKey), privateKey: text(privateKey) }
}

export interface FakeWorker {
  readonly view: WorkerView
  readonly sealing: KeyPair
  readonly signer: Signer
}

/** A worker whose keys come from a letter. */
export function createFakeWorker(letter: string, { id, name = 'lab' }: { id: string; name?: string }): FakeWorker {
  const sealing = sealingPairOf(letter)
  const signer = createSigner(signingPairOf(Buffer.alloc(32, letter)))
  const view: WorkerView = {
    ...{ id, name, binding_id: 'bnd_1', project: 'default', state: 'online', labels: {}, slots: 1, inflight: 0 },
    sealing_key: sealing.publicKey,
    signing_key: signer.publicKey,
    fingerprint: fingerprint(sealing.publicKey, signer.publicKey),
  }
  return { view, sealing, signer }
}

/** The worker with new keys from a letter, and what proves them. */
export function rotateWorker({ view, signer }: FakeWorker, letter: string): FakeWorker {
  const next = createFakeWorker(letter, view)
  const { id, sealing_key, signing_key } = next.view
  const said: Rotation = { kind: 'worker', worker_id: id as WorkerId, sealing_key, signing_key }
  return { ...next, view: { ...next.view, rotations: [...(view.rotations ?? []), signRotation(said, signer)] } }
}

export interface PondPair {
  readonly signing: KeyPair
  readonly sealing: KeyPair
}

export const pondPairOf = (letter: string): PondPair => ({
  signing: signingPairOf(Buffer.alloc(32, letter)),
  sealing: sealingPairOf(letter),
})

/** A pond's keys as whoami tells them, with proofs by itself and by each of `before`. */
export function tellKeys({ signing, sealing }: PondPair, before: readonly PondPair[] = []) {
  const said: Rotation = { kind: 'pond', signing_key: signing.publicKey, sealing_key: sealing.publicKey }
  const proofs: Dsse[] = [signing, ...before.map((it) => it.signing)].map((pair) =>
    signDsse(payloadType.rotation, canonicalBytes(said), createSigner(pair)),
  )
  return { signing_key: signing.publicKey, sealing_key: sealing.publicKey, proofs }
}

export interface StoredBundle {
  readonly size: number
  bytes: Buffer
  custody?: CustodyDetached
}

export class FakeSafe {
  pair = pondPairOf('p')
  told = tellKeys(this.pair)
  project = 'default'
  workers: WorkerView[] = []
  recipients: string[] = []
  readonly credentials = new Map<string, Custody>()
  readonly bundles = new Map<string, StoredBundle>()

  serve({ name, params, query, body }: FakeCall): HttpReply | undefined {
    const { project, recipients } = this
    switch (name) {
      case 'whoami':
        return jsonReply({ kind: 'key', id: 'key_1', name: 'ci', project, scopes: [], protocol: 1, pond: this.told })
      case 'listWorkers':
        return jsonReply({ items: this.workers })
      case 'putRecipients':
        this.recipients = (body as { recipients: string[] }).recipients
        return jsonReply({ project, recipients: this.recipients })
      case 'getRecipients':
        return jsonReply({ project, recipients })
      case 'putCredential':
        return this.#putCredential(params.name ?? '', body as Custody)
      case 'listCredentials':
        return jsonReply({ items: [...this.credentials.keys()].map((it) => this.#viewCredential(it)) })
      case 'getCredential':
      case 'deleteCredential':
        return this.#credential(name, params.name ?? '')
      case 'getBundle':
      case 'putBundle':
      case 'sealBundle':
        return this.#bundle(name, params.digest ?? '', { query, body })
      default:
        return undefined
    }
  }

  #putCredential(name: string, custody: Custody): HttpReply {
    const { sealed, signer } = readCustody(custody)
    const place = { kind: 'credential', project: this.project, name } as const
    if (signer === undefined) requireOpenable(sodium, sealed, { pairs: [this.pair.sealing], place })
    this.credentials.set(name, custody)
    return jsonReply(this.#viewCredential(name))
  }

  #credential(call: 'getCredential' | 'deleteCredential', name: string): HttpReply {
    if (!this.credentials.has(name)) return errorReply('not_found', `there is no credential ${name}`)
    if (call === 'getCredential') return jsonReply(this.#viewCredential(name))
    this.credentials.delete(name)
    return jsonReply({})
  }

  #viewCredential(name: string) {
    const custody = this.credentials.get(name)
    if (!custody) throw new Error(`no credential ${name}`)
    const { sealed, signer } = readCustody(custody)
    const recipients = sealed.boxes.map(({ to }) => to)
    const by = { custody: signer === undefined ? 'pond' : 'client', ...(signer === undefined ? {} : { signer }) }
    return { name, project: this.project, recipients, created_at: 0, updated_at: 0, ...by }
  }

  #bundle(
    call: 'getBundle' | 'putBundle' | 'sealBundle',
    digest: string,
    { query, body }: Pick<FakeCall, 'query' | 'body'>,
  ): HttpReply {
    const known = this.bundles.get(digest)
    if (call === 'getBundle')
      return known ? this.#viewBundle(digest) : errorReply('not_found', 'there is no such bundle')
    if (call === 'sealBundle') {
      const { sealed } = readCustodyDetached(body as CustodyDetached)
      const row = known ?? { size: sealed.size, bytes: Buffer.alloc(0) }
      this.bundles.set(digest, { ...row, custody: body as CustodyDetached })
      return this.#viewBundle(digest)
    }
    const [offset, size] = [Number(query.offset), Number(query.size)]
    const row = known ?? { size, bytes: Buffer.alloc(0) }
    if (offset > row.bytes.length) return errorReply('chunk_gap', 'a gap', { committed: row.bytes.length })
    row.bytes = Buffer.concat([row.bytes.subarray(0, offset), body as Buffer])
    this.bundles.set(digest, row)
    const whole = row.bytes.length === size
    if (!whole || createHash('sha256').update(row.bytes).digest('hex') === digest) return this.#viewBundle(digest)
    this.bundles.delete(digest)
    return errorReply('digest_mismatch', 'other bytes')
  }

  #viewBundle(digest: string): HttpReply {
    const row = this.bundles.get(digest)
    if (!row) throw new Error(`no bundle ${digest}`)
    const { size, bytes, custody } = row
    const { signer } = custody ? readCustodyDetached(custody) : { signer: undefined }
    const by = custody ? { custody: signer === undefined ? 'pond' : 'client', signer } : {}
    return jsonReply({ digest, size, committed: bytes.length, complete: bytes.length === size, ...by })
  }
}
