// What it costs that every call is signed and every result attested: the operations alone against bare Ed25519, and jobs per second with and without.
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import type { ClaimId, JobId, WorkerId } from '../src/protocol/id.ts'
import {
  attest,
  describeExecution,
  type Execution,
  findExecution,
  isSameExecution,
  openAttestation,
} from '../src/seal/attestation.ts'
import { makeSigningPair } from '../src/seal/key.ts'
import { createCallSigner, createCallVerifier, type SignableCall } from '../src/seal/request-signature.ts'
import { createSigner } from '../src/seal/signature.ts'
import { interleave, printFigure, type Sample } from './figure.ts'
import { startPond } from './pond-rig.ts'
import type { BenchOptions } from './run.ts'
import { drainPond } from './throughput.ts'

const TIMES = 1000
const WARM_TIMES = 200
/** Of a poll with a few claims, and of a word. */
const BODY_BYTES = 400
const BATCHES = [1, 8, 64] as const
const SLOTS = 64
const JOBS = 4000

/** Microseconds of CPU of one, of `each` in a call: a busy neighbour changes them least. */
function timeOf(work: () => unknown, each = 1): Sample {
  for (let count = 0; count < WARM_TIMES; count++) work()
  const began = process.cpuUsage()
  for (let count = 0; count < TIMES; count++) work()
  const { user, system } = process.cpuUsage(began)
  return { value: (user + system) / TIMES / each }
}

function bare() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const bytes = randomBytes(BODY_BYTES)
  const signature = sign(null, bytes, privateKey)
  return { sign: () => sign(null, bytes, privateKey), verify: () => verify(null, bytes, publicKey, signature) }
}

async function request() {
  const pair = await makeSigningPair()
  const pondKeyHash = randomBytes(16)
  const signCall = createCallSigner(pair, pondKeyHash)
  const verifyCall = createCallVerifier(pair.publicKey, pondKeyHash)
  const body = randomBytes(BODY_BYTES)
  const call: SignableCall = { method: 'POST', path: '/orch/poll', search: '', headers: {}, body }
  const at = Date.now()
  const signed = { ...call, headers: signCall(call, { createdMs: at, nonce: randomBytes(16) }) }
  return {
    sign: () => signCall(call, { createdMs: at, nonce: randomBytes(16) }),
    verify: () => must(verifyCall(signed, at)),
  }
}

/** What each side does for the words of one call; pond also describes each word itself, and compares. */
async function attestation(words: number) {
  const pair = await makeSigningPair()
  const signer = createSigner(pair)
  const worker = { worker: `wrk_${place(0)}` as WorkerId, version: 'bench' }
  const describeAll = () => Array.from({ length: words }, (_, index) => describe(index))
  const signed = attest(signer, worker, describeAll())
  return {
    sign: () => attest(signer, worker, describeAll()),
    verify() {
      const said = openAttestation(signed, pair.publicKey)
      for (const execution of describeAll()) {
        const { job, claim } = execution.facts
        const found = findExecution(said, job as JobId, claim as ClaimId)
        must(found !== undefined && isSameExecution(found, execution))
      }
    },
  }
}

const DIGEST = 'ab'.repeat(32)
const place = (index: number) => `${index}`.padStart(26, '0')

function describe(index: number): Execution {
  const stream = { bytes: 10_000, sha256: DIGEST, produced: 10_000, end: 'complete' } as const
  return describeExecution(
    {
      job_id: `job_${place(index)}` as JobId,
      claim_id: `clm_${place(index)}` as ClaimId,
      started_at: 1_700_000_000_000,
      ended_at: 1_700_000_001_000,
      rc: 0,
      cause: 'exit',
      usage: { cpu_ms: 1, max_rss_bytes: 1_000_000, wall_ms: 1000, sampled: false },
      streams: { stdout: stream, stderr: stream },
    },
    { job_digest: DIGEST, epoch: 1 },
  )
}

function must(holds: boolean): void {
  if (!holds) throw new Error('what was signed does not hold')
}

export async function proofCost({ runs }: BenchOptions): Promise<void> {
  const sides = [
    { of: 'a request', each: 1, pair: await request() },
    ...(await Promise.all(
      BATCHES.map(async (each) => ({ of: `a word, ${each} to a statement`, each, pair: await attestation(each) })),
    )),
  ]
  const floor = bare()
  for (const what of ['sign', 'verify'] as const) {
    for (const { of, each, pair } of sides) {
      const samples = await interleave(runs, {
        own: async () => timeOf(pair[what], each),
        bare: async () => timeOf(floor[what]),
      })
      const against = { name: `Ed25519 ${what}`, samples: samples.bare }
      printFigure({ bench: 'proof-cost', unit: 'us', facts: { what, of }, own: samples.own, against })
    }
  }
}

/** No-op jobs with every end signed and compared, beside the same with none. */
export async function attestedThroughput({ runs }: BenchOptions): Promise<void> {
  const order = { slots: SLOTS, executor: 'noop' } as const
  const strict = await startPond()
  const lenient = await startPond(undefined, ['--allow-unattested'])
  const samples = await interleave(runs, {
    attested: () => drainPond(strict, order, { jobs: JOBS }),
    unattested: () => drainPond(lenient, { ...order, unattested: true }, { jobs: JOBS }),
  })
  await Promise.all([strict.stop(), lenient.stop()])
  const against = { name: 'without attestations', samples: samples.unattested }
  printFigure({ bench: 'attested-throughput', unit: 'jobs/s', facts: { slots: SLOTS }, own: samples.attested, against })
}
