// A confidential job on the scripted pond: a worker's sealed streams, private end and attestation, so that a test can bend each of them.

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { identityFile, needIdentity } from '../../src/cli/trust/identity.ts'
import type { AttemptView, JobView } from '../../src/protocol/consumer.ts'
import type { ClaimId, JobId, WorkerId } from '../../src/protocol/id.ts'
import type { ArtifactReport } from '../../src/protocol/word.ts'
import { attest, describeExecution, type FinalWord } from '../../src/seal/attestation.ts'
import { sealInline } from '../../src/seal/envelope.ts'
import { readIdentity } from '../../src/seal/identity.ts'
import { createSegmentWriter } from '../../src/seal/segment.ts'
import { systemDisk } from '../../src/system/disk.ts'
import type { FakeIo } from './fake-io.ts'
import { fakeId } from './fake-pond.ts'
import { createFakeWorker, type FakeWorker, sodium } from './fake-safe.ts'

export const clientHomeOf = (io: FakeIo) => join(io.home, '.config', 'pond')

/** Confidential by default, with an identity that is there already. */
export async function makeConfidential(io: FakeIo): Promise<void> {
  delete io.env.POND_PLAIN
  await needIdentity(clientHomeOf(io))
  io.pond.safe.workers = [labOf().view]
}

export const labOf = (): FakeWorker => createFakeWorker('w', { id: fakeId('wrk', 1) })

export async function identityOf(io: FakeIo) {
  const found = await readIdentity(systemDisk, identityFile(clientHomeOf(io)))
  if (!found) throw new Error('there is no identity')
  return found
}

export interface SealedEnd {
  readonly message?: string
  readonly result?: string
  readonly artifacts?: ArtifactReport[]
}

export interface SealedJobOptions {
  readonly worker?: FakeWorker
  readonly jobDigest?: string
  /** X25519 keys; the identity of the client by default. */
  readonly recipients?: readonly string[]
}

/** The worker's side of one job. */
export class SealedJob {
  readonly #io: FakeIo
  readonly #id: string
  readonly #options: Required<SealedJobOptions>
  readonly #bytes = new Map<string, Buffer[]>()
  readonly #writers = new Map<string, ReturnType<typeof createSegmentWriter>>()
  readonly claim = fakeId('clm', 1) as ClaimId

  constructor(io: FakeIo, id: string, options: Required<SealedJobOptions>) {
    this.#io = io
    this.#id = id
    this.#options = options
  }

  /** Seals without storing, for a test that bends the bytes. */
  seal(stream: string, text: string | Uint8Array): readonly Buffer[] {
    const { recipients, worker, jobDigest } = this.#options
    const writer =
      this.#writers.get(stream) ??
      createSegmentWriter({
        ...{ sodium, random: this.#io.random, signer: worker.signer, recipients, jobDigest },
        stream: { job: this.#id as JobId, claim: this.claim, stream },
        capBytes: 64 * 1024 * 1024,
      })
    this.#writers.set(stream, writer)
    return writer.seal(Buffer.from(text)).stored
  }

  write(stream: string, text: string | Uint8Array): void {
    for (const bytes of this.seal(stream, text)) this.store(stream, bytes)
  }

  store(stream: string, bytes: Buffer): void {
    this.#bytes.set(stream, [...(this.#bytes.get(stream) ?? []), bytes])
    this.#io.pond.write(this.#id, stream, bytes)
    this.#show()
  }

  /** Once; a test may keep it back. */
  endOf(stream: string): readonly Buffer[] {
    const end = this.#writers.get(stream)?.end() ?? []
    this.#writers.delete(stream)
    return end
  }

  close(stream: string, end = 'complete'): void {
    for (const bytes of this.endOf(stream)) this.store(stream, bytes)
    this.#io.pond.end(this.#id, stream, end)
  }

  start(): void {
    this.#show()
    this.#io.pond.change(this.#id, { state: 'running', attempts: 1 })
  }

  /** The final word, with its private end and its attestation. */
  async finish(
    change: Partial<JobView> = { state: 'succeeded', cause: 'exit', rc: 0 },
    end?: SealedEnd,
  ): Promise<void> {
    for (const stream of new Set(['stdout', 'stderr', ...this.#writers.keys()])) this.close(stream)
    const result = end && (await this.#sealEnd(end))
    if (result !== undefined) this.#io.pond.answers.getResult = JSON.parse(result)
    this.#io.pond.answers.getAttestation = this.attestation(change, result)
    this.#io.pond.change(this.#id, { attempts: 1, attested: true, has_result: result !== undefined, ...change })
  }

  async #sealEnd(end: SealedEnd): Promise<string> {
    const context = { kind: 'private', job: this.#id as JobId, claim: this.claim, part: 'end' } as const
    const wish = { sodium, random: this.#io.random, context, recipients: this.#options.recipients }
    return JSON.stringify(await sealInline(wish, Buffer.from(JSON.stringify(end))))
  }

  attestation({ cause = 'exit', rc = 0 }: Partial<JobView>, result?: string) {
    const { worker, jobDigest } = this.#options
    const streams = Object.fromEntries(
      ['stdout', 'stderr', ...this.#bytes.keys()].map((name) => {
        const { bytes, sha256 } = this.#stored(name)
        return [name, { bytes, sha256, produced: bytes, end: 'complete' }]
      }),
    )
    const word = { job_id: this.#id as JobId, claim_id: this.claim, cause, rc, streams, ...(result && { result }) }
    const execution = describeExecution(word as FinalWord, { job_digest: jobDigest, epoch: 1 })
    const { view, signer } = worker
    return {
      attestation: attest(signer, { worker: view.id as WorkerId, version: '0.0.0' }, [execution]),
      claim_id: this.claim,
      worker: view.id,
      sealing_key: view.sealing_key,
      signing_key: view.signing_key,
    }
  }

  #stored(stream: string): { readonly bytes: number; readonly sha256: string } {
    const all = Buffer.concat(this.#bytes.get(stream) ?? [])
    return { bytes: all.length, sha256: createHash('sha256').update(all).digest('hex') }
  }

  #show(): void {
    const streams = [...this.#bytes.keys()].map((name) => ({ name, ...this.#stored(name) }))
    const attempt: AttemptView = {
      ...{ claim_id: this.claim, attempt: 1, epoch: 1, state: 'confirmed', worker: this.#options.worker.view.id },
      ...{ worker_name: 'lab', claimed_at: 1, streams, orphan: false },
    }
    this.#io.pond.attempts.set(this.#id, [attempt])
  }
}

/** The worker's side of a job that was submitted to the scripted pond. */
export async function takeJob(io: FakeIo, id: string, options: SealedJobOptions = {}): Promise<SealedJob> {
  const jobDigest = options.jobDigest ?? io.pond.jobs.get(id)?.digest ?? ''
  const recipients = options.recipients ?? [(await identityOf(io)).sealing.publicKey]
  return new SealedJob(io, id, { worker: options.worker ?? labOf(), jobDigest, recipients })
}
