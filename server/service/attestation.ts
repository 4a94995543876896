// Attestations: what a worker signed about the words of one call, asked word by word, and shown to whoever may read the job.

import type { AttestationView } from '../../src/protocol/asset.ts'
import type { Statement } from '../../src/protocol/attestation.ts'
import { Refusal } from '../../src/protocol/error.ts'
import type { BindingId } from '../../src/protocol/id.ts'
import type { Dsse } from '../../src/protocol/sealed.ts'
import {
  describeExecution,
  type FinalWord,
  findExecution,
  isSameExecution,
  openAttestation,
} from '../../src/seal/attestation.ts'
import { SealError } from '../../src/seal/refusal.ts'
import { isLive } from '../../src/state/lease.ts'
import type { Proof } from '../../src/state/proof.ts'
import type { ClaimRow, FormerKeys, JobRow, WorkerKeys, WorkerRow } from '../store/row.ts'
import { saveWorker, type Write } from './change.ts'
import type { Core } from './core.ts'
import { endFormerKeys } from './rotation.ts'
import { type AttemptAsk, findAttempt } from './stream.ts'

/** The statement of one call, its signature checked once for all words. */
export interface Testimony {
  readonly id: string
  /** The DSSE envelope as JSON. */
  readonly text: string
  /** Undefined when no worker of the binding signed it. */
  readonly signed: Signed | undefined
}

interface Signed {
  readonly statement: Statement
  readonly worker: WorkerRow
  /** Of that worker, now or before. */
  readonly keys: WorkerKeys & Pick<FormerKeys, 'until'>
}

export function openTestimony(core: Core, bindingId: BindingId, dsse: Dsse): Testimony {
  const signed = openWith(core.fleet.ofBinding(bindingId), dsse)
  return { id: `att_${core.newId()}`, text: JSON.stringify(dsse), signed }
}

/** The key is looked for among the pinned ones, and only then tried. */
function openWith(workers: readonly WorkerRow[], dsse: Dsse): Signed | undefined {
  const key = dsse.signatures[0]?.keyid
  const holders = workers.flatMap((worker) =>
    [worker, ...(worker.formerKeys ?? [])].flatMap((keys) => (keys.signingKey === key ? [{ worker, keys }] : [])),
  )
  if (key === undefined || holders.length === 0) return undefined
  try {
    const statement = openAttestation(dsse, key)
    const holder = holders.find(({ worker }) => worker.id === statement.predicate.worker)
    return holder && { statement, ...holder }
  } catch (error) {
    if (error instanceof SealError) return undefined
    throw error
  }
}

/** What the words of one write ask about their statement. */
export interface Witness {
  /** What a final word is worth. */
  proofOf(word: Proved): Proof
  /** The id under which the statement is stored: once, however many words it proves. */
  keep(): Promise<string>
}

interface Proved {
  readonly claim: ClaimRow
  readonly job: JobRow
  readonly word: Omit<FinalWord, 'job_id'>
}

export function witnessOf(write: Write, testimony: Testimony | undefined): Witness {
  let kept = false
  return {
    proofOf: (word) => (testimony ? proofOf(testimony, word) : 'none'),
    async keep() {
      if (!testimony?.signed) throw new Error('what nobody signed is not kept')
      const { id, text, signed } = testimony
      const { sealingKey, signingKey } = signed.keys
      if (kept) return id
      kept = true
      // Latest first: those before go first, and whoever is still there is then found at once.
      const claims = signed.statement.predicate.executions.map(({ claim }) => claim).reverse()
      await write.tx.insertAttestation({ id, workerId: signed.worker.id, sealingKey, signingKey, claims, text })
      if (signed.keys === signed.worker) await endFormer(write, signed.worker)
      return id
    },
  }
}

/** A snapshot is what its carrier shows; this the worker signed itself, so that it uses the keys of now. */
async function endFormer(write: Write, { id, formerKeys }: WorkerRow): Promise<void> {
  if (!formerKeys?.some(({ until }) => until === undefined)) return
  const row = await write.tx.getWorker(id)
  if (row) await saveWorker(write, endFormerKeys(row, write.core.clock.now()))
}

/** A statement that does not speak of a claim says nothing for or against it. */
function proofOf({ signed }: Testimony, { claim, job, word }: Proved): Proof {
  if (!signed) return 'bad'
  const { statement, worker, keys } = signed
  const attested = findExecution(statement, job.id, claim.id)
  if (!attested) return 'none'
  // Keys that were out of use before the claim was made say nothing of it.
  if (worker.id !== claim.workerId || (keys.until !== undefined && keys.until < claim.claimedAt)) return 'bad'
  const origin = { job_digest: job.digest, epoch: claim.epoch, bundle: job.bundle?.digest }
  return isSameExecution(attested, describeExecution(Object.assign({}, word, { job_id: job.id }), origin))
    ? 'good'
    : 'bad'
}

export async function readAttestation(core: Core, ask: AttemptAsk): Promise<AttestationView> {
  const claim = await findAttempt(core, ask)
  if (isLive(claim.lease.state)) {
    throw new Refusal('not_final', `the attempt is ${claim.lease.state}`, { state: claim.lease.state })
  }
  const { attestationId } = claim
  const row = attestationId === undefined ? undefined : await core.store.read((tx) => tx.getAttestation(attestationId))
  if (!row) throw new Refusal('not_found', 'nobody signed what ran', { reason: 'no_attestation' })
  return {
    attestation: JSON.parse(row.text) as Dsse,
    claim_id: claim.id,
    worker: row.workerId,
    sealing_key: row.sealingKey,
    signing_key: row.signingKey,
  }
}
