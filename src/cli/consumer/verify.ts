// pond verify: what a worker's signed statement proves about a job, and what it does not. A saved statement is judged without any pond.
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { type AttestationView, attestationView } from '../../protocol/asset.ts'
import type { Execution } from '../../seal/attestation.ts'
import { SealError } from '../../seal/refusal.ts'
import { type ConnectionFlags, clientHome } from '../config.ts'
import { formatTime } from '../duration.ts'
import { exitCode } from '../exit-code.ts'
import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { createOutput, type Output } from '../output.ts'
import { need, resolveJob, type Session, withSession } from '../session.ts'
import { readStream } from '../stream.ts'
import { readExecution } from '../trust/attested.ts'
import { recallSubmitted } from '../trust/job-memory.ts'
import { readTrust } from '../trust/store.ts'
import { createWorkerPins, findHolders, printOf } from '../trust/worker.ts'
import { createOutage } from '../watch.ts'

export interface VerifyFlags extends ConnectionFlags {
  /** A job, or a file that --save wrote. */
  readonly what?: string
  /** Ed25519 key of the worker, as `swarm keys` prints it. */
  readonly workerKey?: string
  readonly attempt?: number
  /** Keeps the statement for a later look without a pond. */
  readonly save?: string
}

interface Finding {
  readonly claim: string
  readonly proved: boolean
  readonly says: string
}

export async function verify(io: Io, flags: VerifyFlags): Promise<number> {
  const saved = flags.what === undefined ? undefined : await readSaved(flags.what)
  if (saved) {
    const out = createOutput(io, { program: 'pond', json: flags.json === true })
    const home = clientHome(io.env, flags.home)
    const { findings, execution } = await judgeStatement(home, saved, flags)
    const known = await recallSubmitted(home, saved.job_id)
    const job = execution && known ? [judgeMemory(execution, known.digest)] : []
    return await report(out, saved, [...findings, ...job, ...unseen])
  }
  return await withSession(io, flags, (session) => verifyJob(session, flags))
}

/** Undefined when it is no file of ours; then it names a job. */
async function readSaved(path: string): Promise<(AttestationView & { readonly job_id: string }) | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    return savedView.parse(JSON.parse(text))
  } catch (cause) {
    throw new Failure({
      what: `${path} holds no saved statement`,
      next: 'Save one: pond verify JOB --save FILE.',
      cause,
    })
  }
}

const savedView = attestationView.extend({ job_id: attestationView.shape.claim_id })

async function verifyJob(session: Session, flags: VerifyFlags): Promise<number> {
  const { client, connection, out } = session
  const id = await resolveJob(session, flags.what)
  const query = flags.attempt === undefined ? {} : { attempt: flags.attempt }
  const answer = await client.call('getAttestation', { params: { id }, query })
  const view = { ...need(`get the attestation of ${id}`, answer), job_id: id }
  await followWorkers(session)
  if (flags.save !== undefined) await writeFile(flags.save, `${JSON.stringify(view, undefined, 2)}\n`)
  const { findings, execution } = await judgeStatement(connection.home, view, flags)
  if (!execution) return await report(out, view, findings)
  const spec = need(`read the job`, await client.call('getJobSpec', { params: { id } }))
  const known = await recallSubmitted(connection.home, id)
  const streams: Finding[] = []
  for (const [name, digest] of Object.entries(execution.digests)) {
    streams.push(await judgeStream(session, { id, name, digest, claim: view.claim_id }))
  }
  return await report(out, view, [...findings, judgeJob(execution, spec, known?.digest), ...streams])
}

/** Who signed, and whether that key is one to believe. */
async function judgeStatement(
  home: string,
  view: AttestationView & { readonly job_id: string },
  { workerKey }: VerifyFlags,
): Promise<{ readonly findings: readonly Finding[]; readonly execution?: Execution }> {
  try {
    const execution = readExecution(view, view.job_id)
    const { expected, says } = workerKey === undefined ? await judgeKey(home, view) : judgeGiven(workerKey, view)
    const { cause, rc, claim } = execution.facts
    return {
      execution,
      findings: [
        {
          claim: 'signature',
          proved: true,
          says: `the statement is signed whole by the key ${view.signing_key} of ${view.worker}`,
        },
        { claim: 'worker', proved: expected, says },
        { claim: 'end', proved: expected, says: `${claim} ended by ${cause}${rc === undefined ? '' : ` with ${rc}`}` },
      ],
    }
  } catch (error) {
    if (!(error instanceof SealError)) throw error
    return {
      findings: [
        {
          claim: 'signature',
          proved: false,
          says: 'the statement is not signed by the key beside it, or speaks of others',
        },
      ],
    }
  }
}

/** A worker may have replaced its keys since it was pinned. */
async function followWorkers(session: Session): Promise<void> {
  const trust = await readTrust(session.connection.home)
  await createWorkerPins(session, { trust, submittedAt: session.io.clock.now() }).meet()
}

interface KeyFinding {
  readonly expected: boolean
  readonly says: string
}

const judgeGiven = (workerKey: string, { signing_key }: AttestationView): KeyFinding =>
  workerKey === signing_key
    ? { expected: true, says: 'that key is the key given' }
    : { expected: false, says: 'that key is not the key given' }

/** A key that was replaced speaks only for jobs that are known here to be older: whoever stole it may sign what he likes. */
async function judgeKey(home: string, view: AttestationView & { readonly job_id: string }): Promise<KeyFinding> {
  const holders = findHolders(await readTrust(home), view.signing_key).filter(({ worker }) => worker.id === view.worker)
  const [holder] = [...holders].sort((a, b) => b.until - a.until)
  if (!holder) {
    return { expected: false, says: 'that key is not trusted here; pass --worker-key, or: pond trust worker' }
  }
  const { worker, until } = holder
  const how = worker.checked ? 'checked by you' : 'pinned when first seen'
  if (until === Number.POSITIVE_INFINITY) {
    const heir = worker.former.length > 0 ? `signed by one that was ${how}` : how
    return { expected: true, says: `that key is ${heir} (${printOf(worker)})` }
  }
  const submitted = await recallSubmitted(home, view.job_id)
  const since = `was replaced on ${formatTime(until)}`
  return submitted && submitted.at <= until
    ? { expected: true, says: `that key was ${how}, and ${since}, after this job was submitted from here` }
    : {
        expected: false,
        says: `that key ${since}, and the job is not known here as older; pass --worker-key to believe it`,
      }
}

function judgeMemory({ facts }: Execution, submitted: string): Finding {
  const proved = facts.job_digest === submitted
  const what = 'the job that was submitted from here'
  return { claim: 'job', proved, says: proved ? `it ran ${what} (${submitted})` : `it did not run ${what}` }
}

function judgeJob({ facts }: Execution, spec: unknown, submitted: string | undefined): Finding {
  const digest = createHash('sha256')
    .update(spec instanceof Uint8Array ? spec : new Uint8Array())
    .digest('hex')
  const proved = facts.job_digest === digest && (submitted === undefined || submitted === digest)
  const from = submitted === undefined ? 'the job that pond shows' : 'the job that was submitted from here'
  return { claim: 'job', proved, says: proved ? `it ran ${from} (${digest})` : `it did not run ${from}` }
}

/** Hashes what pond stores, byte for byte. */
async function judgeStream(
  { client, io, out }: Session,
  {
    id,
    name,
    digest,
    claim,
  }: { readonly id: string; readonly name: string; readonly digest: string; readonly claim: string },
): Promise<Finding> {
  const attempts = need(`list the attempts of ${id}`, await client.call('listAttempts', { params: { id } })).items
  const attempt = attempts.find(({ claim_id }) => claim_id === claim)?.attempt ?? 1
  const hash = createHash('sha256')
  const parts = {
    ...{ client, clock: io.clock, random: io.random, id },
    signal: new AbortController().signal,
    outage: createOutage(out.note),
  }
  const sink = async (bytes: Uint8Array) => void hash.update(bytes)
  const { offset } = await readStream(parts, { name, attempt, from: 0, over: AbortSignal.abort(), sink })
  const proved = hash.digest('hex') === digest
  return {
    claim: name,
    proved,
    says: proved ? `its ${offset} stored bytes are those that the worker sent` : 'its stored bytes are others',
  }
}

/** Without a pond nothing but the statement can be looked at. */
const unseen: readonly Finding[] = [
  { claim: 'stored', proved: false, says: 'not looked at: the job and its streams are with pond (pond verify JOB)' },
]

const limits = [
  'not proved: what the owner of that machine may have done to the job or its output',
  'not proved: that the times are right; they are those of the worker',
]

async function report(out: Output, view: AttestationView, findings: readonly Finding[]): Promise<number> {
  const proved = findings.every((it) => it.proved || unseen.includes(it))
  await out.result({ proved, worker: view.worker, signing_key: view.signing_key, findings }, () => [
    ...findings.map(({ claim, proved: good, says }) => `${good ? 'proved' : 'NOT PROVED'}  ${claim}: ${says}`),
    ...limits,
  ])
  return exitCode(proved ? 'ok' : 'failed')
}
