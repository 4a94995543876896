// Every mutating call is sent twice, the same bytes under the same signature: the second changes nothing and gets a sane answer. Generated from the routes.
import t from 'tap'
import type { ErrorCode } from '../../../src/protocol/error.ts'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { type RouteName, routeNames, routes } from '../../../src/protocol/route.ts'
import type { Route } from '../../../src/protocol/shape.ts'
import { printKey } from '../../../src/seal/key-text.ts'
import { aKey, createCode, finalWord, type Machine, pairBody, pairMachine, submit } from '../../harness/machine.ts'
import { createEnrollment, enrollBody, rotationOf } from '../../harness/newcomer.ts'
import { type Asking, createPondRig, type PondRig } from '../../harness/pond.ts'
import { createSealer, plainTar, type Sealer } from '../../harness/sealer.ts'

interface World {
  readonly rig: PondRig
  readonly box: Machine
  /** Its job names a credential and a bundle. */
  readonly intent: Intent
  readonly sealer: Sealer
}

interface Row {
  readonly says: string
  asking(world: World): Asking | Promise<Asking>
  /** The second answer, where it is not the first once more. */
  readonly second?: ErrorCode
  /** The second call is meant to change something: which tables, and why. */
  readonly changes?: { readonly tables: readonly string[]; readonly why: string }
}

const word = ({ box, intent }: World, body: object): Asking => ({
  token: box.token,
  params: { id: intent.job_id },
  headers: { 'x-claim-token': intent.claim_token },
  body: { claim_id: intent.claim_id, ...body },
})

const batch = ({ box, intent }: World, body: object): Asking => ({
  token: box.token,
  body: {
    words: [{ job_id: intent.job_id, claim_id: intent.claim_id, claim_token: intent.claim_token, ...body }],
  },
})

const twoWant = (what: string, tables: readonly string[]) => ({
  tables: [...tables, 'audit'],
  why: `it has no idempotency key: a second ${what} is a second ${what}, and its secret is shown only once`,
})

const sealing = ({ box, intent }: World, more: object = {}): Asking => ({
  token: box.token,
  headers: { 'x-claim-token': intent.claim_token },
  body: { job_id: intent.job_id, claim_id: intent.claim_id, worker_id: box.workerId, ...more },
})

const sealedAgain = { tables: ['audit'], why: 'each seal is audited' }

const table: Readonly<Partial<Record<RouteName, readonly Row[]>>> = {
  pair: [
    {
      says: 'the same code and key',
      async asking({ rig }) {
        const { parsed } = await createCode(rig)
        return { token: null, body: pairBody(parsed, { letter: 'p' }) }
      },
      changes: {
        tables: ['bindings'],
        why: 'the lost reply held a token, so the repeat makes another for the same binding',
      },
    },
  ],
  poll: [
    {
      says: 'while a claim waits to be confirmed',
      async asking({ rig, box }) {
        await submit(rig)
        const workers = [{ worker_id: box.workerId, free: { slots: 2 } }]
        const body = {
          protocol: 2,
          session: 's-replay',
          seq: 7,
          claim_key: 'k-replay',
          wait_ms: 1000,
          workers,
          have: [],
        }
        return { token: box.token, body }
      },
    },
  ],
  sendWords: [
    { says: 'running', asking: (world) => batch(world, { state: 'running' }) },
    { says: 'final', asking: (world) => batch(world, { ...finalWord, result: '1' }) },
    { says: 'declined', asking: (world) => batch(world, { state: 'declined', message: 'no' }) },
  ],
  sendWord: [
    { says: 'running', asking: (world) => word(world, { state: 'running', started_at: 5 }) },
    { says: 'final', asking: (world) => word(world, { ...finalWord, message: 'done' }) },
    { says: 'declined', asking: (world) => word(world, { state: 'declined' }), second: 'stale' },
  ],
  sendChunk: [
    {
      says: 'the first chunk',
      asking: (world) => ({
        ...word(world, {}),
        query: { claim: world.intent.claim_id, stream: 'stdout', offset: '0', at: '1', order: '1' },
        body: Buffer.from('twice'),
      }),
    },
  ],
  sendTelemetry: [
    {
      says: 'one event',
      asking: (world) => word(world, { events: [{ id: 'e1', type: 'progress', at: 1, data: { done: 1 } }] }),
    },
  ],
  sendSnapshot: [
    {
      says: 'another key',
      asking: ({ box }) => ({ token: box.token, body: snapshot(box) }),
    },
  ],
  unpair: [
    { says: 'the token is gone', asking: ({ box }) => ({ token: box.token, body: {} }), second: 'unauthenticated' },
  ],
  submitJob: [
    {
      says: 'one job with a key',
      asking: () => ({ headers: { 'idempotency-key': 'once' }, body: { command: ['true'] } }),
    },
    {
      says: 'a batch with a key',
      asking: () => ({
        headers: { 'idempotency-key': 'once' },
        body: { jobs: [{ command: ['a'] }, { command: ['b'] }] },
      }),
    },
    {
      says: 'a signed job with a key',
      asking: ({ sealer }) => ({
        headers: { 'idempotency-key': 'once' },
        body: { signed: sealer.job({ command: ['true'] }) },
      }),
    },
    {
      says: 'without a key',
      asking: () => ({ body: { command: ['true'] } }),
      changes: {
        tables: ['jobs', 'job_specs', 'transitions'],
        why: 'without Idempotency-Key two submits are two jobs',
      },
    },
  ],
  cancelJob: [
    { says: 'a running job', asking: ({ intent }) => ({ params: { id: intent.job_id }, body: {} }) },
    { says: 'a queued job', asking: async ({ rig }) => ({ params: { id: (await submit(rig)).id }, body: {} }) },
  ],
  cancelJobs: [
    {
      says: 'of a label',
      async asking({ rig }) {
        await submit(rig, { labels: { app: 'x' } })
        return { body: { label: 'app=x' } }
      },
    },
  ],
  adoptAttempt: [
    {
      says: 'a late result',
      async asking({ rig, box, intent }) {
        await box.say(intent, { state: 'running' })
        await rig.clock.advance(limit.leaseMs + 2000)
        await box.say(intent, { ...finalWord, result: '1' })
        return { params: { id: intent.job_id }, body: { attempt: 1 } }
      },
    },
  ],
  seal: [{ says: 'a credential', asking: (world) => sealing(world), changes: sealedAgain }],
  bundleToken: [{ says: 'a token', asking: (world) => sealing(world) }],
  bundleRedeem: [
    {
      says: 'a bundle',
      asking: (world) => sealing(world, { token: world.intent.source_bundle?.token }),
      changes: { tables: ['audit', 'bundles'], why: 'each seal is audited, and a bundle that is used stays' },
    },
  ],
  createBundle: [
    {
      says: 'an archive',
      asking: () => ({ body: plainTar('content') }),
      changes: {
        tables: ['audit', 'blobs', 'bundles'],
        why: 'each is sealed under a key of its own: what is the same in the clear must not look the same',
      },
    },
  ],
  putBundle: [
    { says: 'a piece', asking: ({ sealer }) => piece(sealer, 10) },
    { says: 'the last piece', asking: ({ sealer }) => piece(sealer) },
  ],
  sealBundle: [
    {
      says: 'boxes',
      async asking({ sealer }) {
        const { digest, custody } = await sealer.bundle(Buffer.from('content'))
        return { params: { digest }, body: custody }
      },
    },
  ],
  putCredential: [
    {
      says: 'the same envelope',
      asking: async ({ sealer }) => ({ params: { name: 'c' }, body: await sealer.credential('c', {}) }),
    },
  ],
  deleteCredential: [{ says: 'it is gone', asking: () => ({ params: { name: 'seen' } }), second: 'not_found' }],
  putRecipients: [
    {
      says: 'the same list',
      asking: ({ sealer }) => ({ body: { recipients: [printKey('recipient', sealer.identity.sealing.publicKey)] } }),
    },
  ],
  putWeight: [{ says: 'another weight', asking: () => ({ params: { project: 'default' }, body: { weight: 7 } }) }],
  putLadder: [
    {
      says: 'for everybody',
      asking: ({ box }) => ({ params: { id: box.bindingId }, body: { friends: [], public: true } }),
    },
  ],
  createProject: [{ says: 'the same name', asking: () => ({ body: { name: 'twice' } }), second: 'exists' }],
  createKey: [{ says: 'a key', asking: () => ({ body: {} }), changes: twoWant('key', ['keys']) }],
  revokeKey: [
    {
      says: 'a key',
      async asking({ rig }) {
        return { params: { id: (await rig.call('createKey', { body: {} })).reply.id } }
      },
    },
  ],
  enroll: [
    {
      says: 'the same code and keys',
      async asking({ rig, box }) {
        const code = await createEnrollment(rig, box)
        return { token: box.token, params: { code_id: code.id }, body: enrollBody(code, box, { letter: 'e' }) }
      },
    },
  ],
  rotate: [
    { says: 'a new token', asking: ({ box }) => ({ token: box.token, body: {} }) },
    {
      says: 'new keys of the worker',
      asking: ({ box }) => ({ token: box.token, body: { workers: [rotationOf(box, 'z')] } }),
    },
  ],
  createEnrollmentCode: [
    {
      says: 'a code',
      asking: ({ box }) => ({ body: { binding: box.bindingId } }),
      changes: twoWant('code', ['codes']),
    },
  ],
  revokeEnrollmentCode: [
    {
      says: 'a code',
      asking: async ({ rig, box }) => ({ params: { id: (await createEnrollment(rig, box)).id } }),
    },
  ],
  drainWorker: [
    {
      says: 'with a deadline that runs',
      asking: ({ box }) => ({ params: { id: box.workerId }, body: { deadline_ms: 60_000, note: 'disk' } }),
    },
  ],
  resumeWorker: [
    {
      says: 'one that drains',
      async asking({ rig, box }) {
        await rig.call('drainWorker', { params: { id: box.workerId }, body: {} })
        return { params: { id: box.workerId }, body: {} }
      },
    },
  ],
  reinstateWorker: [
    {
      says: 'one in quarantine',
      async asking({ rig, box }) {
        await rig.call('sendSnapshot', { token: box.token, body: snapshot(box) })
        return { params: { id: box.workerId }, body: {} }
      },
    },
  ],
  revokeWorker: [{ says: 'with a live claim', asking: ({ box }) => ({ params: { id: box.workerId } }) }],
  rotatePondKey: [
    {
      says: 'twice',
      asking: () => ({ body: {} }),
      changes: {
        tables: ['audit'],
        why: 'a second rotation is a second rotation; each is signed by the keys before it',
      },
    },
  ],
  createPairingCode: [{ says: 'a code', asking: () => ({ body: {} }), changes: twoWant('code', ['codes']) }],
  revokePairingCode: [
    { says: 'a code', asking: async ({ rig }) => ({ params: { id: (await createCode(rig)).parsed.id } }) },
  ],
  revokeBinding: [{ says: 'with a live claim', asking: ({ box }) => ({ params: { id: box.bindingId } }) }],
}

async function piece(sealer: Sealer, length?: number): Promise<Asking> {
  const { digest, size, frames } = await sealer.bundle(Buffer.from('content'))
  return { params: { digest }, query: { offset: '0', size: `${size}` }, body: frames.subarray(0, length) }
}

function snapshot(box: Machine) {
  const keys = { sealing_key: aKey('z'), signing_key: aKey('z') }
  const worker = {
    worker_id: box.workerId,
    keys,
    labels: {},
    resources: { slots: 3 },
    inflight: 0,
    load: 1,
    version: '1',
  }
  return { session: 's-replay', seq: 1, workers: [worker] }
}

const mutating = routeNames.filter((name) => routes[name].method !== 'GET' && !(routes[name] as Route).reserved)

t.test('each mutating route has its rows', async (t) => {
  t.strictSame(Object.keys(table).sort(), [...mutating].sort())
})

for (const [name, rows] of Object.entries(table) as [RouteName, readonly Row[]][]) {
  for (const row of rows) {
    t.test(`${name}: ${row.says}`, async (t) => {
      const rig = await createPondRig(t)
      const box = await pairMachine(rig)
      const sealer = await createSealer(rig)
      const bundle = await sealer.upload(await sealer.bundle(Buffer.from('content')))
      await rig.call('putCredential', { params: { name: 'seen' }, body: await sealer.credential('seen', {}) })
      await submit(rig, { credential: 'seen', bundle })
      const [intent] = await box.take()
      if (!intent) throw new Error('a job waits')
      const asking = await row.asking({ rig, box, intent, sealer })
      const request = rig.request(name, asking)
      const first = await rig.send(name, request)
      t.ok(first.status < 300, `first ${first.code ?? first.status}`)
      const before = await rig.dump()
      await rig.clock.advance(100)
      const second = await rig.send(name, request)
      const after = await rig.dump()
      const changed = Object.keys(after).filter((key) => JSON.stringify(after[key]) !== JSON.stringify(before[key]))
      t.strictSame(changed.sort(), [...(row.changes?.tables ?? [])].sort(), row.changes?.why ?? 'nothing changed')
      t.equal(second.code, row.second)
      if (!row.second) t.equal(second.status, first.status)
      if (name === 'poll') t.strictSame(second.reply, first.reply, 'the same intents')
      if (name === 'submitJob' && !row.changes) t.strictSame(second.reply, first.reply, 'the same jobs')
    })
  }
}
