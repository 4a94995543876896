// Pairing, submitting, listing, and what a restart must not lose.
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { aKey, createCode, finalWord, jobOf, pairBody, pairMachine, submit } from '../../harness/machine.ts'
import { createPondRig, type PondRig } from '../../harness/pond.ts'

const pair = (rig: PondRig, body: object) => rig.call('pair', { token: null, body })

t.test('pairing: a lost reply loses nothing, another key gets nothing', async (t) => {
  const rig = await createPondRig(t)
  const { parsed } = await createCode(rig, 'default', { labels: { site: 'lab' } })
  const body = pairBody(parsed)
  const first = (await pair(rig, body)).reply
  const second = (await pair(rig, body)).reply
  t.match(second, { binding_id: first.binding_id, worker_id: first.worker_id, project: 'default' })
  t.not(second.token, first.token)
  const whoami = (token: string) => rig.call('orchWhoami', { token })
  t.match((await whoami(second.token)).reply, { binding_id: first.binding_id, workers: [{ state: 'offline' }] })
  t.equal((await whoami(first.token)).code, 'unauthenticated', 'once one token is used the other is worth nothing')
  t.equal((await whoami(second.token)).status, 200)
  t.match(await pair(rig, pairBody(parsed, { letter: 'x' })), { status: 409, code: 'code_used' })
  t.match((await rig.call('listWorkers')).reply.items, [{ labels: { site: 'lab' }, sealing_key: aKey('k') }])
  t.strictSame((await rig.call('listPairingCodes')).reply.items, [], 'it is used up')
  await rig.call('revokeBinding', { params: { id: first.binding_id } })
  t.equal((await pair(rig, body)).code, 'code_used', 'a revoked binding does not come back')
})

t.test('pairing: wrong MACs burn the code, time ends it, uses are counted', async (t) => {
  const rig = await createPondRig(t)
  const { parsed } = await createCode(rig)
  const wrong = { ...pairBody(parsed), mac: '0'.repeat(64) }
  for (let left = limit.pairingTries - 1; left > 0; left--) {
    t.match(await pair(rig, wrong), { code: 'unauthenticated', error: { details: { tries_left: left } } })
  }
  t.equal((await pair(rig, wrong)).code, 'code_burned')
  t.equal((await pair(rig, pairBody(parsed))).code, 'code_burned', 'also with the right MAC')
  const tampered = await createCode(rig)
  const body = pairBody(tampered.parsed)
  t.equal((await pair(rig, { ...body, name: 'other' })).code, 'unauthenticated', 'the MAC covers every field')
  t.equal((await pair(rig, { ...body, worker: { ...body.worker, signing_key: aKey('q') } })).code, 'unauthenticated')
  const three = await createCode(rig, 'default', { uses: 2 })
  for (const letter of ['a', 'b']) t.equal((await pair(rig, pairBody(three.parsed, { letter }))).status, 200)
  t.equal((await pair(rig, pairBody(three.parsed, { letter: 'c' }))).code, 'code_used')
  const short = await createCode(rig, 'default', { expires_ms: 1000 })
  await rig.clock.advance(1000)
  t.equal((await pair(rig, pairBody(short.parsed))).code, 'code_expired')
  const revoked = await createCode(rig)
  await rig.call('revokePairingCode', { params: { id: revoked.parsed.id } })
  t.equal((await pair(rig, pairBody(revoked.parsed))).code, 'code_expired')
  const audit = (await rig.call('listAudit')).reply.items.map(({ action }) => action)
  t.equal(audit.filter((action) => action === 'pairing.wrong_mac').length, limit.pairingTries + 2)
})

t.test('Idempotency-Key: the same body answers the same jobs as they are now, another one is refused', async (t) => {
  const rig = await createPondRig(t)
  await rig.call('createProject', { body: { name: 'other' } })
  const send = (body: object, more: Record<string, string> = {}) =>
    rig.call('submitJob', { headers: { 'idempotency-key': 'k', ...more }, body })
  const made = await send({ command: ['a'], labels: { x: '1' } })
  t.equal(made.status, 201)
  const again = await send({ labels: { x: '1' }, command: ['a'] })
  t.strictSame(again.reply, made.reply, 'the order of fields does not matter')
  t.equal((await send({ command: ['b'] })).code, 'idempotency_mismatch')
  t.equal(
    (await send({ jobs: [{ command: ['a'], labels: { x: '1' } }] })).code,
    'idempotency_mismatch',
    'a batch of it',
  )
  t.equal((await send({ command: ['b'] }, { 'pond-project': 'other' })).status, 201, 'keys are a project’s own')
  const both = await Promise.all([1, 2].map(() => send({ command: ['c'] }, { 'idempotency-key': 'twice' })))
  t.strictSame(both[0]?.reply, both[1]?.reply, 'also at once')
  t.equal((await rig.call('listAllJobs')).reply.items.length, 3)
})

t.test('all jobs with a label are cancelled, whatever they are at, and no others', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const labels = { app: 'x' }
  const running = await submit(rig, { labels })
  await box.start()
  const other = await submit(rig, { labels: { app: 'y' } })
  const waiting = await submit(rig, { labels, after: [running.id] })
  await rig.call('submitJob', { body: { jobs: Array.from({ length: 600 }, () => ({ command: ['true'], labels })) } })
  const cancel = (label: string) => rig.call('cancelJobs', { body: { label } })
  t.strictSame((await cancel('app=x')).reply, { cancelled: 601, asked: 1 })
  t.strictSame((await cancel('app=x')).reply, { cancelled: 0, asked: 0 })
  t.match(await jobOf(rig, running.id), { state: 'running', cancel_requested_at: Number })
  t.match(await jobOf(rig, waiting.id), { state: 'cancelled' })
  t.match(await jobOf(rig, other.id), { state: 'queued' })
  t.equal((await cancel('app')).code, 'invalid_field')
})

t.test('lists: newest first, page by page, by label and state, of one project', async (t) => {
  const rig = await createPondRig(t)
  await rig.call('createProject', { body: { name: 'other' } })
  const jobs = Array.from({ length: 7 }, (_, index) => ({
    command: [`${index}`],
    labels: { even: `${index % 2 === 0}` },
  }))
  await rig.call('submitJob', { body: { jobs } })
  await rig.call('submitJob', { headers: { 'pond-project': 'other' }, body: { command: ['x'] } })
  const seen: string[] = []
  let cursor: string | null = ''
  interface Page {
    readonly items: readonly { readonly command: readonly string[] }[]
    readonly next: string | null
  }
  while (cursor !== null) {
    const query: Record<string, string> = { limit: '3', ...(cursor ? { cursor } : {}) }
    const reply: Page = (await rig.call('listJobs', { query })).reply
    seen.push(...reply.items.map(({ command }) => command[0] ?? ''))
    cursor = reply.next
  }
  t.strictSame(seen, ['6', '5', '4', '3', '2', '1', '0'])
  t.equal((await rig.call('listJobs', { query: { label: 'even=true' } })).reply.items.length, 4)
  t.equal((await rig.call('listJobs', { query: { state: 'running' } })).reply.items.length, 0)
  t.equal((await rig.call('listAllJobs')).reply.items.length, 8)
})

t.test('waiting for a job: until its end, the next version, or the time is over', async (t) => {
  const rig = await createPondRig(t)
  const box = await pairMachine(rig)
  const { id } = await submit(rig)
  const wait = (query: Record<string, string>) => rig.call('getJob', { params: { id }, query })
  t.match((await wait({ wait_ms: '50000', above: '0' })).reply, { version: 1 })
  const end = wait({ wait_ms: '50000' })
  const step = wait({ wait_ms: '50000', above: '1' })
  const brief = wait({ wait_ms: '10' })
  await rig.clock.advance(10)
  t.equal((await brief).reply.state, 'queued')
  const intent = await box.start()
  t.match((await step).reply, { state: 'claimed', version: 2 })
  t.equal((await wait({})).reply.state, 'running')
  t.match(await rig.call('getResult', { params: { id } }), { status: 425, code: 'not_final' })
  await box.say(intent, finalWord)
  t.equal((await end).reply.state, 'succeeded')
})

t.test(
  'a restart of pond: queue, live claims, cancels and due times are all there, nothing is granted twice',
  async (t) => {
    const rig = await createPondRig(t)
    const box = await pairMachine(rig, { slots: 9 })
    const running = await submit(rig)
    const intent = await box.start()
    await box.send(intent, { offset: 0, bytes: 'kept' })
    await rig.call('cancelJob', { params: { id: running.id }, body: {} })
    const granted = await submit(rig)
    const [unheard] = (await box.take(2)) as [Intent]
    const failing = await submit(rig, { retry: { on: ['exit'], backoff_ms: 60_000 } })
    await box.say(await box.start(3), { ...finalWord, rc: 1 })
    const expiring = await submit(rig, { ttl_ms: 30_000 })
    const queued = [await submit(rig), await submit(rig)]
    const before = await rig.dump()
    await rig.restart()
    t.strictSame(await rig.dump(), before, 'a start changes nothing')
    t.equal(rig.pond.adminToken, undefined, 'no second first token')
    t.match((await rig.call('getBinding', { params: { id: box.bindingId } })).reply, { claims: 2, online: false })
    const told = await box.poll({ claim_key: 'claim-key-2', slots: 1, have: box.have([intent]) })
    t.match(told.reply.directives, [{ type: 'cancel', claim_id: intent.claim_id }])
    t.strictSame(told.reply.intents, [unheard], 'the claim that was not confirmed is said again, and only it')
    await box.say(unheard, { state: 'running' })
    const next = box.poll({ claim_key: 'after-restart', slots: 7, wait_ms: 0, have: box.have([intent, unheard]) })
    t.strictSame(
      (await next).reply.intents.map(({ job_id }) => job_id),
      [expiring, ...queued].map(({ id }) => id),
    )
    for (const more of (await next).reply.intents.slice(1)) await box.say(more, { state: 'running' })
    t.equal((await box.send(intent, { offset: 4, bytes: '!' })).reply.committed, 5)
    await box.say(intent, { state: 'final', cause: 'cancelled' })
    t.equal((await jobOf(rig, running.id)).state, 'cancelled')
    const late = box.poll({ claim_key: 'much-later', slots: 9, wait_ms: 50_000, have: box.have([unheard]) })
    await rig.clock.advance(0)
    t.match(await jobOf(rig, failing.id), { state: 'queued', attempts: 1 })
    await rig.clock.advance(limit.pollHoldBusyMs)
    await late
    t.equal((await jobOf(rig, granted.id)).state, 'running')
    await rig.clock.advance(40_000)
    t.equal((await jobOf(rig, expiring.id)).state, 'expired', 'nobody confirmed it, and its time ran on')
    t.match(await box.take(9), [{ job_id: failing.id, attempt: 2 }], 'what was due later comes later')
  },
)

t.test('keys: made, listed without their token, revoked at once; projects', async (t) => {
  const rig = await createPondRig(t)
  const { reply } = await rig.call('createKey', { body: { name: 'ci', scopes: ['read'], expires_ms: 5000 } })
  t.match(reply, {
    kind: 'project',
    project: 'default',
    scopes: ['read'],
    token: /^pond_key_/,
    expires_at: rig.clock.now() + 5000,
  })
  t.notMatch((await rig.call('listKeys')).bytes.toString(), reply.token)
  t.notMatch(JSON.stringify(await rig.dump()), reply.token, 'only its hash is stored')
  const whoami = () => rig.call('whoami', { token: reply.token })
  t.match((await whoami()).reply, { kind: 'key', name: 'ci', project: 'default', scopes: ['read'] })
  t.match((await rig.call('whoami')).reply, { kind: 'admin', project: null })
  await rig.call('revokeKey', { params: { id: reply.id } })
  t.equal((await whoami()).code, 'unauthenticated')
  const elsewhere = { headers: { 'pond-project': 'other' } }
  await rig.call('createProject', { body: { name: 'other' } })
  const { token } = (await rig.call('createKey', { body: {} })).reply
  t.match(await rig.call('listJobs', { ...elsewhere, token }), {
    code: 'forbidden',
    error: { details: { field: 'pond-project' } },
  })
  t.equal((await rig.call('listJobs', elsewhere)).status, 200)
  t.strictSame(
    (await rig.call('listProjects')).reply.items.map(({ name }) => name),
    ['default', 'other'],
  )
})
