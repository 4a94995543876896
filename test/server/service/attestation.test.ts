// Attestations: what proves a final word, what does not, and what becomes of the attempt then.
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import type { Dsse } from '../../../src/protocol/sealed.ts'
import { attest, describeExecution, openAttestation } from '../../../src/seal/attestation.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'
import { workerSigner } from '../../harness/worker-key.ts'

const read = (rig: PondRig, id: string, query: Record<string, string> = {}) =>
  rig.call('getAttestation', { params: { id }, query })
const refused = { state: 'failed', cause: 'bad_signature', attested: false, has_result: false }
const kept = async (rig: PondRig) => ((await rig.dump()).attestations ?? []).length

/** A job that runs, and what it wrote. */
async function run(rig: PondRig, box: Machine, job: object = {}): Promise<Intent> {
  await submit(rig, job)
  return await box.start()
}

t.test('a success is one when its worker signed it; whoever may read the job can check it', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const intent = await run(rig, box)
  t.equal((await read(rig, intent.job_id)).code, 'not_final')
  const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  await box.send(intent, { offset: 0, bytes: 'abc' })
  const streams = { stdout: { bytes: 3, produced: 3, sha256, end: 'complete' as const } }
  await box.say(intent, { ...finalWord, result: '1', streams })
  t.match(await jobOf(rig, intent.job_id), { state: 'succeeded', attested: true, has_result: true })
  const { reply } = await read(rig, intent.job_id)
  t.match(reply, { claim_id: intent.claim_id, worker: box.workerId, sealing_key: box.paired.worker.sealing_key })
  const said = openAttestation(reply.attestation, reply.signing_key)
  t.match(said.subject, [{ name: `${intent.claim_id}/stdout`, digest: { sha256 } }])
  t.equal((await read(rig, intent.job_id, { attempt: '7' })).code, 'not_found')
})

t.test('without an attestation only a failure stands', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const bare = await run(rig, box)
  t.match(await box.say(bare, { ...finalWord, result: '1', attestation: undefined }), {
    reply: { outcome: 'accepted' },
  })
  t.match(await jobOf(rig, bare.job_id), { ...refused, message: 'its worker did not sign it' })
  t.match(await read(rig, bare.job_id), { code: 'not_found', error: { details: { reason: 'no_attestation' } } })
  const failed = await run(rig, box)
  await box.say(failed, { ...finalWord, rc: 3, attestation: undefined })
  t.match(await jobOf(rig, failed.job_id), { state: 'failed', cause: 'exit', rc: 3, attested: false })
  const lax = await createPondRig(t, { settings: { requireAttestation: false } })
  const least = await pairMachine(lax)
  const job = await run(lax, least)
  await least.say(job, { ...finalWord, attestation: undefined })
  t.match(await jobOf(lax, job.job_id), { state: 'succeeded', attested: false })
})

t.test('a bad attestation ends the attempt, whatever the word says', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const other = await pairMachine(rig, { letter: 'o' })
  const worker = { worker: box.workerId, version: '0.0.0' }
  const execution = (intent: Intent, more: object = {}, origin: object = {}) =>
    describeExecution(
      { job_id: intent.job_id, claim_id: intent.claim_id, cause: 'exit', rc: 0, ...more },
      { job_digest: JSON.parse(digests[intent.job_id] ?? '""'), epoch: intent.epoch, ...origin },
    )
  const digests: Record<string, string> = {}
  const forgeries: Readonly<Record<string, (intent: Intent) => Dsse>> = {
    'another key': (intent) => attest(workerSigner('x'), worker, [execution(intent)]),
    "another binding's worker": (intent) =>
      attest(other.signer, { ...worker, worker: other.workerId }, [execution(intent)]),
    "another worker's name": (intent) => attest(box.signer, { ...worker, worker: other.workerId }, [execution(intent)]),
    'another end': (intent) => attest(box.signer, worker, [execution(intent, { rc: 1 })]),
    'another result': (intent) => attest(box.signer, worker, [execution(intent, { result: '2' })]),
    'another job': (intent) => attest(box.signer, worker, [execution(intent, {}, { job_digest: '0'.repeat(64) })]),
    'a bundle that was none': (intent) =>
      attest(box.signer, worker, [execution(intent, {}, { bundle: '0'.repeat(64) })]),
    'another epoch': (intent) => attest(box.signer, worker, [execution(intent, {}, { epoch: 9 })]),
    'a bent payload': (intent) => {
      const good = attest(box.signer, worker, [execution(intent)])
      const payload = Buffer.from(good.payload, 'base64').toString().replace('"rc":0', '"rc":00')
      return { ...good, payload: Buffer.from(payload).toString('base64') }
    },
  }
  for (const [says, forge] of Object.entries(forgeries)) {
    const intent = await run(rig, box, { idempotent: true })
    digests[intent.job_id] = JSON.stringify((await jobOf(rig, intent.job_id)).digest)
    await box.say(intent, { ...finalWord, attestation: forge(intent) })
    t.match(await jobOf(rig, intent.job_id), refused, says)
    await rig.clock.advance(limit.leaseMs)
  }
  const intent = await run(rig, box)
  await box.say(intent, { ...finalWord, rc: 3, attestation: box.attest([intent, finalWord]) })
  t.match(await jobOf(rig, intent.job_id), refused, 'a failure that it signed as a success')
  t.equal(await kept(rig), 0, 'nothing of it is kept')
})

t.test('one attestation for a batch: it proves the words it matches and harms only those it does not', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (let count = 0; count < 4; count++) await submit(rig)
  const [a, b, c, d] = (await box.take(4)) as [Intent, Intent, Intent, Intent]
  const attestation = box.attest([a, finalWord], [b, { ...finalWord, rc: 1 }], [c, finalWord])
  const words = [a, b, c, d].map(({ job_id, claim_id, claim_token }) => ({
    job_id,
    claim_id,
    claim_token,
    ...finalWord,
  }))
  const send = () => rig.call('sendWords', { token: box.token, body: { words, attestation } })
  const outcomes = async () => (await send()).reply.outcomes.map(({ outcome }) => outcome)
  t.strictSame(await outcomes(), ['accepted', 'accepted', 'accepted', 'accepted'])
  const states = await Promise.all([a, b, c, d].map(async ({ job_id }) => (await jobOf(rig, job_id)).cause))
  t.strictSame(states, ['exit', 'bad_signature', 'exit', 'bad_signature'])
  t.equal(await kept(rig), 1, 'stored once')
  t.strictSame(await outcomes(), ['idempotent', 'idempotent', 'idempotent', 'idempotent'])
  t.equal(await kept(rig), 1)
  t.strictSame((await read(rig, a.job_id)).reply.attestation, (await read(rig, c.job_id)).reply.attestation)
  const again = words.map((word) => ({ ...word }))
  const anew = await rig.call('sendWords', { token: box.token, body: { words: again } })
  t.ok(
    anew.reply.outcomes.every(({ outcome }) => outcome === 'idempotent'),
    'the proof is no part of the word',
  )
})

t.test('words that do not hold put their worker on probation', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (let count = 0; count < 3; count++) await box.say(await run(rig, box), { ...finalWord, attestation: undefined })
  t.match(rig.pond.services.core.fleet.get(box.workerId)?.law, { state: 'probation', mishaps: 3 })
})

t.test('tried again only where the job lists it; the last attempt says whether it is attested', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const intent = await run(rig, box, { retry: { on: ['bad_signature'], backoff_ms: 0 } })
  await box.say(intent, { ...finalWord, attestation: undefined })
  t.match(await jobOf(rig, intent.job_id), { state: 'queued', attempts: 1 })
  await box.say(await box.start(), finalWord)
  t.match(await jobOf(rig, intent.job_id), { state: 'succeeded', attested: true })
  t.equal((await read(rig, intent.job_id, { attempt: '1' })).code, 'not_found')
  t.equal((await read(rig, intent.job_id, { attempt: '2' })).status, 200)
})

t.test('the late word of a lost claim is kept with its proof, or without its result', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  for (const [attestation, cause] of [
    ['good', 'exit'],
    ['none', 'bad_signature'],
  ] as const) {
    const late = await run(rig, box)
    await rig.clock.advance(limit.leaseMs + 2000)
    const word = { ...finalWord, result: '1' }
    await box.say(late, attestation === 'good' ? word : { ...word, attestation: undefined })
    const [attempt] = (await rig.call('listAttempts', { params: { id: late.job_id } })).reply.items
    t.match(attempt, { orphan: true, cause })
    t.match(await jobOf(rig, late.job_id), { state: 'failed', cause: 'worker_lost', attested: false })
    t.equal((await read(rig, late.job_id)).status, attestation === 'good' ? 200 : 404)
  }
})

t.test('it goes with its jobs', async (t) => {
  const rig = await createPondRig(t, { settings: { retentionMs: 120_000 } })
  const box = await pairMachine(rig)
  for (let count = 0; count < 2; count++) await submit(rig)
  await box.end(await box.take(2))
  t.equal(await kept(rig), 1)
  await rig.clock.advance(200_000)
  t.equal(await kept(rig), 0)
})
