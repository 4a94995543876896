// The operator's verbs against a scripted pond: what they send, what they print.
import t from 'tap'
import type { RouteName } from '../../../src/protocol/route.ts'
import { createFakeIo, pond } from '../../harness/fake-io.ts'
import { FAKE_URL, fakeId } from '../../harness/fake-pond.ts'
import { answering, binding, PRINT, project, worker } from '../../harness/operator-view.ts'

const key = { id: fakeId('key', 1), kind: 'project', name: 'ci', project: 'web', scopes: ['read'], created_at: 0 }
const code = {
  id: fakeId('cod', 1),
  project: 'web',
  uses_left: 1,
  tries_left: 5,
  labels: { room: '7' },
  ephemeral: false,
  created_at: 0,
  expires_at: Date.UTC(2026, 0, 1, 0, 10),
}
const enrollment = {
  id: fakeId('cod', 2),
  binding_id: binding.id,
  tries_left: 5,
  labels: { room: '7' },
  created_at: 0,
  expires_at: Date.UTC(2026, 0, 1, 0, 10),
}
interface Row {
  readonly words: readonly string[]
  readonly route: RouteName
  readonly reply: unknown
  readonly out: string | RegExp
  readonly sent?: object
}

const rows: readonly Row[] = [
  {
    words: ['project', 'create', 'web'],
    route: 'createProject',
    reply: project,
    out: `${project.id}\n`,
    sent: { name: 'web' },
  },
  {
    words: ['project', 'ls'],
    route: 'listProjects',
    reply: { items: [project] },
    out: /^web\tprj_\S+\t100\t1970-01-01T00:00:00Z\topen\t\n$/,
  },
  {
    words: ['project', 'create', 'web', '--weight', '7'],
    route: 'createProject',
    reply: project,
    out: `${project.id}\n`,
    sent: { name: 'web', weight: 7 },
  },
  {
    words: ['project', 'weight', 'web', '100'],
    route: 'putWeight',
    reply: project,
    out: 'web has weight 100\n',
    sent: { weight: 100 },
  },
  {
    words: ['binding', 'serve', binding.id, '--friend', 'a', '--friend', 'b', '--public'],
    route: 'putLadder',
    reply: { ...binding, ladder: { friends: ['a', 'b'], public: true } },
    out: 'lab serves web, then a, b, everybody\n',
    sent: { friends: ['a', 'b'], public: true },
  },
  {
    words: ['binding', 'serve', binding.id],
    route: 'putLadder',
    reply: binding,
    out: 'lab serves web, then nobody\n',
    sent: { friends: [], public: false },
  },
  {
    words: ['pairing', 'create', '--friend', 'a'],
    route: 'createPairingCode',
    reply: { ...code, code: 'A.B.C' },
    out: `swarm pair ${FAKE_URL}#A.B.C\n`,
    sent: { ladder: { friends: ['a'], public: false } },
  },
  {
    words: [
      'key',
      'create',
      '--project',
      'web',
      '--name',
      'ci',
      '--scope',
      'read',
      '--scope',
      'submit',
      '--expires',
      '90d',
    ],
    route: 'createKey',
    reply: { ...key, token: 'pond_key_secret' },
    out: 'pond_key_secret\n',
    sent: { project: 'web', name: 'ci', scopes: ['read', 'submit'], expires_ms: 90 * 86_400_000 },
  },
  {
    words: ['key', 'create', '--admin'],
    route: 'createKey',
    reply: { ...key, token: 'x' },
    out: 'x\n',
    sent: { kind: 'admin' },
  },
  {
    words: ['key', 'ls'],
    route: 'listKeys',
    reply: { items: [key] },
    out: `${key.id}\tci\tproject\tweb\tread\tvalid\n`,
  },
  { words: ['key', 'revoke', key.id], route: 'revokeKey', reply: key, out: `${key.id} revoked\n` },
  {
    words: ['pairing', 'create', '--uses', '2', '--expires', '1h', '--label', 'room=7', '--ephemeral'],
    route: 'createPairingCode',
    reply: { ...code, code: 'A.B.C' },
    out: `swarm pair ${FAKE_URL}#A.B.C\n`,
    sent: { uses: 2, expires_ms: 3_600_000, labels: { room: '7' }, ephemeral: true },
  },
  {
    words: [
      'pairing',
      'create',
      ...['rack', 'zone=eu', 'zone=us', 'tier<=3', '*'].flatMap((it) => ['--allow-label', it]),
    ],
    route: 'createPairingCode',
    reply: { ...code, code: 'A.B.C' },
    out: `swarm pair ${FAKE_URL}#A.B.C\n`,
    sent: {
      allowed_labels: {
        ...{ rack: { op: 'exists' }, zone: { op: 'in', value: ['eu', 'us'] }, tier: { op: 'lte', value: 3 } },
        '*': { op: 'exists' },
      },
    },
  },
  {
    words: ['pairing', 'ls'],
    route: 'listPairingCodes',
    reply: { items: [{ ...code, allowed_labels: { rack: { op: 'exists' }, zone: { op: 'in', value: ['a', 'b'] } } }] },
    out: /\troom=7; may choose rack, zone=a or b\n$/,
  },
  {
    words: ['pairing', 'ls'],
    route: 'listPairingCodes',
    reply: { items: [code] },
    out: /^cod_.*\tweb\t1\t5\t(9 min \d+ s|10 min)\troom=7\n$/,
  },
  { words: ['pairing', 'revoke', code.id], route: 'revokePairingCode', reply: {}, out: `${code.id} taken back\n` },
  {
    words: ['binding', 'ls'],
    route: 'listBindings',
    reply: { items: [binding] },
    out: `${binding.id}\tlab\tweb\tonline\t2\tnever\t\n`,
  },
  {
    words: ['binding', 'show', binding.id],
    route: 'getBinding',
    reply: binding,
    out: /state: +online\nworkers: +1\nclaims: +2\n/,
  },
  {
    words: ['binding', 'revoke', binding.id],
    route: 'revokeBinding',
    reply: binding,
    out: `${binding.id} (lab) revoked\n`,
  },
  {
    words: ['worker', 'ls'],
    route: 'listAllWorkers',
    reply: { items: [worker] },
    out: /^wrk_\S+\tweb\tlab\tquarantined\t0\/4\t/,
  },
  {
    words: ['stats'],
    route: 'getStats',
    reply: {
      ...{
        at: 61_000,
        since: 0,
        queued: 12,
        delayed: 1,
        waiting: 2,
        classes_in_all: 2,
        claims: { confirmed: 3 },
        workers: {},
      },
      classes: [{ project: 'web', requires: { os: 'linux' }, queued: 12, priorities: { 5: 12 } }],
      polls_parked: 4,
      windows: [
        {
          ...{ window_ms: 60_000, from: 1000, ended: { failed: 2 }, ended_per_second: { failed: 0.0333 } },
          run_ms: { count: 2, p50: 1500, p95: 2000, p99: 2000 },
        },
        {
          ...{ window_ms: 300_000, from: 1000, ended: { failed: 2, succeeded: 425_000 } },
          ended_per_second: { failed: 0.0333, succeeded: 7083.3 },
        },
      ],
    },
    out: /2 kinds in all:\n {2}12 {2}web {2}\{"os":"linux"\}\n\nlast 1 min: +2 failed \(2\/min\)\n {2}run: +p50 [^\n]+\n\nlast 5 min: +2 failed \(2\/min\), 425000 succeeded \(7083\/s\)\n {2}counted for: +1 min\n/,
  },
  {
    words: ['worker', 'show', 'lab'],
    route: 'listAllWorkers',
    reply: { items: [worker] },
    out: /fingerprint: +ab-cd\n/,
  },
  {
    words: ['worker', 'show', 'lab'],
    route: 'listAllWorkers',
    reply: {
      items: [
        {
          ...worker,
          ...{ labels: { zone: 'eu', rack: '7' }, granted_labels: ['zone'], cpus: 4, disk_bytes: 2 * 1024 ** 3 },
          ...{ os: 'linux', arch: 'x64', sandbox: 'uid' },
        },
      ],
    },
    out: /labels: +zone=eu\nown labels: +rack=7\nfor jobs: +4 cores, 2.0 GiB of disk\nmachine: +linux x64\nsandbox: +uid\n/,
  },
  {
    words: ['enrollment', 'create', binding.id, '--expires', '1h', '--label', 'gpu=a', '--fingerprint', PRINT],
    route: 'createEnrollmentCode',
    reply: { ...enrollment, code: 'A.B.C' },
    out: 'swarm worker add A.B.C\n',
    sent: { binding: binding.id, expires_ms: 3_600_000, labels: { gpu: 'a' }, fingerprint: PRINT },
  },
  {
    words: ['enrollment', 'ls'],
    route: 'listEnrollmentCodes',
    reply: { items: [enrollment] },
    out: /^cod_.*\tbnd_.*\t5\t(9 min \d+ s|10 min)\troom=7\n$/,
  },
  {
    words: ['enrollment', 'revoke', code.id],
    route: 'revokeEnrollmentCode',
    reply: {},
    out: `${code.id} taken back\n`,
  },
  {
    words: ['pairing', 'create', '--fingerprint', PRINT],
    route: 'createPairingCode',
    reply: { ...code, code: 'A.B.C' },
    out: /#A\.B\.C\n$/,
    sent: { fingerprint: PRINT },
  },
  {
    words: ['pond-key', 'rotate'],
    route: 'rotatePondKey',
    reply: { signing_key: 'a', sealing_key: 'b', rotated_at: 0 },
    out: /has new keys: [0-9a-f-]{39}\n.*follow by themselves/,
  },
  {
    words: ['audit', 'ls', '--limit', '5'],
    route: 'listAudit',
    reply: { items: [{ id: 'a', at: 0, by: 'admin', action: 'key.create', target: 'key_1' }], next: null },
    out: '1970-01-01T00:00:00Z\tadmin\tkey.create\tkey_1\t\n',
  },
]

for (const { words, route, reply, out, sent } of rows) {
  t.test(`pond ${words.join(' ')}`, async (t) => {
    const io = answering(route, reply)
    t.equal(await pond(io, ...words), 0)
    t.match(io.printed().out, out)
    if (sent) t.same(io.pond.calls.find(({ name }) => name === route)?.body, sent)
    const json = answering(route, reply)
    t.equal(await pond(json, ...words, '--json'), 0)
    t.doesNotThrow(() => JSON.parse(json.printed().out))
    t.equal(json.printed().err, '')
  })
}

t.test('a code of a loopback pond says that another machine needs another URL', async (t) => {
  const io = answering('createPairingCode', { ...code, code: 'A.B.C' })
  t.equal(await pond(io, 'pairing', 'create'), 0)
  t.match(io.printed().err, /this host only/)
})

t.test('what a machine may choose is never read as more than was said', async (t) => {
  for (const wrong of ['rack>7', 'rack<7', 'rack==7', 'rack=>7', 'rack=', 'rack!=7', '**', '']) {
    for (const words of [
      ['pairing', 'create'],
      ['enrollment', 'create', binding.id],
    ]) {
      const io = createFakeIo()
      t.equal(await pond(io, ...words, '--allow-label', wrong), 2, wrong)
      const says = `'--allow-label <label>' argument '${wrong}' is invalid. ${JSON.stringify(wrong)} is no condition. It must look like`
      t.equal(io.printed().err.includes(says), true, wrong)
      t.strictSame(io.pond.calls, [])
    }
  }
})

t.test('a binding is found by its name, and only when there is one', async (t) => {
  const io = answering('listBindings', { items: [binding, { ...binding, id: fakeId('bnd', 2), name: 'two' }] })
  io.pond.answers.revokeBinding = binding
  t.equal(await pond(io, 'binding', 'revoke', 'lab'), 0)
  t.equal(io.pond.calls.at(-1)?.params.id, binding.id)
  t.equal(await pond(io, 'binding', 'revoke', 'bnd_01kaab'), 2)
  t.match(io.printed().err, '2 bindings are called bnd_01kaab')
  t.equal(await pond(io, 'binding', 'revoke', 'none'), 1)
})

t.test('whom a binding serves no longer is said', async (t) => {
  const io = answering('getBinding', { ...binding, ladder: { friends: ['a', 'b'], public: true } })
  io.pond.answers.putLadder = { ...binding, ladder: { friends: ['b', 'c'], public: false } }
  t.equal(await pond(io, 'binding', 'serve', binding.id, '--friend', 'b', '--friend', 'c'), 0)
  t.match(io.printed().out, 'lab serves web, then b, c\n')
  t.match(io.printed().err, 'it serves no longer: a, everybody; what is not named is dropped\n')
})

t.test('a worker in quarantine is pointed out, and judged by its name only where there is one', async (t) => {
  const strange = { ...worker, shown_fingerprint: 'ef-01' }
  const io = answering('listAllWorkers', { items: [strange, { ...worker, id: fakeId('wrk', 2), name: 'two' }] })
  io.pond.answers.reinstateWorker = { ...worker, state: 'online' }
  io.pond.answers.revokeWorker = { ...worker, state: 'revoked' }
  t.equal(await pond(io, 'worker', 'ls'), 0)
  t.match(io.printed().err, `${worker.id} is in quarantine: it showed ef-01, pinned are ab-cd`)
  t.equal(await pond(io, 'worker', 'reinstate', 'lab'), 0)
  t.equal(io.pond.calls.at(-1)?.params.id, worker.id)
  t.equal(await pond(io, 'worker', 'revoke', worker.id), 0)
  t.match(io.printed().out, /is trusted with its pinned keys, ab-cd\nwrk_.* \(lab\) revoked\n$/)
  t.equal(await pond(io, 'worker', 'revoke', 'wrk_01kaab'), 2)
  t.equal(await pond(io, 'worker', 'revoke', 'none'), 1)
})

t.test('a worker is drained with a deadline and a reason, and told about when it is taken back', async (t) => {
  const io = answering('listAllWorkers', { items: [worker] })
  const order = { at: 0, by: 'admin:key_1', deadline_at: 1_800_000, note: 'new disk', heard: false }
  io.pond.answers.drainWorker = { ...worker, state: 'draining', drain: order }
  t.equal(await pond(io, 'worker', 'drain', 'lab', '--deadline', '30m', '--note', 'new disk'), 0)
  t.match(io.pond.calls.at(-1), { params: { id: worker.id }, body: { deadline_ms: 1_800_000, note: 'new disk' } })
  const says = 'drains until 1970-01-01T00:30:00Z, not heard of yet, by admin:key_1: new disk'
  t.equal(io.printed().out, `${worker.id} (lab) ${says}\n`)
  io.writes.length = 0
  t.equal(await pond(io, 'worker', 'drain', 'lab', '--json'), 0)
  t.same(JSON.parse(io.printed().out).drain, order)
  t.strictSame(io.pond.calls.at(-1)?.body, {})
  io.writes.length = 0
  io.pond.answers.listAllWorkers = { items: [{ ...worker, drain: { ...order, heard: true } }] }
  t.equal(await pond(io, 'worker', 'show', 'lab'), 0)
  t.match(io.printed().out, /drain: +drains until 1970-01-01T00:30:00Z, by admin:key_1: new disk\n/)
  io.pond.answers.resumeWorker = worker
  t.equal(await pond(io, 'worker', 'resume', 'lab'), 0)
  t.match(io.printed().out, 'may get jobs again')
  t.match(io.printed().err, 'start it again there: swarm run')
})
