// From submit to a worker that opens: credentials, bundles and signed jobs. And each attack on the way, refused.
import t, { type Test } from 'tap'
import type { Intent } from '../../../src/protocol/orch.ts'
import type { Custody } from '../../../src/protocol/sealed.ts'
import { makeSealingPair } from '../../../src/seal/key.ts'
import { openGrant, openInline } from '../../../src/seal/open/envelope.ts'
import { loadSodium } from '../../../src/seal/sodium.ts'
import { bundleToken } from '../../../src/seal/token.ts'
import { finalWord, jobOf, type Machine, pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig, type PondRig } from '../../harness/pond.ts'
import { createSealer, digestOf } from '../../harness/sealer.ts'

async function createWorld(t: Test) {
  const rig = await createPondRig(t)
  const worker = await makeSealingPair()
  const box = await pairMachine(rig, { sealingKey: worker.publicKey })
  const sealer = await createSealer(rig)
  const sodium = await loadSodium()
  const put = async (name: string, custody: Promise<Custody>) =>
    await rig.call('putCredential', { params: { name }, body: await custody })
  /** What a worker that trusts only its own eyes expects of a grant. */
  const expected = (intent: Intent, place: object, jobSigner?: string) => ({
    sodium,
    pairs: [worker],
    pondKey: rig.pond.services.core.keys.publicKey,
    bound: { job: intent.job_id, claim: intent.claim_id, worker: box.workerId },
    place: { project: 'default', ...place } as never,
    jobSigner,
  })
  return { rig, worker, box, sealer, sodium, put, expected }
}

const asking = (box: Machine, intent: Intent, more: object = {}): Asking => ({
  token: box.token,
  headers: { 'x-claim-token': intent.claim_token },
  body: { job_id: intent.job_id, claim_id: intent.claim_id, worker_id: box.workerId, ...more },
})

const auditOf = async (rig: PondRig, action: string) =>
  (await rig.call('listAudit')).reply.items.filter((it) => it.action === action)

t.test('a credential in pond’s custody reaches the worker of the claim', async (t) => {
  const { rig, box, sealer, sodium, put, expected } = await createWorld(t)
  const values = { env: { PASSWORD: 'hunter2' } }
  await put('db', sealer.credential('db', values))
  const job = await submit(rig, { credential: 'db' })
  t.match(job, { credential: 'db', recipients: [] })
  const [intent] = await box.take()
  if (!intent) throw new Error('the job waits')
  t.strictSame(intent.cred_request, { name: 'db', project: 'default' })
  for (const turn of ['first', 'again']) {
    const { reply } = await rig.call('seal', asking(box, intent))
    const { sealed, content } = openGrant(expected(intent, { kind: 'credential', name: 'db' }), reply.sealed)
    t.strictSame(JSON.parse((await openInline(sodium, sealed, content)).toString()), values, turn)
  }
  t.match(await auditOf(rig, 'credential.seal'), [
    { by: `worker:${box.workerId}`, target: intent.claim_id, note: `credential db for ${job.id}` },
    {},
  ])
})

t.test('a grant is signed with the key of pond that its machine has pinned', async (t) => {
  const { rig, box, sealer, put, expected } = await createWorld(t)
  await put('db', sealer.credential('db', {}))
  await submit(rig, { credential: 'db' })
  const [intent] = await box.take()
  if (!intent) throw new Error('the job waits')
  const before = expected(intent, { kind: 'credential', name: 'db' })
  await rig.call('rotatePondKey', { body: {} })
  const after = expected(intent, { kind: 'credential', name: 'db' })
  const early = await rig.call('seal', asking(box, intent))
  t.ok(openGrant(before, early.reply.sealed), 'it has not heard of the new one')
  t.throws(() => openGrant(after, early.reply.sealed))
  t.equal(rig.pond.services.core.keys.signerFor(after.pondKey).publicKey, after.pondKey, 'and who has, gets that')
})

t.test('a restart tells the same intent', async (t) => {
  const { rig, box, sealer, put } = await createWorld(t)
  await put('db', sealer.credential('db', {}))
  const bundle = await sealer.upload(await sealer.bundle(Buffer.from('x')))
  await rig.call('submitJob', { body: { signed: sealer.job({ command: ['true'], credential: 'db', bundle }) } })
  const told = await box.poll({ claim_key: 'same-key' })
  t.match(told.reply.intents, [
    { job_signature: { keyid: sealer.signer.publicKey }, cred_request: {}, source_bundle: {} },
  ])
  await rig.restart()
  const again = await box.poll({ claim_key: 'same-key' })
  t.strictSame(again.reply.intents, told.reply.intents)
})

t.test('client custody: the owner’s signature on the job, or nothing', async (t) => {
  const { rig, worker, box, sealer, sodium, put, expected } = await createWorld(t)
  const to = [worker.publicKey]
  const bundle = await sealer.upload(await sealer.bundle(Buffer.from('content'), { to }))
  await put('db', sealer.credential('db', { env: { A: '1' } }, { to }))
  const stranger = await createSealer(rig)
  const forged = (body: object, field: string) =>
    rig.call('submitJob', { body }).then((answer) => t.match(answer, { status: 422, error: { details: { field } } }))
  const spec = { command: ['true'] as [string], credential: 'db' }
  await forged(spec, 'credential')
  await forged({ command: ['true'], bundle }, 'bundle')
  await forged({ jobs: [{ command: ['a'] }, spec] }, 'jobs.1.credential')
  await forged({ signed: stranger.job(spec) }, 'signed.credential')
  await forged({ signed: stranger.job({ command: ['true'], bundle }) }, 'signed.bundle')
  const { reply } = await rig.call('submitJob', { body: { signed: sealer.job({ ...spec, bundle }) } })
  t.match(reply, { signer: sealer.signer.publicKey, credential: 'db', bundle })
  const [intent] = await box.take()
  if (!intent?.source_bundle) throw new Error('the job waits')
  const credential = await rig.call('seal', asking(box, intent))
  const place = { kind: 'credential', name: 'db' }
  const { sealed, content } = openGrant(expected(intent, place, intent.job_signature?.keyid), credential.reply.sealed)
  t.equal((await openInline(sodium, sealed, content)).toString(), '{"env":{"A":"1"}}')
  t.throws(() => openGrant(expected(intent, place), credential.reply.sealed), 'not for an unsigned job')
  const { token } = intent.source_bundle
  const redeemed = await rig.call('bundleRedeem', asking(box, intent, { token }))
  t.ok(openGrant(expected(intent, { kind: 'bundle' }, sealer.signer.publicKey), redeemed.reply.sealed))
})

t.test('a bundle: redeemed, fetched in pieces, opened', async (t) => {
  const { rig, box, sealer, sodium, expected } = await createWorld(t)
  const content = Buffer.alloc(5_000_000, 'content')
  const bundle = await sealer.bundle(content)
  for (let at = 0; at < bundle.size; at += 4_000_000) {
    const query = { offset: String(at), size: String(bundle.size) }
    const body = bundle.frames.subarray(at, at + 4_000_000)
    await rig.call('putBundle', { params: { digest: bundle.digest }, query, body })
  }
  await rig.call('sealBundle', { params: { digest: bundle.digest }, body: bundle.custody })
  const job = await submit(rig, { bundle: bundle.digest })
  t.equal(job.bundle, bundle.digest)
  const [intent] = await box.take()
  if (!intent?.source_bundle) throw new Error('the job waits')
  const { token, ...named } = intent.source_bundle
  t.strictSame(named, { digest: bundle.digest, size: bundle.size })
  t.match(token, /^pond_bundle_/)
  t.strictSame((await rig.call('bundleToken', asking(box, intent))).reply, { token })
  const { reply } = await rig.call('bundleRedeem', asking(box, intent, { token }))
  t.match(reply, { ...named, href: `/orch/bundles/${bundle.digest}` })
  const parts: Buffer[] = []
  for (let offset = 0, end = 'open'; end === 'open'; ) {
    const piece = await rig.call('fetchBundle', fetching(box, intent, [bundle.digest, offset]))
    t.equal(piece.status, 200)
    parts.push(piece.bytes)
    offset = Number(piece.headers['pond-next-offset'])
    end = piece.headers['pond-end'] ?? ''
  }
  const frames = Buffer.concat(parts)
  t.equal(digestOf(frames), bundle.digest)
  const opened = openGrant(expected(intent, { kind: 'bundle' }), reply.sealed)
  const inline = { ...opened.sealed, frames: frames.toString('base64') }
  t.ok((await openInline(sodium, inline as never, opened.content)).equals(content))
  t.match(await auditOf(rig, 'bundle.redeem'), [{ target: intent.claim_id }])
})

const fetching = (
  box: Machine,
  { job_id, claim_id, claim_token }: Intent,
  [digest, offset = 0]: readonly [digest: string, offset?: number],
): Asking => ({
  token: box.token,
  headers: { 'x-claim-token': claim_token },
  params: { digest },
  query: { job: job_id, claim: claim_id, offset: String(offset) },
})

t.test('a job that names what is not there is refused by its field', async (t) => {
  const { rig, sealer } = await createWorld(t)
  await rig.call('createProject', { body: { name: 'other' } })
  const foreign = { headers: { 'pond-project': 'other' } }
  const custody = await sealer.credential('theirs', {}, { project: 'other' })
  await rig.call('putCredential', { ...foreign, params: { name: 'theirs' }, body: custody })
  const theirs = await sealer.upload(await sealer.bundle(Buffer.from('x'), { project: 'other' }), foreign)
  const half = await sealer.bundle(Buffer.from('half'))
  const params = { digest: half.digest }
  const query = { offset: '0', size: String(half.size) }
  await rig.call('putBundle', { params, query, body: half.frames.subarray(0, 10) })
  const bare = await sealer.bundle(Buffer.from('bare'))
  const whole = { params: { digest: bare.digest }, query: { offset: '0', size: String(bare.size) } }
  await rig.call('putBundle', { ...whole, body: bare.frames })
  const before = await rig.dump()
  for (const [more, field] of [
    [{ credential: 'theirs' }, 'credential'],
    [{ bundle: theirs }, 'bundle'],
    [{ bundle: half.digest }, 'bundle'],
    [{ bundle: bare.digest }, 'bundle'],
  ] as const) {
    const answer = await rig.call('submitJob', { body: { command: ['true'], ...more } })
    t.match(answer, { status: 422, code: 'invalid_field', error: { details: { field } } })
  }
  t.strictSame(await rig.dump(), before)
  t.equal((await rig.call('submitJob', { ...foreign, body: { command: ['a'], credential: 'theirs' } })).status, 201)
})

t.test('signed jobs: exact bytes, strict, once per key', async (t) => {
  const { rig, box, sealer } = await createWorld(t)
  const spec = { command: ['echo', 'ü'] as [string, string], labels: { b: '1', a: '2' } }
  const signed = sealer.job(spec)
  const send = (body: object) => rig.call('submitJob', { body, headers: { 'idempotency-key': 'once' } })
  const { reply, status } = await send({ signed })
  t.equal(status, 201)
  if ('items' in reply) throw new Error('one job was sent')
  t.strictSame((await send({ signed })).reply, reply)
  t.equal((await send(spec)).code, 'idempotency_mismatch', 'the same job without its signature is another body')
  const bytes = Buffer.from(signed.payload, 'base64')
  t.match(reply, { digest: digestOf(bytes), signer: sealer.signer.publicKey })
  t.strictSame((await rig.call('getJobSpec', { params: { id: reply.id } })).bytes, bytes)
  const [intent] = await box.take()
  t.match(intent, { job: signed.payload, job_signature: signed.signatures[0] })
  const [signature] = signed.signatures
  const payload = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64')
  for (const [body, field] of [
    [{ ...signed, payload: payload({ command: ['other'] }) }, 'signed'],
    [{ ...signed, payloadType: 'application/json' }, 'signed'],
    [{ ...signed, signatures: [{ ...signature, keyid: box.paired.binding_key }] }, 'signed'],
    [{ ...signed, signatures: [signature, signature] }, 'signed.signatures'],
    [sealer.job({ command: [''] }), 'signed.command.0'],
    [sealer.job({ ...spec, nobody: 1 } as never), 'signed.nobody'],
    [sealer.job({ ...spec, max_parallel: 2 }), 'signed.max_parallel'],
  ] as const) {
    const answer = await rig.call('submitJob', { body: { signed: body } })
    t.match(answer, { status: 422, error: { details: { field } } }, field)
  }
})

const noSeal = { status: 409, code: 'no_seal', error: { details: { reason: 'no_seal' } } }

t.test(
  'what lies in the store under the wrong project, name or claim is not sealed, and the worker hears no reason',
  async (t) => {
    const { rig, worker, box, sealer, put } = await createWorld(t)
    await put('db', sealer.credential('db', {}))
    const [intent, digest] = [await startOn({ rig, box }, { credential: 'db' }), '0'.repeat(64)]
    const [projectId] = rig.pond.services.core.projects.keys()
    if (!projectId) throw new Error('there is a project')
    const row = { projectId, name: 'db', recipients: [], createdAt: 1, updatedAt: 1 }
    const to = [worker.publicKey]
    const { publicKey } = await makeSealingPair()
    const foreign = await sealer.credential('db', {}, { project: 'other' })
    const forged: readonly (readonly [why: RegExp, custody: string])[] = [
      [/wrong_place/, JSON.stringify(foreign)],
      [/wrong_place/, JSON.stringify(await sealer.credential('db2', {}))],
      [/not_for_you/, JSON.stringify(unsigned(await sealer.credential('db', {}, { to: [publicKey] })))],
      [/bad_signature/, JSON.stringify(await sealer.credential('db', {}, { to }))],
      [/wrong_place/, JSON.stringify(await sealer.credential('db', {}, { to, project: 'other' }))],
      [/./, '{}'],
      [/./, 'no JSON'],
    ]
    for (const [why, custody] of forged) {
      await rig.store.write((tx) => tx.putCredential(row, custody))
      t.match(await rig.call('seal', asking(box, intent)), noSeal)
      t.match((await auditOf(rig, 'seal.refused'))[0]?.note, why)
    }
    await rig.call('deleteCredential', { params: { name: 'db' } })
    t.match(await rig.call('seal', asking(box, intent)), noSeal, 'deleted meanwhile')
    await box.say(intent, { ...finalWord, cause: 'no_seal' })
    t.match(await jobOf(rig, intent.job_id), { state: 'failed', cause: 'no_seal' })
    t.equal((await rig.call('fetchBundle', fetching(box, intent, [digest]))).code, 'claim_ended')
  },
)

/** What was signed, as if it had never named its signer. */
function unsigned(custody: Custody) {
  if (!('signed' in custody)) throw new Error('it is signed')
  const { context, ...sealed } = JSON.parse(Buffer.from(custody.signed.payload, 'base64').toString())
  const { signer: _, ...rest } = context
  return { sealed: { ...sealed, context: rest } }
}

interface Running {
  readonly rig: PondRig
  readonly box: Machine
}

/** Submits a job and starts it on the machine. */
async function startOn({ rig, box }: Running, job: object, slots = 1): Promise<Intent> {
  await submit(rig, job)
  return await box.start(slots)
}

t.test('a bundle token used by another claim is refused, and audited', async (t) => {
  const { rig, box, sealer } = await createWorld(t)
  const bundle = await sealer.upload(await sealer.bundle(Buffer.from('x')))
  const one = await startOn({ rig, box }, { bundle })
  const other = await startOn({ rig, box }, { bundle }, 2)
  const { tokenKey } = rig.pond.services.core.keys
  const token = other.source_bundle?.token ?? ''
  for (const wrong of [token, one.claim_token, '', bundleToken(tokenKey, one.claim_id, one.epoch + 1)]) {
    t.equal((await rig.call('bundleRedeem', asking(box, one, { token: wrong }))).code, 'forbidden')
  }
  t.match((await auditOf(rig, 'seal.refused'))[0], {
    by: `worker:${box.workerId}`,
    target: one.claim_id,
    note: /the token of another claim/,
  })
  t.equal((await rig.call('bundleRedeem', asking(box, other, { token }))).status, 200)
})

t.test('only the worker of a live claim, and only for what its job names', async (t) => {
  const { rig, box, sealer, put } = await createWorld(t)
  await put('db', sealer.credential('db', {}))
  const bundle = await sealer.upload(await sealer.bundle(Buffer.from('x')))
  const thief = await pairMachine(rig, { letter: 't' })
  const plain = await startOn({ rig, box }, {})
  const intent = await startOn({ rig, box }, { credential: 'db', bundle }, 2)
  const token = intent.source_bundle?.token ?? ''
  const all = (more: object = {}, by = box, of = intent) => [
    rig.call('seal', asking(by, of, more)),
    rig.call('bundleToken', asking(by, of, more)),
    rig.call('bundleRedeem', asking(by, of, { token, ...more })),
  ]
  for (const answer of await Promise.all(all({ worker_id: thief.workerId }))) t.equal(answer.code, 'forbidden')
  t.equal((await auditOf(rig, 'seal.refused')).length, 3)
  const asThief = [...all({}, thief), rig.call('fetchBundle', fetching(thief, intent, [bundle]))]
  for (const answer of await Promise.all(asThief)) t.equal(answer.code, 'not_found', 'also with the right claim token')
  for (const answer of await Promise.all(all({}, box, plain))) t.equal(answer.code, 'invalid_field')
  t.equal((await rig.call('fetchBundle', fetching(box, plain, [bundle]))).code, 'not_found')
  t.equal((await rig.call('fetchBundle', fetching(box, intent, ['0'.repeat(64)]))).code, 'not_found')
  await box.say(intent, finalWord)
  const ended = [...all(), rig.call('fetchBundle', fetching(box, intent, [bundle]))]
  for (const answer of await Promise.all(ended)) t.equal(answer.code, 'claim_ended')
})

t.test('a lost claim still delivers and gets no seal; a quarantined worker gets none', async (t) => {
  const { rig, box, sealer, put } = await createWorld(t)
  await put('db', sealer.credential('db', {}))
  const lost = await startOn({ rig, box }, { credential: 'db' })
  for (let turn = 0; turn < 100; turn++) await rig.clock.advance(1000)
  t.equal((await rig.call('seal', asking(box, lost))).code, 'stale')
  t.equal((await box.send(lost, { offset: 0, bytes: 'late' })).status, 200)
  const intent = await startOn({ rig, box }, { credential: 'db' }, 2)
  const row = rig.pond.services.core.fleet.get(box.workerId)
  if (!row) throw new Error('it paired')
  rig.pond.services.core.fleet.set({ ...row, law: { ...row.law, state: 'quarantined' } })
  t.match(await rig.call('seal', asking(box, intent)), noSeal)
  t.match((await auditOf(rig, 'seal.refused'))[0], { note: 'the worker is quarantined' })
})
