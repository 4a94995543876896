// Attestations: what a worker says of its final words is what a reader finds, claim by claim, and a statement that says two things says nothing.
import fc from 'fast-check'
import t from 'tap'
import { executionFacts, type Statement, statement } from '../../src/protocol/attestation.ts'
import { claimId } from '../../src/protocol/id.ts'
import { type Dsse, dsse, payloadType } from '../../src/protocol/sealed.ts'
import {
  attest,
  describeExecution,
  type Execution,
  type FinalWord,
  findExecution,
  isSameExecution,
  openAttestation,
} from '../../src/seal/attestation.ts'
import { signDsse } from '../../src/seal/dsse.ts'
import { ids, jobDigest, refusalOf, sha256, signerOf } from '../harness/seal.ts'

const signer = signerOf('worker')
const maker = { worker: ids.worker, version: '0.1.0' }
const origin = { job_digest: jobDigest, epoch: 1 }
const report = { bytes: 5, sha256: sha256('hello'), produced: 5, end: 'complete' } as const
const word: FinalWord = {
  job_id: ids.job,
  claim_id: ids.claim,
  cause: 'exit',
  rc: 0,
  started_at: 1,
  ended_at: 2,
  usage: { cpu_ms: 1.5, max_rss_bytes: 1024, wall_ms: 1, sampled: false },
  result: '{"answer":42}',
  streams: { stdout: report, 'artifact/0': { ...report, sha256: sha256('file') } },
}
const execution = describeExecution(word, { ...origin, bundle: sha256('bundle') })

const open = (signed: Dsse) => openAttestation(dsse.parse(signed), signer.publicKey)
const said = open(attest(signer, maker, [execution]))
/** The statement with something else in it, signed by the worker all the same. */
const resigned = (other: object) => signDsse(payloadType.statement, Buffer.from(JSON.stringify(other)), signer)

t.test('a word is found again as it was said', async (t) => {
  const found = findExecution(said, ids.job, ids.claim)
  t.strictSame(found, execution)
  t.ok(found && isSameExecution(found, describeExecution(word, { ...origin, bundle: sha256('bundle') })))
  t.strictSame(executionFacts.parse(execution.facts), execution.facts)
  t.match(execution.facts, { result: sha256('{"answer":42}'), streams: { stdout: { bytes: 5, end: 'complete' } } })
  t.equal(findExecution(said, ids.otherJob, ids.claim), undefined)
  t.equal(findExecution(said, ids.job, ids.otherClaim), undefined)
  t.match(said, { predicate: maker, _type: 'https://in-toto.io/Statement/v1' })
})

t.test('every fact makes a difference', async (t) => {
  const others: readonly Partial<FinalWord>[] = [
    { job_id: ids.otherJob },
    { claim_id: ids.otherClaim },
    { cause: 'signal' },
    { rc: 1 },
    { started_at: 0 },
    { ended_at: 3 },
    { usage: undefined },
    { result: undefined },
    { result: '{}' },
    { streams: {} },
    { streams: { stdout: report } },
    { streams: { ...word.streams, stdout: { ...report, end: 'capped' } } },
    { streams: { ...word.streams, stdout: { ...report, bytes: 4 } } },
    { streams: { ...word.streams, stdout: { ...report, sha256: sha256('other') } } },
  ]
  for (const other of others) {
    const changed = describeExecution({ ...word, ...other }, { ...origin, bundle: sha256('bundle') })
    t.notOk(isSameExecution(execution, changed), JSON.stringify(other))
  }
  for (const other of [{}, { bundle: sha256('x') }, { bundle: sha256('bundle'), epoch: 2 }]) {
    t.notOk(isSameExecution(execution, describeExecution(word, { ...origin, ...other })))
  }
  t.throws(() => describeExecution({ ...word, cause: undefined }, origin), /has a cause/)
  t.throws(() => attest(signer, maker, [{ ...execution, digests: {} }]), /without its digest/)
})

t.test('a claim without output is about no bytes', async (t) => {
  const { streams: _, ...silent } = word
  const quiet = describeExecution(silent, origin)
  const statement = open(attest(signer, maker, [quiet]))
  t.strictSame(statement.subject, [{ name: `${ids.claim}/stdout`, digest: { sha256: sha256('') } }])
  t.strictSame(findExecution(statement, ids.job, ids.claim), quiet)
})

t.test('one signature for many words', async (t) => {
  const claims = fc.uniqueArray(fc.integer({ min: 0, max: 9999 }), { minLength: 1, maxLength: 40 })
  const streams = fc.dictionary(fc.constantFrom('stdout', 'stderr', 'artifact/0', 'artifact/7'), fc.nat())
  await t.resolves(
    fc.assert(
      fc.asyncProperty(claims, streams, async (numbers, sizes) => {
        const reports = Object.entries(sizes).map(([name, bytes]) => [name, { ...report, bytes, sha256: sha256(name) }])
        const words = numbers.map((number) => ({
          ...word,
          claim_id: claimOf(number),
          streams: Object.fromEntries(reports),
        }))
        const executions = words.map((one) => describeExecution(one, origin))
        const opened = open(attest(signer, maker, executions))
        return executions.every((one) => isFound(opened, one))
      }),
      { numRuns: 30 },
    ),
  )
})

t.test('who signed it, and as what', async (t) => {
  const signed = attest(signer, maker, [execution])
  t.equal(await refusalOf(() => openAttestation(signed, signerOf('other').publicKey)), 'bad_signature')
  const typed = signDsse(payloadType.job, Buffer.from(JSON.stringify(said)), signer)
  t.equal(await refusalOf(() => open(typed)), 'bad_signature')
  t.equal(await refusalOf(() => open(resigned({}))), 'damaged')
  t.equal(await refusalOf(() => open(signDsse(payloadType.statement, Buffer.from('text'), signer))), 'damaged')
})

t.test('others may write it in their own form', async (t) => {
  const spaced = Buffer.from(JSON.stringify(said, undefined, 2))
  t.strictSame(open(signDsse(payloadType.statement, spaced, signer)), said)
})

t.test('a statement that says two things, or half a thing, is refused', async (t) => {
  const [subject] = said.subject
  const [facts] = said.predicate.executions
  if (!subject || !facts) throw new Error('the sample says something')
  const executions = (...all: readonly object[]) => ({ ...said, predicate: { ...said.predicate, executions: all } })
  for (const [what, other] of Object.entries({
    'a claim twice': executions(facts, { ...facts, rc: 1 }),
    'a claim twice, of two jobs': executions(facts, { ...facts, job: ids.otherJob }),
    'a subject twice': { ...said, subject: [...said.subject, { ...subject, digest: { sha256: sha256('other') } }] },
    'a subject of no claim': { ...said, subject: [...said.subject, { ...subject, name: `${ids.otherClaim}/stdout` }] },
    'a subject of no stream': { ...said, subject: [...said.subject, { ...subject, name: `${ids.claim}/stderr` }] },
    'a subject that every object has': {
      ...said,
      subject: [...said.subject, { ...subject, name: `${ids.claim}/toString` }],
    },
    'a stream without its digest': { ...said, subject: said.subject.slice(1) },
    'no digest for no stream': executions({ ...facts, streams: {} }),
  })) {
    t.ok(statement.safeParse(other).success, 'its form is right')
    t.equal(await refusalOf(() => open(resigned(other))), 'damaged', what)
  }
  const odd = { ...said, subject: [...said.subject, { ...subject, name: `${ids.claim}/constructor` }] }
  t.strictSame(findExecution(odd, ids.job, ids.claim)?.digests, execution.digests, 'nor is it found unopened')
})

const claimOf = (number: number) => claimId.parse(`clm_${String(number).padStart(26, '0')}`)

function isFound(opened: Statement, one: Execution): boolean {
  const found = findExecution(opened, one.facts.job, one.facts.claim)
  return found !== undefined && isSameExecution(found, one)
}
