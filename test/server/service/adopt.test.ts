// Adoption: the late result of an attempt that was given up becomes what is read of its job. The end of the job stands.
import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const adopt = (rig: PondRig, id: string, attempt = 1) => rig.call('adoptAttempt', { params: { id }, body: { attempt } })
const read = async (rig: PondRig, id: string) => {
  const asked = { params: { id, name: 'stdout', path: 'a.txt' } }
  const [stdout, result, artifact] = [
    await rig.call('readStream', asked),
    await rig.call('getResult', asked),
    await rig.call('readArtifact', asked),
  ]
  return [stdout, result, artifact].map(({ code, bytes }) => code ?? bytes.toString())
}

/** Says all that an attempt can leave: output, an artifact and a result. */
async function leave(box: Machine, intent: Intent, what: string) {
  await box.send(intent, { offset: 0, bytes: `${what} out` })
  const file = Buffer.from(`${what} file`)
  await box.send(intent, { stream: 'artifact/0', offset: 0, bytes: file })
  const sha256 = createHash('sha256').update(file).digest('hex')
  const streams = { 'artifact/0': { bytes: file.length, produced: file.length, sha256, end: 'complete' } } as const
  const artifacts = [{ stream: 'artifact/0', path: 'a.txt' }] as const
  return await box.say(intent, { ...finalWord, result: `"${what}"`, streams, artifacts: [...artifacts] })
}

/** A job whose first attempt was lost; its result came late. */
async function orphan(t: Test, job: Parameters<typeof submit>[1] = {}) {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig, job)
  const intent = await box.start()
  await rig.clock.advance(limit.leaseMs + 2000)
  return { rig, box, id, intent }
}

t.test('what is read of the job is the orphan; how it ended stands', async (t) => {
  const { rig, box, id, intent } = await orphan(t)
  t.match(await leave(box, intent, 'late'), { code: 'stale', error: { details: { kept: true } } })
  const before = await jobOf(rig, id)
  t.match(before, { state: 'failed', cause: 'worker_lost', has_result: false, attested: false, adopted: undefined })
  t.equal((await rig.call('getAttestation', { params: { id } })).status, 200, 'of the latest attempt')
  const { reply } = await adopt(rig, id)
  const key = (await rig.call('whoami')).reply.id
  const adopted = { attempt: 1, by: `admin:${key}`, at: rig.clock.now(), cause: 'exit', rc: 0 }
  t.strictSame(
    JSON.parse(JSON.stringify(reply)),
    JSON.parse(JSON.stringify({ ...before, version: before.version + 1, has_result: true, attested: true, adopted })),
    'nothing else of the job changed',
  )
  t.strictSame(await read(rig, id), ['late out', '"late"', 'late file'])
  t.match((await rig.call('listTransitions', { params: { id } })).reply.items.at(-1), {
    ...{ from: 'failed', to: 'failed', by: `admin:${key}`, note: 'adopted attempt 1', claim_id: intent.claim_id },
  })
  await rig.restart()
  t.match(await jobOf(rig, id), { state: 'failed', cause: 'worker_lost', adopted }, 'it outlives a restart')
})

t.test('an orphan may be preferred to a rerun that succeeded; the rerun can still be read', async (t) => {
  const { rig, box, id, intent } = await orphan(t, { idempotent: true })
  await leave(box, intent, 'late')
  await rig.clock.advance(2000)
  await leave(box, await box.start(), 'rerun')
  t.match(await jobOf(rig, id), { state: 'succeeded', attempts: 2 })
  t.strictSame(await read(rig, id), ['rerun out', '"rerun"', 'rerun file'], 'the late word overwrote nothing')
  t.match((await adopt(rig, id)).reply, { state: 'succeeded', rc: 0, adopted: { attempt: 1 } })
  t.strictSame(await read(rig, id), ['late out', '"late"', 'late file'])
  const query = { attempt: '2' }
  t.equal((await rig.call('readStream', { params: { id, name: 'stdout' }, query })).bytes.toString(), 'rerun out')
  const seen = async (query: Record<string, string> = {}) =>
    (await rig.call('getAttestation', { params: { id }, query })).reply.claim_id
  t.equal(await seen(), intent.claim_id)
  t.not(await seen(query), intent.claim_id)
})

t.test('a result that stood goes where the orphan brought none', async (t) => {
  const { rig, box, id, intent } = await orphan(t, { idempotent: true })
  await box.say(intent, { ...finalWord, rc: 7 })
  await rig.clock.advance(2000)
  await leave(box, await box.start(), 'rerun')
  t.match((await adopt(rig, id)).reply, { has_result: false, attested: true, adopted: { cause: 'exit', rc: 7 } })
  t.equal((await rig.call('getResult', { params: { id } })).code, 'not_found')
})

t.test('refused: a job that goes on, an attempt that is no orphan, one that is not there, a second one', async (t) => {
  const { rig, box, id, intent } = await orphan(t, { idempotent: true, retry: { attempts: 3, backoff_ms: 0 } })
  await leave(box, intent, 'first')
  t.match(await adopt(rig, id), { code: 'not_possible', error: { details: { state: 'queued' } } })
  const second = await box.start()
  t.match(await adopt(rig, id), { code: 'not_possible', error: { details: { state: 'running' } } })
  await rig.clock.advance(limit.leaseMs + 2000)
  await leave(box, second, 'second')
  const third = await box.start()
  await leave(box, third, 'third')
  t.match(await jobOf(rig, id), { state: 'succeeded', attempts: 3 })
  t.match(await adopt(rig, id, 3), { code: 'not_possible', error: { message: /no late result/ } })
  t.match(await adopt(rig, id, 4), { code: 'not_found', error: { details: { reason: 'no_attempt' } } })
  const { version } = (await adopt(rig, id, 2)).reply
  t.match(await adopt(rig, id, 2), { status: 200, reply: { version } }, 'the same again changes nothing')
  t.match(await adopt(rig, id, 1), { code: 'not_possible', error: { message: /attempt 2 .* already/ } })
  t.match(await jobOf(rig, id), { version, adopted: { attempt: 2 } })
})

t.test('a stream into which an orphan wrote nothing is whole, and not lost', async (t) => {
  const { rig, box, id, intent } = await orphan(t)
  await leave(box, intent, 'late')
  await adopt(rig, id)
  const { headers } = await rig.call('readStream', { params: { id, name: 'stderr' } })
  t.equal(headers['pond-end'], 'complete')
})

t.test('a claim that was lost and left no word is nothing to adopt', async (t) => {
  const { rig, id } = await orphan(t)
  t.match(await adopt(rig, id), { code: 'not_possible', error: { message: /it is lost/ } })
})
