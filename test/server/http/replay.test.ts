// Every mutating call is sent twice, the same bytes under the same signature: the second changes nothing and gets a sane answer. Generated from the routes.
import t from 'tap'
import { limit } from '../../../src/protocol/limit.ts'
import type { Intent } from '../../../src/protocol/orch.ts'
import { type RouteName, routeNames, routes } from '../../../src/protocol/route.ts'
import type { Route } from '../../../src/protocol/shape.ts'
import { printKey } from '../../../src/seal/key-text.ts'
import { aKey, createCode, finalWord, type Machine, pairBody, pairMachine, submit } from '../../harness/machine.ts'
import { type Asking, createPondRig } from '../../harness/pond.ts'
import { createSealer, plainTar, type Sealer } from '../../harness/sealer.ts'
import { operatorReplays, type Row, snapshot, type World } from './replay-row.ts'

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
  agreeCallKey: [
    {
      says: 'another call key, in memory alone',
      asking: ({ box }) => ({ token: box.token, body: { half: aKey('h') } }),
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
  replayJob: [
    {
      says: 'a job that failed',
      asking: async ({ box, intent }) => ({ params: { id: await fail(box, intent) }, body: {} }),
    },
  ],
  replayJobs: [
    {
      says: 'of a cause',
      async asking({ box, intent }) {
        await fail(box, intent)
        return { body: { cause: 'exit' } }
      },
    },
  ],
  dismissJob: [
    { says: 'a job that failed', asking: async ({ box, intent }) => ({ params: { id: await fail(box, intent) } }) },
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
  ...operatorReplays,
}

async function fail(box: Machine, intent: Intent): Promise<string> {
  await box.say(intent, { state: 'running' })
  await box.say(intent, { ...finalWord, rc: 1 })
  return intent.job_id
}

async function piece(sealer: Sealer, length?: number): Promise<Asking> {
  const { digest, size, frames } = await sealer.bundle(Buffer.from('content'))
  return { params: { digest }, query: { offset: '0', size: `${size}` }, body: frames.subarray(0, length) }
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
