// What is recorded of a step of the protocol: a machine that speaks by hand and says everything that may be said or refused once, and a real swarm at its daily work.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Intent, SnapshotBody } from '../../src/protocol/orch.ts'
import { aKey, createCode, finalWord, type Machine, pairBody, pairMachine, submit } from '../harness/machine.ts'
import { createEnrollment, enrollBody, rotationOf } from '../harness/newcomer.ts'
import type { PondRig } from '../harness/pond.ts'
import { type Pool, startPool } from '../harness/pool.ts'
import { createSealer } from '../harness/sealer.ts'
import { tarOf } from '../harness/tar-writer.ts'
import { workerSigner } from '../harness/worker-key.ts'
import { type Recorder, recordWire } from './wire-recorder.ts'
import type { Story } from './wire-vector.ts'

export async function tellByHand(still: PondRig): Promise<Story> {
  const recorder = recordWire(still)
  const rig = moving(still)
  const box = await tellPairing(rig)
  await tellPolls(rig, box)
  await tellClaim(rig, box)
  await tellStreams(rig, box)
  await tellCancel(rig, box)
  await tellLoss(rig, box)
  await tellSealed(rig, box, recorder)
  await tellDrain(rig, box)
  await tellKeys(rig, box)
  return recorder.finish('a machine that says everything once, and what it is answered')
}

/** Calls of this rig bring their own time to be answered in, but for a poll that is held. */
function moving(rig: PondRig): PondRig {
  const call: PondRig['call'] = async (name, asking) => {
    const answer = rig.call(name, asking)
    let open = true
    void answer.finally(() => {
      open = false
    })
    const { wait_ms = 0 } = (asking?.body ?? {}) as { readonly wait_ms?: number }
    for (await rig.clock.advance(0); open && wait_ms === 0; ) await rig.clock.advance(50)
    return await answer
  }
  return Object.create(rig, { call: { value: call } }) as PondRig
}

async function tellPairing(rig: PondRig): Promise<Machine> {
  const { parsed } = await createCode(rig)
  const body = pairBody(parsed, { letter: 'q' })
  const pairing = (body: unknown) => rig.call('pair', { token: null, body })
  await pairing({ ...body, mac: '0'.repeat(64) })
  await pairing({ ...pairBody(parsed, { letter: 'q' }), protocol: 99 })
  await pairing({ ...body, no_such_field: 1 })
  await pairing(body)
  await pairing(body)
  await pairing(pairBody(parsed, { letter: 'r' }))
  const labelled = await createCode(rig, 'default', {
    labels: { zone: 'eu', room: '7' },
    allowed_labels: { rack: { op: 'exists' } },
  })
  await pairing(pairBody(labelled.parsed, { letter: 's', labels: { secure: 'yes' } }))
  await pairing(pairBody(labelled.parsed, { letter: 's', labels: { rack: '1' }, without: ['room'] }))
  return await pairMachine(rig)
}

async function tellPolls(rig: PondRig, box: Machine): Promise<void> {
  const { workerId: worker_id, token } = box
  await rig.call('orchWhoami', { token })
  await rig.call('orchWhoami', { token, key: null })
  await rig.call('orchWhoami', { token: 'pond_bind_of_nobody' })
  await box.poll({ wait_ms: 0 })
  await box.poll({ wait_ms: 0, seq: 1 })
  await box.poll({ wait_ms: 0, seq: 7, protocol: 99 })
  await box.poll({ wait_ms: 0, seq: 7, ...{ no_such_field: 1 } })
  await rig.call('sendSnapshot', { token, body: snapshotOf(box, { seq: 1, state: 'ready' }) })
  const held = box.poll({ seq: 8, wait_ms: 20_000, workers: [{ worker_id, free: { slots: 0 } }] })
  await rig.clock.advance(100)
  await box.poll({ wait_ms: 0, seq: 1, session: 'another-session' })
  await rig.clock.advance(20_000)
  await held
}

/** Every field that a snapshot has. */
function snapshotOf(
  { workerId }: Machine,
  { seq, state }: { readonly seq: number; readonly state: 'ready' | 'draining' },
): SnapshotBody {
  const told: SnapshotBody['workers'][number] = {
    worker_id: workerId,
    keys: { sealing_key: aKey('k'), signing_key: workerSigner('k').publicKey },
    ...{
      labels: {},
      resources: { slots: 4, disk_bytes: 2 ** 30 },
      inflight: 0,
      load: 0.25,
      version: '0.1.0',
      os: 'linux',
      arch: 'x64',
    },
    ...{ executor: 'process cgroup-v2', sandbox: 'uid', allow_unsandboxed: false, class: 'laptop', state },
    note: 'it is night',
  }
  return { session: 'session-1', seq, workers: [told] }
}

async function tellClaim(rig: PondRig, box: Machine): Promise<void> {
  await submit(rig, { command: ['work', 'once'], labels: { is: 'declined' } })
  const polled = box.poll({ wait_ms: 0, seq: 10, claim_key: 'claim-key-of-10' })
  const [declined] = (await polled).reply.intents
  if (!declined) throw new Error('there is a job to take')
  await box.poll({ wait_ms: 0, seq: 11, slots: 0, claim_key: 'claim-key-of-10' })
  await box.say(declined, { state: 'declined', message: 'the disk is full' })
  await box.say(declined, { state: 'running' })
  await box.poll({ wait_ms: 0, seq: 12, slots: 0, have: box.have([declined]) })
  await rig.call('cancelJob', { params: { id: declined.job_id } })
}

const usage = { cpu_ms: 5, max_rss_bytes: 4096, wall_ms: 10, sampled: false }

async function tellStreams(rig: PondRig, box: Machine): Promise<void> {
  const { id } = await submit(rig, { command: ['work', 'on'], limits: { stream_bytes: 100 } })
  const [intent] = (await box.poll({ wait_ms: 0, seq: 20, claim_key: 'claim-key-of-20' })).reply.intents
  if (!intent) throw new Error('there is a job to take')
  await box.say(intent, { state: 'running', started_at: 1_767_225_600_000 })
  await box.poll({ wait_ms: 0, seq: 21, heard: 20, slots: 0, have: box.have([intent]) })
  await box.send(intent, { offset: 0, bytes: 'a line of output\n' })
  await box.send(intent, { offset: 0, bytes: 'a line of output\n' })
  await box.send(intent, { offset: 40, bytes: 'beyond a gap' })
  await box.send(intent, { stream: 'stderr', offset: 0, bytes: 'x'.repeat(101) })
  await box.send({ ...intent, claim_token: `${intent.claim_token}x` }, { offset: 17, bytes: 'by another' })
  await rig.call('sendTelemetry', {
    ...{ token: box.token, params: { id }, headers: { 'x-claim-token': intent.claim_token } },
    body: { claim_id: intent.claim_id, events: [{ id: 'e1', type: 'progress', at: 1, data: { done: 1 } }] },
  })
  await rig.call('getResult', { params: { id } })
  const missing = { bytes: 99, sha256: '0'.repeat(64), produced: 99, end: 'complete' } as const
  await box.say(intent, { ...finalWord, streams: { stdout: missing } })
  const final = { ...finalWord, started_at: 1, ended_at: 2, usage, result: '{"sum":3}' }
  await box.say(intent, final)
  await box.say(intent, final)
  await box.say(intent, { ...final, rc: 1 })
  await box.send(intent, { offset: 17, bytes: 'too late' })
}

async function tellCancel(rig: PondRig, box: Machine): Promise<void> {
  const { id } = await submit(rig, { command: ['work', 'long'] })
  await submit(rig, { command: ['work', 'after'] })
  const intent = await startOne(box, 30)
  await rig.call('cancelJob', { params: { id } })
  await box.poll({ wait_ms: 0, seq: 31, slots: 0, have: box.have([intent]), refill: true })
  const word = { job_id: intent.job_id, claim_id: intent.claim_id, claim_token: intent.claim_token }
  const end = { state: 'final', cause: 'cancelled' } as const
  const attestation = box.attest([intent, end])
  const words = { token: box.token, body: { words: [{ ...word, ...end }], attestation, refill: true } }
  const [next] = (await rig.call('sendWords', words)).reply.intents ?? []
  if (!next) throw new Error('a freed slot is filled at once')
  const running = { job_id: next.job_id, claim_id: next.claim_id, claim_token: next.claim_token, state: 'running' }
  await rig.call('sendWords', { token: box.token, body: { words: [running] } })
  await box.end([next])
}

/** Its lease lapses while it polls without a word about this claim. */
async function tellLoss(rig: PondRig, box: Machine): Promise<void> {
  await submit(rig, { command: ['work', 'lost'] })
  const intent = await startOne(box, 40)
  for (let seq = 41; seq < 46; seq++) {
    await rig.clock.advance(20_000)
    await box.poll({ wait_ms: 0, seq, slots: 0 })
  }
  await box.poll({ wait_ms: 0, seq: 46, slots: 0, have: box.have([intent]) })
  await box.send(intent, { offset: 0, bytes: 'kept beside the job' })
  await box.say(intent, finalWord)
}

async function startOne(box: Machine, seq: number): Promise<Intent> {
  const [intent] = (await box.poll({ wait_ms: 0, seq, claim_key: `claim-key-of-${seq}` })).reply.intents
  if (!intent) throw new Error('there is a job to take')
  await box.say(intent, { state: 'running' })
  return intent
}

async function tellSealed(rig: PondRig, box: Machine, recorder: Recorder): Promise<void> {
  const sealer = await createSealer(rig)
  recorder.knows(sealer.identity.signing)
  const digest = await sealer.upload(await sealer.bundle(Buffer.from('an archive')))
  await rig.call('putCredential', {
    params: { name: 'registry' },
    body: await sealer.credential('registry', { env: { TOKEN: 'no secret at all' } }),
  })
  await submit(rig, { command: ['work', 'sealed'], credential: 'registry', bundle: digest })
  const { job_id, claim_id, claim_token, source_bundle } = await startOne(box, 50)
  const asked = { token: box.token, headers: { 'x-claim-token': claim_token } }
  const body = { job_id, claim_id, worker_id: box.workerId }
  await rig.call('seal', { ...asked, body })
  const { reply } = await rig.call('bundleToken', { ...asked, body })
  await rig.call('bundleRedeem', { ...asked, body: { ...body, token: source_bundle?.token ?? reply.token } })
  await rig.call('bundleRedeem', { ...asked, body: { ...body, token: 'pond_bundle_of_nobody' } })
  await rig.call('fetchBundle', { ...asked, params: { digest }, query: { job: job_id, claim: claim_id } })
  await rig.call('fetchBundle', { ...asked, params: { digest }, query: { job: job_id, claim: claim_id, offset: '7' } })
}

async function tellDrain(rig: PondRig, box: Machine): Promise<void> {
  const { token, workerId } = box
  await rig.call('drainWorker', { params: { id: workerId }, body: { deadline_ms: 60_000, note: 'a new disk' } })
  await box.poll({ wait_ms: 0, seq: 60, heard: 50 })
  await rig.call('sendSnapshot', { token, body: snapshotOf(box, { seq: 2, state: 'draining' }) })
  await box.poll({ wait_ms: 0, seq: 61, heard: 60, slots: 0 })
  await rig.call('resumeWorker', { params: { id: workerId } })
}

async function tellKeys(rig: PondRig, box: Machine): Promise<void> {
  const code = await createEnrollment(rig, box)
  const enrolling = { token: box.token, params: { code_id: code.id }, body: enrollBody(code, box) }
  await rig.call('enroll', enrolling)
  await rig.call('enroll', enrolling)
  await rig.call('enroll', { ...enrolling, body: enrollBody(code, box, { letter: 'f' }) })
  const { reply } = await rig.call('rotate', { token: box.token, body: { workers: [rotationOf(box, 'n')] } })
  await rig.call('rotate', { token: box.token, body: {} })
  await rig.call('orchWhoami', { token: reply.token })
  await rig.call('orchWhoami', { token: box.token })
  await rig.call('unpair', { token: reply.token, body: {} })
  await rig.call('orchWhoami', { token: reply.token })
}

/** What the bundle of the swarm's job holds, and what its credential is worth. */
export const given = { file: 'input.txt', content: 'from a bundle\n', env: { TOKEN: 'no secret at all' } } as const

/** One job with everything: a bundle, a credential, output, an event, a result and an artifact. */
export async function tellSwarm(t: Test, rig: PondRig): Promise<{ readonly story: Story; readonly pool: Pool }> {
  const recorder = recordWire(rig)
  const pool = await startPool(rig, { allowUnsandboxed: true })
  recorder.knows(pool.keys.binding, pool.keys.workers[0].signing)
  const sealer = await createSealer(rig)
  recorder.knows(sealer.identity.signing)
  pool.executor.work = made(t)
  await rig.clock.advance(60_000)
  const digest = await sealer.upload(await sealer.bundle(tarOf({ name: given.file, body: Buffer.from(given.content) })))
  const credential = await sealer.credential('registry', { env: given.env })
  await rig.call('putCredential', { params: { name: 'registry' }, body: credential })
  await submit(rig, { command: ['work'], credential: 'registry', bundle: digest, artifacts: ['*.bin'] })
  await rig.clock.until(() => pool.executor.processes.length === 1, 60_000)
  work(pool)
  // Its artifact is read from a real disk, which no virtual clock waits for.
  while (pool.swarm.status().claims.length > 0) await rig.clock.advance(20)
  await rig.clock.advance(60_000)
  pool.swarm.drain()
  await rig.clock.until(() => pool.end !== undefined, 120_000)
  return { story: recorder.finish('a swarm at its daily work'), pool }
}

/** The folder that its job leaves behind. */
export function made(t: Test): string {
  const folder = t.testdir()
  writeFileSync(join(folder, 'made.bin'), 'an artifact')
  return folder
}

/** What its job does. */
export function work({ executor }: Pick<Pool, 'executor'>): void {
  const [process] = executor.processes
  if (!process) throw new Error('nothing was started')
  process.write('stdout', 'a line of output\n')
  process.event({ type: 'progress', data: { done: 1 } })
  process.exit({ rc: 3, result: Buffer.from('{"sum":3}') })
}
