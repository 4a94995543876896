// Attestations: what a worker signs about claims that ended, and what a reader may conclude from one. Batches share one signature.
import { hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import {
  type ExecutionFacts,
  predicateType,
  type Statement,
  statement,
  statementType,
} from '../protocol/attestation.ts'
import type { ClaimId, JobId, WorkerId } from '../protocol/id.ts'
import { type Dsse, payloadType } from '../protocol/sealed.ts'
import type { BatchWord } from '../protocol/word.ts'
import { canonicalBytes, parseJson } from './canonical.ts'
import { openDsse, signDsse } from './dsse.ts'
import { SealError } from './refusal.ts'
import type { Signer } from './signature.ts'

/** What the worker knows of a claim besides its final word. */
export interface ClaimOrigin {
  readonly job_digest: string
  readonly epoch: number
  readonly bundle?: string | undefined
}

/** The final word of a claim, without what proves who says it. */
export type FinalWord = Omit<BatchWord, 'claim_token' | 'state'>

export interface Execution {
  readonly facts: ExecutionFacts
  /** Digests of stored bytes by stream. */
  readonly digests: Readonly<Record<string, string>>
}

/** A final word in the words of an attestation. */
export function describeExecution(word: FinalWord, origin: ClaimOrigin): Execution {
  const streams = Object.entries(word.streams ?? {}).flatMap(([name, it]) => (it ? [[name, it] as const] : []))
  const { started_at, ended_at, rc, usage } = word
  if (word.cause === undefined) throw new Error('a final word has a cause')
  const facts: ExecutionFacts = {
    job: word.job_id,
    job_digest: origin.job_digest,
    claim: word.claim_id,
    epoch: origin.epoch,
    ...(origin.bundle === undefined ? {} : { bundle: origin.bundle }),
    cause: word.cause as ExecutionFacts['cause'],
    ...(rc === undefined ? {} : { rc }),
    ...(started_at === undefined ? {} : { started_at }),
    ...(ended_at === undefined ? {} : { ended_at }),
    ...(usage ? { usage } : {}),
    ...(word.result === undefined ? {} : { result: sha256(word.result) }),
    streams: Object.fromEntries(streams.map(([name, { bytes, end }]) => [name, { bytes, end }])),
  }
  return { facts, digests: Object.fromEntries(streams.map(([name, it]) => [name, it.sha256])) }
}

export function attest(
  signer: Signer,
  { worker, version }: { readonly worker: WorkerId; readonly version: string },
  executions: readonly Execution[],
): Dsse {
  const subject = executions.flatMap(({ facts, digests }) => {
    const known = Object.keys(facts.streams).length > 0 ? digests : { stdout: sha256('') }
    return subjectNames(facts).map((name) => {
      const digest = known[name.slice(facts.claim.length + 1)]
      if (digest === undefined) throw new Error('a stream without its digest')
      return { name, digest: { sha256: digest } }
    })
  })
  const said: Statement = {
    _type: statementType,
    subject,
    predicateType,
    predicate: { worker, version, executions: executions.map(({ facts }) => facts) },
  }
  return signDsse(payloadType.statement, canonicalBytes(said), signer)
}

/** The statement, if this key signed it and it says one thing of each claim; else a SealError. That the key is the named worker's is for the caller to know. */
export function openAttestation(signed: Dsse, signingKey: string): Statement {
  const said = parseJson(statement.parse, openDsse(signed, payloadType.statement, signingKey))
  if (!isUnambiguous(said)) throw new SealError('damaged')
  return said
}

/** No claim and no subject stands in it twice, every stream has its digest, and no digest is of nothing. */
function isUnambiguous({ subject, predicate }: Statement): boolean {
  const subjects = predicate.executions.flatMap(subjectNames)
  const claims = new Set(predicate.executions.map(({ claim }) => claim))
  const names = new Set(subject.map(({ name }) => name))
  const unique = claims.size === predicate.executions.length && names.size === subject.length
  return unique && subjects.length === names.size && subjects.every((name) => names.has(name))
}

/** A statement has a subject: a claim without output is about no bytes of stdout. */
function subjectNames({ claim, streams }: ExecutionFacts): readonly string[] {
  const names = Object.keys(streams)
  return (names.length > 0 ? names : ['stdout']).map((name) => `${claim}/${name}`)
}

/** What a statement says of one claim; undefined when it says nothing of it. */
export function findExecution(said: Statement, jobId: JobId, claimId: ClaimId): Execution | undefined {
  const facts = said.predicate.executions.find((it) => it.job === jobId && it.claim === claimId)
  if (!facts) return undefined
  const digests = digestsOf(said)
  const named = Object.keys(facts.streams).flatMap((name) => {
    const digest = digests.get(`${claimId}/${name}`)
    return digest === undefined ? [] : [[name, digest] as const]
  })
  return { facts, digests: Object.fromEntries(named) }
}

/** By name. A statement is asked once for each of its words, so its subjects are laid out once. */
const laidOut = new WeakMap<Statement, ReadonlyMap<string, string>>()

function digestsOf(said: Statement): ReadonlyMap<string, string> {
  const known = laidOut.get(said) ?? new Map(said.subject.map(({ name, digest }) => [name, digest.sha256]))
  laidOut.set(said, known)
  return known
}

/** Whether an attested execution says the same as a final word that came without the attestation's help. */
export function isSameExecution(one: Execution, other: Execution): boolean {
  return isDeepStrictEqual(one, other)
}

function sha256(text: string): string {
  return hash('sha256', text, 'hex')
}
